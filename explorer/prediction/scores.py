"""What a query is likely to show, as it comes: the vote of its nearest cases, and the system's classifier if any.

`assess` makes calibrated probabilities of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.held_out import Given
from index_builder.calibration.voting import vote
from index_builder.cases.space import Space

if TYPE_CHECKING:
    from explorer.casebook import Casebook
    from explorer.search.reading.film_report import FilmReport
    from explorer.search.reading.text_report import TextReport


@dataclass(frozen=True, slots=True)
class Voted:
    """Vote of the nearest cases.

    Attributes:
        shares: Weighted share of the vote, 0..1, of every finding a voter carries, largest first.
        votes: How many voters carry each.
        voters: How many voted.
    """

    shares: Mapping[str, float]
    votes: Mapping[str, int]
    voters: int


@dataclass(frozen=True, slots=True)
class Classified:
    """The classifier's answer.

    Attributes:
        probabilities: Probabilities of the casebook's labels it knows, 0..1, highest first.
        logits: Logits of all the labels it knows.
    """

    probabilities: Mapping[str, float]
    logits: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scores:
    """All that was said of a query's findings.

    Attributes:
        given: What the query's vector was made of; "joint": film and text in equal parts, "films": two films. None:
            film and text in other parts.
        space: The space whose cases voted.
        voted: Vote of the nearest cases.
        classified: None where there is no classifier for the casebook's labels.
        withheld: Why they are scores and no more: the query is not of the kind that predictions were calibrated on.
            Empty: nothing speaks against it.
    """

    given: Given | None
    space: Space
    voted: Voted
    classified: Classified | None
    withheld: str = ""


def withheld_words(casebook: Casebook, films: Sequence[FilmReport], text: TextReport | None) -> str:
    """Why nothing is stated of a query, given what was found of its films and its text; empty: all may be stated."""
    for number, film in enumerate(films):
        if film.flags:
            return f"the {'second ' if number else ''}film was flagged ({film.flags[0].kind})."
    if any(not film.checked for film in films):
        return "this casebook has too few films to tell whether yours is like them."
    if films and all(film.is_lateral for film in films):
        return "predictions were calibrated on frontal films, and yours is a lateral."
    if text is not None and not text.readable:
        return "the text was not understood."
    if text is not None and text.fragment:
        reads = casebook.manifest.system.reads
        whole = f"whole {reads}s" if reads == "report" else "profiles with every field"
        return f"predictions were calibrated on {whole}, and this text is shorter than nearly all of them."
    return ""


def voted(casebook: Casebook, space: Space, vector: NDArray[np.float32], without: int | None = None) -> Voted:
    """Let the nearest cases of a space vote on the findings of a query, [D] float32, as the system's settings say.

    Those were chosen on queries of the space's own modality: a profile's vote among films would be far too sure. A case
    of the casebook, at row `without`, has no vote on itself.
    """
    record = casebook.manifest.system
    hits = casebook.store(space).search(vector, record.vote_neighbours + (without is not None))
    rows = casebook.rows_of_keys(hits.keys)
    others = np.flatnonzero(rows != (-1 if without is None else without))[: record.vote_neighbours]
    if not len(others):
        return Voted({}, {}, 0)
    labels, known = casebook.label_matrix[rows[others]], casebook.known_matrix[rows[others]]
    temperature = record.temperature_of(space)
    shares = vote(hits.scores[others][None], labels, record.vote_neighbours, temperature, known).probabilities[0]
    names, counts = casebook.label_names, labels.sum(0)
    order = [column for column in np.argsort(-shares, kind="stable").tolist() if shares[column] > 0]
    return Voted(
        {names[column]: float(shares[column]) for column in order},
        {names[column]: int(counts[column]) for column in order},
        len(labels),
    )


def classified(casebook: Casebook, vector: NDArray[np.float32]) -> Classified | None:
    """What the classifier says of a query, [D] float32; None where there is none, or it knows no label here."""
    record = casebook.manifest.system
    known = [name for name in casebook.label_names if name in record.label_names]
    if record.predicts_by == "vote" or not known:
        return None
    answers = casebook.encoder.label_answers(vector[None])
    assert answers is not None, "the manifest says that there is a classifier"
    logits, probabilities = answers
    value_of = dict(zip(record.label_names, probabilities[0].tolist(), strict=True))
    return Classified(
        {name: value_of[name] for name in sorted(known, key=lambda name: -value_of[name])},
        dict(zip(record.label_names, logits[0].tolist(), strict=True)),
    )
