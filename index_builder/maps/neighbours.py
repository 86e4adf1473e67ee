"""The nearest cases of every case: what layouts, clusters and quality figures are all made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_builder.stores.base import NO_CASE, VectorStore

#: Cases looked up at a time: what is found of them is several times as large as what is kept.
_ASKED_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class NeighbourGraph:
    """Each case's nearest other cases, nearest first.

    Attributes:
        rows: [N, k] int32, row numbers; never the case's own.
        similarities: [N, k] float32, cosines.
    """

    rows: NDArray[np.int32]
    similarities: NDArray[np.float32]

    @property
    def distances(self) -> NDArray[np.float32]:
        """[N, k] float32, Euclidean distances of the unit vectors."""
        return np.sqrt(np.clip(2 - 2 * self.similarities, 0, None))


def neighbour_graph(
    store: VectorStore, keys: NDArray[np.int64], vectors: NDArray[np.floating], k: int
) -> NeighbourGraph:
    """Look up the `k` nearest other cases of every case in the index that searches use.

    Args:
        store: Holds these cases and no others.
        keys: [N] int64, key of each case in the store.
        vectors: [N, D], L2-normalised.
        k: Neighbours wanted, lowered to N - 1.
    """
    count = len(vectors)
    k = min(k, count - 1)
    if k < 1:
        return NeighbourGraph(np.empty((count, 0), np.int32), np.empty((count, 0), np.float32))
    order = np.argsort(keys)
    sorted_keys = keys[order]
    graph = NeighbourGraph(np.empty((count, k), np.int32), np.empty((count, k), np.float32))
    for start in range(0, count, _ASKED_AT_ONCE):
        asked = np.arange(start, min(start + _ASKED_AT_ONCE, count))
        hits = store.search_many(vectors[asked].astype(np.float32), k + 1)
        rows = order[np.searchsorted(sorted_keys, hits.keys).clip(max=count - 1)]
        # A case need not come first among its own copies; and an approximate index may miss it, or find too few.
        unfit = (rows == asked[:, None]) | (hits.keys == NO_CASE)
        kept = np.argsort(unfit, axis=1, kind="stable")[:, :k]
        fit = ~np.take_along_axis(unfit, kept, 1)
        last = np.maximum(fit.sum(1, keepdims=True) - 1, 0)
        kept = np.where(fit, kept, np.take_along_axis(kept, last, 1))
        graph.rows[asked] = np.take_along_axis(rows, kept, 1)
        graph.similarities[asked] = np.take_along_axis(hits.scores, kept, 1)
    return graph
