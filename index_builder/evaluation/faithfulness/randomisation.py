"""Sanity check of explanations (Adebayo et al., NeurIPS 2018): a map of a model must not survive the model.

Weights are shuffled from the output to the input, part after part, each time on top of what is shuffled already. A
method whose maps stay as they were shows the film, not what the system learnt from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import nn

from index_builder.systems.base import RetrievalSystem

#: Parts before the encoders, output first: everything that is neither encoder nor tower, the towers, the encoders.
PARTS = ("head", "towers", "encoders")

_ENCODERS, _TOWERS = ("image_encoder", "text_encoder"), ("image_tower", "text_tower")


def randomised(system: RetrievalSystem, seed: int) -> Iterator[tuple[str, RetrievalSystem]]:
    """A copy of a system after each part of the cascade: (name of `PARTS`, copy). The system stays as it is.

    Parameters keep their values in another order, so that their scale does not change.
    """
    copy = deepcopy(system).eval()
    generator = torch.Generator().manual_seed(seed)
    for part in PARTS:
        for name, parameter in copy.named_parameters():
            if _part(name) == part:
                _shuffle(parameter, generator)
        yield part, copy


def _part(name: str) -> str:
    first = name.partition(".")[0]
    return "encoders" if first in _ENCODERS else "towers" if first in _TOWERS else "head"


@torch.no_grad()
def _shuffle(parameter: nn.Parameter, generator: torch.Generator) -> None:
    order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
    parameter.copy_(parameter.flatten()[order].view_as(parameter))
