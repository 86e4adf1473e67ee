"""How good a ranking of cases is: precision, recall, reciprocal rank, nDCG, average precision, diversity.

A case is relevant to a query when they share a label. Candidates of equal score rank in the order they are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.bootstrap import RESAMPLES, interval, plain, resampled_weights
from index_builder.evaluation.chance import chance_hit, chance_levels

KS = (1, 5, 10)
PUBLISHED_K = 5

#: Pairs ranked at a time: each takes some hundred bytes meanwhile.
_BLOCK = 250_000

Groups = Sequence[str] | NDArray


def shared_labels(queries: NDArray[np.bool_], candidates: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Number of labels each query [Q, C] shares with each candidate [N, C]: gains, relevance where above 0, [Q, N]."""
    return queries.astype(np.float32) @ candidates.astype(np.float32).T


def nearest(scores: NDArray[np.floating], k: int, *, exclude_self: bool = False, first: int = 0) -> NDArray[np.intp]:
    """The k candidates of highest score, best first.

    Args:
        scores: [Q, N].
        k: At most N, or N - 1 with `exclude_self`.
        exclude_self: Query i is candidate `first + i` and is not returned.
        first: Candidate that the first of these queries is, where they are a block of more.

    Returns:
        [Q, k] indices of candidates.
    """
    _check(scores, exclude_self, first)
    if k > scores.shape[1] - exclude_self:
        raise ValueError(f"k = {k} of {scores.shape[1] - exclude_self} candidates")
    return np.concatenate([order[:, :k] for _, order in _rankings(scores, exclude_self, first)])


