"""A trained network that outlines films, run by ONNX Runtime on the processor."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import expit

from index_builder.anatomy.anatomy import Anatomy, cleaned
from index_builder.anatomy.structures import WIDTHS
from index_builder.errors import ModelError
from index_builder.imaging import input_geometry, model_input
from index_builder.resources import resource
from index_builder.systems.graphs.encoder import Part
from index_builder.systems.graphs.session import Session

GRAPH_FILE, CONFIG_FILE = "network.onnx", "config.json"

_loading = Lock()


class AnatomyConfig(BaseModel):
    """What is needed to build the network that the weights belong to.

    Attributes:
        size: Side of its input in pixels.
        widths: Channels of each level.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(default=192, ge=16)
    widths: tuple[int, ...] = WIDTHS


class Segmenter:
    """Outlines lungs, heart and clavicles. Thread-safe."""

    def __init__(self, run: Part, config: AnatomyConfig) -> None:
        """Take what runs the network: films [B, 1, S, S] to logits [B, 5, S, S]."""
        self.config = config
        self._run = run

    @classmethod
    def load(cls, folder: Path) -> Segmenter:
        """Open the graph that `storage.save_network` wrote.

        Raises:
            ModelError: A file is missing or damaged.
        """
        try:
            config = AnatomyConfig.model_validate(json.loads((folder / CONFIG_FILE).read_text("utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            first = str(error).splitlines()[0][:200]
            raise ModelError(f"{folder}: no segmenter there ({first}). Train it: train-anatomy.") from None
        return cls(Session(folder / GRAPH_FILE), config)

    def probabilities(self, films: NDArray[np.float32]) -> NDArray[np.float32]:
        """Films [B, S, S] of `model_input` to probabilities [B, 5, S, S] float32, as the network gives them."""
        logits = self._run(np.asarray(films, np.float32)[:, None])[0]
        return np.asarray(expit(logits), np.float32)

    def outline(self, pixels: NDArray[np.float32]) -> Anatomy:
        """Outline a film.

        Args:
            pixels: [H, W] float32 in 0..1, as in `Film.pixels`.

        Raises:
            ImagingError: It is no film.
        """
        size = self.config.size
        found = self.probabilities(model_input(pixels, size)[None])[0]
        return Anatomy(cleaned(found), input_geometry(pixels, size), (pixels.shape[0], pixels.shape[1]))


def shipped_segmenter() -> Segmenter:
    """The segmenter that comes with the program, loaded once.

    Raises:
        InstallationError: It is missing.
    """
    with _loading:
        return _shipped()


@lru_cache(maxsize=1)
def _shipped() -> Segmenter:
    return Segmenter.load(resource("assets", "checkpoints", "anatomy"))
