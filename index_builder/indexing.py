"""The vector index of a space, and how near the cases of a space are to each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from index_builder.casebook import Layout, Space, SpaceRecord
from index_builder.datasets.base import Case
from index_builder.stores.base import case_keys
from index_builder.stores.faiss import FaissStore

#: Cases whose nearest neighbour is looked up for `SpaceRecord.nearest_similarity`.
_SIMILARITY_SAMPLE = 2_000


def index_space(folder: Path, space: Space, cases: Sequence[Case], vectors: np.ndarray) -> FaissStore | None:
    """Index the cases that have a vector in a space and write the index; None when none has.

    Args:
        folder: Of the casebook.
        space: Which.
        cases: N cases.
        vectors: [N, D] float16, L2-normalised, zero where a case lacks the modality.
    """
    layout = Layout(folder)
    rows = np.flatnonzero(vectors.any(axis=1))
    if not len(rows):
        return None
    keys = case_keys([cases[int(row)].case_id for row in rows])
    store = FaissStore.build(vectors[rows].astype(np.float32), keys)
    layout.index(space).parent.mkdir(exist_ok=True)
    store.write(layout.index(space), layout.index_keys(space))
    return store


def space_record(store: FaissStore, vectors: np.ndarray) -> SpaceRecord:
    """What the manifest says of a space whose vectors [N, D] are indexed."""
    held = vectors[vectors.any(axis=1)]
    sample = held[:: max(1, len(held) // _SIMILARITY_SAMPLE)].astype(np.float32)
    # The first hit is the case itself, so the second is its nearest other case.
    nearest = [float(scores[1]) for vector in sample if len(scores := store.search(vector, 2).scores) > 1]
    percentiles = np.percentile(nearest, np.arange(101)) if nearest else np.empty(0)
    return SpaceRecord(
        count=len(store), index=store.kind, nearest_similarity=tuple(round(float(value), 4) for value in percentiles)
    )
