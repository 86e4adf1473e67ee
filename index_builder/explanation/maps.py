"""Weights of image tokens as a map of the network input."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def pixel_map(tokens: Tensor, size: int) -> NDArray[np.float32]:
    """Weights of patches laid over the film.

    Args:
        tokens: [P], a square grid in row-major order.
        size: S.

    Returns:
        [S, S] float32, interpolated bilinearly and scaled so that it sums to what the tokens sum to.
    """
    edge = math.isqrt(len(tokens))
    grid = tokens.detach().float().view(1, 1, edge, edge)
    wide = functional.interpolate(grid, (size, size), mode="bilinear", align_corners=False)[0, 0]
    return (wide * (edge / size) ** 2).cpu().numpy()
