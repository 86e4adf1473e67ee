"""The image side of a published encoder, as a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from index_builder import vision_compat  # noqa: F401  must precede timm and transformers
from index_builder.imaging import Framing
from index_builder.systems.backbones.backbone import Backbone

#: Encoders with image and text, and the class of transformers that gives the vector of each half.
DUAL: dict[str, tuple[str, str]] = {
    "clip": ("CLIPVisionModelWithProjection", "CLIPTextModelWithProjection"),
    "siglip": ("SiglipVisionModel", "SiglipTextModel"),
}


@dataclass(frozen=True, slots=True)
class ImageSide:
    """An image encoder as published.

    Attributes:
        source: Its name.
        backbone: Module, normalisation, stages and what rebuilds it.
        outputs: (module, pixels [B, C, S, S]) -> patch tokens [B, P, d] and vectors [B, D], as published.
        width: D.
        size: S.
        framing: How a film becomes S by S.
        by_class_token: Whether the vector is read off a class token: the last stage's patches do not reach it then.
        findings: Labels of a classifier of its own, in the order of `classifier`.
        classifier: Weights [L, D], bias [L] and operating points [L] of it.
    """

    source: str
    backbone: Backbone
    outputs: Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]
    width: int
    size: int
    framing: Framing
    by_class_token: bool
    findings: tuple[str, ...] = ()
    classifier: tuple[Tensor, Tensor, Tensor] | None = None
