"""`unified`: the Unified Multimodal Framework's seam with its compact encoders.

Both encoders are frozen; one small head each maps films and reports into one space, trained together by
`index_builder.training`. A case with both modalities is the normalised sum of its two vectors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from index_builder.errors import ModelError
from index_builder.systems.base import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Encoding,
    RetrievalSystem,
    SystemConfig,
    normalise,
)
from index_builder.systems.encoders import ImageEncoder, TextEncoder, weights_digest

_TEXT_FOLDER = "text"
_ENCODERS = ("image_encoder", "text_encoder")


class UnifiedConfig(SystemConfig):
    """Configuration of `Unified`.

    Attributes:
        hidden_dim: Width of the hidden layer of each head.
        encoder_digests: SHA-256 of the frozen encoders the heads were trained on; empty before saving.
        portable: Whether the encoders' weights lie beside this configuration.
    """

    system: str = "unified"
    preset: str = "compact"
    image_encoder: str = "package:efficientnet-lite0"
    text_encoder: str = "package:minilm"
    image_size: int = 224
    embedding_dim: int = 256
    hidden_dim: int = 512
    label_names: tuple[str, ...] = ()
    encoder_digests: dict[str, str] = Field(default_factory=dict)
    portable: bool = False


class Unified(RetrievalSystem):
    """Film and report encoders with one head each into a shared space, and a label classifier on that space."""

    name: ClassVar[str] = "unified"

    def __init__(self, config: UnifiedConfig, *, pretrained: bool = True, text_folder: Path | None = None) -> None:
        """Build the modules.

        Args:
            config: What to build.
            pretrained: Load the encoders' weights from their source; otherwise the caller loads them afterwards.
            text_folder: Where architecture and tokenizer of the text encoder lie, instead of its source.
        """
        super().__init__()
        self.config: UnifiedConfig = config
        self.image_encoder = ImageEncoder(config.image_encoder, config.image_size, pretrained=pretrained)
        self.text_encoder = TextEncoder(config.text_encoder, pretrained=pretrained, folder=text_folder)
        self.image_head = _head(self.image_encoder.dim, config)
        self.text_head = _head(2 * self.text_encoder.dim, config)
        self.classifier = nn.Linear(config.embedding_dim, len(config.label_names))
        for encoder in (self.image_encoder, self.text_encoder):
            encoder.requires_grad_(False)

    def pooled_images(self, films: Tensor) -> tuple[Tensor, Tensor]:
        """Patch tokens [B, P, d] and their mean [B, d]: all that the image head needs."""
        tokens = self.image_encoder(films)
        return tokens, tokens.mean(1)

    def pooled_texts(self, texts: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Word-piece tokens [B, L, d], mask [B, L] and mean beside maximum over the real tokens, [B, 2d].

        The maximum keeps a single abnormal phrase visible in a long normal report.
        """
        tokens, mask = self.text_encoder(texts)
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * weights).sum(1) / weights.sum(1)
        peak = tokens.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(1)
        return tokens, mask, torch.cat([mean, peak], dim=-1)

    def encode_images(self, films: Tensor) -> Encoding:
        tokens, pooled = self.pooled_images(films)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Encoding(tokens, mask, normalise(self.image_head(pooled)))

    def encode_texts(self, texts: list[str]) -> Encoding:
        tokens, mask, pooled = self.pooled_texts(texts)
        return Encoding(tokens, mask, normalise(self.text_head(pooled)))

    def join(self, image: Encoding | None, text: Encoding | None) -> Tensor:
        if image is not None and text is not None:
            return normalise(image.vector + text.vector)
        single = image or text
        if single is None:
            raise ValueError("join needs at least one modality")
        return single.vector

    def label_logits(self, vectors: Tensor) -> Tensor:
        # A unit vector's coordinates shrink with its length; this puts them back on the scale of one.
        return self.classifier(vectors * self.config.embedding_dim**0.5)

    def save(self, folder: Path, *, portable: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        digests = {name: weights_digest(getattr(self, name)) for name in _ENCODERS}
        config = self.config.model_copy(update={"encoder_digests": digests, "portable": portable})
        # A portable copy halves every weight: 55 MB beside each casebook instead of 110, same neighbours.
        weights = {
            name: (tensor.half() if portable and tensor.is_floating_point() else tensor).contiguous()
            for name, tensor in self.state_dict().items()
            if portable or not name.startswith(_ENCODERS)
        }
        save_file(weights, folder / WEIGHTS_FILE)
        if portable:
            self.text_encoder.save_configuration(folder / _TEXT_FOLDER)
        (folder / CONFIG_FILE).write_text(config.model_dump_json(indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Unified:
        """Open what `save` wrote.

        Raises:
            ModelError: A file is missing or damaged, or the encoders are not those the heads were trained on.
        """
        try:
            config = UnifiedConfig.model_validate(json.loads((folder / CONFIG_FILE).read_text("utf-8")))
            weights = load_file(folder / WEIGHTS_FILE)
        except (OSError, ValueError, ValidationError, SafetensorError) as error:
            raise ModelError(f"{folder}: damaged system ({error}). Restore its files or rebuild.") from error
        text_folder = folder / _TEXT_FOLDER if config.portable else None
        system = cls(config, pretrained=not config.portable, text_folder=text_folder)
        expected = {
            name: tensor.shape
            for name, tensor in system.state_dict().items()
            if config.portable or not name.startswith(_ENCODERS)
        }
        found = {name: tensor.shape for name, tensor in weights.items()}
        if misfits := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
            raise ModelError(f"{folder}: weights do not fit the configuration ({misfits[0]}). Restore both or rebuild.")
        system.load_state_dict(weights, strict=config.portable)
        if not config.portable:
            for name, digest in config.encoder_digests.items():
                if weights_digest(getattr(system, name)) != digest:
                    raise ModelError(
                        f"{folder}: trained on other weights of {name} than those installed. "
                        "Install the versions in constraints.txt, or train again."
                    )
        return system


def _head(width: int, config: UnifiedConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, config.hidden_dim),
        nn.GELU(),
        nn.Dropout(0.3),
        nn.Linear(config.hidden_dim, config.embedding_dim),
    )
