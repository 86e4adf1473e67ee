"""How far a map can be trusted: what it keeps of the neighbourhoods among full vectors, and what it says of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_builder.maps.neighbours import NeighbourGraph
from index_builder.maps.placing import PLACING_NEIGHBOURS, place

#: Neighbours that the figures speak of.
NEIGHBOURS = 10
#: Cases that trustworthiness and continuity are measured on, time and memory growing with the square; a sample of
#: larger sets.
RANKED_CASES = 3_000
#: Cases whose neighbours on the map are looked up, and that are placed as if they were queries.
_ASKED_CASES = 2_000
_PLACED_CASES = 400
#: Memory for distances of some cases to all that are ranked.
_PAIRS_MEBIBYTES = 4


@dataclass(frozen=True, slots=True)
class MapQuality:
    """Figures of one map; None where there are too few cases or no labels.

    Attributes:
        trustworthiness: Venna and Kaski 2001, 0..1: 1 when none of a case's ten nearest on the map is far from it by
            full vectors. Random layouts have about 0.5.
        continuity: The same the other way round: 1 when near cases stay near.
        purity: Share of a case's ten nearest on the map that share a label with it, over cases with a label.
        purity_full: The same by full vectors.
        purity_chance: The same of any ten cases.
        placement_distance: Median distance between where a case is and where its neighbours would place it, in median
            distances of two cases drawn at random. The map was made with the case, so a new query errs more:
            docs/explanation/maps.md.
        placement_rank: Median share of cases nearer to that place than the case itself; 0.5 would be chance.
    """

    trustworthiness: float | None
    continuity: float | None
    purity: float | None
    purity_full: float | None
    purity_chance: float | None
    placement_distance: float | None
    placement_rank: float | None


def map_quality(
    vectors: NDArray[np.floating],
    positions: NDArray[np.float32],
    graph: NeighbourGraph,
    labels: NDArray[np.bool_],
    seed: int,
) -> MapQuality:
    """Measure a map.

    Args:
        vectors: [N, D], L2-normalised.
        positions: [N, dims] float32.
        graph: Neighbours of each case by full vectors.
        labels: [N, C] bool.
        seed: Seed of the samples of larger sets.
    """
    random = np.random.default_rng(seed)
    trusted, continuous = _ranks_kept(vectors, positions, random)
    pure, full, chance = _purity(positions, graph, labels, random)
    distance, rank = _placement(positions, graph, random)
    return MapQuality(trusted, continuous, pure, full, chance, distance, rank)


def _ranks_kept(
    vectors: NDArray[np.floating], positions: NDArray[np.float32], random: np.random.Generator
) -> tuple[float | None, float | None]:
    """Trustworthiness and continuity: on unit vectors Euclidean order is that of cosine, so one measure does both."""
    rows = _sample(len(vectors), RANKED_CASES, random)
    k = min(NEIGHBOURS, (len(rows) - 1) // 2)
    if k < 1:
        return None, None
    original, mapped = vectors[rows].astype(np.float32), positions[rows]
    return (
        round(trustworthiness(original, mapped, k), 4),
        round(trustworthiness(mapped, original, k), 4),
    )


def trustworthiness(original: NDArray[np.floating], mapped: NDArray[np.floating], k: int) -> float:
    """Trustworthiness as in scikit-learn, without its matrices of all pairs, which would fill the memory of a build.

    Of equally far cases, as copies are, each has the best of their ranks; there in no stated order.

    Args:
        original: [N, D].
        mapped: [N, dims].
        k: Neighbours on the map that count, below N / 2.
    """
    from sklearn.metrics import pairwise_distances_chunked

    count = len(original)
    distances = (pairwise_distances_chunked(one, working_memory=_PAIRS_MEBIBYTES) for one in (original, mapped))
    excess = start = 0
    for far, far_on_map in zip(*distances, strict=True):
        own = np.arange(len(far)), start + np.arange(len(far))
        far[own] = far_on_map[own] = np.inf
        near = np.argpartition(far_on_map, k, axis=1)[:, :k]
        for column in near.T:
            ranks = 1 + (far < far[own[0], column][:, None]).sum(axis=1)
            excess += int(np.maximum(ranks - k, 0).sum())
        start += len(far)
    return 1 - excess * 2 / (count * k * (2 * count - 3 * k - 1))


def _purity(
    positions: NDArray[np.float32], graph: NeighbourGraph, labels: NDArray[np.bool_], random: np.random.Generator
) -> tuple[float | None, float | None, float | None]:
    """Share of neighbours with a common label: on the map, by full vectors, and of any cases."""
    from sklearn.neighbors import KDTree

    asked = np.flatnonzero(labels.any(1))
    k = min(NEIGHBOURS, graph.rows.shape[1])
    if not len(asked) or k < 1:
        return None, None, None
    asked = asked[_sample(len(asked), _ASKED_CASES, random)]
    near = KDTree(positions).query(positions[asked], k + 1, return_distance=False)
    # Without the case itself, wherever it stands among cases at the same place; else without the farthest.
    own = near == asked[:, None]
    own[~own.any(1), -1] = True
    near = near[~own].reshape(len(asked), k)
    others = labels[_sample(len(labels), _ASKED_CASES, random)].astype(np.float32)

    def shared(neighbours: NDArray[np.integer]) -> float:
        return float((labels[asked][:, None] & labels[neighbours]).any(-1).mean())

    chance = float((labels[asked].astype(np.float32) @ others.T > 0).mean())
    return round(shared(near), 4), round(shared(graph.rows[asked, :k]), 4), round(chance, 4)


def _placement(
    positions: NDArray[np.float32], graph: NeighbourGraph, random: np.random.Generator
) -> tuple[float | None, float | None]:
    """Error of placing cases by their neighbours: in typical distances, and in cases that are nearer."""
    count, k = graph.rows.shape
    if k < PLACING_NEIGHBOURS:
        return None, None
    asked = _sample(count, _PLACED_CASES, random)
    near = graph.rows[asked, :PLACING_NEIGHBOURS]
    placed = place(positions[near], graph.similarities[asked, :PLACING_NEIGHBOURS])
    error = np.linalg.norm(placed - positions[asked], axis=1)
    pairs = random.integers(count, size=(2, 10 * _PLACED_CASES))
    typical = float(np.median(np.linalg.norm(positions[pairs[0]] - positions[pairs[1]], axis=1)))
    nearer = [
        float((np.linalg.norm(positions - place, axis=1) < far).mean())
        for place, far in zip(placed, error, strict=True)
    ]
    return round(float(np.median(error)) / typical, 4) if typical else None, round(float(np.median(nearer)), 4)


def _sample(count: int, most: int, random: np.random.Generator) -> NDArray[np.int64]:
    """All rows, or as many drawn, in order."""
    return np.arange(count) if count <= most else np.sort(random.choice(count, most, replace=False))
