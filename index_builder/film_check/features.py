"""What the image backbone sees of a film, before anything of a system's own was trained on top of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from index_builder.systems.backbones.encoders import ImageEncoder


@contextmanager
def recorded_features(encoder: ImageEncoder) -> Iterator[list[Tensor]]:
    """Record the backbone's features of every film encoded inside, at no further pass through it.

    An encoder with a feature pyramid gives the mean of each map below the pyramid, any other the mean of its tokens.

    Yields:
        A list to which every pass adds [B, F] float32.
    """
    found: list[Tensor] = []

    def of_maps(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(torch.cat([one.mean((2, 3)) for one in inputs[0]], 1).float())

    def of_tokens(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        tokens: Tensor = output[0] if isinstance(output, tuple) else output  # beside it, a published encoder's vector
        found.append(tokens.mean(1).float())

    if encoder.pyramid is None:
        hook = encoder.register_forward_hook(of_tokens)
    else:
        hook = encoder.pyramid.register_forward_pre_hook(of_maps)
    try:
        yield found
    finally:
        hook.remove()
