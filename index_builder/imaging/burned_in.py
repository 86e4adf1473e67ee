"""Whether text is burned into a film's pixels: found as rows of small, sharp, even marks, the way letters stand.

A connected-component detector of printed text (the approach surveyed by Jung, Kim and Jain, "Text information
extraction in images and video", Pattern Recognition 37, 2004). It reads nothing, so it cannot tell a name from
"PORTABLE"; handwritten, very large or faint text escapes it. docs/how-to/deidentification.md says how often it is
right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

#: Longest side in pixels at which marks are looked for.
_SIDE = 1024
#: Letters of a smaller film are too few pixels high to be told from its structures.
_SMALLEST = 256
#: A mark stands out from what surrounds it by this share of the film's range.
_CONTRAST = 0.25
#: Height of a mark in pixels, and as a share of the longest side at most.
_LOWEST, _HIGHEST = 5, 1 / 14
#: Marks in a row that are taken for text; a lone L or R is no text to warn of.
_FEWEST = 4
#: Spread of the values inside one mark, at most; bones and wires shade off.
_UNEVEN = 0.16


@dataclass(frozen=True, slots=True)
class TextBox:
    """Where text seems to stand, as shares of the film's height and width."""

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True, slots=True)
class _Mark:
    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top


def find_text(pixels: NDArray[np.float32]) -> tuple[TextBox, ...]:
    """Places of a film [H, W] in 0..1 where text seems to be burned in, from top to bottom."""
    if max(pixels.shape) < _SMALLEST:
        return ()
    small = _reduced(pixels)
    low, high = np.percentile(small, (0.5, 99.5))
    if high - low < 1e-3:
        return ()
    film = np.clip((small - low) / (high - low), 0, 1)
    rows = [row for polarity in (film, 1 - film) for row in _rows(_marks(polarity))]
    height, width = film.shape
    boxes = [
        TextBox(
            min(mark.top for mark in row) / height,
            min(mark.left for mark in row) / width,
            max(mark.bottom for mark in row) / height,
            max(mark.right for mark in row) / width,
        )
        for row in rows
    ]
    return tuple(sorted(boxes, key=lambda box: (box.top, box.left)))


def _reduced(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    scale = _SIDE / max(pixels.shape)
    image = Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32)


def _marks(film: NDArray[np.float32]) -> list[_Mark]:
    """Bright marks of a letter's size and make."""
    highest = max(film.shape) * _HIGHEST
    width = max(7, round(highest / 3)) | 1
    standing_out = film - ndimage.grey_opening(film, (width, width))
    labelled, count = ndimage.label(standing_out > _CONTRAST, np.ones((3, 3)))
    if not count:
        return []
    marks = []
    spread = ndimage.standard_deviation(film, labelled, np.arange(1, count + 1))
    area = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
    for number, found in enumerate(ndimage.find_objects(labelled)):
        mark = _Mark(found[0].start, found[1].start, found[0].stop, found[1].stop)
        across = mark.right - mark.left
        full = area[number] / (mark.height * across)
        if (
            _LOWEST <= mark.height <= highest
            and across <= 1.6 * mark.height
            and full >= 0.15
            and spread[number] < _UNEVEN
        ):
            marks.append(mark)
    return marks


def _rows(marks: list[_Mark]) -> list[list[_Mark]]:
    """Marks of one height that stand side by side on one line."""
    rows: list[list[_Mark]] = []
    for mark in sorted(marks, key=lambda one: one.left):
        for row in rows:
            last = row[-1]
            tallest = max(one.height for one in row)
            on_line = abs(last.bottom - mark.bottom) <= 0.3 * tallest and abs(last.top - mark.top) <= 0.45 * tallest
            if on_line and -0.3 * tallest <= mark.left - last.right <= 1.2 * tallest:
                row.append(mark)
                break
        else:
            rows.append([mark])
    return [row for row in rows if len(row) >= _FEWEST]
