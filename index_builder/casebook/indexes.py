"""The vector index of a space or of lateral films, and how near what it holds is to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_builder.casebook.films import FilmTable
from index_builder.casebook.layout import IndexName, Layout
from index_builder.casebook.manifest import FilmsRecord, SpaceRecord
from index_builder.cases.space import Space
from index_builder.cases.table import CaseRows
from index_builder.errors import CasebookError
from index_builder.stores.base import NO_CASE, VectorStore, case_keys
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
        folder: Folder of the casebook.
        space: Which.
        cases: N cases.
        vectors: [N, D] float16, L2-normalised, zero where a case lacks the modality.
        store: As `Manifest.store`.
    """
    rows = np.flatnonzero(vectors.any(axis=1))
    if not len(rows):
        return None
    indexed = cases.at(rows)
    keys = case_keys(indexed.column("case_id").to_pylist())
    held = vectors if len(rows) == len(vectors) else vectors[rows]
    built = _build_store(folder, space, indexed, held, keys, store)
    record = _record(built, _nearest_others(built, held))
    built.close()
    return record


def index_films(folder: Path, films: FilmTable, cases: CaseRows, space: SpaceRecord, store: str = FAISS) -> FilmsRecord:
    """Index the lateral films by themselves, and look how near single films are to cases.

    Args:
        folder: Folder of the casebook.
        films: F films.
        cases: N cases.
        space: Record of the image space, which is indexed.
        store: As `Manifest.store`.
    """
    by_case = open_store(folder, store, "image", space)
    case_key = case_keys(cases.column("case_id").to_pylist())
    alone = films.primary[:: max(1, len(films.primary) // _SIMILARITY_SAMPLE)]
    hits = by_case.search_many(films.vectors[alone].astype(np.float32), 2)
    nearest = _first_allowed(hits.scores, (hits.keys != NO_CASE) & (hits.keys != case_key[films.rows[alone], None]))
    by_case.close()
    laterals = np.flatnonzero(films.is_lateral)
    return FilmsRecord(
        count=len(films),
        nearest_similarity=_percentiles(nearest),
        laterals=_index_laterals(folder, films, laterals, cases, store) if len(laterals) else None,
    )


def _index_laterals(
    folder: Path, films: FilmTable, laterals: NDArray[np.int64], cases: CaseRows, store: str
) -> SpaceRecord:
    vectors, keys, rows = films.vectors[laterals], films.keys[laterals], films.rows[laterals]
    built = _build_store(folder, "laterals", cases.at(rows), vectors, keys, store)
    sample = np.arange(0, len(laterals), max(1, len(laterals) // _SIMILARITY_SAMPLE))
    hits = built.search_many(vectors[sample].astype(np.float32), int(np.bincount(rows).max()) + 1)
    order = np.argsort(keys)
    owner = rows[order[np.searchsorted(keys, hits.keys, sorter=order).clip(max=len(keys) - 1)]]
    nearest = _first_allowed(hits.scores, (hits.keys != NO_CASE) & (owner != rows[sample, None]))
    record = _record(built, nearest)
    built.close()
    return record


def _build_store(
    folder: Path, name: IndexName, indexed: CaseRows, vectors: np.ndarray, keys: NDArray[np.int64], store: str
) -> FaissStore | MilvusStore:
    """Write the index of some vectors [n, D], each of which is of a case of `indexed`."""
    layout = Layout(folder)
    layout.indexes.mkdir(exist_ok=True)
    if store == FAISS:
        built = FaissStore.build(vectors, keys)
        built.write(layout.index(name), layout.index_keys(name))
        return built
    place = MilvusPlace.parse(store, layout.indexes)
    fields = filter_fields(indexed.table(filter(is_filter_field, indexed.column_names)))
    return MilvusStore.build(place, name, vectors.astype(np.float32), keys, fields)


def open_store(folder: Path, store: str, name: IndexName, record: SpaceRecord) -> VectorStore:
    """Open the index of a space, or of the lateral films.

    Args:
        folder: Folder of the casebook.
        store: As `Manifest.store`.
        name: Which.
        record: What the casebook's manifest says of it.

    Raises:
        CasebookError: It is missing, damaged or not reachable.
    """
    layout = Layout(folder)
    if record.index == "milvus":
        place = MilvusPlace.parse(store, layout.indexes)
        return MilvusStore.open(place, str(record.collection), record.count)
    return FaissStore.read(layout.index(name), layout.index_keys(name), record.index)


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


def _record(store: FaissStore | MilvusStore, nearest: NDArray[np.floating]) -> SpaceRecord:
    """What the manifest says of an index whose entries have such nearest others."""
    return SpaceRecord(
        count=len(store),
        index=store.kind,
        nearest_similarity=_percentiles(nearest),
        collection=store.collection,
    )


def _nearest_others(store: FaissStore | MilvusStore, vectors: np.ndarray) -> NDArray[np.float64]:
    """Cosine of some of the indexed vectors [n, D] to their nearest other."""
    sample = vectors[:: max(1, len(vectors) // _SIMILARITY_SAMPLE)].astype(np.float32)
    # The first hit is the case itself, so the second is its nearest other case.
    return np.array([float(row[1]) for row in store.search_many(sample, 2).scores if len(row) > 1], np.float64)


def _first_allowed(scores: NDArray[np.float32], allowed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The first allowed score of each row [Q, k] that has one."""
    return scores[np.arange(len(scores)), allowed.argmax(axis=1)][allowed.any(axis=1)]


def _percentiles(nearest: NDArray[np.floating]) -> tuple[float, ...]:
    found = np.percentile(nearest, np.arange(101)) if len(nearest) else np.empty(0)
    return tuple(round(float(value), 4) for value in found)
