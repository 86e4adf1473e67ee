"""FAISS index over one space: flat, HNSW or IVF-PQ with refinement, chosen by the number of vectors.

All keep the vectors in half precision, as a casebook's vectors are: nothing is lost, and both memory and the time to
read it are halved.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EIO
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from index_builder.errors import CasebookError
from index_builder.stores.base import NO_CASE, Condition, Hits

# Its bundled type stubs lag behind its SWIG classes (no `refine_index`, no `SearchParametersHNSW`).
faiss: Any = import_module("faiss")

Kind = Literal["flat", "hnsw", "ivfpq"]

#: Up to here a flat scan is about as fast as the graph, and exact; measured in docs/explanation/scale.md.
FLAT_LIMIT = 20_000
#: Up to here HNSW's graph fits beside the vectors in ordinary memory.
HNSW_LIMIT = 1_000_000
#: At most so many allowed cases are compared one by one, in a few milliseconds: a filtered graph finds too few of them.
EXACT_SUBSET = 100_000

#: Vectors made single at a time. A graph of more depends on it, as FAISS orders by level what it is given at once.
_ADDED_AT_ONCE = 16_384

_HNSW_LINKS = 32
_HNSW_BUILD_EFFORT = 200
_HNSW_SEARCH_EFFORT = 128
_PQ_BYTES_PER_DIMS = 4
#: Share of the cells that is searched, and candidates compared in half precision for each that is wanted: the cheapest
#: of those measured that keeps 0.99 of the ten nearest.
_IVF_PROBED_SHARE = 1 / 32
_REFINE_FACTOR = 32


def choose_kind(count: int) -> Kind:
    """Index kind for `count` vectors."""
    if count <= FLAT_LIMIT:
        return "flat"
    return "hnsw" if count <= HNSW_LIMIT else "ivfpq"


class FaissStore:
    """Inner-product search; row i of the index belongs to `keys[i]`."""

    #: In files, rather than a collection of a server.
    collection = None

    def __init__(self, index: Any, keys: NDArray[np.int64], kind: Kind) -> None:
        if index.ntotal != len(keys):
            raise CasebookError(f"index of {index.ntotal} vectors with {len(keys)} keys. Rebuild the casebook.")
        self.kind = kind
        self._index = index
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @classmethod
    def build(cls, vectors: NDArray[np.floating], keys: NDArray[np.int64], kind: Kind | None = None) -> FaissStore:
        """Index vectors [N, D], L2-normalised, mapped or in memory: they are read in parts, but for training IVF-PQ.

        One thread builds the graph: FAISS links concurrently inserted vectors in whatever order threads arrive,
        and the same input must give the same bytes.
        """
        kind = kind or choose_kind(len(vectors))
        dim = vectors.shape[1]
        index: Any
        if kind == "flat":
            index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        elif kind == "hnsw":
            index = faiss.index_factory(dim, f"HNSW{_HNSW_LINKS},SQfp16", faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = _HNSW_BUILD_EFFORT
        else:
            cells = int(2 ** round(np.log2(4 * len(vectors) ** 0.5)))
            description = f"IVF{cells},PQ{dim // _PQ_BYTES_PER_DIMS}x8,Refine(SQfp16)"
            index = faiss.index_factory(dim, description, faiss.METRIC_INNER_PRODUCT)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            if not index.is_trained:
                index.train(vectors.astype(np.float32))
            for start in range(0, len(vectors), _ADDED_AT_ONCE):
                index.add(vectors[start : start + _ADDED_AT_ONCE].astype(np.float32))
        finally:
            faiss.omp_set_num_threads(threads)
        return cls(index, keys, kind)

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.int64] | None = None,
        where: Sequence[Condition] | None = None,
    ) -> Hits:
        rows = None if allowed is None else self._rows(allowed)
        k = min(k, len(self) if rows is None else len(rows))
        if k == 0:
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        by_index = rows is None or self.kind == "flat" or len(rows) > EXACT_SUBSET
        if by_index:
            scores, found = self._index.search(query[None], k, params=self._parameters(rows))
        # Where nothing near the query is allowed, an approximate index finds fewer than there are.
        if rows is not None and self.kind != "flat" and (not by_index or (found[0] < 0).any()):
            parameters = faiss.SearchParameters(sel=self._selector(rows))
            scores, found = self._vectors.search(query[None], k, params=parameters)
        real = found[0] >= 0
        return Hits(self._keys[found[0][real]], scores[0][real])

    def search_many(self, queries: NDArray[np.float32], k: int) -> Hits:
        scores, found = self._index.search(queries, min(k, len(self)), params=self._parameters(None))
        return Hits(np.where(found < 0, NO_CASE, self._keys[found]), scores)

    def close(self) -> None:
        """Free its memory."""
        del self._index

    def write(self, index_path: Path, keys_path: Path) -> None:
        """Write the index and its keys.

        Raises:
            OSError: There is no space, or no right to.
        """
        try:
            faiss.write_index(self._index, str(index_path))
        except RuntimeError as error:
            raise OSError(EIO, "index cannot be written, the disk may be full", str(index_path)) from error
        np.save(keys_path, self._keys, allow_pickle=False)

    @classmethod
    def read(cls, index_path: Path, keys_path: Path, kind: Kind) -> FaissStore:
        """Open what `write` wrote.

        Raises:
            CasebookError: A file is missing or damaged.
        """
        try:
            index = faiss.read_index(str(index_path))
            keys = np.load(keys_path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise CasebookError(
                f"{index_path}: unreadable index ({str(error)[:200]}). Rebuild the casebook."
            ) from error
        return cls(index, keys, kind)

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self._keys)

    @cached_property
    def _sorted_keys(self) -> NDArray[np.int64]:
        return self._keys[self._order]

    def _rows(self, allowed: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row numbers of the allowed keys that this index holds."""
        if len(self) == 0:
            return np.empty(0, np.int64)
        # Sorted, so that hundreds of thousands of keys are looked up along memory and not all over it.
        wanted = np.sort(allowed)
        position = np.searchsorted(self._sorted_keys, wanted).clip(max=len(self) - 1)
        return self._order[position[self._sorted_keys[position] == wanted]]

    @property
    def _vectors(self) -> Any:
        """The flat index that an approximate one keeps the vectors in."""
        refined = isinstance(self._index, faiss.IndexRefine)
        return faiss.downcast_index(self._index.refine_index if refined else self._index.storage)

    def _selector(self, rows: NDArray[np.int64]) -> Any:
        allowed = np.zeros(len(self), bool)
        allowed[rows] = True
        return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))

    def _parameters(self, rows: NDArray[np.int64] | None) -> Any:
        selector = {} if rows is None else {"sel": self._selector(rows)}
        if self.kind == "flat":
            return faiss.SearchParameters(**selector)
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=_HNSW_SEARCH_EFFORT, **selector)
        cells = faiss.extract_index_ivf(self._index).nlist
        probes = max(1, round(_IVF_PROBED_SHARE * cells))
        return faiss.IndexRefineSearchParameters(
            k_factor=_REFINE_FACTOR,
            base_index_params=faiss.SearchParametersIVF(nprobe=probes, **selector),
        )
