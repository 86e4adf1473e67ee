"""What is wrong with a query's film, in words: said before its results are shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from index_builder.film_check.check import NEIGHBOURS, FilmCheck, Turn, is_blank, righted
from index_builder.imaging import model_input

if TYPE_CHECKING:
    from explorer.casebook import Casebook
    from index_builder.systems.base import Encoding, RetrievalSystem

Kind = Literal["blank", "no chest film", "unlike", "turned", "lateral", "far"]

_TURNED = {
    "inverted": "The film seems to be inverted: bone is dark and air is bright.",
    "turned left": "The film seems to lie on its side, turned a quarter to the left.",
    "turned right": "The film seems to lie on its side, turned a quarter to the right.",
    "upside down": "The film seems to be upside down.",
}


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
        checked: Whether the casebook has films enough to compare with; otherwise only the plainest faults are seen.
        distance: Mean distance of the film's features to those of the five nearest indexed films; None: not checked.
        percentile: Share of indexed films that are nearer to the others than that, 0..1.
        similarity_percentile: Share of indexed films that are nearer to their nearest in the image space than this one.
        turn: How the film seems to lie, where that is wrong.
    """

    flags: tuple[Flag, ...]
    checked: bool
    distance: float | None = None
    percentile: float | None = None
    similarity_percentile: float | None = None
    turn: Turn | None = None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        content = asdict(self)
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in content.items()}


def examine(
    casebook: Casebook,
    pixels: NDArray[np.float32],
    view: str | None,
    features: NDArray[np.float32],
    vector: NDArray[np.float32],
) -> FilmReport:
    """Compare a film with those indexed. The caller holds `Casebook.embedding`: another look may be needed.

    Args:
        casebook: That is searched.
        pixels: [H, W], as in `Film.pixels`.
        view: What the header says, where there is one.
        features: [F] of the film, from `look`.
        vector: [D] of the film in the image space.
    """
    if is_blank(pixels):
        return FilmReport((Flag("blank", "The film is blank: it has no contrast at all."),), checked=False)
    lateral = _lateral(casebook, view)
    check = casebook.film_check
    if check is None:
        return FilmReport(lateral, checked=False)
    distance = check.distance(features)
    turn = _turn(casebook, check, pixels, distance)
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
        flags = (Flag("far", "The film is farther from its nearest cases than any indexed film is from its own."),)
    else:
        flags = ()
    return FilmReport(
        flags=flags,
        checked=True,
        distance=distance,
        percentile=float(np.searchsorted(check.distances, distance)) / len(check.distances),
        similarity_percentile=nearer,
        turn=turn,
    )


def look(system: RetrievalSystem, pixels: NDArray[np.float32]) -> tuple[Encoding, NDArray[np.float32]]:
    """Encode a film [H, W]: its encoding, and the features [F] its backbone gives."""
    import torch  # here, so that the app's first page and searches by case need not wait for it

    from index_builder.film_check.features import recorded_features

    film = model_input(pixels, system.config.image_size)
    with torch.inference_mode(), recorded_features(system.image_encoder) as seen:
        encoding = system.encode_images(torch.from_numpy(film)[None])
    return encoding, seen[0][0].numpy()


def _turn(casebook: Casebook, check: FilmCheck, pixels: NDArray[np.float32], distance: float) -> Turn | None:
    """How a film lies, where it seems turned or inverted and is nearer to the indexed films once that is undone."""
    turn, probability = check.likeliest_turn(pixels)
    if turn == "upright" or probability < 0.5:
        return None
    upright = check.distance(look(casebook.system, righted(pixels, turn))[1])
    return turn if upright < distance and upright <= check.no_chest else None


def _lateral(casebook: Casebook, view: str | None) -> tuple[Flag, ...]:
    views = set(casebook.distinct("view"))
    if view != "LATERAL" or not views or "LATERAL" in views:
        return ()
    return (Flag("lateral", "Its header calls the film a lateral; this casebook has frontal films only."),)


def _similarity(casebook: Casebook, check: FilmCheck, vector: NDArray[np.float32]) -> float:
    """Mean cosine to the nearest films among those the check compares with."""
    cosine = casebook.vectors("image")[check.rows].astype(np.float32) @ vector
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
            "The film is unlike those indexed, which are synthetic: drawn by a program, they resemble each other more "
            "than any real film resembles them."
        )
    return (
        "The film is unlike those indexed: farther from them than 99 % of them are from each other. It may show "
        "another projection, such as a lateral, or come from another kind of machine."
    )
