"""Films that cannot be read: what is said of them, and what becomes of their cases if the user continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index_builder.casebook.manifest import UnreadableFilm
from index_builder.cases.case import Case
from index_builder.datasets.base import Dataset
from index_builder.errors import DatasetError, ImagingError


def with_remedy(error: ImagingError) -> ImagingError:
    """The error of one film, with what to do where there may be more."""
    return ImagingError(
        f"{error} `cxr-explorer check --decode` lists all films that cannot be read; --skip-unreadable goes on without."
    )


def reason_of(error: ImagingError, film: str) -> str:
    """What an error says of a film, without the film's path in front."""
    return str(error).removeprefix(f"{film}: ")


def is_unreadable(dataset: Dataset, case: Case) -> bool:
    """Whether a film of a case cannot be read; each is tried."""
    try:
        for film in case.films:
            dataset.load_film(film.reference)
    except ImagingError:
        return True
    return False


def without_unreadable(
    cases: Sequence[Case], reasons: Mapping[int, Sequence[str | None]]
) -> tuple[Sequence[Case], NDArray[np.int64], tuple[UnreadableFilm, ...]]:
    """Cases that are left when some films cannot be read.

    A case with another film or with a report stays, without the film: the rest is as good as before. Any other goes.

    Args:
        cases: N cases.
        reasons: By row of a case of which a film cannot be read: why not, or None, of each of its films.

    Returns:
        The cases left, their rows among the N, and the films, in order.

    Raises:
        DatasetError: No case is left.
    """
    if not reasons:
        return cases, np.arange(len(cases)), ()
    rows: list[int] = []
    left: list[Case] = []
    unreadable: list[UnreadableFilm] = []
    for row, case in enumerate(cases):
        told = reasons.get(row, (None,) * len(case.films))
        films = list(zip(case.films, told, strict=True))
        readable = [film for film, reason in films if reason is None]
        kept = bool(readable or case.report) or len(readable) == len(films)
        unreadable += [
            UnreadableFilm(case_id=case.case_id, film=film.reference, reason=reason, kept=kept)
            for film, reason in films
            if reason is not None
        ]
        if kept:
            rows.append(row)
            left.append(case if row not in reasons else case.with_films(readable))
    if not left:
        count, first = len(unreadable), unreadable[0]
        raise DatasetError(f"none of the {count:,} films can be read. The first, {first.film}: {first.reason}")
    return left, np.array(rows), tuple(unreadable)


def unreadable_lines(films: Sequence[UnreadableFilm]) -> list[str]:
    """Lines for people: every film, with what became of its case."""
    if not films:
        return []
    became = {True: "kept without it", False: "left out"}
    left_out = len({film.case_id for film in films if not film.kept})
    return [
        f"films that cannot be read: {len(films):,}; cases left out: {left_out:,}",
        *(f"  {film.film}: {film.reason} (case {film.case_id!r} {became[film.kept]})" for film in films),
    ]
