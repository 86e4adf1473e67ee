"""`siclip`: SiCLIP, a film and its patient's profile drawn together as in CLIP; prediction is retrieval.

The profile (age, occupation, years of dust, symptoms) is rendered as a sentence. Film and sentence are contrasted by
symmetric InfoNCE with a learned temperature, in which cases of the same class are no negatives (Radford et al. 2021 for
the rest). There is no classifier: the nearest training cases vote (`voting.vote`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from index_builder.systems.base import Batch, RetrievalSystem
from index_builder.systems.config import SystemConfig
from index_builder.systems.losses.contrast import label_contrast, symmetric_info_nce

#: CLIP's bound: a sharper softmax makes training unstable.
_GREATEST_SCALE = 100.0


class SiClipConfig(SystemConfig):
    """Configuration of `SiClip`.

    Attributes:
        temperature: Of the image–profile softmax at the start of training; learned from there.
        image_contrast: Weight of the supervised contrast between films. 0 is the published system: image–profile alone.
            A profile says little of the film, so films of one class are otherwise drawn together only weakly.
        image_contrast_temperature: Of its softmax.
    """

    system: str = "siclip"
    temperature: float = 0.07
    image_contrast: float = 1.0
    image_contrast_temperature: float = 0.1


class SiClip(RetrievalSystem):
    """Encoders and towers, and a learned temperature."""

    name: ClassVar[str] = "siclip"
    config_class: ClassVar[type[SystemConfig]] = SiClipConfig
    reads: ClassVar[Literal["report", "profile"]] = "profile"
    config: SiClipConfig

    def __init__(self, config: SiClipConfig, *, pretrained: bool = True, text_folder: Path | None = None) -> None:
        super().__init__(config, pretrained=pretrained, text_folder=text_folder)
        # Learned as a logarithm, as in CLIP, so that it stays positive.
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))

    @property
    def temperature(self) -> Tensor:
        """Of the image–profile softmax, a scalar that can be differentiated."""
        return (-self.log_scale).exp()

    def label_logits(self, vectors: Tensor) -> Tensor | None:
        return None

    def losses(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(_GREATEST_SCALE))
        has_film, paired = batch.has_film, batch.has_film & batch.has_text
        contrasts_films = self.config.image_contrast > 0
        wanted = has_film if contrasts_films else paired
        terms = {"profile contrast": 0 * self.log_scale}
        if not wanted.any():
            return terms
        image = self.encode_images(batch.films[wanted])
        if paired.any():
            text = self.encode_texts(batch.texts_of(paired))
            same = same_class(batch.labels[paired], batch.known[paired])
            terms["profile contrast"] = symmetric_info_nce(
                image.vector[paired[wanted]], text.vector, self.temperature, same
            )
        if contrasts_films:
            terms["image contrast"] = self.config.image_contrast * label_contrast(
                image.vector,
                batch.labels[has_film],
                batch.known[has_film],
                batch.group[has_film],
                torch.arange(len(image.vector), device=image.vector.device),
                self.config.image_contrast_temperature,
            )
        return terms


def same_class(labels: Tensor, known: Tensor) -> Tensor:
    """Which cases carry equal labels, as far as the labels of both are known.

    Args:
        labels: [B, C] of 0 and 1.
        known: [B, C] bool.

    Returns:
        [B, B] bool; False where two cases have no known label in common.
    """
    decided = known.float()
    present, absent = labels * decided, (1 - labels) * decided
    differing = present @ absent.T + absent @ present.T
    return (differing == 0) & (decided @ decided.T > 0)
