"""Outlines of a film's structures as lines to draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index_builder.anatomy.anatomy import Anatomy
from index_builder.anatomy.structures import STRUCTURES, Structure

#: Corners nearer to the line between their neighbours than this many pixels of the grid are left out.
_TOLERANCE = 0.2


def contours(anatomy: Anatomy) -> dict[Structure, NDArray[np.float32]]:
    """The outline of each structure that was found, as a closed line.

    Returns:
        [N, 2] float32 each: (x, y) as shares of the film's width and height, first point repeated at the end.
    """
    from skimage.measure import approximate_polygon, find_contours

    top, left, bottom, right = anatomy.geometry.crop
    y0, x0, y1, x1 = anatomy.geometry.paste
    rows, columns = anatomy.shape
    found: dict[Structure, NDArray[np.float32]] = {}
    for name, values in zip(STRUCTURES, anatomy.probabilities, strict=True):
        lines = find_contours(np.pad(values, 1), 0.5)
        if not lines:
            continue
        line = approximate_polygon(max(lines, key=len), _TOLERANCE) - 0.5  # padding off, and to the pixels' corners
        y = top + (line[:, 0] - y0) * (bottom - top) / (y1 - y0)
        x = left + (line[:, 1] - x0) * (right - left) / (x1 - x0)
        found[name] = np.stack([x / columns, y / rows], 1).clip(0, 1).astype(np.float32)
    return found
