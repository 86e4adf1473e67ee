"""The teacher of MSK-PT's second phase: the image side as the first phase left it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from index_builder.systems.backbones.encoders import ImageEncoder
from index_builder.systems.encoding import Encoding
from index_builder.systems.towers import Tower


@dataclass(frozen=True, slots=True)
class Teacher:
    """A frozen copy of a system's image side. No module, so that a system that holds it does not train or save it.

    Attributes:
        encoder: None where the student's encoder is frozen too and thus still the same.
        tower: Always a copy.
    """

    encoder: ImageEncoder | None
    tower: Tower

    @classmethod
    def of(cls, encoder: ImageEncoder, tower: Tower) -> Self:
        """Copy what training would change; weights frozen in the student are shared."""
        frozen = [parameter for parameter in encoder.parameters() if not parameter.requires_grad]
        copied = None
        if len(frozen) < len(list(encoder.parameters())):
            copied = deepcopy(encoder, {id(parameter): parameter for parameter in frozen})
            copied.requires_grad_(False).eval()
        return cls(copied, deepcopy(tower).requires_grad_(False).eval())

    @torch.no_grad()
    def vectors(self, films: Tensor, raw: Tensor) -> Tensor:
        """What the teacher makes of films.

        Args:
            films: [B, S, S] float32 in 0..1.
            raw: [B, P, d], their tokens from the student's encoder.

        Returns:
            [B, D] float32, L2-normalised.
        """
        encoding: Encoding = self.tower(raw if self.encoder is None else self.encoder(films))
        return encoding.vector
