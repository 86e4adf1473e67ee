"""Which way up a film hangs, and which way round, as its own anatomy tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_builder.anatomy.anatomy import Anatomy
from index_builder.anatomy.measure import heart_offset, implausible
from index_builder.anatomy.segmenter import Segmenter
from index_builder.film_check.check import Turn, righted

_TURNS: tuple[Turn, ...] = ("turned left", "upside down", "turned right")

#: The heart's centre lies this far on the wrong side where a film seems mirrored, in widths of the chest. Chosen on
#: films of Open-i's validation part; docs/explanation/anatomy.md has what it finds and how often it is wrong.
MIRRORED_OFFSET = -0.03


@dataclass(frozen=True, slots=True)
class Orientation:
    """The orientation of a film.

    Attributes:
        anatomy: Outlined on the film as it is.
        turn: How it must have been turned, where a chest is found only when that is undone; None: it stands upright, or
            no chest is found any way up.
        mirrored: Whether the heart lies on the patient's right. Left and right may be swapped, or the heart lies there
            (situs inversus, dextrocardia, a shift).
    """

    anatomy: Anatomy
    turn: Turn | None
    mirrored: bool


def orientation_of(segmenter: Segmenter, pixels: NDArray[np.float32]) -> Orientation:
    """Look at a film [H, W], and where no chest stands upright on it, at the film turned three other ways."""
    anatomy = segmenter.outline(pixels)
    if not implausible(anatomy):
        return Orientation(anatomy, None, heart_offset(anatomy) < MIRRORED_OFFSET)
    found = [(turn, segmenter.outline(righted(pixels, turn))) for turn in _TURNS]
    sound = [(float(one.probabilities.sum()), turn) for turn, one in found if not implausible(one)]
    return Orientation(anatomy, max(sound)[1] if sound else None, False)
