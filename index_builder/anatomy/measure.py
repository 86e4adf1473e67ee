"""Whether an outline can be true, and the cardiothoracic ratio of one that can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_builder.anatomy.anatomy import Anatomy
from index_builder.anatomy.structures import HEART, LEFT_LUNG, RIGHT_LUNG

#: Smallest and largest share of the film that each structure covers where a chest was found.
_LUNG_SHARES, _HEART_SHARES = (0.03, 0.40), (0.015, 0.30)
#: The smaller lung is at least so large beside the other.
_LUNG_RATIO = 0.30
#: Mean probability inside the outlines below which they are no more than a guess.
_SURE = 0.80
#: Share of its convex hull that a heart covers: 0.98 as people outline it and 0.95 or more as found, on JSRT's
#: validation films; 0.93 or more on 19 of 20 PA films of Open-i's.
_SOLID = 0.90
#: Side at which widths are measured.
_MEASURED_SIDE = 768
#: Of a film's width: a lung so near the edge may go on beyond it.
_EDGE = 0.004


@dataclass(frozen=True, slots=True)
class CardiothoracicRatio:
    """The widest heart over the widest chest inside the ribs, both across the film.

    Danzer, "The cardiothoracic ratio: an index of cardiac enlargement", American Journal of the Medical Sciences 157
    (1919).

    Attributes:
        ratio: Ratio of the two.
        heart: (left, right) edge of the heart in film pixels.
        chest: The same of both lungs, in the row where they are widest.
        heart_rows: Rows in film pixels where the heart's edges lie.
        chest_row: Row in film pixels where the chest is widest.
    """

    ratio: float
    heart: tuple[float, float]
    chest: tuple[float, float]
    heart_rows: tuple[float, float]
    chest_row: float


def implausible(anatomy: Anatomy) -> str:
    """Why an outline cannot be that of a frontal chest film, as a sentence's end; "" where it can."""
    masks = anatomy.masks
    y0, x0, y1, x1 = anatomy.geometry.paste
    film = (y1 - y0) * (x1 - x0)
    shares = masks.sum(axis=(1, 2)) / film
    for number, name in ((RIGHT_LUNG, "right lung"), (LEFT_LUNG, "left lung")):
        if not _LUNG_SHARES[0] <= shares[number] <= _LUNG_SHARES[1]:
            return f"the {name} was not found"
    if not _HEART_SHARES[0] <= shares[HEART] <= _HEART_SHARES[1]:
        return "the heart was not found"
    if min(shares[RIGHT_LUNG], shares[LEFT_LUNG]) < _LUNG_RATIO * max(shares[RIGHT_LUNG], shares[LEFT_LUNG]):
        return "one lung was found in part only"
    right, left, heart = (_centre(masks[number]) for number in (RIGHT_LUNG, LEFT_LUNG, HEART))
    if not right[1] < left[1]:
        return "the lungs lie in the wrong order"
    if not (right[1] < heart[1] < left[1] and heart[0] > min(right[0], left[0])):
        return "the heart does not lie between the lungs"
    if confidence(anatomy) < _SURE:
        return "lungs and heart are not clear enough"
    return ""


def confidence(anatomy: Anatomy) -> float:
    """Mean probability inside the outlines of lungs and heart; 0 where there are none."""
    values = anatomy.probabilities[[RIGHT_LUNG, LEFT_LUNG, HEART]]
    inside = values > 0.5
    return float(values[inside].mean()) if inside.any() else 0.0


def ragged(anatomy: Anatomy) -> bool:
    """Whether the heart's outline has notches that no heart has, as where its border is not seen."""
    from skimage.morphology import convex_hull_image

    heart = anatomy.masks[HEART]
    return bool(heart.any()) and float(heart.sum() / convex_hull_image(heart).sum()) < _SOLID


def cut_off(anatomy: Anatomy) -> bool:
    """Whether a lung reaches the film's left or right edge, so that the chest may go on beyond it."""
    lungs = anatomy.on_film(*_measured_shape(anatomy))[[RIGHT_LUNG, LEFT_LUNG]].any(axis=0)
    columns = np.flatnonzero(lungs.any(axis=0))
    margin = max(1, round(_EDGE * lungs.shape[1]))
    return bool(len(columns)) and bool(columns[0] < margin or columns[-1] >= lungs.shape[1] - margin)


def cardiothoracic_ratio(anatomy: Anatomy) -> CardiothoracicRatio | None:
    """Measure an outline; None where heart or a lung is missing. Whether it may be believed says `implausible`."""
    shape = _measured_shape(anatomy)
    return ratio_of_masks(anatomy.on_film(*shape), anatomy.shape[0] / shape[0])


def ratio_of_masks(masks: NDArray[np.bool_], scale: float = 1.0) -> CardiothoracicRatio | None:
    """Measure masks [5, H, W]; a pixel of theirs is `scale` pixels of the film. None where a structure is missing."""
    heart, right, left = masks[HEART], masks[RIGHT_LUNG], masks[LEFT_LUNG]
    if not (heart.any() and right.any() and left.any()):
        return None
    columns = np.flatnonzero(heart.any(axis=0))
    rows = tuple(float(np.flatnonzero(heart[:, column]).mean()) * scale for column in (columns[0], columns[-1]))
    both = np.flatnonzero(right.any(axis=1) & left.any(axis=1))
    if not len(both):
        return None
    firsts = right[both].argmax(axis=1)
    lasts = left.shape[1] - left[both][:, ::-1].argmax(axis=1)
    widest = int((lasts - firsts).argmax())
    chest = int(firsts[widest]), int(lasts[widest])
    width = int(columns[-1]) + 1 - int(columns[0])
    if chest[1] <= chest[0]:
        return None
    return CardiothoracicRatio(
        ratio=width / (chest[1] - chest[0]),
        heart=(float(columns[0]) * scale, (float(columns[-1]) + 1) * scale),
        chest=(chest[0] * scale, chest[1] * scale),
        heart_rows=(rows[0], rows[1]),
        chest_row=float(both[widest]) * scale,
    )


def heart_offset(anatomy: Anatomy) -> float:
    """How far the heart's centre lies to the right of the middle of the picture's chest, in widths of the chest.

    Positive where the heart lies on the patient's left, of a film that hangs as usual. The middle is that between the
    lungs' inner edges in their upper halves, where spine and windpipe are.
    """
    masks = anatomy.masks
    right, left, heart = masks[RIGHT_LUNG], masks[LEFT_LUNG], masks[HEART]
    rows = np.flatnonzero(right.any(axis=1) & left.any(axis=1))
    upper = rows[: max(1, len(rows) // 2)]
    inner = (right.shape[1] - right[upper][:, ::-1].argmax(axis=1) + left[upper].argmax(axis=1)) / 2
    columns = np.flatnonzero((right | left).any(axis=0))
    return float((_centre(heart)[1] + 0.5 - np.median(inner)) / (columns[-1] + 1 - columns[0]))


def _centre(mask: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(rows.mean()), float(columns.mean())


def _measured_shape(anatomy: Anatomy) -> tuple[int, int]:
    """Shape at which the film is measured: its proportions, longest side `_MEASURED_SIDE`."""
    scale = _MEASURED_SIDE / max(anatomy.shape)
    return max(1, round(anatomy.shape[0] * scale)), max(1, round(anatomy.shape[1] * scale))
