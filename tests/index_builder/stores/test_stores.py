"""FAISS stores against brute force."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index_builder.errors import CasebookError
from index_builder.stores.base import case_key, case_keys
from index_builder.stores.faiss import FLAT_LIMIT, HNSW_LIMIT, FaissStore, Kind, choose_kind

COUNT, DIM = 3_000, 32


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    """Clustered unit vectors in half precision, as a casebook's are."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, DIM))
    found = centres[random.integers(40, size=COUNT)] + 0.7 * random.normal(size=(COUNT, DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def keys() -> NDArray[np.int64]:
    return case_keys([f"case {number}" for number in range(COUNT)])


@pytest.fixture(scope="module", params=["flat", "hnsw", "ivfpq"])
def store(request: pytest.FixtureRequest, vectors: NDArray[np.float32], keys: NDArray[np.int64]) -> FaissStore:
    return FaissStore.build(vectors, keys, request.param)


def recall(
    store: FaissStore, vectors: NDArray[np.float32], keys: NDArray[np.int64], rows: NDArray[np.int64] | None
) -> float:
    """Recall of the ten nearest over 30 queries, against brute force among the allowed rows."""
    chosen = np.arange(COUNT) if rows is None else rows
    shares = []
    for query in vectors[::100]:
        best = chosen[np.argsort(-(vectors[chosen] @ query))[:10]]
        hits = store.search(query, 10, None if rows is None else keys[rows])
        assert np.all(np.diff(hits.scores) <= 1e-6)
        assert set(hits.keys) <= set(keys[chosen])
        shares.append(len(set(hits.keys) & set(keys[best])) / min(10, len(chosen)))
    return float(np.mean(shares))


@pytest.mark.parametrize("allowed", [None, 1, 7, 300, 2_900])
def test_search_agrees_with_brute_force(
    store: FaissStore, vectors: NDArray[np.float32], keys: NDArray[np.int64], allowed: int | None
) -> None:
    rows = None if allowed is None else np.sort(np.random.default_rng(1).choice(COUNT, allowed, replace=False))
    floor = 1.0 if store.kind == "flat" else 0.98
    assert recall(store, vectors, keys, rows) >= floor


def test_nothing_allowed_finds_nothing(store: FaissStore, vectors: NDArray[np.float32]) -> None:
    assert len(store.search(vectors[0], 5, np.empty(0, np.int64)).keys) == 0


def test_keys_the_store_does_not_hold_are_ignored(
    store: FaissStore, vectors: NDArray[np.float32], keys: NDArray[np.int64]
) -> None:
    hits = store.search(vectors[5], 3, np.array([case_key("a stranger"), keys[5]], np.int64))
    assert hits.keys.tolist() == [keys[5]]


def test_written_store_answers_the_same_and_has_the_same_bytes(
    tmp_path: Path, store: FaissStore, vectors: NDArray[np.float32], keys: NDArray[np.int64]
) -> None:
    store.write(tmp_path / "a", tmp_path / "a.npy")
    opened = FaissStore.read(tmp_path / "a", tmp_path / "a.npy", store.kind)
    for query in vectors[:5]:
        np.testing.assert_array_equal(opened.search(query, 9).keys, store.search(query, 9).keys)
    FaissStore.build(vectors, keys, store.kind).write(tmp_path / "b", tmp_path / "b.npy")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_damaged_files_are_named(tmp_path: Path, vectors: NDArray[np.float32], keys: NDArray[np.int64]) -> None:
    index, numbers = tmp_path / "x.faiss", tmp_path / "x.npy"
    FaissStore.build(vectors, keys).write(index, numbers)
    whole = index.read_bytes()
    index.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CasebookError, match=r"x\.faiss"):
        FaissStore.read(index, numbers, "flat")
    index.write_bytes(whole)
    np.save(numbers, keys[:-1])
    with pytest.raises(CasebookError, match="2999 keys"):
        FaissStore.read(index, numbers, "flat")


@pytest.mark.parametrize(
    ("count", "kind"), [(1, "flat"), (FLAT_LIMIT, "flat"), (FLAT_LIMIT + 1, "hnsw"), (HNSW_LIMIT + 1, "ivfpq")]
)
def test_kind_follows_size(count: int, kind: Kind) -> None:
    assert choose_kind(count) == kind


def test_case_keys_are_positive_distinct_and_never_change() -> None:
    found = case_keys([f"case-{number}" for number in range(100_000)])
    assert found.min() >= 0
    assert len(set(found.tolist())) == 100_000
    assert case_key("CXR1") == 4_128_378_136_685_467_023


def test_a_filter_that_leaves_nothing_near_still_finds_as_many_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph searched among a query's near, but forbidden, cases comes back empty-handed."""
    monkeypatch.setattr("index_builder.stores.faiss.EXACT_SUBSET", 10)
    random = np.random.default_rng(0)
    centres = np.eye(16, dtype=np.float32)[[0, 1]]
    vectors = np.repeat(centres, 2000, axis=0) + 0.01 * random.standard_normal((4000, 16), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    keys = case_keys([f"case {row}" for row in range(4000)])
    store = FaissStore.build(vectors, keys, "hnsw")
    hits = store.search(centres[0], 5, keys[2000:])
    best = np.argsort(-vectors[2000:] @ centres[0])[:5]
    assert set(hits.keys) == set(keys[2000:][best])
