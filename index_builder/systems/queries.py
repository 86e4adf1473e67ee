"""Typed queries that a system is trained with beside its cases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Queries:
    """Typed queries of a batch.

    Attributes:
        texts: Q queries.
        contraries: Q texts that say the contrary of each: denied for stated, the other side for one side.
        labels, contrary_labels: [Q, C] float32, what each says of each label.
        known, contrary_known: [Q, C] bool, the labels it speaks of at all.
        case: [Q] int64, row in the batch of the case whose report says so; -1 of findings drawn at random.
    """

    texts: list[str]
    contraries: list[str]
    labels: Tensor
    contrary_labels: Tensor
    known: Tensor
    contrary_known: Tensor
    case: Tensor

    def to(self, device: torch.device) -> Queries:
        """The same with its tensors on a device."""
        names = ("labels", "contrary_labels", "known", "contrary_known", "case")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})
