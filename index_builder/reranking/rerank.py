"""Rerank search results by what is found in both cases, and by how near those findings lie in the findings graph.

The score of a candidate mixes the similarity of the embeddings, the Jaccard index of the labels and the cosine of the
graph vectors. numpy only: the app runs this on the few candidates of one search, evaluation on all at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from index_builder.reranking.case_vectors import case_vectors


class RerankWeights(BaseModel):
    """Share of each part in the score; they sum to 1.

    Attributes:
        cosine: Weight of the similarity of the embeddings.
        jaccard: Weight of the labels' overlap.
        graph: Weight of the cosine in the findings graph.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cosine: float = Field(ge=0)
    jaccard: float = Field(ge=0)
    graph: float = Field(ge=0)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.cosine + self.jaccard + self.graph
        if not abs(total - 1) <= 1e-6:
            raise ValueError(f"the rerank weights cosine, jaccard and graph sum to {total:g}; make them sum to 1")
        return self


def rerank_scores(
    cosine: NDArray[np.floating],
    query_labels: NDArray[np.floating],
    candidate_labels: NDArray[np.floating],
    class_vectors: NDArray[np.floating],
    weights: RerankWeights,
) -> NDArray[np.float32]:
    """Mixed similarity of queries and candidates. Memory: about four arrays of the result's size.

    Args:
        cosine: [Q, N] similarity of the embeddings.
        query_labels: [Q, C] not negative: known labels as 0 and 1, else their probabilities.
        candidate_labels: [N, C] likewise.
        class_vectors: [C, dim], as `ClassVectors.for_labels` gives; read only where graph has weight.
        weights: Share of each part. A part of weight 0 is not computed.

    Returns:
        [Q, N] float32; within -1..1, up to rounding, where cosine is.

    Raises:
        ValueError: The shapes do not fit, or a label weight is negative or not finite.
    """
    _check(cosine, query_labels, candidate_labels, class_vectors)
    scores = np.multiply(cosine, np.float32(weights.cosine), dtype=np.float32)
    if weights.jaccard:
        scores += np.float32(weights.jaccard) * soft_jaccard(query_labels, candidate_labels)
    if weights.graph:
        scores += np.float32(weights.graph) * _graph_cosine(query_labels, candidate_labels, class_vectors)
    return scores


def soft_jaccard(query_labels: NDArray[np.floating], candidate_labels: NDArray[np.floating]) -> NDArray[np.float32]:
    """Jaccard index of weighted sets (Ruzicka similarity): sum of minima over sum of maxima; of 0/1 the plain index.

    Args:
        query_labels: [Q, C], not negative.
        candidate_labels: [N, C], not negative.

    Returns:
        [Q, N] float32 in 0..1. Two cases without labels share nothing: 0.
    """
    queries, candidates = query_labels.astype(np.float32), candidate_labels.astype(np.float32)
    shared = np.zeros((len(queries), len(candidates)), dtype=np.float32)
    minimum = np.empty_like(shared)
    # Label by label, so that no [Q, N, C] array is needed.
    for ours, theirs in zip(queries.T, candidates.T, strict=True):
        shared += np.minimum(ours[:, None], theirs, out=minimum)
    # max(a, b) = a + b - min(a, b)
    either = np.add(queries.sum(1)[:, None], candidates.sum(1), out=minimum)
    either -= shared
    # Float rounding may take the union of equal cases just below what they share.
    np.maximum(either, shared, out=either)
    return np.divide(shared, either, out=shared, where=either > 0)


def choose_weights(
    metric: Callable[[NDArray[np.float32]], float],
    cosine: NDArray[np.floating],
    query_labels: NDArray[np.floating],
    candidate_labels: NDArray[np.floating],
    class_vectors: NDArray[np.floating],
    steps: int = 10,
) -> tuple[RerankWeights, float]:
    """The weights that score best on validation queries, of all whose shares are multiples of 1/steps.

    Args:
        metric: Measure of scores [Q, N], higher is better, e.g. mean AP. Called (steps+1)(steps+2)/2 times.
        cosine: [Q, N], as for `rerank_scores`.
        query_labels: [Q, C] as they will be known of a query later: predicted, not true.
        candidate_labels: [N, C].
        class_vectors: [C, dim].
        steps: Fineness of the grid.

    Returns:
        The best weights and their metric. Of equals, the one that leaves most to the embeddings, then to the labels.

    Raises:
        ValueError: As `rerank_scores`, or the metric is not finite.
    """
    _check(cosine, query_labels, candidate_labels, class_vectors)
    overlap = soft_jaccard(query_labels, candidate_labels)
    graph = _graph_cosine(query_labels, candidate_labels, class_vectors)
    best: tuple[RerankWeights, float] | None = None
    for weights in _grid(steps):
        scores = np.multiply(cosine, np.float32(weights.cosine), dtype=np.float32)
        scores += np.float32(weights.jaccard) * overlap
        scores += np.float32(weights.graph) * graph
        value = float(metric(scores))
        if not math.isfinite(value):
            raise ValueError(f"the metric is {value} at {weights}")
        if best is None or value > best[1]:
            best = weights, value
    assert best is not None
    return best


def _grid(steps: int) -> Iterator[RerankWeights]:
    """All shares on the simplex, those with most cosine first, then those with most jaccard."""
    if steps < 1:
        raise ValueError(f"a grid of {steps} steps")
    for cosine, jaccard in itertools.product(range(steps, -1, -1), repeat=2):
        if cosine + jaccard <= steps:
            rest = steps - cosine - jaccard
            yield RerankWeights(cosine=cosine / steps, jaccard=jaccard / steps, graph=rest / steps)


def _graph_cosine(
    query_labels: NDArray[np.floating], candidate_labels: NDArray[np.floating], class_vectors: NDArray[np.floating]
) -> NDArray[np.float32]:
    """[Q, N] float32 cosine of graph vectors; 0 where either case has none."""
    return case_vectors(query_labels, class_vectors) @ case_vectors(candidate_labels, class_vectors).T


def _check(
    cosine: NDArray[np.floating],
    query_labels: NDArray[np.floating],
    candidate_labels: NDArray[np.floating],
    class_vectors: NDArray[np.floating],
) -> None:
    classes = len(class_vectors)
    expected = ((len(query_labels), classes), (len(candidate_labels), classes))
    if (query_labels.shape, candidate_labels.shape) != expected or cosine.shape != (
        len(query_labels),
        len(candidate_labels),
    ):
        raise ValueError(
            f"cosine {cosine.shape}, query labels {query_labels.shape}, candidate labels {candidate_labels.shape} "
            f"and {classes} class vectors do not fit"
        )
    for labels in (query_labels, candidate_labels):
        if not (np.isfinite(labels).all() and (labels >= 0).all()):
            raise ValueError("a label weight is negative or not finite")
