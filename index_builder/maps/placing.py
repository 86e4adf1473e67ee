"""Where a query belongs on a map that was made without it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index_builder.numerics import softmax

#: Nearest cases that place a query, and the softmax over similarity that weighs them; docs/explanation/maps.md has
#: the error of this and other choices on cases left out of the map.
PLACING_NEIGHBOURS = 10
PLACING_TEMPERATURE = 0.01


def place(positions: NDArray[np.float32], similarities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the nearest cases' places, weighted by softmax(similarity / `PLACING_TEMPERATURE`).

    Works for any layout, t-SNE's too, which has no rule for new points, and needs no fitted model to be kept.

    Args:
        positions: [..., k, dims] float32, places of the nearest cases.
        similarities: [..., k] float32, their cosines to the query.

    Returns:
        [..., dims] float32.
    """
    weights = softmax(similarities / PLACING_TEMPERATURE)
    return np.asarray((positions * weights[..., None]).sum(-2), np.float32)
