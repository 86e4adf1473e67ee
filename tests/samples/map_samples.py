"""Vectors in three clusters, as maps want them."""

from __future__ import annotations

import numpy as np

from index_builder.maps.maps import MappedCases, reach
from index_builder.maps.neighbours import NeighbourGraph, neighbour_graph
from index_builder.stores.faiss import FaissStore


def clusters(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [count, 16] around three directions, and which each belongs to."""
    random = np.random.default_rng(0)
    member = random.integers(3, size=count)
    vectors = 4 * np.eye(3, 16)[member] + 0.3 * random.normal(size=(count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), member


def mapped(count: int) -> tuple[MappedCases, np.ndarray]:
    vectors, member = clusters(count)
    labels = np.eye(3, dtype=bool)[member]
    terms = [[f"word {kind}", "common"] for kind in member]
    return MappedCases(graph_of(vectors, reach(count)), vectors, labels, terms), member


def graph_of(vectors: np.ndarray, k: int) -> NeighbourGraph:
    keys = np.arange(len(vectors), dtype=np.int64)
    return neighbour_graph(FaissStore.build(vectors, keys), keys, vectors, k)