def retrieval(
    scores: NDArray[np.floating],
    relevance: NDArray[np.bool_],
    gains: NDArray[np.floating] | None = None,
    *,
    exclude_self: bool = False,
    groups: Groups | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Retrieval of relevant candidates by queries. Those without a relevant candidate are left out and counted.

    Memory: besides the arguments, blocks of queries; 2,000 queries and 10,000 candidates take seconds.

    Args:
        scores: [Q, N] similarity, higher is nearer.
        relevance: [Q, N].
        gains: [Q, N] graded relevance for nDCG, above 0 exactly where relevant, e.g. `shared_labels`; by default 1.
        exclude_self: Query i is candidate i, which is not ranked (test→test).
        groups: [Q] patients of the queries, to resample patients instead of queries.
        resamples: Resamples of the bootstrap over queries.
        seed: Seed of the bootstrap.

    Returns:
        For k in `KS`: `p@k` (of k, though there be fewer candidates), `recall@k`, `hit@k` (any relevant among k),
        `mrr@k` (1 / rank of the first relevant, 0 beyond k), `ndcg@k` (Järvelin and Kekäläinen, 2002: gain over
        log2(rank + 1)). Over the full ranking: `mrr`, `map`. `map_published@5`: average precision of the first five
        divided by all relevant cases, as the Unified Multimodal Framework reports its mAP; at most 5 / R, so not to be
        compared with `map`. Means over queries; None without any.
        By the same names `interval`, 95 %, and `chance`, the expectation under a random ranking, both empty without
        any query. `queries` scored, `queries_left_out`, `candidates` per query.

    Raises:
        ValueError: Shapes differ, a score is not finite, or gains and relevance disagree.
    """
    query = query_metrics(scores, relevance, gains, exclude_self=exclude_self)
    return summarise(query, scores.shape[1] - exclude_self, groups=groups, resamples=resamples, seed=seed)


def query_metrics(
    scores: NDArray[np.floating],
    relevance: NDArray[np.bool_],
    gains: NDArray[np.floating] | None = None,
    *,
    ranked: NDArray[np.bool_] | None = None,
    exclude_self: bool = False,
    first: int = 0,
) -> dict[str, NDArray]:
    """Every metric of `retrieval` for each query, [Q], NaN where nothing is relevant; errors as there.

    Arguments as there and in `nearest`; `ranked` [Q, N] are the candidates that count, None: all. With it, `candidates`
    tells their number.
    """
    _check(scores, exclude_self, first)
    if relevance.shape != scores.shape or relevance.dtype != np.bool_:
        raise ValueError(f"relevance must be bool {scores.shape}, not {relevance.dtype} {relevance.shape}")
    if gains is not None and (gains.shape != scores.shape or not np.array_equal(gains > 0, relevance)):
        raise ValueError("gains must be [Q, N] and above 0 exactly where relevant")
    if ranked is not None:
        if ranked.shape != scores.shape or (relevance & ~ranked).any():
            raise ValueError("ranked must be [Q, N] and hold whatever is relevant")
        # Behind all others, where a candidate that is not relevant changes nothing.
        scores = np.where(ranked, scores, scores.min() - 1)
    blocks = []
    for rows, order in _rankings(scores, exclude_self, first):
        found = np.take_along_axis(relevance[rows], order, axis=1)
        found_gains = found if gains is None else np.take_along_axis(gains[rows], order, axis=1)
        block = _per_query(found, found_gains)
        if ranked is not None:
            counted = np.take_along_axis(ranked[rows], order, axis=1).sum(axis=1)
            block["mean_gain"] = block["mean_gain"] * found.shape[1] / np.maximum(counted, 1)
            block["candidates"] = counted
        blocks.append(block)
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def summarise(
    query: dict[str, NDArray], candidates: int, *, groups: Groups | None, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """What `retrieval` gives, from `query_metrics` and the number of candidates a query has.

    Where some candidates do not count for some queries, `candidates` becomes their mean number, rounded.
    """
    scored = query["relevant"] > 0
    query = {name: value[scored] for name, value in query.items()}
    counted = query.pop("candidates", np.full(int(scored.sum()), candidates))
    candidates = round(float(counted.mean())) if len(counted) else candidates
    counts = {"queries": int(scored.sum()), "queries_left_out": int((~scored).sum()), "candidates": candidates}
    relevant, mean_gain = query.pop("relevant"), query.pop("mean_gain")
    ideal = {k: query.pop(f"ideal@{k}") for k in KS}
    if not scored.any():
        return {**dict.fromkeys(query), "interval": {}, "chance": {}, **counts}
    kept_groups = None if groups is None else np.asarray(groups)[scored]
    weights = resampled_weights(len(relevant), resamples=resamples, seed=seed, groups=kept_groups)
    estimates, intervals = _means(query, weights)
    chance = _chance(relevant, mean_gain, ideal, counted)
    return {**estimates, "interval": intervals, "chance": chance, **counts}


def _chance(
    relevant: NDArray[np.integer],
    mean_gain: NDArray[np.floating],
    ideal: dict[int, NDArray[np.float64]],
    candidates: NDArray[np.integer],
) -> dict[str, float]:
    """`chance_levels` of queries that have each their own number of candidates [Q]."""
    levels: dict[str, float] = {}
    for count in np.unique(candidates).tolist():
        own = candidates == count
        part = {k: value[own] for k, value in ideal.items()}
        found = chance_levels(relevant[own], mean_gain[own], part, count, KS, PUBLISHED_K)
        share = 1.0 if own.all() else float(own.mean())
        levels = {name: levels.get(name, 0.0) + share * value for name, value in found.items()}
    return levels


def paired_recall_at_k(
    scores: NDArray[np.floating],
    own: NDArray[np.integer],
    equals: NDArray[np.bool_] | None = None,
    *,
    groups: Groups | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """How often a query's own counterpart is among the k nearest: film to report, or report to film.

    Args:
        scores: [Q, N] similarity, higher is nearer.
        own: [Q] index of each query's counterpart.
        equals: [Q, N] candidates that count as its counterpart too, e.g. reports of the same words.
        groups: [Q] patients, to resample patients instead of queries.
        resamples: Resamples of the bootstrap over queries.
        seed: Seed of the bootstrap.

    Returns:
        `recall@k` for k in `KS`; by the same names `interval` of 95 % and `chance` (k / N, more with `equals`);
        `queries`, `candidates`.

    Raises:
        ValueError: Shapes differ, an index is out of range or a score is not finite.
    """
    _check(scores, exclude_self=False)
    queries, candidates = scores.shape
    if own.shape != (queries,) or own.min() < 0 or own.max() >= candidates:
        raise ValueError(f"own must be [{queries}] of 0 to {candidates - 1}")
    if equals is not None and equals.shape != scores.shape:
        raise ValueError(f"equals must be {scores.shape}, not {equals.shape}")
    counterpart = np.zeros(scores.shape, np.bool_) if equals is None else equals.copy()
    counterpart[np.arange(queries), own] = True
    rankings = _rankings(scores, exclude_self=False)
    ahead = np.concatenate([np.take_along_axis(counterpart[rows], order, 1).argmax(axis=1) for rows, order in rankings])
    found = {f"recall@{k}": (ahead < k).astype(np.float64) for k in KS}
    weights = resampled_weights(queries, resamples=resamples, seed=seed, groups=groups)
    estimates, intervals = _means(found, weights)
    matches = counterpart.sum(axis=1)
    chance = {f"recall@{k}": float(chance_hit(matches, candidates, k).mean()) for k in KS}
    return {**estimates, "interval": intervals, "chance": chance, "queries": queries, "candidates": candidates}


def diversity(
    neighbours: NDArray[np.integer],
    vectors: NDArray[np.floating],
    labels: NDArray[np.bool_],
    patients: Sequence[str] | NDArray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """How different the cases returned for one query are from each other.

    Args:
        neighbours: [Q, k] indices of candidates, k ≥ 2, see `nearest`.
        vectors: [N, D] of the candidates, L2-normalised.
        labels: [N, C] of the candidates; two cases without labels do not differ.
        patients: [N] of the candidates.
        resamples: Resamples of the bootstrap over queries.
        seed: Seed of the bootstrap.

    Returns:
        `embedding_diversity@k`, mean of 1 - cosine over pairs; `label_diversity@k`, mean of 1 - Jaccard over pairs;
        `patients@k`, distinct patients. Means over queries, with `interval` of 95 % by the same names; `queries`.

    Raises:
        ValueError: There is no pair.
    """
    queries, k = neighbours.shape
    if k < 2:
        raise ValueError("diversity needs at least two neighbours a query")
    first, second = np.triu_indices(k, 1)
    number = np.unique(np.asarray(patients), return_inverse=True)[1]
    measured = np.empty((queries, 3))
    for row, cases in enumerate(neighbours):
        near, sets = vectors[cases].astype(np.float64), labels[cases]
        both = (sets[first] & sets[second]).sum(axis=1)
        either = (sets[first] | sets[second]).sum(axis=1)
        measured[row] = (
            np.mean(1 - (near[first] * near[second]).sum(axis=1)),
            np.mean(np.where(either > 0, 1 - both / np.maximum(either, 1), 0)),
            len(np.unique(number[cases])),
        )
    names = (f"embedding_diversity@{k}", f"label_diversity@{k}", f"patients@{k}")
    weights = resampled_weights(queries, resamples=resamples, seed=seed)
    estimates, intervals = _means(dict(zip(names, measured.T, strict=True)), weights)
    return {**estimates, "interval": intervals, "queries": queries}


def _rankings(
    scores: NDArray[np.floating], exclude_self: bool, first: int = 0
) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Blocks of queries with their candidates, best first; the query itself left out if asked."""
    queries, candidates = scores.shape
    step = max(1, _BLOCK // candidates)
    for start in range(0, queries, step):
        rows = slice(start, min(start + step, queries))
        keys = -scores[rows]
        if exclude_self:
            keys[np.arange(len(keys)), first + np.arange(rows.start, rows.stop)] = np.inf
        yield rows, np.argsort(keys, axis=1, kind="stable")[:, : candidates - exclude_self]


def _per_query(ranked: NDArray[np.bool_], gains: NDArray) -> dict[str, NDArray]:
    """All metrics of a block, each [Q], from relevance and gains [Q, n] in order of rank; NaN without relevant ones."""
    candidates = ranked.shape[1]
    ranks = np.arange(1, candidates + 1)
    hits = np.cumsum(ranked, axis=1)
    relevant = hits[:, -1]
    first = np.where(relevant > 0, ranked.argmax(axis=1) + 1, np.inf)
    precision = np.where(ranked, hits / ranks, 0)
    best_gains = -np.sort(-gains.astype(np.float32), axis=1)
    found: dict[str, NDArray] = {"relevant": relevant, "mean_gain": gains.mean(axis=1)}
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in KS:
            top = min(k, candidates)
            discount = 1 / np.log2(ranks[:top] + 1)
            ideal = best_gains[:, :top] @ discount
            found[f"p@{k}"] = hits[:, top - 1] / k
            found[f"recall@{k}"] = hits[:, top - 1] / relevant
            found[f"hit@{k}"] = (first <= k).astype(np.float64)
            found[f"mrr@{k}"] = np.where(first <= k, 1 / first, 0)
            found[f"ndcg@{k}"] = gains[:, :top] @ discount / ideal
            found[f"ideal@{k}"] = ideal
        found["mrr"] = 1 / first
        found["map"] = precision.sum(axis=1) / relevant
        found[f"map_published@{PUBLISHED_K}"] = precision[:, :PUBLISHED_K].sum(axis=1) / relevant
    return found


def _means(
    query: dict[str, NDArray[np.float64]], weights: NDArray[np.float32]
) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
    """Mean over queries and its interval, by metric."""
    totals = weights.sum(axis=1, dtype=np.float64)
    means = {name: weights @ value / totals for name, value in query.items()}
    estimates = {name: plain(mean[0]) for name, mean in means.items()}
    return estimates, {name: interval(mean) for name, mean in means.items()}


def _check(scores: NDArray[np.floating], exclude_self: bool, first: int = 0) -> None:
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores must be [Q, N] and not empty, not {scores.shape}")
    if exclude_self and not 1 < scores.shape[1] >= first + scores.shape[0]:
        raise ValueError(f"{first + scores.shape[0]} queries cannot each be one of {scores.shape[1]} candidates")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
