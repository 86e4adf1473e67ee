"""The vector index of a space, and how near the cases of a space are to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from index_builder.case_table import CaseRows
from index_builder.casebook import Layout, Space, SpaceRecord
from index_builder.errors import CasebookError
from index_builder.stores.base import VectorStore, case_keys
from index_builder.stores.faiss import FaissStore
from index_builder.stores.milvus import PREFIX, MilvusPlace, MilvusStore, filter_fields, is_filter_field

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
    folder: Path, space: Space, cases: CaseRows, vectors: np.ndarray, store: str = FAISS
) -> SpaceRecord | None:
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
    indexed = cases.at(rows)
    keys = case_keys(indexed.column("case_id").to_pylist())
    held = vectors if len(rows) == len(vectors) else vectors[rows]
    layout.indexes.mkdir(exist_ok=True)
    built: FaissStore | MilvusStore
    if store == FAISS:
        built = FaissStore.build(held, keys)
        built.write(layout.index(space), layout.index_keys(space))
    else:
        place = MilvusPlace.parse(store, layout.indexes)
        fields = filter_fields(indexed.table(filter(is_filter_field, cases.column_names)))
        built = MilvusStore.build(place, space, held.astype(np.float32), keys, fields)
    record = _record(built, held)
    built.close()
    return record


def open_store(folder: Path, store: str, space: Space, record: SpaceRecord) -> VectorStore:
    """Open the index of a space.

    Args:
        folder: Of the casebook.
        store: As `Manifest.store`.
        space: Which.
        record: What `index_space` said of it.

    Raises:
        CasebookError: It is missing, damaged or out of reach.
    """
    layout = Layout(folder)
    if record.index == "milvus":
        place = MilvusPlace.parse(store, layout.indexes)
        return MilvusStore.open(place, str(record.collection), record.count)
    return FaissStore.read(layout.index(space), layout.index_keys(space), record.index)


class IndexesInTurn(Mapping[Space, VectorStore]):
    """Indexes of a casebook under way. Asking for one closes the one before: memory holds one at a time."""

    def __init__(self, folder: Path, store: str, spaces: Mapping[Space, SpaceRecord]) -> None:
        self._folder, self._store, self._spaces = folder, store, spaces
        self._opened: VectorStore | None = None

    def __getitem__(self, space: Space) -> VectorStore:
        record = self._spaces[space]
        self.close()
        self._opened = open_store(self._folder, self._store, space, record)
        return self._opened

    def __iter__(self) -> Iterator[Space]:
        return iter(self._spaces)

    def __len__(self) -> int:
        return len(self._spaces)

    def close(self) -> None:
        """Close the one that is open."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _record(store: FaissStore | MilvusStore, vectors: np.ndarray) -> SpaceRecord:
    """What the manifest says of a space whose vectors [N, D] are indexed."""
    sample = vectors[:: max(1, len(vectors) // _SIMILARITY_SAMPLE)].astype(np.float32)
    # The first hit is the case itself, so the second is its nearest other case.
    nearest = [float(row[1]) for row in store.search_many(sample, 2).scores if len(row) > 1]
    percentiles = np.percentile(nearest, np.arange(101)) if nearest else np.empty(0)
    return SpaceRecord(
        count=len(store),
        index=store.kind,
        nearest_similarity=tuple(round(float(value), 4) for value in percentiles),
        collection=store.collection,
    )
