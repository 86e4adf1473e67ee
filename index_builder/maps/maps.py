"""All maps of a space, from its vectors to coordinates, clusters and figures of trust."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from index_builder.casebook.manifest import MAP_AXES, ClusterRecord, MapName, MapRecord, SpaceMaps
from index_builder.casebook.memory import give_back
from index_builder.maps.clusters import characteristic_words, find_clusters, largest_first
from index_builder.maps.layout import (
    TSNE_REACH,
    UMAP_REACH,
    Steps,
    are_equal,
    principal_axes,
    scattered,
    tsne_layout,
    umap_layout,
)
from index_builder.maps.neighbours import NeighbourGraph, neighbour_graph
from index_builder.maps.placing import PLACING_NEIGHBOURS, place
from index_builder.maps.quality import NEIGHBOURS, map_quality
from index_builder.stores.faiss import FaissStore

#: Below this many cases a neighbour graph means nothing; the plane of largest variance is shown instead.
LEAST_CASES = 12
#: Cases that a map is fitted to, a sample of larger sets: its time and memory end to grow there. The other cases are
#: placed on it as queries are.
FITTED_CASES = 30_000
#: Cases placed at a time.
_PLACED_AT_ONCE = 4096

#: Neighbours of each case that figures of a map are made from.
MEASURED_REACH = max(NEIGHBOURS, PLACING_NEIGHBOURS)

#: (map, steps done, steps in all)
MapProgress = Callable[[MapName, int, int], None]


@dataclass(frozen=True, slots=True)
class MappedCases:
    """N cases of a space as maps see them.

    Attributes:
        graph: Graph of these cases and no others; at least `reach` neighbours of each, or all there are.
        vectors: [N, D], L2-normalised; a casebook's are mapped float16, and read a part at a time.
        labels: [N, C] bool.
        terms: What each case says, see `clusters.case_terms`.
    """

    graph: NeighbourGraph
    vectors: NDArray[np.floating]
    labels: NDArray[np.bool_]
    terms: Iterable[Sequence[str]]


@dataclass(frozen=True, slots=True)
class DrawnMaps:
    """Maps of N cases.

    Attributes:
        positions: [N, 2 or 3] float32 by map.
        clusters: [N] int32, the largest cluster 0, -1 outside any.
        record: Figures of each map, words of each cluster.
    """

    positions: dict[MapName, NDArray[np.float32]]
    clusters: NDArray[np.int32]
    record: SpaceMaps


def map_names(count: int) -> tuple[MapName, ...]:
    """The maps that are drawn of so many cases."""
    if count < LEAST_CASES:
        return ("pca",)
    return ("umap", "tsne", "umap3d")


def reach(count: int, names: Sequence[MapName] | None = None) -> int:
    """Neighbours of each of `count` cases that `draw_maps` reads; of large sets a sample is laid out, with its own."""
    if count > FITTED_CASES:
        return MEASURED_REACH
    return max(MEASURED_REACH, _laid_out_reach(map_names(count) if names is None else names))


def draw_maps(
    cases: MappedCases, seed: int, progress: MapProgress, names: Sequence[MapName] | None = None
) -> DrawnMaps:
    """Draw the maps of a space, group its cases and measure how far each map can be trusted.

    Args:
        cases: Cases of the space.
        seed: Random state of everything.
        progress: Told how far each map is.
        names: Which maps; None: all of `map_names`.
    """
    names = map_names(len(cases.vectors)) if names is None else names
    if len(cases.vectors) <= FITTED_CASES:
        positions = _layouts(names, cases.vectors.astype(np.float32), cases.graph, seed, progress)
    else:
        positions = _layouts_by_sample(names, cases.vectors, seed, progress)
    if are_equal(cases.vectors):
        clusters = np.full(len(cases.vectors), -1, np.int32)
    else:
        clusters = find_clusters(positions["umap3d" if "umap3d" in positions else names[0]], seed)
    return DrawnMaps(positions, clusters, _describe(cases, positions, clusters, seed))


def describe_maps(
    cases: MappedCases, positions: Mapping[MapName, NDArray[np.float32]], clusters: NDArray[np.int32], seed: int
) -> DrawnMaps:
    """Maps and clusters that were drawn of more cases, measured and described again on these."""
    kept = largest_first(clusters)
    return DrawnMaps(dict(positions), kept, _describe(cases, positions, kept, seed))


def _describe(
    cases: MappedCases,
    positions: Mapping[MapName, NDArray[np.float32]],
    clusters: NDArray[np.int32],
    seed: int,
) -> SpaceMaps:
    count = len(cases.vectors)
    figures = {
        name: map_quality(cases.vectors, found, cases.graph, cases.labels, seed) for name, found in positions.items()
    }
    words = characteristic_words(cases.terms, clusters)
    return SpaceMaps(
        maps={name: MapRecord(cases=count, **asdict(quality)) for name, quality in figures.items()},
        clusters=tuple(
            ClusterRecord(cases=int((clusters == number).sum()), words=said) for number, said in enumerate(words)
        ),
    )


def _layouts_by_sample(
    names: Sequence[MapName], vectors: NDArray[np.floating], seed: int, progress: MapProgress
) -> dict[MapName, NDArray[np.float32]]:
    """Maps of `FITTED_CASES` of the cases, and on them the others, each among those of its nearest that were drawn."""
    sample = np.sort(np.random.default_rng(seed).choice(len(vectors), FITTED_CASES, replace=False))
    keys, drawn = np.arange(FITTED_CASES, dtype=np.int64), vectors[sample].astype(np.float32)
    store = FaissStore.build(drawn, keys)
    fitted = _layouts(names, drawn, neighbour_graph(store, keys, drawn, _laid_out_reach(names)), seed, progress)
    positions = {name: np.empty((len(vectors), found.shape[1]), np.float32) for name, found in fitted.items()}
    for name, found in fitted.items():
        positions[name][sample] = found
    others = np.setdiff1d(np.arange(len(vectors)), sample)
    for start in range(0, len(others), _PLACED_AT_ONCE):
        placed = others[start : start + _PLACED_AT_ONCE]
        hits = store.search_many(vectors[placed].astype(np.float32), PLACING_NEIGHBOURS)
        for name, found in fitted.items():
            positions[name][placed] = place(found[hits.keys], hits.scores)
    return positions


def _laid_out_reach(names: Sequence[MapName]) -> int:
    """Neighbours of each case that the layouts read."""
    return max(UMAP_REACH, TSNE_REACH if "tsne" in names else 0)


def _layouts(
    names: Sequence[MapName],
    vectors: NDArray[np.float32],
    graph: NeighbourGraph,
    seed: int,
    progress: MapProgress,
) -> dict[MapName, NDArray[np.float32]]:
    positions = {}
    for name in names:
        positions[name] = _layout(name, vectors, graph, seed, partial(progress, name))
        give_back()
    return positions


def _layout(
    name: MapName, vectors: NDArray[np.float32], graph: NeighbourGraph, seed: int, progress: Steps
) -> NDArray[np.float32]:
    if are_equal(vectors):
        return scattered(len(vectors), len(MAP_AXES[name]), seed)
    if name == "pca":
        return principal_axes(vectors, 2)
    if name == "tsne":
        return tsne_layout(vectors, graph, seed, progress)
    return umap_layout(vectors, graph, 3 if name == "umap3d" else 2, seed, progress)
