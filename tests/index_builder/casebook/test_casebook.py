"""The artifact: round trips, validation, and damage that must not go unseen."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.casebook.manifest import read_manifest, verify
from index_builder.cases import table as case_table
from index_builder.cases.case import Case
from index_builder.cases.table import CaseRows, case_from_row, cases_table, read_cases, write_cases
from index_builder.errors import CasebookError
from index_builder.stores.base import case_keys

names = st.text("abcdefgh_ é", min_size=1, max_size=6)
words = st.text(max_size=20).filter(lambda text: "\x00" not in text and text.isprintable())
cases = st.builds(
    Case,
    case_id=words,
    patient_id=words,
    split=st.sampled_from(["train", "val", "test"]),
    labels=st.lists(names, max_size=3).map(tuple),
    image=st.none() | words,
    other_images=st.lists(words, max_size=2).map(tuple),
    view=st.sampled_from(["PA", "AP", None]),
    sections=st.dictionaries(names, words.filter(bool), max_size=3),
    profile=st.fixed_dictionaries(
        {}, optional={"age": st.integers(0, 120), "dose": st.floats(0, 1), "smoker": st.booleans(), "job": words}
    ),
    codes=st.lists(words, max_size=2).map(tuple),
    synthetic=st.booleans(),
)


@given(several=st.lists(cases, min_size=1, max_size=8))
def test_cases_survive_the_table_and_its_file(tmp_path_factory: pytest.TempPathFactory, several: list[Case]) -> None:
    assert [case_from_row(row) for row in cases_table(several).to_pylist()] == several
    folder = tmp_path_factory.mktemp("cases")
    write_cases(cases_table(several), folder / "cases.arrow", folder / "keys.npy")
    read = read_cases(folder / "cases.arrow", len(several))
    assert [case_from_row(row) for row in read.to_pylist()] == several
    rows = CaseRows(read)
    assert list(rows) == several
    assert [rows[row] for row in range(len(several))] == several
    assert rows.table(rows.column_names).equals(cases_table(several))


@pytest.mark.parametrize("spread", [1, 4])
def test_cases_of_a_table_are_made_when_they_are_asked_for(
    spread: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_table, "_MADE_AT_ONCE", 3)
    monkeypatch.setattr(case_table, "_SPREAD", spread)
    monkeypatch.setattr(case_table, "_BATCH", 2)
    several = [Case(f"case {row}", f"patient {row // 2}", "train", ("Mass",) * (row % 2)) for row in range(8)]
    write_cases(cases_table(several), tmp_path / "cases.arrow", tmp_path / "keys.npy")
    rows = CaseRows(read_cases(tmp_path / "cases.arrow", 8))
    assert list(rows) == several
    places = np.array([6, 1, 4, 0, 5])
    chosen = rows.at(places)
    assert list(chosen) == [several[place] for place in places]
    assert chosen.at(np.array([1, 3])).rows.tolist() == [1, 0]
    assert list(chosen[1:4:2]) == [several[1], several[0]]
    assert chosen[-1] == several[5]
    assert chosen.column("case_id").to_pylist() == [several[place].case_id for place in places]
    assert case_table.cases_at(several, places) == list(case_table.cases_at(rows, places)) == list(chosen)
    with pytest.raises(IndexError):
        chosen[5]


def test_labels_of_plain_and_of_encoded_columns_are_the_same() -> None:
    plain = pa.chunked_array([[["b"], [], ["a", "b"]], [["c"], ["a"]]])
    encoded = pa.chunked_array(
        [pa.ListArray.from_arrays(one.offsets, one.values.dictionary_encode()) for one in plain.chunks]
    )
    for column in (plain, encoded):
        assert case_table.carried_labels(column) == {"a", "b", "c"}
        expected = [[True, False], [False, False], [True, True], [False, False], [False, True]]
        assert case_table.label_matrix(column, ["b", "a"]).tolist() == expected  # no column for "c"


def test_the_same_cases_give_the_same_bytes(tmp_path: Path) -> None:
    table = cases_table([Case("a", "p", "train", ("Mass",), profile={"age": 3}), Case("b", "q", "test", ())])
    for name in ("one", "two"):
        write_cases(table, tmp_path / name, tmp_path / f"{name}.npy")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()


def test_a_table_of_several_batches_reads_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_table, "_BATCH", 2)
    labels = [("b",), (), ("a", "b"), ("c",), ("a",), (), ("c", "a")]
    several = [Case(f"case {row}", "p", "train", own) for row, own in enumerate(labels)]
    write_cases(cases_table(several), tmp_path / "cases.arrow", tmp_path / "keys.npy")
    table = read_cases(tmp_path / "cases.arrow", 7)
    assert table.column("labels").num_chunks == 4
    expected = [[name in own for name in "abc"] for own in labels]
    assert case_table.label_matrix(table.column("labels"), ("a", "b", "c")).tolist() == expected
    ids = case_table.Values(table.column("case_id"), str)
    assert [ids[row] for row in range(7)] == list(ids) == ids[0:7] == [case.case_id for case in several]
    keys, order = case_table.read_case_keys(tmp_path / "keys.npy", 7)
    assert keys.tolist() == case_keys([case.case_id for case in several]).tolist()
    assert keys[order].tolist() == sorted(keys.tolist())
    with pytest.raises(CasebookError, match=r"keys\.npy: int64 \(2, 7\) for 8 cases"):
        case_table.read_case_keys(tmp_path / "keys.npy", 8)


def test_a_casebook_as_built_verifies_and_counts(small_casebook: Path) -> None:
    assert verify(small_casebook) == []
    manifest = read_manifest(small_casebook)
    assert (manifest.cases, manifest.films, manifest.reports) == (300, 240, 266)
    assert manifest.spaces["image"].count == 240
    assert manifest.spaces["text"].count == 266
    assert manifest.spaces["joint"].count == 300


def test_a_manifest_of_before_a_field_was_added_verifies(tmp_path: Path, small_casebook: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "older")
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["system"]["vote_temperatures"]
    path.write_text(json.dumps(content))
    assert verify(folder) != []
    manifest = read_manifest(folder)
    earlier = manifest.model_dump_json(exclude={"digest": True, "system": {"vote_temperatures"}}, exclude_unset=True)
    content["digest"] = hashlib.sha256(earlier.encode()).hexdigest()
    path.write_text(json.dumps(content))
    assert verify(folder) == []
    assert manifest.system.temperature_of("text") == manifest.system.vote_temperature


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    path.write_bytes(content)


def edit_manifest(change: Callable[[dict], None]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def apply(folder: Path) -> None:
        path = folder / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


FILES = [
    "cases.arrow",
    "case_keys.npy",
    "thumbnails.parquet",
    "projections.parquet",
    "embeddings/joint.npy",
    "index/image.faiss",
    "index/text.keys.npy",
    "system/model.safetensors",
    "system/config.json",
    "system/text/tokenizer.json",
]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_or_a_missing_file_is_named(tmp_path: Path, small_casebook: Path, name: str) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "copy")
    flip(folder / name)
    assert verify(folder) == [f"{name}: changed since it was built"]
    (folder / name).unlink()
    assert verify(folder) == [f"{name}: missing"]


def test_a_changed_manifest_and_a_foreign_file_are_named(tmp_path: Path, small_casebook: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "copy")
    edit_manifest(lambda content: content["dataset"].update(licence="public domain"))(folder)
    (folder / "notes.txt").write_text("mine")
    assert verify(folder) == ["manifest.json: changed since it was built", "notes.txt: not part of the casebook"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "not a casebook"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "unreadable"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "schema version None"),
        (edit_manifest(lambda content: content.update(schema_version=99)), "schema version 99"),
        (edit_manifest(lambda content: content.update(schema_version=1)), "schema version 1.*Rebuild the casebook"),
        (edit_manifest(lambda content: content["system"].update(predicts_by="guess")), r"system\.predicts_by"),
        (edit_manifest(lambda content: content.update(cases="many")), "cases:"),
    ],
)
def test_a_useless_manifest_is_explained(
    tmp_path: Path, small_casebook: Path, damage: Callable[[Path], object], said: str
) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "copy")
    damage(folder)
    with pytest.raises(CasebookError, match=said):
        read_manifest(folder)


def test_a_truncated_table_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "cases.arrow"
    write_cases(cases_table([Case("a", "p", "train", ("Mass",))]), path, tmp_path / "keys.npy")
    with pytest.raises(CasebookError, match=r"cases\.arrow: 1 cases where the manifest says 2"):
        read_cases(path, 2)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CasebookError, match=r"cases\.arrow: unreadable"):
        read_cases(path, 1)
