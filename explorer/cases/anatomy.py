"""Anatomy of a film for its reader: outlines, the cardiothoracic ratio with its error, and how the film hangs.

film = read_film(Path("film.png"))
found = film_anatomy(film.pixels, film.view)
found.lines["heart"], found.ratio, found.ratio_words
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from index_builder.anatomy import Structure
    from index_builder.anatomy.orientation import Orientation

#: Line colour of each structure, and whether the line is broken. The film below is dark or grey in every theme; the
#: colours are the light ones of `palette.CATEGORIES`, and each line has a dark rim.
LINES: dict[Structure, tuple[str, bool]] = {
    "right lung": ("#56B4E9", False),
    "left lung": ("#F0A63A", False),
    "heart": ("#E08FBE", False),
    "right clavicle": ("#F0E442", True),
    "left clavicle": ("#F0E442", True),
}

#: Error of the ratio against people's outlines on 51 JSRT films that nothing was trained or chosen on: mean absolute
#: error, and the limits of agreement (Bland and Altman 1986). From tests/benchmarks/anatomy.py;
#: see docs/explanation/anatomy.md.
RATIO_ERROR, RATIO_LIMITS, RATIO_FILMS = 0.013, (-0.029, 0.035), 51


@dataclass(frozen=True, slots=True)
class FilmAnatomy:
    """The anatomy found on a film.

    Attributes:
        lines: Outline of each structure found, [N, 2] (x, y) as shares of the film's width and height, closed.
        ratio: The cardiothoracic ratio; None where it is not told.
        ratio_words: The ratio with its error, or why there is none.
        hints: What seems wrong with how the film hangs; empty: nothing.
    """

    lines: dict[Structure, NDArray[np.float32]]
    ratio: float | None
    ratio_words: str
    hints: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "cardiothoracic_ratio": None if self.ratio is None else round(self.ratio, 3),
            "cardiothoracic_ratio_words": self.ratio_words,
            "hints": list(self.hints),
            "outlines": {name: np.round(line, 4).tolist() for name, line in self.lines.items()},
        }


def film_anatomy(pixels: NDArray[np.float32], view: str | None) -> FilmAnatomy:
    """Outline a film and measure it.

    Args:
        pixels: [H, W] float32 in 0..1, as in `Film.pixels`.
        view: "PA", "AP", "LATERAL" or None where it is not known.
    """
    from index_builder.anatomy.contours import contours
    from index_builder.anatomy.measure import cardiothoracic_ratio
    from index_builder.anatomy.orientation import orientation_of
    from index_builder.anatomy.segmenter import shipped_segmenter

    found = orientation_of(shipped_segmenter(), pixels)
    refused = _no_ratio(found, view)
    measured = None if refused else cardiothoracic_ratio(found.anatomy)
    ratio = None if measured is None else measured.ratio
    words = f"No cardiothoracic ratio: {refused or 'heart and lungs were not found'}."
    return FilmAnatomy(contours(found.anatomy), ratio, words if ratio is None else _ratio_words(ratio), hints_of(found))


def hints_of(found: Orientation) -> tuple[str, ...]:
    """How a film seems to hang, where that is unusual; a sentence each."""
    if found.turn is not None:
        how = {
            "upside down": "upside down",
            "turned left": "turned a quarter to the left",
            "turned right": "turned a quarter to the right",
        }
        return (f"Lungs and heart are found only when the film is turned: it seems to be {how[found.turn]}.",)
    if found.mirrored:
        return (
            "The heart lies on the right of this film's patient: the film may be mirrored, or the heart really lies "
            "there. Look for a side marker.",
        )
    return ()


def _no_ratio(found: Orientation, view: str | None) -> str:
    """Why no ratio is reported, as a sentence's end; "" where one may be."""
    from index_builder.anatomy.measure import cut_off, implausible, ragged

    if view == "LATERAL":
        return "this is a lateral film"
    if found.turn is not None:
        return "the film is turned"
    if why := implausible(found.anatomy):
        return f"{why}; this may not be a frontal film, or much of it may be hidden"
    if ragged(found.anatomy):
        return "the heart's border is not clear enough"
    if cut_off(found.anatomy):
        return "the film cuts off part of the chest"
    if view == "AP":
        return "on an AP film the heart looks wider than it is"
    return ""


def _ratio_words(ratio: float) -> str:
    low, high = (f"{limit:+.3f}".replace("-", "−") for limit in RATIO_LIMITS)
    return (
        f"Cardiothoracic ratio {ratio:.2f}, mean error {RATIO_ERROR:.3f} against people's outlines (95 % between {low} "
        f"and {high}; {RATIO_FILMS} adult PA films). Not for diagnosis."
    )
