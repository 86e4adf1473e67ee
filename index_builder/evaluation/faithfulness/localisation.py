"""Does a map point at the finding: masks of drawn films, boxes on real ones, the pointing game and overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from index_builder.cases.case import Case
from index_builder.datasets.base import Dataset, LocatesFindings
from index_builder.imaging import InputGeometry, input_geometry

#: Tolerance of the pointing game: 15 pixels (Zhang et al., IJCV 2018), here of an input this many pixels wide.
_TOLERANCE, _TOLERANCE_SIZE = 15, 224


@dataclass(frozen=True, slots=True)
class Region:
    """Where a label's finding lies.

    Attributes:
        label: Label of the dataset.
        focal: Whether it lies in a place, not in a whole organ.
        mask: [S, S] bool, pixels of the network input that hold any of it.
    """

    label: str
    focal: bool
    mask: NDArray[np.bool_]


def regions(
    dataset: Dataset,
    case: Case,
    pixels: NDArray[np.float32],
    size: int,
    geometry: InputGeometry | None = None,
) -> list[Region]:
    """Where the findings of a case's film lie in the network input, by label, as far as the dataset says.

    Args:
        dataset: The case's.
        case: With a film.
        pixels: [H, W] float32, `Film.pixels` of that film.
        size: S.
        geometry: Geometry of the film in the network input; None: that of `imaging.model_input`.
    """
    if not isinstance(dataset, LocatesFindings):
        return []
    geometry = geometry or input_geometry(pixels, size)
    found = []
    rows, columns = pixels.shape
    for place in dataset.finding_places(case, (rows, columns)):
        inside = _to_input(place.mask, geometry, size)
        if inside.any():
            found.append(Region(place.label, place.focal, inside))
    return found


def points_at(heat: NDArray[np.floating], mask: NDArray[np.bool_], *, tolerance: int = _TOLERANCE) -> bool:
    """Pointing game: whether the map's maximum lies in the mask or within a tolerance of it.

    Args:
        heat: [S, S].
        mask: [S, S], not empty.
        tolerance: Pixels of an input 224 pixels wide.
    """
    distance = ndimage.distance_transform_edt(~mask)
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    return bool(distance[row, column] <= tolerance * len(heat) / _TOLERANCE_SIZE)


def overlap(heat: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Intersection over union of a mask and as many of the map's highest pixels as the mask has."""
    count = int(mask.sum())
    chosen = np.zeros(heat.size, bool)
    chosen[np.argsort(-heat, axis=None, kind="stable")[:count]] = True
    both = int((chosen & mask.ravel()).sum())
    return both / (2 * count - both)


def _to_input(mask: NDArray[np.bool_], geometry: InputGeometry, size: int) -> NDArray[np.bool_]:
    top, left, bottom, right = geometry.crop
    y0, x0, y1, x1 = geometry.paste
    film = Image.fromarray(mask[top:bottom, left:right].astype(np.float32))
    out = np.zeros((size, size), bool)
    out[y0:y1, x0:x1] = np.asarray(film.resize((x1 - x0, y1 - y0), Image.Resampling.BOX)) > 0
    return out
