"""The seam every retrieval system fits: image, text or profile in, vectors of one space out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from index_builder.errors import ModelError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Encoding:
    """One modality of a batch.

    Attributes:
        tokens: [B, T, d] float32, what attention and Grad-CAM look at: image patches or word pieces.
        mask: [B, T] bool, True at real tokens.
        vector: [B, D] float32, L2-normalised, in the space shared by all modalities.
    """

    tokens: Tensor
    mask: Tensor
    vector: Tensor


class SystemConfig(BaseModel):
    """What rebuilds a system without its weights. Systems extend it with their own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    preset: str
    image_encoder: str
    text_encoder: str
    image_size: int
    embedding_dim: int
    label_names: tuple[str, ...]


class RetrievalSystem(nn.Module, ABC):
    """Encoders and heads of one published system.

    All vectors live in one space, so any modality can be compared with any other. A system differs from another
    only in its encoders, its fusion and its losses; embedding, search and evaluation know this class alone.
    """

    name: ClassVar[str]
    config: SystemConfig

    @abstractmethod
    def encode_images(self, films: Tensor) -> Encoding:
        """Encode films.

        Args:
            films: [B, S, S] float32 in 0..1 as `imaging.model_input` gives them, S = `config.image_size`.
        """

    @abstractmethod
    def encode_texts(self, texts: list[str]) -> Encoding:
        """Encode reports, queries or profile sentences, each a non-empty string."""

    @abstractmethod
    def join(self, image: Encoding | None, text: Encoding | None) -> Tensor:
        """Joint vector of cases with either or both modalities, [B, D] float32, L2-normalised."""

    @abstractmethod
    def label_logits(self, vectors: Tensor) -> Tensor:
        """Logits per label of `config.label_names` for vectors [B, D] of the shared space: [B, C] float32."""

    @abstractmethod
    def save(self, folder: Path, *, portable: bool) -> None:
        """Write config, weights and tokenizer.

        Args:
            folder: Created if missing.
            portable: Include the frozen encoders, so that the folder needs nothing else. Otherwise only trained
                weights are written and encoders are named by source and digest.
        """


def normalise(vectors: Tensor) -> Tensor:
    """L2-normalise the last axis; a zero vector stays zero."""
    return nn.functional.normalize(vectors, dim=-1)


def load_system(folder: Path, device: torch.device | str = "cpu") -> RetrievalSystem:
    """Open a saved system, of whichever kind it is, ready for inference.

    Raises:
        ModelError: No system there, an unknown kind, or weights that do not fit their configuration.
    """
    path = folder / CONFIG_FILE
    try:
        kind = json.loads(path.read_text("utf-8"))["system"]
    except FileNotFoundError:
        raise ModelError(f"{folder}: no system there ({CONFIG_FILE} is missing). Name a checkpoint folder.") from None
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not a system configuration ({error}). Restore the file or rebuild.") from None
    if kind != "unified":
        raise ModelError(f"{path}: unknown system {kind!r}. Known: unified.")
    from index_builder.systems.unified import Unified

    return Unified.load(folder).to(device).eval()
