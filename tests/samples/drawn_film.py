"""One drawn chest film, and a maker of DICOM files that show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from imaging_samples import dicom

ROWS, COLUMNS = 96, 80
TOP = 4095


@dataclass(frozen=True)
class Variant:
    """A file and what has to be seen of it.

    Attributes:
        name: What is special about it.
        data: The file.
        shown: float [H, W] 0..1, the drawn film as its header asks to show it.
        exposed: bool [H, W], where it is film, not padding; padding must be black where `black`.
        black: Whether padding must be shown black.
        ignored: Part of the note that tells what is ignored; "" where nothing may be.
        tolerance: Largest difference of a grey value.
        pydicom: Why pydicom's functions say nothing about this file; "" where they do.
        dcmtk: Why dcmtk's do not.
    """

    name: str
    data: bytes
    shown: np.ndarray
    exposed: np.ndarray
    black: bool
    ignored: str
    tolerance: float
    pydicom: str
    dcmtk: str


def drawn_film() -> np.ndarray:
    """uint16 [96, 80], 0 to 4095: body, lungs, heart, ribs and noise; both ends of the range lie inside."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]

    def disc(row: float, column: float, high: float, wide: float) -> np.ndarray:
        return 1 / (1 + np.exp(8 * (np.hypot((y - row) / high, (x - column) / wide) - 1)))

    film = 0.15 + 0.5 * disc(56, 40, 60, 44) - 0.4 * disc(45, 23, 30, 13) - 0.4 * disc(45, 57, 30, 13)
    film += 0.3 * disc(58, 44, 15, 12) + 0.05 * np.sin(y / 2.5) * disc(45, 40, 32, 34)
    film += np.random.default_rng(7).normal(0, 0.01, film.shape)
    codes = np.round(np.clip(film, 0.02, 0.98) * TOP).astype(np.uint16)
    codes[40, 30], codes[58, 44] = 0, TOP
    return codes


#: Padding all around, and padding in two corners, as of a turned film.
Y, X = np.mgrid[0:ROWS, 0:COLUMNS]
BORDER = (Y < 7) | (Y >= ROWS - 7) | (X < 5) | (X >= COLUMNS - 5)
CORNERS = (X + 1.5 * Y < 30) | (X + 1.5 * Y > COLUMNS + 1.5 * ROWS - 33)
NOWHERE = np.zeros((ROWS, COLUMNS), np.bool_)


class GreyFilms:
    """Forms of one polarity: MONOCHROME1 stores the film's negative, and shows what is lowest as white."""

    def __init__(self, *, inverse: bool) -> None:
        self.inverse = inverse
        self.photometric = "MONOCHROME1" if inverse else "MONOCHROME2"
        film = drawn_film()
        #: uint16, 0 to 4095, as stored without an offset.
        self.codes = TOP - film if inverse else film
        self.signed = ((self.codes.astype(np.int32) - 2048) & 0xFFFF).astype(np.uint16)
        self.found: list[Variant] = []

    def add(
        self,
        name: str,
        stored: np.ndarray,
        bits: int = 12,
        *,
        tone: Callable[[np.ndarray], np.ndarray] = lambda codes: codes / TOP,
        padding: np.ndarray = NOWHERE,
        black: bool = True,
        ignored: str = "",
        tolerance: float = 1e-3,
        pydicom: str = "",
        dcmtk: str = "",
        **elements: Any,
    ) -> None:
        shown = np.clip(tone(self.codes.astype(np.float64)), 0, 1)
        photometric = elements.pop("PhotometricInterpretation", self.photometric)
        data = dicom(stored, bits, PhotometricInterpretation=photometric, **elements)
        shown = 1 - shown if self.inverse else shown
        name = f"{'MONOCHROME1' if self.inverse else 'MONOCHROME2'}, {name}"
        exposed = ~padding[: shown.shape[0], : shown.shape[1]]
        self.found.append(Variant(name, data, shown, exposed, black, ignored, tolerance, pydicom, dcmtk))


def bent_curve() -> np.ndarray:
    return np.round((np.arange(TOP + 1) / TOP) ** 1.5 * TOP).astype(np.uint16)
