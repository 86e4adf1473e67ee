"""The order in which found cases are shown, and how different those shown are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.space import Space
from index_builder.evaluation.retrieval import diversity

if TYPE_CHECKING:
    from explorer.casebook import Casebook


def rerank(
    casebook: Casebook,
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    findings: Mapping[str, float],
    weight: float,
    before: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """Order of candidates, which come best first, by (1 - weight) * similarity + weight * score of `Casebook.ranking`.

    Where they were ordered by something else than similarity, that is `before` and takes its place.
    """
    if weight == 0:
        return np.arange(len(rows))
    names = casebook.label_names
    wanted = np.array([[findings.get(name, 0.0) for name in names]], np.float32)
    held = casebook.label_matrix[rows].astype(np.float32)
    mixed = casebook.ranking.scores(scores[None], wanted, held, names)[0]
    return np.argsort(-((1 - weight) * (scores if before is None else before) + weight * mixed), kind="stable")


def diversity_of(casebook: Casebook, rows: list[int], space: Space) -> dict[str, float] | None:
    """How different cases are: mean over pairs of "vectors", 1 - cosine, and of "labels", 1 - Jaccard; None of one."""
    count = len(rows)
    if count < 2:
        return None
    vectors = np.asarray(casebook.vectors(space)[rows])
    patients = np.array([casebook.patient_ids[row] for row in rows], object)
    found = diversity(np.arange(count)[None], vectors, casebook.label_matrix[rows], patients, resamples=1)
    return {"vectors": found[f"embedding_diversity@{count}"], "labels": found[f"label_diversity@{count}"]}
