"""Which values a film's pixels have, and which of them are its exposed field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Rows that are looked at together: each pixel takes eight bytes for a while, best within the processor's cache.
BAND_ROWS = 64

#: Side of the square in a corner that padding fills, as a share of the film's shorter side, and its least.
_CORNER_SHARE = 0.01
_CORNER_LEAST = 3
#: Padding lies apart from the film's own values by more than this share of their range; exposures run on.
_GAP = 1 / 64
#: A film has at least so many values; what has fewer is a mask or a test pattern, without padding.
_FEWEST_VALUES = 16


@dataclass(frozen=True, slots=True)
class StoredValues:
    """The values of one frame.

    Attributes:
        present: bool [2**bits]; bit patterns that a pixel has.
        corners: Bit patterns that fill a corner of the film, or of what a flat border leaves of it.
    """

    present: np.ndarray
    corners: frozenset[int]

    @classmethod
    def of(cls, stored: np.ndarray, bits: int) -> StoredValues:
        """Look at uint8 or uint16 [H, W], each below 2**bits."""
        present = np.zeros(2**bits, np.bool_)
        for top in range(0, len(stored), BAND_ROWS):
            present |= np.bincount(stored[top : top + BAND_ROWS].ravel(), minlength=len(present)) > 0
        return cls(present, _corner_values(stored) | _corner_values(_without_border(stored)))


def exposed_range(values: np.ndarray, present: np.ndarray, corners: frozenset[int]) -> tuple[float, float, np.ndarray]:
    """Lowest and highest value of the exposed field, and what is padding beyond it.

    A film without a window is shown from the lowest to the highest value of its pixels, as viewers do that have
    nothing else to go by (dcmtk's min-max window). Padding that the header does not declare would squeeze that
    range. A value is taken for such padding if it is the lowest or highest of all, fills a corner of the film
    (a border fills two, the wedge of a turned film one), and lies apart from the next value by more than 1/64
    of the range of all the others. The last condition keeps saturated corners, whose neighbours in value are
    there too.

    Args:
        values: float64 [2**bits], value of each bit pattern after the modality transform.
        present: bool [2**bits], those that a pixel has which is not declared padding.
        corners: Bit patterns that fill a corner.

    Returns:
        Lowest and highest value, equal for a film of one value; bool [2**bits], undeclared padding.
    """
    found = np.unique(values[present])
    in_corners = {float(values[pattern]) for pattern in corners if present[pattern]}
    low, high, more = 0, len(found) - 1, True
    while more and high - low >= _FEWEST_VALUES:
        first, second, last_but_one, last = found[[low, low + 1, high - 1, high]]
        if more := first in in_corners and second - first > _GAP * (last - second):
            low += 1
        elif more := last in in_corners and last - last_but_one > _GAP * (last_but_one - first):
            high -= 1
    lowest, highest = float(found[low]), float(found[high])
    return lowest, highest, present & ((values < lowest) | (values > highest))


def _corner_values(stored: np.ndarray) -> frozenset[int]:
    side = max(_CORNER_LEAST, round(_CORNER_SHARE * min(stored.shape)))
    squares = (stored[rows, columns] for rows in _ends(side) for columns in _ends(side))
    return frozenset(int(square[0, 0]) for square in squares if square.min() == square.max())


def _without_border(stored: np.ndarray) -> np.ndarray:
    """The box outside of which all pixels equal the first; all of a film of one value."""
    other = stored != stored[0, 0]
    rows, columns = (np.flatnonzero(other.any(axis=axis)) for axis in (1, 0))
    return stored[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else stored


def _ends(side: int) -> tuple[slice, slice]:
    return slice(None, side), slice(-side, None)
