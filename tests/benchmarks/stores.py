"""Vector stores side by side: build time, memory, recall@10 against exact search, queries a second, filtered search.

    OMP_NUM_THREADS=1 python tests/benchmarks/stores.py CASEBOOK [--count N …] [--store NAME …]

Vectors are drawn around the film vectors of CASEBOOK, so that they cluster as real embeddings do: each is a case moved
at random towards and away from its 20 nearest cases, by as much as those are apart, plus noise in all dimensions.
Queries are drawn likewise and are none of the indexed vectors. A store is built in one process and opened and searched
in another, whose growth is the memory it takes. Times are the processor's. A filter leaves cases drawn at random
("random") or whole neighbourhoods, as a rare finding does ("together").
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from explorer.casebook import Casebook
from index_builder.stores.base import Condition, VectorStore, case_keys

NEIGHBOURS = 20
#: Length of the noise beside a vector of length 1.
NOISE = 0.1
QUERIES = 200
K = 10
#: Sums of float32 products differ by less.
TIE = 1e-5
STORES = ("flat", "hnsw", "ivfpq", "milvus")
FILTERS = ("none", "1 % random", "1 % together", "10 % random", "10 % together")
_BLOCK = 50_000


def vectors_like(seeds: NDArray[np.float32], count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors [count, D] that cluster as `seeds` [n, D] do, and the row of the seed of each [count]."""
    similarity = seeds @ seeds.T
    np.fill_diagonal(similarity, -np.inf)
    near = np.argsort(-similarity, axis=1)[:, :NEIGHBOURS]
    random = np.random.default_rng(seed)
    origin = random.integers(len(seeds), size=count)
    found = np.empty((count, seeds.shape[1]), np.float32)
    for start in range(0, count, _BLOCK):
        chosen = origin[start : start + _BLOCK]
        moved = NOISE / np.sqrt(seeds.shape[1]) * random.standard_normal((len(chosen), seeds.shape[1]), np.float32)
        moved += seeds[chosen]
        for column in range(NEIGHBOURS):
            step = random.standard_normal((len(chosen), 1), np.float32) / np.sqrt(NEIGHBOURS)
            moved += step * (seeds[near[chosen, column]] - seeds[chosen])
        # In half precision, as a casebook keeps its vectors.
        found[start : start + _BLOCK] = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float16)
    return found, origin


