"""The one rule by which facts, words and vectors order the cases they found.

    relevance = facts * F + words * W + vectors * V

F is how well the report answers the facts of the query, 0..1 (`fact_scores`). W is the BM25 score as a share of the
best one found. V is the cosine similarity, from 0 at the last of the nearest cases that were looked up to 1 at the
nearest. The weights add up to 1. A query in which no fact is recognised has no F, and the other two share its weight in
their own proportion. Beside a film, facts and words have the share of the text (`1 - image_weight`) and the vectors,
which already hold film and text in these shares, the rest. Cases that are level are ordered by cosine.

The weights were chosen on validation reports: docs/explanation/text-search.md says how and with what result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Weights:
    """Shares of the three, 0..1; together 1."""

    facts: float
    words: float
    vectors: float

    def of_text(self, share: float, *, facts: bool) -> Weights:
        """Weights for a query.

        Args:
            share: Share of the text in it, 0..1.
            facts: Whether the text has facts.
        """
        base = self if facts else Weights(0.0, *_shares(self.words, self.vectors))
        told = base.facts * share, base.words * share
        return Weights(*told, 1 - sum(told))


#: Chosen on validation.
WEIGHTS = Weights(facts=0.9, words=0.05, vectors=0.05)


def fuse(
    weights: Weights,
    facts: NDArray[np.float32] | None,
    words: NDArray[np.float32],
    vectors: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Relevance of cases, [n], given F (None: the query has no facts), W and V of each."""
    found = weights.words * words + weights.vectors * vectors
    return np.asarray(found if facts is None else found + weights.facts * facts, np.float32)


def by_relevance(relevance: NDArray[np.float32], cosine: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order of cases, best first; level ones by cosine, then as they come."""
    return np.lexsort((-cosine, -np.round(relevance, 6)))


def _shares(first: float, second: float) -> tuple[float, float]:
    return first / (first + second), second / (first + second)
