"""`frozen`: a published encoder as it is, untrained here; a casebook brings what is learnt.

Vectors are the encoder's own, of length 1, of films prepared as its library prepares them. Findings are told by the
vote of neighbours and by a linear head, both fitted on the vectors of the casebook's own training part (`frozen_head`).
An encoder with a classifier of its own (torchxrayvision's DenseNets) keeps it: for labels it knows, it tells them.

A classifier of unnormalised features needs their length, which a vector of length 1 has lost. Such vectors carry one
coordinate more, a small constant before normalisation, by which the features are found again; it moves cosines by less
than a thousandth of one where features are longer than three, as a DenseNet's are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from index_builder.errors import ModelError
from index_builder.imaging import Framing
from index_builder.systems.backbones.image_side import ImageSide
from index_builder.systems.backbones.published import PublishedImages, open_image_side
from index_builder.systems.backbones.published_text import PublishedTexts
from index_builder.systems.base import Batch, RetrievalSystem
from index_builder.systems.config import SystemConfig
from index_builder.systems.encoding import CrossAttention, Encoding, normalise
from index_builder.systems.towers import Classifier

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The further coordinate, before normalisation.
_SCALE = 0.1
_SMALLEST = 1e-6


class FrozenConfig(SystemConfig):
    """Configuration of `Frozen`.

    Attributes:
        framing: How films become squares of `image_size`.
        findings: Labels of the encoder's own classifier.
        fitted: Labels of the linear head, fitted on a casebook.
        exclusive: Whether these are all labels there are, and stages of which one holds.
        licence: Of the encoder, as its card or ours says.
    """

    system: str = "frozen"
    preset: str = "published"
    framing: Framing
    findings: tuple[str, ...] = ()
    fitted: tuple[str, ...] = ()
    exclusive: bool = False
    licence: str = ""


class Frozen(RetrievalSystem):
    """A published encoder of films, or of films and texts."""

    name: ClassVar[str] = "frozen"
    config_class: ClassVar[type[SystemConfig]] = FrozenConfig
    phases: ClassVar[tuple[str, ...]] = ()
    learns_from_casebook: ClassVar[bool] = True
    config: FrozenConfig
    image_encoder: PublishedImages
    text_encoder: PublishedTexts | None

    def __init__(
        self,
        config: FrozenConfig,
        *,
        pretrained: bool = True,
        text_folder: Path | None = None,
        image_side: ImageSide | None = None,
    ) -> None:
        """Build; `image_side` is given where it is open already."""
        self._opened = image_side
        super().__init__(config, pretrained=pretrained, text_folder=text_folder)
        self._opened = None
        self.head: Classifier | None = None
        if config.fitted:
            self.head = Classifier(config.embedding_dim, len(config.fitted))

    @classmethod
    def published(cls, source: str, licence: str = "") -> Frozen:
        """The system that a published encoder is.

        Args:
            source: As `published.open_image_side` takes it.
            licence: Kept with it.

        Raises:
            ModelError: The encoder cannot be had or is of a kind that is not known.
        """
        side = open_image_side(source, pretrained=True)
        config = FrozenConfig(
            image_encoder=source,
            text_encoder=source if _reads_texts(source) else "",
            image_size=side.size,
            embedding_dim=side.width + bool(side.findings),
            framing=side.framing,
            findings=side.findings,
            label_names=side.findings,
            licence=licence,
        )
        system = cls(config, image_side=side).eval()
        if system.text_encoder is not None and system.text_encoder.width != side.width:
            raise ModelError(
                f"encoder {source!r} gives {side.width} numbers for a film and {system.text_encoder.width} for a text, "
                "which cannot be compared. Name another."
            )
        return system

    def open_encoders(self, *, pretrained: bool, text_folder: Path | None) -> None:
        config = self.config
        side = self._opened or open_image_side(
            config.image_encoder, pretrained=pretrained, architecture=config.image_architecture
        )
        self.image_encoder = PublishedImages(side)
        self.text_encoder = None
        if config.text_encoder:
            self.text_encoder = _open_texts(config.text_encoder, pretrained=pretrained, folder=text_folder)
        self._by_class_token = side.by_class_token
        self.own: nn.Linear | None = None
        if side.classifier is not None:
            weight, bias, points = side.classifier
            self.own = nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                self.own.weight.copy_(weight)
                self.own.bias.copy_(bias)
            self.own.requires_grad_(False)
            self.points: Tensor
            self.register_buffer("points", points)

    @property
    def framing(self) -> Framing:
        return self.config.framing

    def gathers(self, modality: Literal["image", "text"]) -> bool:
        return False

    def look(self, films: Tensor) -> tuple[Encoding, Tensor]:
        tokens, vectors = self.image_encoder(films)
        if self.own is not None:
            vectors = nn.functional.pad(vectors, (0, 1), value=_SCALE)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Encoding(tokens.float(), mask, normalise(vectors.float())), tokens.mean(1).float()

    def encode_texts(self, texts: list[str]) -> Encoding:
        if self.text_encoder is None:
            raise ModelError(f"{self.config.image_encoder} reads films, not texts. Search with a film or a case.")
        found = self.encode_tokens(self.text_encoder.tokenize(texts))
        return replace(found, mask=self.text_encoder.real_tokens(texts, found.mask))

    def encode_tokens(self, inputs: Sequence[Tensor]) -> Encoding:
        """The vectors as published; padding is not told apart where the encoder does not."""
        assert self.text_encoder is not None, "`encode_texts` refuses texts"
        tokens, vectors = self.text_encoder.outputs(inputs)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Encoding(tokens.float(), mask, normalise(vectors.float()))

    def cross_attention(self, image: Encoding, text: Encoding) -> CrossAttention:
        raise ModelError(f"{self.config.image_encoder} compares films and texts as wholes, not patches with words.")

    def label_logits(self, vectors: Tensor) -> Tensor | None:
        parts = []
        if self.own is not None:
            parts.append(_stretched(self.own(self.features_of(vectors)), self.points))
        if self.head is not None:
            parts.append(self.head(vectors))
        return torch.cat(parts, 1) if parts else None

    def features_of(self, vectors: Tensor) -> Tensor:
        """Unnormalised features [B, D - 1] of vectors that carry the further coordinate."""
        return vectors[:, :-1] * _SCALE / vectors[:, -1:].clamp(min=_SMALLEST)

    def label_probabilities(self, vectors: Tensor) -> Tensor | None:
        logits = self.label_logits(vectors)
        if logits is None:
            return None
        return logits.float().softmax(1) if self.config.exclusive else logits.float().sigmoid()

    def image_stages(self) -> Mapping[str, nn.Module]:
        stages = self.image_encoder.stages
        # A class token has looked at the patches before the last stage for the last time.
        return dict(list(stages.items())[:-1]) if self._by_class_token and len(stages) > 1 else stages

    def losses(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        raise ModelError("a frozen encoder is not trained. Build a casebook with it: cxr-explorer build --encoder.")


def _stretched(logits: Tensor, points: Tensor) -> Tensor:
    """Logits of the probabilities that torchxrayvision publishes: the operating point comes to one half."""
    given = logits.sigmoid()
    known = torch.nan_to_num(points, nan=0.5)
    found = torch.where(given < known, given / (2 * known), 1 - (1 - given) / (2 * (1 - known)))
    return found.clamp(_SMALLEST, 1 - _SMALLEST).logit()


def _reads_texts(source: str) -> bool:
    if source.startswith("open_clip:"):
        return True
    if not source.startswith("hub:"):
        return False
    from transformers import AutoConfig

    from index_builder.systems.backbones.hub import HubPlace, loading

    place = HubPlace.parse(source)
    with loading("text", source):
        return hasattr(AutoConfig.from_pretrained(place.location, revision=place.revision), "text_config")


def _open_texts(source: str, *, pretrained: bool, folder: Path | None) -> PublishedTexts:
    if source.startswith("open_clip:"):
        from index_builder.systems.backbones.open_clip import OpenClipTexts

        return OpenClipTexts(source, pretrained=pretrained, folder=folder)
    return PublishedTexts(source, pretrained=pretrained, folder=folder)
