"""Where lungs, heart and clavicles lie on one film."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from index_builder.anatomy.structures import STRUCTURES
from index_builder.imaging import InputGeometry


@dataclass(frozen=True)
class Anatomy:
    """Outlines found on a film.

    Attributes:
        probabilities: [5, S, S] float32 in 0..1 on the grid of the network's input; 0 outside the largest connected
            part of each structure.
        geometry: Where the film lies on that grid.
        shape: (rows, columns) of the film.
    """

    probabilities: NDArray[np.float32]
    geometry: InputGeometry
    shape: tuple[int, int]

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """[5, S, S] bool on the network's grid."""
        return self.probabilities > 0.5

    def on_film(self, rows: int | None = None, columns: int | None = None) -> NDArray[np.bool_]:
        """Masks for a film drawn with `rows` x `columns` pixels, by default its own: [5, rows, columns] bool."""
        rows, columns = self.shape[0] if rows is None else rows, self.shape[1] if columns is None else columns
        top, left, bottom, right = self.geometry.crop
        y0, x0, y1, x1 = self.geometry.paste
        per_row, per_column = (y1 - y0) / (bottom - top), (x1 - x0) / (right - left)
        down, across = self.shape[0] / rows, self.shape[1] / columns
        affine = (across * per_column, 0, x0 - left * per_column, 0, down * per_row, y0 - top * per_row)
        drawn = [
            np.asarray(
                Image.fromarray(one).transform(
                    (columns, rows), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
                )
            )
            for one in self.probabilities
        ]
        return np.stack(drawn) > 0.5

    def grid_place(self, row: float, column: float) -> tuple[float, float]:
        """A place in film pixels as (row, column) of the network's grid."""
        top, left, bottom, right = self.geometry.crop
        y0, x0, y1, x1 = self.geometry.paste
        return y0 + (row - top) * (y1 - y0) / (bottom - top), x0 + (column - left) * (x1 - x0) / (right - left)


def cleaned(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep of each structure its largest connected part, and close what is open inside it.

    Args:
        probabilities: [5, S, S] float32.

    Returns:
        As much, float32.
    """
    out = np.zeros((len(STRUCTURES), *probabilities.shape[1:]), np.float32)
    for number, one in enumerate(probabilities):
        labelled, count = ndimage.label(one > 0.5)
        if not count:
            continue
        kept = labelled == 1 + int(np.argmax(np.bincount(labelled.ravel())[1:]))
        filled = ndimage.binary_fill_holes(kept)
        # The soft edge beyond the mask stays: with it the outline lies between pixels where a film is larger.
        edge = ndimage.binary_dilation(filled, iterations=2) & ((labelled == 0) | filled)
        out[number] = np.where(filled, np.maximum(one, np.float32(0.501)), one) * edge
    return out
