"""Data quality, on casebooks in which something was planted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from explorer import Casebook
from explorer.quality.balance import cases_of_part, label_balance, missing_fields, view_balance
from explorer.quality.check import Quality, check_quality
from explorer.quality.copies import film_copies, report_copies, shared_patients
from explorer.quality.drift import drifts
from explorer.quality.label_errors import suspects
from explorer.report.quality import balance_chart, drift_table, part_table
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import read_manifest
from index_builder.cases.table import read_cases, write_cases
from index_builder.errors import QueryError


def quiet(*_: object) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def planted(tmp_path: Path, small_casebook: Path) -> Callable[..., Casebook]:
    """A copy of the small casebook in which columns of its cases are replaced."""

    def make(**columns: list[object]) -> Casebook:
        folder = Path(shutil.copytree(small_casebook, tmp_path / "planted", dirs_exist_ok=True))
        layout = Layout(folder)
        found = read_cases(layout.cases, read_manifest(folder).cases)
        types = {
            one.name: one.type.value_type if pa.types.is_dictionary(one.type) else one.type for one in found.schema
        }
        read = {name: columns.get(name, found.column(name).to_pylist()) for name in found.column_names}
        table = pa.table({name: pa.array(values, types[name]) for name, values in read.items()})
        write_cases(table, layout.cases, layout.case_keys)
        return Casebook.open(folder)

    return make


@pytest.fixture(scope="module")
def quality(small_casebook: Path) -> Quality:
    return check_quality(Casebook.open(small_casebook), quiet)


def column(casebook: Casebook, name: str) -> list[object]:
    return casebook.table.column(name).to_pylist()


def test_a_film_copied_into_another_part_is_found(small_casebook: Path, planted: Callable[..., Casebook]) -> None:
    # Case 1 is a copy of case 0, of the same patient and so of the same part.
    casebook = Casebook.open(small_casebook)
    assert film_copies(casebook, quiet) == []
    split = column(casebook, "split")
    split[0], split[1] = "train", "test"
    (pair,) = film_copies(planted(split=split), quiet)
    assert (pair.first, pair.second) == (0, 1)
    assert pair.likeness is not None
    assert pair.likeness > 0.99


def test_a_patient_torn_between_parts_is_found(small_casebook: Path, planted: Callable[..., Casebook]) -> None:
    assert shared_patients(Casebook.open(small_casebook)) == []
    casebook = Casebook.open(small_casebook)
    patients = column(casebook, "patient_id")
    splits = column(casebook, "split")
    train, test = splits.index("train"), splits.index("test")
    patients[test] = patients[train]
    found = shared_patients(planted(patient_id=patients))
    assert [{pair.first, pair.second} for pair in found] == [{train, test}]


def test_a_report_that_occurs_in_two_parts_is_found(small_casebook: Path, planted: Callable[..., Casebook]) -> None:
    casebook = Casebook.open(small_casebook)
    name = next(one for one in casebook.table.column_names if one.startswith("section."))
    reports, splits = column(casebook, name), column(casebook, "split")
    held = [row for row, report in enumerate(reports) if report]
    train = next(row for row in held if splits[row] == "train")
    val, test = (next(row for row in held if splits[row] == part) for part in ("val", "test"))
    assert report_copies(casebook) == []
    reports[test] = str(reports[train]).upper().replace(" ", ",  ")
    reports[val] = "No acute disease."
    found = report_copies(planted(**{name: reports}))
    assert [{pair.first, pair.second} for pair in found] == [{train, test}]


def test_flipped_labels_are_suspected() -> None:
    random = np.random.default_rng(0)
    labels = random.random((400, 3)) < (0.5, 0.2, 0.01)
    vectors = random.normal(size=(400, 16)) + 6 * labels[:, :1] * np.eye(16)[0] + 6 * labels[:, 1:2] * np.eye(16)[1]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    flipped = np.zeros_like(labels)
    flipped[random.choice(400, 20, replace=False), 0] = True
    flipped[random.choice(400, 12, replace=False), 1] = True
    patients = np.array([f"p{number // 2}" for number in range(400)])
    found, not_judged = suspects(vectors, labels ^ flipped, ["a", "b", "rare"], patients, quiet)
    assert list(not_judged) == ["rare"]
    hits = [flipped[one.row, "ab".index(one.label)] for one in found]
    assert np.mean(hits) > 0.6
    assert sum(hits) > 0.8 * flipped.sum()
    # The surest are nearly all errors, and what is told of them is true.
    assert np.mean(hits[:15]) > 0.9
    for one in found:
        assert one.given == (labels ^ flipped)[one.row, "ab".index(one.label)]
    gaps = [abs(one.probability - one.given) for one in found]
    assert gaps == sorted(gaps, reverse=True)


def test_a_stage_given_to_another_stage_is_suspected() -> None:
    random = np.random.default_rng(1)
    stage = random.integers(0, 3, 300)
    vectors = random.normal(size=(300, 12)) + 5 * np.eye(12)[stage]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    wrong = random.choice(300, 15, replace=False)
    given = stage.copy()
    given[wrong] = (given[wrong] + 1) % 3
    labels = given[:, None] == np.arange(3)
    found, not_judged = suspects(vectors, labels, ["0", "1", "2"], np.arange(300), quiet)
    assert not_judged == {}
    rows = [one.row for one in found]
    assert len(rows) == len(set(rows))
    assert len(set(rows) & set(wrong.tolist())) > 12
    assert len(set(rows) - set(wrong.tolist())) < 8
    assert all(one.label == str(given[one.row]) and one.given for one in found)


def test_too_few_cases_are_not_judged() -> None:
    labels = np.array([[True], [False]] * 6)
    found, not_judged = suspects(np.eye(12, dtype=np.float32), labels, ["a"], np.arange(12), quiet)
    assert found == []
    assert list(not_judged) == ["a"]


def test_a_label_that_cannot_be_learnt_is_not_judged() -> None:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(200, 8)).astype(np.float32)
    labels = random.random((200, 1)) < 0.5
    found, not_judged = suspects(vectors, labels, ["noise"], np.arange(200), quiet)
    assert found == []
    assert not_judged["noise"].startswith("classifier's AUROC 0.")


def test_balance_counts_every_case_once_per_part(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    labels = label_balance(casebook)
    for label, rows in labels.groupby("label"):
        column = casebook.label_names.index(label) if label in casebook.label_names else None
        held = ~casebook.label_matrix.any(1) if column is None else casebook.label_matrix[:, column]
        assert rows["cases"].sum() == held.sum()
        for row in rows.itertuples():
            assert len(cases_of_part(casebook, ["part", str(label), str(row.part)]).cases) == row.cases
    assert view_balance(casebook)["cases"].sum() == len(casebook)
    missing = missing_fields(casebook).groupby("field")["cases"].sum()
    assert missing["film"] == 60
    assert missing["report"] == 300 - casebook.manifest.reports
    assert missing["age"] == np.isnan(casebook.column("age")).sum() > 0
    assert missing["sex"] == 0
    with pytest.raises(QueryError, match="no cases behind"):
        cases_of_part(casebook, ["part", "Mass", "train"])


def test_drift_is_found_where_it_was_planted(small_casebook: Path, planted: Callable[..., Casebook]) -> None:
    casebook = Casebook.open(small_casebook)
    assert not [one for one in drifts(casebook, "image") if one.differs]
    splits = np.array(column(casebook, "split"), object)
    test = splits == "test"
    ages = [20.0 if one else age for one, age in zip(test, column(casebook, "profile.age"), strict=True)]
    views = ["AP" if one else view for one, view in zip(test, column(casebook, "view"), strict=True)]
    labels = [["Nodule"] if one else list(own) for one, own in zip(test, column(casebook, "labels"), strict=True)]
    changed = planted(**{"profile.age": ages, "view": views, "labels": labels})
    found = {one.what: one for one in drifts(changed, None) if one.part == "test" and one.differs}
    assert {"age", "view", "Nodule", "Cardiomegaly"} <= set(found)
    assert "sex" not in found
    assert found["view"].effect.startswith("AP: ")
    assert {changed.column("split")[row] for row in found["Nodule"].rows} == {"test"}
    assert not [one for one in drifts(changed, None) if one.part == "val" and one.differs]


def test_vectors_of_a_part_that_lie_elsewhere_are_told_apart(
    small_casebook: Path, planted: Callable[..., Casebook]
) -> None:
    casebook = planted()
    vectors = np.load(Layout(casebook.folder).embeddings("image"))
    test = (casebook.column("split") == "test") & vectors.any(axis=1)
    vectors[test] = (vectors[test] + 1).astype(np.float16)
    np.save(Layout(casebook.folder).embeddings("image"), vectors)
    found = {one.part: one for one in drifts(Casebook.open(casebook.folder), "image") if one.what == "image vectors"}
    assert found["test"].differs
    assert not found["val"].differs
    assert {casebook.column("split")[row] for row in found["test"].rows} == {"test"}


def test_findings_tell_their_cases(quality: Quality, small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    assert [one.key for one in quality.findings] == [
        "label errors", "film copies", "patients", "report copies", "class balance", "missing fields", "drift",
    ]  # fmt: skip
    by_key = {one.key: one for one in quality.findings}
    assert by_key["patients"].level == by_key["film copies"].level == "fine"
    lacking = {case.case_id: case.said for case in by_key["missing fields"].cases.cases}
    assert lacking["case-004"].startswith("no film")
    assert all(case.case_id in casebook for one in quality.findings for case in one.cases.cases)
    content = json.loads(json.dumps(quality.as_dict(), allow_nan=False))
    assert content["disclaimer"] == "For education and research, not for diagnosis."
    assert len(content["findings"]) == 7
    assert "train" in part_table(quality.missing).columns
    assert len(drift_table(quality)) == len(quality.drifts) > 10
    chart = balance_chart(quality, "dark")
    assert len(chart.table) == len(quality.labels)


def test_leaks_are_problems(small_casebook: Path, planted: Callable[..., Casebook]) -> None:
    split = column(Casebook.open(small_casebook), "split")
    split[0], split[1] = "train", "test"
    found = {one.key: one for one in check_quality(planted(split=split), quiet).findings}
    assert found["film copies"].level == found["patients"].level == "problem"
    assert [case.case_id for case in found["film copies"].cases.cases] == ["case-001", "case-000"]
    assert "the same as case-000, correlation" in found["film copies"].cases.cases[0].said
