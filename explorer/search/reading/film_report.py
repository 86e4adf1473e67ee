"""Which view a query's film is, and what is wrong with it, in words: said before its results are shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.cases.anatomy import hints_of
from index_builder.cases.case import LATERAL
from index_builder.film_check.check import NEIGHBOURS, FilmCheck, Turn, is_blank, righted

if TYPE_CHECKING:
    from explorer.casebook import Casebook
    from index_builder.systems.graphs.encoder import EncodedBatch, Encoder

Kind = Literal["blank", "no chest film", "unlike", "turned", "lateral", "far"]

#: Share of laterals among the nearest films of known view from which a film counts as a lateral, and up to which as a
#: frontal film; between, nothing is said.
LATERAL_FROM, FRONTAL_UP_TO = 0.8, 0.2

_TURNED = {
    "inverted": "The film seems to be inverted: bone is dark and air is bright.",
    "turned left": "The film seems to lie on its side, turned a quarter to the left.",
    "turned right": "The film seems to lie on its side, turned a quarter to the right.",
    "upside down": "The film seems to be upside down.",
}


View = Literal["frontal", "lateral"]

#: Flags that say how the film hangs already, or that no chest hangs there.
_NO_HINTS: tuple[Kind, ...] = ("blank", "no chest film", "turned", "lateral")


@dataclass(frozen=True, slots=True)
class Flag:
    """One thing that is wrong with a film: what kind, and a sentence for the reader."""

    kind: Kind
    words: str


@dataclass(frozen=True, slots=True)
class FilmReport:
    """What was found.

    Attributes:
        flags: What is wrong, most serious first; empty: nothing.
        hints: What the film's own anatomy tells of how it hangs; they keep nothing back.
        checked: Whether the casebook has films enough to compare with; otherwise only the plainest faults are seen.
        distance: Mean distance of the film's features to those of the five nearest indexed films; None: not checked.
        percentile: Share of indexed films that are nearer to the others than that, 0..1.
        similarity_percentile: Share of indexed films that are nearer to their nearest in the image space than this one.
        turn: How the film seems to lie, where that is wrong.
        view: Which view it is, by its header, else by the indexed films that are most like it; None: not clear.
        view_by: Which of the two says so.
        lateral_share: Share of laterals among the films most like it, 0..1; None: the header told, or nothing can.
    """

    flags: tuple[Flag, ...]
    checked: bool
    hints: tuple[str, ...] = field(default=(), kw_only=True)
    distance: float | None = None
    percentile: float | None = None
    similarity_percentile: float | None = None
    turn: Turn | None = None
    view: View | None = None
    view_by: Literal["header", "likeness"] | None = None
    lateral_share: float | None = None

    @property
    def is_lateral(self) -> bool:
        """Whether it is a lateral, as far as can be told."""
        return self.view == "lateral"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        content = asdict(self)
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in content.items()}


def examine(
    casebook: Casebook,
    pixels: NDArray[np.float32],
    view: str | None,
    seen: EncodedBatch,
) -> FilmReport:
    """Compare a film with those indexed, and look how it hangs.

    Args:
        casebook: Casebook that is searched.
        pixels: [H, W], as in `Film.pixels`.
        view: What the header says, where there is one.
        seen: The film, from `look`.
    """
    assert seen.features is not None, "films have features"
    report = _compared(casebook, pixels, view, seen.features[0], seen.vectors[0])
    if report.is_lateral or any(flag.kind in _NO_HINTS for flag in report.flags):
        return report
    from index_builder.anatomy.orientation import orientation_of
    from index_builder.anatomy.segmenter import shipped_segmenter

    return replace(report, hints=hints_of(orientation_of(shipped_segmenter(), pixels)))


def _compared(
    casebook: Casebook,
    pixels: NDArray[np.float32],
    view: str | None,
    features: NDArray[np.float32],
    vector: NDArray[np.float32],
) -> FilmReport:
    if is_blank(pixels):
        return FilmReport((Flag("blank", "The film is blank: it has no contrast at all."),), checked=False)
    lateral = _lateral(casebook, view)
    check = casebook.film_check
    told = None if view is None else _told(view)
    if check is None:
        return FilmReport(lateral, checked=False, view=told, view_by=told and "header")
    distance = check.distance(features)
    turn = _turn(casebook, check, pixels, distance)
    # Of what is no chest film, or lies wrongly, likeness to either view says nothing.
    alike = told is None and turn is None and distance <= check.no_chest
    share = check.lateral_share(features) if alike else None
    likely = None if share is None else _likely(share)
    similar = _similarity(casebook, check, vector)
    nearer = 1 - float(np.searchsorted(check.similarities, similar, side="right")) / len(check.similarities)
    flags: tuple[Flag, ...]
    if turn is not None:
        flags = (Flag("turned", _TURNED[turn]), *lateral)
    elif distance > check.no_chest:
        flags = (Flag("no chest film", _no_chest_words()),)
    elif lateral:
        flags = lateral
    elif distance > check.unlike:
        flags = (Flag("unlike", _unlike_words(casebook)),)
    elif nearer == 1:
        flags = (Flag("far", "The film is farther from its nearest cases than any indexed film is from its nearest."),)
    else:
        flags = ()
    return FilmReport(
        flags=flags,
        checked=True,
        distance=distance,
        percentile=float(np.searchsorted(check.distances, distance)) / len(check.distances),
        similarity_percentile=nearer,
        turn=turn,
        view=told or likely,
        view_by="header" if told else "likeness" if likely else None,
        lateral_share=share,
    )


def _told(view: str) -> View:
    return "lateral" if view == LATERAL else "frontal"


def _likely(share: float) -> View | None:
    if share >= LATERAL_FROM:
        return "lateral"
    return "frontal" if share <= FRONTAL_UP_TO else None


def look(encoder: Encoder, pixels: NDArray[np.float32]) -> EncodedBatch:
    """Encode a film [H, W]: one row."""
    return encoder.encode_films(encoder.prepare(pixels)[None])


def _turn(casebook: Casebook, check: FilmCheck, pixels: NDArray[np.float32], distance: float) -> Turn | None:
    """How a film lies, where it seems turned or inverted and is nearer to the indexed films once that is undone."""
    turn, probability = check.likeliest_turn(pixels)
    if turn == "upright" or probability < 0.5:
        return None
    again = look(casebook.encoder, righted(pixels, turn)).features
    assert again is not None, "films have features"
    upright = check.distance(again[0])
    return turn if upright < distance and upright <= check.no_chest else None


def _lateral(casebook: Casebook, view: str | None) -> tuple[Flag, ...]:
    if view != LATERAL or not casebook.distinct("view") or casebook.case_films.has_lateral.any():
        return ()
    return (Flag("lateral", "Its header calls the film a lateral; this casebook has frontal films only."),)


def _similarity(casebook: Casebook, check: FilmCheck, vector: NDArray[np.float32]) -> float:
    """Mean cosine to the nearest films among those the check compares with."""
    table = casebook.case_films.table
    if table is None or check.films is None:
        known = casebook.vectors("image")[check.rows]
    else:
        known = table.vectors[check.films]
    cosine = known.astype(np.float32) @ vector
    k = min(NEIGHBOURS, len(cosine))
    return float(np.partition(cosine, -k)[-k:].mean())


def _no_chest_words() -> str:
    return (
        "This does not look like a chest film: it is farther from the indexed films than a chest film gets when it is "
        "turned or inverted. It may be a photograph, a drawing, another part of the body or a CT slice."
    )


def _unlike_words(casebook: Casebook) -> str:
    if casebook.manifest.dataset.synthetic:
        return (
            "The film is unlike those indexed, which are computer-drawn, not X-rays: they resemble each other more "
            "than any real film resembles them."
        )
    return (
        "The film is unlike those indexed: farther from them than 99 % of them are from each other. It may show "
        "another projection, such as a lateral, or come from another kind of machine."
    )
