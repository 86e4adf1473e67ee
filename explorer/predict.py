"""What a query is likely to show: the vote of its nearest cases, and the system's classifier where it has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from index_builder.casebook import Space
from index_builder.systems.voting import vote

if TYPE_CHECKING:
    from explorer.search import SearchResult


@dataclass(frozen=True, slots=True)
class Voted:
    """Vote of the nearest cases.

    Attributes:
        shares: Weighted share of the vote, 0..1, of every finding a voter carries, largest first.
        votes: How many voters carry each.
        voters: How many voted.
    """

    shares: dict[str, float]
    votes: dict[str, int]
    voters: int


def voted(casebook: Casebook, space: Space, vector: NDArray[np.float32]) -> Voted:
    """Let the nearest cases of a space vote on the findings of a query, [D] float32, as the system's settings say.

    Those were chosen on queries of the space's own modality: a profile's vote among films would be far too sure.
    """
    record = casebook.manifest.system
    hits = casebook.store(space).search(vector, record.vote_neighbours)
    labels = casebook.label_matrix[casebook.rows_of_keys(hits.keys)]
    shares = vote(hits.scores[None], labels, record.vote_neighbours, record.temperature_of(space)).probabilities[0]
    names, counts = casebook.label_names, labels.sum(0)
    order = [column for column in np.argsort(-shares, kind="stable").tolist() if shares[column] > 0]
    return Voted(
        {names[column]: float(shares[column]) for column in order},
        {names[column]: int(counts[column]) for column in order},
        len(labels),
    )


def classified(casebook: Casebook, vector: NDArray[np.float32]) -> dict[str, float] | None:
    """The classifier's probabilities of the casebook's labels for a query, [D] float32, highest first.

    Labels the classifier does not know are left out; None where it knows none, or where there is no classifier.
    """
    record = casebook.manifest.system
    known = [name for name in casebook.label_names if name in record.label_names]
    if record.predicts_by == "vote" or not known:
        return None
    import torch  # here, so that the app's first page and searches by case need not wait for it

    with torch.inference_mode():
        probabilities = casebook.system.label_probabilities(torch.from_numpy(vector)[None])
    assert probabilities is not None, "the manifest says that there is a classifier"
    value_of = dict(zip(record.label_names, probabilities[0].tolist(), strict=True))
    return {name: value_of[name] for name in sorted(known, key=lambda name: -value_of[name])}


@dataclass(frozen=True, slots=True)
class Prediction:
    """A finding that a query may show. Never a diagnosis.

    Attributes:
        label: The finding.
        strength: The classifier's probability, or without one the weighted share of the vote, 0..1.
        words: Who says so, e.g. "classifier 0.82 · 7 of 10 neighbours".
    """

    label: str
    strength: float
    words: str


def predictions(result: SearchResult) -> list[Prediction]:
    """What classifier and neighbours expect of a query, most likely first; nothing for a case, whose labels are known.

    A finding comes high up if either expects it.
    """
    if result.findings_from == "labels":
        return []
    shares, probabilities = result.findings, result.classified or {}

    def words(label: str) -> str:
        parts = [f"classifier {probabilities[label]:.2f}"] if label in probabilities else []
        return " · ".join([*parts, f"{result.votes.get(label, 0)} of {result.voters} neighbours"])

    labels = sorted(
        {**shares, **probabilities}, key=lambda label: -max(shares.get(label, 0.0), probabilities.get(label, 0.0))
    )
    return [Prediction(label, probabilities.get(label, shares.get(label, 0.0)), words(label)) for label in labels]
