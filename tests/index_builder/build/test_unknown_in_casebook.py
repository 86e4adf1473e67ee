"""A label that is unknown of a case, from the table to the casebook, its subset, its copy and the app's questions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from explorer.casebook import Casebook
from explorer.search.filters.expression import matching_rows, parse_filter, stored_conditions
from index_builder.build.subset import write_subset
from index_builder.calibration.held_out import read_answers
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import read_manifest, read_metrics, write_manifest
from index_builder.cases.case import Case
from index_builder.cases.table import CaseRows, case_from_row, cases_table, known_matrix, read_cases, write_cases
from index_builder.datasets.own.manifest import Manifest
from index_builder.deidentify import Pseudonyms, write_deidentified

LABELS = ("Cardiomegaly", "Effusion", "Nodule")


def quiet(*_: object) -> None:
    """Progress that nobody watches."""


def test_the_case_table_keeps_what_is_unknown(tmp_path: Path) -> None:
    cases = [
        Case("1", "p", "train", ("a",), unknown=("b", "c")),
        Case("2", "p", "train", (), sections={"findings": "x"}),
        Case("3", "q", "val", ("b",), unknown=("c",)),
    ]
    table = cases_table(cases)
    assert [case_from_row(row) for row in table.to_pylist()] == cases
    write_cases(table, tmp_path / "cases.arrow", tmp_path / "keys.npy")
    read = CaseRows(read_cases(tmp_path / "cases.arrow", 3))
    assert list(read) == cases
    expected = [[True, False, False], [True, True, True], [True, True, False]]
    assert read.known("abc").tolist() == expected
    assert read.at(np.array([2, 0])).known("abc").tolist() == [expected[2], expected[0]]


def test_a_table_without_unknown_labels_has_no_column_of_them() -> None:
    table = cases_table([Case("1", "p", "train", ("a",))])
    assert "unknown" not in table.column_names
    assert known_matrix(table, ["a", "b"]).all()
    assert case_from_row(table.to_pylist()[0]).unknown == ()


def test_a_casebook_of_the_version_before_is_read(small_casebook: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    shutil.copytree(small_casebook, folder)
    write_manifest(folder, read_manifest(folder).model_copy(update={"schema_version": 4}))
    assert read_manifest(folder).schema_version == 4
    assert Casebook.open(folder).known_matrix.all()


def test_a_casebook_knows_what_is_unknown(hedged_folder: Path, hedged_casebook: Path) -> None:
    casebook = Casebook.open(hedged_casebook)
    source = {case.case_id: case for case in Manifest(hedged_folder).cases()}
    assert sum(bool(case.unknown) for case in source.values()) > 25
    for case_id, known in zip(casebook.case_ids, casebook.known_matrix, strict=True):
        assert casebook.case(case_id).unknown == source[case_id].unknown
        assert tuple(name for name, one in zip(LABELS, known, strict=True) if not one) == source[case_id].unknown
    assert not (casebook.label_matrix & ~casebook.known_matrix).any()


def test_calibration_and_evaluation_leave_unknown_labels_out(hedged_casebook: Path) -> None:
    casebook, held_out = Casebook.open(hedged_casebook), read_answers(Layout(hedged_casebook).held_out)
    assert {("text", "vote"), ("text", "classifier")} <= set(held_out)
    assert held_out["text", "vote"].told is not None
    for (space, source), answers in held_out.items():
        rows = [
            row
            for row, case in enumerate(map(casebook.case, casebook.case_ids))
            if case.split == "val"
            and len(case.unknown) < len(LABELS)
            and (space == "text" or case.image)
            and (space == "image" or case.report)
        ]
        columns = [casebook.label_names.index(name) for name in answers.names]
        np.testing.assert_array_equal(answers.known, casebook.known_matrix[rows][:, columns], err_msg=source)
    metrics = read_metrics(hedged_casebook)
    assert metrics is not None
    result = metrics["modalities"]["text"]
    unknown = result["per_case"]["unknown"]
    for name, row in result["classification"]["per_class"].items():
        missing = sum(name in one for one in unknown)
        assert row["unknown"] == missing > 0
        assert sum(row["confusion"].values()) == result["cases"] - missing


def test_a_subset_and_a_deidentified_copy_keep_it(
    hedged_folder: Path, hedged_casebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    casebook = Casebook.open(hedged_casebook)
    write_subset(hedged_casebook, casebook.case_ids[:40], tmp_path / "some", quiet)
    some = Casebook.open(tmp_path / "some")
    assert [some.case(one).unknown for one in some.case_ids] == [casebook.case(one).unknown for one in some.case_ids]
    dataset = Manifest(hedged_folder)
    cases = dataset.cases()[:40]
    write_deidentified(dataset, cases, tmp_path / "copy", Pseudonyms(b"k" * 32), quiet)
    assert [case.unknown for case in Manifest(tmp_path / "copy").cases()] == [case.unknown for case in cases]


def test_who_lacks_a_label_is_who_is_known_to_lack_it(hedged_casebook: Path) -> None:
    casebook = Casebook.open(hedged_casebook)
    column = casebook.label_names.index("Effusion")
    carried, known = casebook.label_matrix[:, column], casebook.known_matrix[:, column]
    lacking = np.flatnonzero(matching_rows(casebook, [parse_filter("label!=Effusion")]))
    np.testing.assert_array_equal(lacking, np.flatnonzero(~carried & known))
    assert len(lacking) < (~carried).sum()
    assert stored_conditions(casebook, [parse_filter("label!=Effusion")]) is None
    assert stored_conditions(casebook, [parse_filter("label=Effusion")])
