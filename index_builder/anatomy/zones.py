"""Zones of the lungs by name, and where in them a map points.

A zone is a third of a lung's height, counted from its apex to its lowest point, as radiologists name places on a
frontal film (they are no lobes, which overlap there).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from index_builder.anatomy.anatomy import Anatomy
from index_builder.anatomy.structures import HEART, LEFT_LUNG, RIGHT_LUNG

Zone = Literal[
    "right upper zone",
    "right middle zone",
    "right lower zone",
    "left upper zone",
    "left middle zone",
    "left lower zone",
    "heart",
    "outside lungs and heart",
]

ZONES: tuple[Zone, ...] = get_args(Zone)
LUNG_ZONES = ZONES[:6]
_OUTSIDE = len(ZONES) - 1

#: Share of a map that one place must hold to be where it mostly points, and that two must hold together.
_MOSTLY, _TOGETHER = 0.5, 0.6
#: A map spreads this far beyond what it points at: so near a lung counts as the lung, in shares of the grid's side.
_BESIDE = 0.02


@dataclass(frozen=True, slots=True)
class ZoneMap:
    """Which zone each pixel of the network's grid belongs to.

    Attributes:
        numbers: [S, S] int8, place in `ZONES`.
        anatomy: It was made from.
    """

    numbers: NDArray[np.int8]
    anatomy: Anatomy


def zone_map(anatomy: Anatomy) -> ZoneMap:
    """Divide a film into zones. A lung that was not found has none; where heart and lung overlap it is the lung's."""
    masks = anatomy.masks
    size = masks.shape[-1]
    numbers = np.full((size, size), _OUTSIDE, np.int8)
    numbers[masks[HEART]] = ZONES.index("heart")
    reach = max(1, round(_BESIDE * size))
    for side, first in ((RIGHT_LUNG, 0), (LEFT_LUNG, 3)):
        lung = masks[side]
        rows = np.flatnonzero(lung.any(axis=1))
        if not len(rows):
            continue
        height = rows[-1] + 1 - rows[0]
        thirds = first + np.clip((np.arange(len(lung)) - rows[0]) * 3 // height, 0, 2)
        near = ndimage.binary_dilation(lung, iterations=reach) & (numbers == _OUTSIDE)
        numbers = np.where(lung | near, thirds[:, None], numbers).astype(np.int8)
    return ZoneMap(numbers, anatomy)


def zone_of(zones: ZoneMap, row: float, column: float) -> Zone:
    """Zone of a place in film pixels."""
    y, x = zones.anatomy.grid_place(row, column)
    size = zones.numbers.shape[0]
    if not (0 <= y < size and 0 <= x < size):
        return ZONES[_OUTSIDE]
    return ZONES[int(zones.numbers[int(y), int(x)])]


def zone_shares(zones: ZoneMap, weights: NDArray[np.floating]) -> dict[Zone, float]:
    """How a map's weights are spread over the zones; the shares add up to 1, or are all 0 for an empty map.

    Args:
        zones: Zones of the film.
        weights: [H, W], the map on the film, at any resolution; what is negative or NaN counts nothing.
    """
    rows, columns = weights.shape
    height, width = zones.anatomy.shape
    y = (np.arange(rows) + 0.5) * height / rows
    x = (np.arange(columns) + 0.5) * width / columns
    place = [zones.anatomy.grid_place(float(row), float(column)) for row, column in ((0, 0), (1, 1))]
    down, across = (place[1][axis] - place[0][axis] for axis in (0, 1))
    size = zones.numbers.shape[0]
    grid_rows = np.clip((place[0][0] + down * y).astype(int), 0, size - 1)
    grid_columns = np.clip((place[0][1] + across * x).astype(int), 0, size - 1)
    numbers = zones.numbers[grid_rows][:, grid_columns]
    counted = np.nan_to_num(weights, nan=0.0).clip(min=0)
    sums = np.bincount(numbers.ravel(), counted.ravel().astype(np.float64), len(ZONES))
    total = float(sums.sum())
    return {zone: float(value / total) if total > 0 else 0.0 for zone, value in zip(ZONES, sums, strict=True)}


def shares_in_words(shares: dict[Zone, float]) -> str:
    """Where a map points, e.g. "mostly right lower zone (62 %)" or "heart (40 %) and left lower zone (25 %)"."""
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    (first, most), (second, next_most) = ordered[:2]
    if most == 0:
        return ""
    if most >= _MOSTLY:
        return f"mostly {first} ({_percent(most)})"
    if most + next_most >= _TOGETHER:
        return f"{first} ({_percent(most)}) and {second} ({_percent(next_most)})"
    lungs = {side: sum(share for zone, share in shares.items() if zone.startswith(side)) for side in ("right", "left")}
    side = max(lungs, key=lambda one: lungs[one])
    if lungs[side] >= _MOSTLY:
        return f"mostly {side} lung ({_percent(lungs[side])}), no zone above the others"
    if sum(lungs.values()) >= _TOGETHER:
        return f"both lungs ({_percent(sum(lungs.values()))}), no zone above the others"
    return "no one place"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