def allowed_rows(origin: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    """Rows that a filter of `FILTERS` leaves."""
    if name == "none":
        return np.arange(len(origin))
    share = int(name.split()[0]) / 100
    random = np.random.default_rng(7)
    if name.endswith("random"):
        return np.sort(random.choice(len(origin), int(share * len(origin)), replace=False))
    seeds = int(origin.max()) + 1
    return np.flatnonzero(np.isin(origin, random.choice(seeds, int(share * seeds), replace=False)))


def tenth_best(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Similarity of the tenth nearest of all vectors to each query, exactly."""
    best = np.full((len(queries), K), -np.inf, np.float32)
    for start in range(0, len(vectors), _BLOCK):
        scores = np.concatenate([best, queries @ vectors[start : start + _BLOCK].T], axis=1)
        best = -np.partition(-scores, K - 1, axis=1)[:, :K]
    return best.min(axis=1)


def build_store(name: str, folder: Path, data: Path) -> dict[str, Any]:
    """Build a store of the vectors in `data`."""
    vectors, keys = np.load(data / "vectors.npy"), np.load(data / "keys.npy")
    began = process_time()
    if name == "milvus":
        from index_builder.stores.milvus import MilvusPlace, MilvusStore

        labels = [np.flatnonzero(row).tolist() for row in np.load(data / "filters.npy").T]
        fields = pa.table(
            {"labels": pa.array([[FILTERS[one] for one in row] for row in labels], pa.list_(pa.string()))}
        )
        store = MilvusStore.build(MilvusPlace.parse("milvus:", folder), "benchmark", vectors, keys, fields)
        (folder / "collection").write_text(store.collection)
        store.close()
    else:
        from index_builder.stores.faiss import FaissStore

        FaissStore.build(vectors, keys, name).write(folder / "index", folder / "keys.npy")  # type: ignore[arg-type]
    seconds = process_time() - began
    return {"build": seconds, "disk": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}


def open_store(name: str, folder: Path, count: int) -> VectorStore:
    """Open what `build_store` built."""
    if name == "milvus":
        from index_builder.stores.milvus import MilvusPlace, MilvusStore

        return MilvusStore.open(MilvusPlace.parse("milvus:", folder), (folder / "collection").read_text(), count)
    from index_builder.stores.faiss import FaissStore

    return FaissStore.read(folder / "index", folder / "keys.npy", name)  # type: ignore[arg-type]


def search_store(name: str, folder: Path, data: Path) -> dict[str, Any]:
    """Open and search: growth of the process, recall@10 by similarity, as ties count, and milliseconds a query."""
    queries = np.load(data / "queries.npy")
    import faiss  # noqa: F401  loaded before memory is looked at

    before, began = resident_bytes(), perf_counter()
    count = np.load(data / "keys.npy", mmap_mode="r").size
    store = open_store(name, folder, count)
    store.search(queries[0], K)
    found: dict[str, Any] = {"open": perf_counter() - began, "memory": resident_bytes() - before}
    for number, shown in enumerate(FILTERS):
        floor = np.load(data / f"floor{number}.npy")
        allowed = None if shown == "none" else np.load(data / f"allowed{number}.npy")
        # Milvus Lite compares one by one: half a minute a query at a million vectors.
        asked = queries if name != "milvus" else queries[: 40 if count <= 100_000 else 5]
        where = None if allowed is None else [Condition("labels", "any", (shown,))]
        store.search(asked[0], K, allowed, where)
        began = process_time()  # of all threads: others may be at work on this machine
        hits = [store.search(query, K, allowed, where) for query in asked]
        seconds = process_time() - began
        recall = np.mean([(one.scores >= low - TIE).sum() / K for one, low in zip(hits, floor, strict=False)])
        found[shown] = float(recall), 1e3 * seconds / len(asked)
    return found


def alone(task: Callable[..., dict[str, Any]], *arguments: object) -> dict[str, Any]:
    """Run a task in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()


def resident_bytes() -> int:
    """Memory of this process, files mapped into it included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main(casebook: str, counts: list[int], stores: list[str]) -> None:
    """Print a row per store and number of vectors."""
    opened = Casebook.open(casebook)
    seeds = opened.vectors("image").astype(np.float32)
    seeds = seeds[seeds.any(axis=1)]
    seeds /= np.linalg.norm(seeds, axis=1, keepdims=True)
    queries, _ = vectors_like(seeds, QUERIES, 1)
    print("| vectors | store | build s | disk MB | open s | memory MB | " + " | ".join(map(_heading, FILTERS)) + " |")
    print("|" + "---|" * (6 + len(FILTERS)))
    for count in counts:
        with tempfile.TemporaryDirectory() as place:
            data = Path(place)
            vectors, origin = vectors_like(seeds, count, 0)
            keys = case_keys([f"case {row}" for row in range(count)])
            for name, array in (("vectors", vectors), ("keys", keys), ("queries", queries)):
                np.save(data / name, array)
            filters = np.zeros((len(FILTERS), count), bool)
            for number, shown in enumerate(FILTERS):
                rows = allowed_rows(origin, shown)
                filters[number, rows] = True
                np.save(data / f"allowed{number}", keys[rows])
                np.save(data / f"floor{number}", tenth_best(vectors[rows], queries))
            np.save(data / "filters", filters)
            del vectors
            for name in stores:
                folder = data / name
                folder.mkdir()
                row = alone(build_store, name, folder, data) | alone(search_store, name, folder, data)
                answers = [f"{recall:.3f}, {ms:.2f}" for recall, ms in (row[shown] for shown in FILTERS)]
                sizes = f"{row['build']:.1f} | {row['disk'] / 1e6:.0f} | {row['open']:.2f} | {row['memory'] / 1e6:.0f}"
                print(f"| {count:,} | {name} | {sizes} | {' | '.join(answers)} |", flush=True)


def _heading(name: str) -> str:
    return "no filter: recall@10, ms" if name == "none" else name


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("casebook")
    parser.add_argument("--count", type=int, action="append")
    parser.add_argument("--store", choices=STORES, action="append")
    given = parser.parse_args()
    main(given.casebook, given.count or [10_000, 100_000], given.store or list(STORES))
