"""A trained network that outlines films, run by ONNX Runtime on the processor."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from index_builder.anatomy.anatomy import Anatomy, cleaned
from index_builder.anatomy.network import WIDTHS, AnatomyNet
from index_builder.anatomy.structures import STRUCTURES
from index_builder.errors import ModelError
from index_builder.imaging import input_geometry, model_input
from index_builder.resources import resource
from index_builder.systems.backbones.session import Session

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"

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

    def __init__(self, network: AnatomyNet, config: AnatomyConfig, *, accelerated: bool = True) -> None:
        """Take a trained network; `accelerated` has ONNX Runtime run it, else PyTorch does."""
        self.config = config
        self.network = network.eval()
        self._session: Session | None = None
        if accelerated:
            example = torch.zeros(1, 1, config.size, config.size)
            self._session = Session(self.network, [example], [{0: "films"}])

    @classmethod
    def load(cls, folder: Path, *, accelerated: bool = True) -> Segmenter:
        """Read what `save` wrote.

        Raises:
            ModelError: A file is missing or damaged, or the weights belong to another network.
        """
        try:
            config = AnatomyConfig.model_validate(json.loads((folder / CONFIG_FILE).read_text("utf-8")))
            network = AnatomyNet(len(STRUCTURES), config.widths)
            weights = {name: value.float() for name, value in load_file(folder / WEIGHTS_FILE).items()}
            network.load_state_dict(weights, strict=False)
            missing = {name for name in network.state_dict() if "num_batches" not in name} - set(weights)
            if missing:
                raise ModelError(f"{folder / WEIGHTS_FILE} lacks {min(missing)}. Train it again: train-anatomy.")
        except (OSError, ValueError, ValidationError, SafetensorError, RuntimeError) as error:
            first = str(error).splitlines()[0][:200]
            raise ModelError(f"{folder}: no weights of a segmenter there ({first}). Train it: train-anatomy.") from None
        return cls(network, config, accelerated=accelerated)

    def save(self, folder: Path) -> None:
        """Write configuration and weights; these in half precision, which moves no outline by a pixel."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: value.half().contiguous()
            for name, value in self.network.state_dict().items()
            if "num_batches" not in name
        }
        save_file(weights, folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(self.config.model_dump_json() + "\n", "utf-8")

    def probabilities(self, films: NDArray[np.float32]) -> NDArray[np.float32]:
        """Films [B, S, S] of `model_input` to probabilities [B, 5, S, S] float32, as the network gives them."""
        inputs = torch.from_numpy(np.ascontiguousarray(films, np.float32))[:, None]
        with torch.inference_mode():
            logits = self.network(inputs) if self._session is None else self._session(inputs)[0]
        return torch.sigmoid(logits).numpy()

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
