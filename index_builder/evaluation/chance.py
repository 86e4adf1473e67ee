"""What a random ranking scores in expectation, in closed form: the level every retrieval figure is read against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def chance_hit(relevant: NDArray[np.integer], candidates: int, k: int) -> NDArray[np.float64]:
    """Probability that one of k candidates drawn without replacement is relevant.

    Args:
        relevant: [Q] relevant candidates of each query.
        candidates: n of each query.
        k: Cut-off; all candidates when there are fewer.

    Returns:
        [Q] float64; k/n for a single relevant candidate.
    """
    drawn = np.arange(min(k, candidates))
    missed = (candidates - relevant[:, None] - drawn).clip(0) / (candidates - drawn)
    return 1 - missed.prod(axis=1)


def chance_reciprocal_rank(relevant: NDArray[np.integer], candidates: int, k: int) -> NDArray[np.float64]:
    """Expected 1 / rank of the first relevant candidate, 0 where that rank is above k.

    Args and result: as `chance_hit`.
    """
    drawn = np.arange(min(k, candidates))
    expected = {}
    for count in np.unique(relevant):
        missed = np.cumprod((candidates - count - drawn).clip(0) / (candidates - drawn))
        expected[count] = np.sum(-np.diff(missed, prepend=1) / (drawn + 1))
    return np.array([expected[count] for count in relevant])


def chance_average_precision(relevant: NDArray[np.integer], candidates: int, k: int) -> NDArray[np.float64]:
    """Expected average precision of the first k, divided by all relevant candidates.

    A rank holds a relevant candidate with probability R/n; if so, those before it do with (R-1)/(n-1) each.

    Args and result: as `chance_hit`.
    """
    ranks = np.arange(1, min(k, candidates) + 1)
    harmonic = np.sum(1 / ranks)
    others = (relevant - 1) / max(candidates - 1, 1)
    return (harmonic + others * (len(ranks) - harmonic)) / candidates


def chance_levels(
    relevant: NDArray[np.integer],
    mean_gain: NDArray[np.floating],
    ideal: dict[int, NDArray[np.float64]],
    candidates: int,
    ks: Sequence[int],
    published_k: int,
) -> dict[str, float]:
    """Mean over queries of each metric of `retrieval.retrieval`.

    Args:
        relevant: [Q].
        mean_gain: [Q], over all candidates.
        ideal: Ideal discounted cumulative gain [Q] by k.
        candidates: n of each query.
        ks: Cut-offs.
        published_k: Cut-off of the published mAP.
    """
    levels: dict[str, NDArray[np.float64]] = {}
    for k in ks:
        drawn = min(k, candidates)
        discount = np.sum(1 / np.log2(np.arange(2, drawn + 2)))
        levels[f"p@{k}"] = relevant / candidates * drawn / k
        levels[f"recall@{k}"] = np.full(len(relevant), drawn / candidates)
        levels[f"hit@{k}"] = chance_hit(relevant, candidates, k)
        levels[f"mrr@{k}"] = chance_reciprocal_rank(relevant, candidates, k)
        levels[f"ndcg@{k}"] = mean_gain * discount / ideal[k]
    levels["mrr"] = chance_reciprocal_rank(relevant, candidates, candidates)
    levels["map"] = chance_average_precision(relevant, candidates, candidates)
    levels[f"map_published@{published_k}"] = chance_average_precision(relevant, candidates, published_k)
    return {metric: float(level.mean()) for metric, level in levels.items()}
