"""Milvus Lite, the embedded Milvus, against brute force and against FAISS; and what is said when it is not there."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from explorer.casebook import Casebook
from explorer.search.filters.expression import matching_rows, parse_filter, stored_conditions
from explorer.search.query import Query, SearchOptions
from explorer.search.search import search_cases
from index_builder.build.build import BuildRequest, build
from index_builder.casebook import indexes as indexing
from index_builder.casebook.manifest import read_manifest, verify, write_manifest
from index_builder.cases.case import Case
from index_builder.cases.table import CaseRows, cases_table
from index_builder.errors import CasebookError
from index_builder.stores import milvus
from index_builder.stores.base import Condition, case_keys
from index_builder.stores.milvus import MilvusPlace, MilvusStore, column_name, filter_fields

COUNT, DIM = 200, 16
AGES = [None if row % 3 == 0 else row % 100 for row in range(COUNT)]
SEXES = ["F", "M", None]
LABELS: list[tuple[str, ...]] = [("Mass",), ("Mass", 'He said "a\\b"'), (), ("Nodule",)]


def a_case(row: int) -> Case:
    profile: dict[str, Any] = {"age": AGES[row], "sex": SEXES[row % 3], "smoker": (True, False, None)[row % 3]}
    return Case(
        f"case {row}",
        f"patient {row}",
        "train",
        LABELS[row % 4],
        profile={name: value for name, value in profile.items() if value is not None},
    )


CASES = [a_case(row) for row in range(COUNT)]
KEYS = case_keys([case.case_id for case in CASES])
FIELDS = filter_fields(cases_table(CASES))


def unit(rows: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(rows, DIM)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


VECTORS = unit(COUNT, 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> MilvusPlace:
    return MilvusPlace.parse("milvus:", tmp_path_factory.mktemp("lite"))


@pytest.fixture(scope="module")
def store(place: MilvusPlace) -> Iterator[MilvusStore]:
    built = MilvusStore.build(place, "image", VECTORS, KEYS, FIELDS)
    yield built
    built.close()


def expected(query: np.ndarray, rows: np.ndarray, k: int) -> list[int]:
    return KEYS[rows[np.argsort(-(VECTORS[rows] @ query))[:k]]].tolist()


def test_search_agrees_with_brute_force(store: MilvusStore) -> None:
    every = np.arange(COUNT)
    for query in unit(3, 1):
        hits = store.search(query, 10)
        assert hits.keys.tolist() == expected(query, every, 10)
        np.testing.assert_allclose(hits.scores, np.sort(VECTORS @ query)[::-1][:10], atol=1e-5)
        assert store.search(query, 5, KEYS[7::20]).keys.tolist() == expected(query, every[7::20], 5)
    many = store.search_many(unit(3, 1), 4)
    assert many.keys.tolist() == [expected(query, every, 4) for query in unit(3, 1)]
    assert len(store) == COUNT
    assert len(store.search(VECTORS[0], 5, np.empty(0, np.int64)).keys) == 0


CONDITIONS = {
    Condition("labels", "any", ("Mass", "Nodule")): lambda row: row % 4 != 2,
    Condition("labels", "any", ('He said "a\\b"',)): lambda row: row % 4 == 1,
    Condition("labels", "all", ("Mass", 'He said "a\\b"')): lambda row: row % 4 == 1,
    Condition("labels", "none", ("Mass",)): lambda row: row % 4 > 1,
    Condition("split", "any", ("train",)): lambda row: True,
    Condition("profile.sex", "any", ("f", "m")): lambda row: row % 3 < 2,
    Condition("profile.sex", "none", ("f",)): lambda row: row % 3 > 0,
    Condition("profile.smoker", "any", (True,)): lambda row: row % 3 == 0,
    Condition("profile.smoker", "none", (True,)): lambda row: row % 3 > 0,
    Condition("profile.age", "any", (50.0, 52.0)): lambda row: AGES[row] in (50, 52),
    Condition("profile.age", "none", (50.0,)): lambda row: AGES[row] != 50,
    Condition("profile.age", "<", (30.0,)): lambda row: AGES[row] is not None and AGES[row] < 30,
    Condition("profile.age", ">=", (80.0,)): lambda row: AGES[row] is not None and AGES[row] >= 80,
    Condition("profile.age", "between", (40.0, None)): lambda row: AGES[row] is not None and AGES[row] >= 40,
    Condition("profile.age", "between", (None, None)): lambda row: AGES[row] is not None,
}


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_conditions_are_met_inside_milvus(
    monkeypatch: pytest.MonkeyPatch, store: MilvusStore, condition: Condition
) -> None:
    monkeypatch.setattr(milvus, "_FEW_KEYS", 0)
    rows = np.array([row for row in range(COUNT) if CONDITIONS[condition](row)])
    # Twice as many allowed keys as the condition leaves: what decides is the condition.
    hits = store.search(VECTORS[0], COUNT, KEYS, [condition, Condition("synthetic", "any", (False,))])
    assert hits.keys.tolist() == expected(VECTORS[0], rows, COUNT)


def test_a_condition_on_a_field_that_is_not_kept_goes_by_keys(store: MilvusStore) -> None:
    hits = store.search(VECTORS[0], 9, KEYS[::50], [Condition("profile.shoe", "any", ("red",))])
    assert set(hits.keys.tolist()) == set(KEYS[::50].tolist())


def test_the_same_build_fills_the_same_collection(place: MilvusPlace, store: MilvusStore) -> None:
    again = MilvusStore.build(place, "image", VECTORS, KEYS, FIELDS)
    assert again.collection == store.collection
    store._client.delete(store.collection, ids=KEYS[:50].tolist())
    with pytest.raises(CasebookError, match=r"holds 150 of 200 cases\. Rebuild the casebook with --store milvus:"):
        MilvusStore.open(place, store.collection, COUNT)
    MilvusStore.build(place, "image", VECTORS, KEYS, FIELDS)
    assert len(MilvusStore.open(place, store.collection, COUNT).search(VECTORS[0], COUNT).keys) == COUNT
    other = MilvusStore.build(place, "image", VECTORS[::-1].copy(), KEYS, FIELDS)
    assert other.collection != store.collection
    with pytest.raises(CasebookError, match="collection cxr_gone is not there"):
        MilvusStore.open(place, "cxr_gone", COUNT)


def test_what_cannot_be_reached_or_read_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "_TIMEOUT", 1.0)
    with pytest.raises(CasebookError, match=r"milvus:http://127\.0\.0\.1:9.*Check that the server runs"):
        indexing.check_store("milvus:http://127.0.0.1:9", tmp_path)
    for name, said in (
        ("milvus:http://user:secret@host:19530", "leave user and password out"),
        ("milvus:../elsewhere.db", "without a folder"),
        ("postgres:", "no such store"),
    ):
        with pytest.raises(CasebookError, match=said) as raised:
            indexing.check_store(name, tmp_path)
        assert "secret" not in str(raised.value)
    with pytest.raises(CasebookError, match=r"milvus\.db: missing"):
        MilvusStore.open(MilvusPlace.parse("milvus:", tmp_path), "cxr", 3)


def test_the_token_goes_to_the_server_it_is_meant_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pymilvus

    sent = {}
    monkeypatch.setattr(pymilvus, "MilvusClient", lambda uri, token, timeout: sent.update({uri: token}))
    monkeypatch.setenv("MILVUS_URI", "https://own:19530/")
    monkeypatch.setenv("MILVUS_TOKEN", "user:secret")
    for uri in ("https://own:19530", "https://other:19530"):
        MilvusPlace.parse(f"milvus:{uri}", tmp_path).connect()
    assert sent == {"https://own:19530": "user:secret", "https://other:19530": ""}


def test_names_milvus_takes_are_distinct() -> None:
    names = ["profile.age", "profile_age", "profile age", "profile.âge", "labels"]
    found = {column_name(name) for name in names}
    assert len(found) == len(names)
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in found)
    long = pa.table({"labels": pa.array([["a"]]), "profile.note": ["x" * 2_000]})
    assert filter_fields(long).column_names == ["labels"]


def quiet(stage: str, done: int, total: int) -> None:
    """No progress."""


def test_a_build_on_milvus_is_a_sound_casebook(tmp_path: Path, tiny_checkpoint: Path) -> None:
    root, out = tmp_path / "texts", tmp_path / "out"
    root.mkdir()
    (root / "manifest.csv").write_text("case_id,report\na,normal heart\nb,small effusion\nc,clear lung\n")
    build(BuildRequest("manifest", root, out, tiny_checkpoint, store="milvus:"), quiet)
    manifest = read_manifest(out)
    assert manifest.store == "milvus:"
    assert {record.index for record in manifest.spaces.values()} == {"milvus"}
    assert verify(out) == []
    casebook = Casebook.open(out)
    assert len(search_cases(casebook, Query(text="effusion"), k=5).neighbours) == 3
    casebook.store("text").close()
    assert verify(out) == []


def test_a_casebook_on_milvus_answers_as_one_on_faiss(
    tmp_path: Path, small_casebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "_FEW_KEYS", 0)
    on_faiss = Casebook.open(small_casebook)
    cases = CaseRows(on_faiss.table)
    folder = shutil.copytree(small_casebook, tmp_path / "on-milvus", ignore=shutil.ignore_patterns("index"))
    spaces = {}
    for space in on_faiss.spaces:
        vectors = on_faiss.vectors(space)
        record = indexing.index_space(folder, space, cases, vectors, "milvus:")
        assert record is not None
        spaces[space] = record
        nearest = on_faiss.manifest.spaces[space].nearest_similarity
        np.testing.assert_allclose(spaces[space].nearest_similarity, nearest, atol=2e-4)
    # The index of reports is the casebook's own, whatever the store.
    shutil.copytree(small_casebook / "index" / "lexical", folder / "index" / "lexical")
    write_manifest(folder, on_faiss.manifest.model_copy(update={"store": "milvus:", "spaces": spaces}))
    on_milvus = Casebook.open(folder)
    expressions = (
        "label!=Effusion",
        "age>=50",
        "sex=F",
        "report~effusion",
        "label=all(Cardiomegaly,Effusion)",
        "side=left",
    )
    for filters in ((), *((parse_filter(one),) for one in expressions)):
        options = SearchOptions(k=7, filters=filters)
        for query in (Query(text="small effusion"), Query(case_id="case-009")):
            ours, theirs = search_cases(on_milvus, query, options), search_cases(on_faiss, query, options)
            assert ours.searched == theirs.searched
            scores = [[one.score for one in result.neighbours] for result in (ours, theirs)]
            np.testing.assert_allclose(*scores, atol=1e-4)
            met = matching_rows(on_milvus, filters)
            assert all(met[on_milvus.row(one.case_id)] for one in ours.neighbours)
    assert stored_conditions(on_milvus, [parse_filter("report~effusion")]) is None
    on_milvus.store("text").close()


@pytest.mark.parametrize("few", [0, milvus._FEW_KEYS])
def test_laterals_are_found_as_by_faiss(
    tmp_path: Path,
    study_folder: Path,
    study_casebook: Path,
    tiny_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
) -> None:
    build(
        BuildRequest("manifest", study_folder, tmp_path / "studies", tiny_checkpoint, store="milvus:"), lambda *_: None
    )
    monkeypatch.setattr(milvus, "_FEW_KEYS", few)
    by_faiss, by_milvus = Casebook.open(study_casebook), Casebook.open(tmp_path / "studies")
    lateral = by_faiss.film("004-3.png").pixels
    for filters in ((), (parse_filter("label=Nodule"),)):
        options = SearchOptions(k=60, filters=filters)
        found = [search_cases(one, Query(pixels=lateral), options) for one in (by_faiss, by_milvus)]
        assert found[0].laterals
        assert [(one.case_id, one.film) for one in found[0].neighbours] == [
            (one.case_id, one.film) for one in found[1].neighbours
        ]
