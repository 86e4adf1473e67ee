"""The vector index of a space, and how near the cases of a space are to each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from index_builder.case_table import cases_table
from index_builder.casebook import Layout, Manifest, Space, SpaceRecord
from index_builder.datasets.base import Case
from index_builder.errors import CasebookError
from index_builder.stores.base import VectorStore, case_keys
from index_builder.stores.faiss import FaissStore
from index_builder.stores.milvus import PREFIX, MilvusPlace, MilvusStore, filter_fields

FAISS = "faiss"

#: Cases whose nearest neighbour is looked up for `SpaceRecord.nearest_similarity`.
_SIMILARITY_SAMPLE = 2_000


def check_store(store: str, folder: Path) -> None:
    """Refuse a store that could not be written to, before anything is built for it.

    Raises:
        CasebookError: No such store, or a server that does not answer.
    """
    if store == FAISS:
        return
    if not store.startswith(PREFIX):
        raise CasebookError(f"--store {store}: no such store. Use faiss, milvus:, milvus:FILE.db or milvus:ADDRESS.")
    place = MilvusPlace.parse(store, folder)
    if not place.is_file:
        place.connect().close()


def index_space(
    folder: Path, space: Space, cases: Sequence[Case], vectors: np.ndarray, store: str = FAISS
) -> FaissStore | MilvusStore | None:
    """Index the cases that have a vector in a space and write the index; None when none has.

    Args:
        folder: Of the casebook.
        space: Which.
        cases: N cases.
        vectors: [N, D] float16, L2-normalised, zero where a case lacks the modality.
        store: As `Manifest.store`.
    """
    layout = Layout(folder)
    rows = np.flatnonzero(vectors.any(axis=1))
    if not len(rows):
        return None
    indexed = [cases[int(row)] for row in rows]
    keys = case_keys([case.case_id for case in indexed])
    held = vectors[rows].astype(np.float32)
    layout.indexes.mkdir(exist_ok=True)
    if store != FAISS:
        place = MilvusPlace.parse(store, layout.indexes)
        return MilvusStore.build(place, space, held, keys, filter_fields(cases_table(indexed)))
    built = FaissStore.build(held, keys)
    built.write(layout.index(space), layout.index_keys(space))
    return built


def open_store(folder: Path, manifest: Manifest, space: Space) -> VectorStore:
    """Open the index of a space that the manifest lists.

    Raises:
        CasebookError: It is missing, damaged or out of reach.
    """
    layout, record = Layout(folder), manifest.spaces[space]
    if record.index == "milvus":
        place = MilvusPlace.parse(manifest.store, layout.indexes)
        return MilvusStore.open(place, str(record.collection), record.count)
    return FaissStore.read(layout.index(space), layout.index_keys(space), record.index)


def space_record(store: FaissStore | MilvusStore, vectors: np.ndarray) -> SpaceRecord:
    """What the manifest says of a space whose vectors [N, D] are indexed."""
    held = vectors[vectors.any(axis=1)]
    sample = held[:: max(1, len(held) // _SIMILARITY_SAMPLE)].astype(np.float32)
    # The first hit is the case itself, so the second is its nearest other case.
    nearest = [float(row[1]) for row in store.search_many(sample, 2).scores if len(row) > 1]
    percentiles = np.percentile(nearest, np.arange(101)) if nearest else np.empty(0)
    return SpaceRecord(
        count=len(store),
        index=store.kind,
        nearest_similarity=tuple(round(float(value), 4) for value in percentiles),
        collection=store.collection,
    )
