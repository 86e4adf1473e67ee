"""Labels as people write them: lists in cells, columns of 1, 0 and -1, spellings, what is unknown."""

from pathlib import Path
from typing import Any

import pytest
from table_samples import write_film

from index_builder.cases.case import Case
from index_builder.datasets.own.column_map import ColumnMap
from index_builder.datasets.own.manifest import Manifest
from index_builder.datasets.reading.label_cells import alike_labels, label_items, parse_mark
from index_builder.errors import DatasetError


def manifest(tmp_path: Path, text: str, **columns: Any) -> Manifest:
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
    return Manifest(tmp_path, ColumnMap(**columns) if columns else None)


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['pleural effusion', 'cardiomegaly']", ("pleural effusion", "cardiomegaly")),
        ('["pleural effusion", "cardiomegaly"]', ("pleural effusion", "cardiomegaly")),
        ("['pleural effusion', ' cardiomegaly', 'pleural  effusion']", ("pleural effusion", "cardiomegaly")),
        ("['Mass' 'Nodule']", ("Mass", "Nodule")),  # as numpy prints it
        ("[Mass, Nodule]", ("Mass", "Nodule")),
        ("['Mass', nan, None]", ("Mass",)),
        ("{'Mass'}", ("Mass",)),
        ("Mass|Nodule|", ("Mass", "Nodule")),
        (("Mass", "Nodule"), ("Mass", "Nodule")),
        ("[]", ()),
        ("[ ]", ()),
        ((), ()),
        ("['']", None),
        ("[None]", None),
        ("", None),
        ("nan", None),
        ("None", None),
        ("N/A", None),
        ("Unknown", None),
        ("-1", None),
        ("0", ("0",)),  # nothing found, see NO_FINDING
        ("__import__('os').abort()", ("__import__('os').abort()",)),
        ("[__import__('os').abort()]", ("__import__('os').abort()",)),
        ("[" * 5_000 + "]" * 5_000, ("[" * 4_999 + "]" * 4_999,)),
    ],
)
def test_cells_of_labels(cell: Any, labels: tuple[str, ...] | None) -> None:
    assert label_items(cell, "|") == labels


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        *((text, "present") for text in ("1", "1.0", "true", "YES", "y", "x", "positive")),
        *((text, "absent") for text in ("0", "0.0", "false", "No", "negative")),
        *((text, "uncertain") for text in ("-1", "-1.0", "uncertain", "possible")),
        *((text, "blank") for text in ("", "nan", "N/A", "None", "unknown", "?")),
    ],
)
def test_marks_of_one_label(text: str, mark: str) -> None:
    assert parse_mark(text) == mark


@pytest.mark.parametrize("text", ["0.37", "2", "Effusion"])
def test_what_is_no_mark_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not say whether the label holds"):
        parse_mark(text)


def test_spellings_that_differ_in_case_are_one_label_the_most_frequent(tmp_path: Path) -> None:
    rows = ["effusion", "Effusion", "Effusion; MASS", "mass", "Mass; EFFUSION", "Mass"]
    text = "text,labels,patient\n" + "".join(f"t{number},{cell},{number}\n" for number, cell in enumerate(rows))
    dataset = manifest(tmp_path, text)
    assert dataset.label_names == ("Effusion", "Mass")
    assert [case.labels for case in dataset.cases()] == [
        ("Effusion",),
        ("Effusion",),
        ("Effusion", "Mass"),
        ("Mass",),
        ("Effusion", "Mass"),
        ("Mass",),
    ]
    (note,) = (note for note in dataset.notes() if "case only" in note)
    assert "'effusion' as 'Effusion'" in note
    assert dataset.problems() == ()


def test_labels_that_look_like_one_are_told(tmp_path: Path) -> None:
    text = "text,labels,patient\na,Pleural_Thickening,1\nb,Pleural Thickening,2\nc,Mass,3\n"
    (problem,) = manifest(tmp_path, text).problems()
    assert (problem.kind, problem.severity) == ("label", "warning")
    assert "'Pleural Thickening' and 'Pleural_Thickening' look like the same label twice" in problem.message


def test_pairs_that_are_alike_and_pairs_that_are_not() -> None:
    alike = [("Nodule", "Nodules"), ("Atelectasis", "Atelectases"), ("Cardiomegaly", "Cardiomegally")]
    for first, second in alike:
        assert alike_labels([first, second]) == [(first, second)]
    for pair in (["Stage 1", "Stage 2"], ["left effusion", "right effusion"], ["Mass", "Mesh"], ["E.Coli", "Lipoid"]):
        assert alike_labels(pair) == []
    assert alike_labels(["hypoinflation", "hyperinflation"]) == []


def test_no_finding_beside_a_finding_is_told_and_the_finding_kept(tmp_path: Path) -> None:
    dataset = manifest(tmp_path, "text,labels,patient\na,No Finding|Mass,1\nb,No Finding,2\nc,normal,3\nd,0,4\n")
    assert [(case.labels, case.unknown) for case in dataset.cases()] == [(("Mass",), ()), ((), ()), ((), ()), ((), ())]
    (problem,) = dataset.problems()
    assert (problem.kind, problem.row, problem.column, problem.severity) == ("label", 2, "labels", "warning")


@pytest.mark.parametrize("missing", ["", "nan", "None", "N/A", "Unknown", "-1", "['']"])
def test_a_missing_label_is_unknown_and_not_absent(tmp_path: Path, missing: str) -> None:
    text = f"text,labels,patient\na,Mass,1\nb,{missing},2\nc,[],3\nd,Nodule,3\n"
    dataset = manifest(tmp_path, text)
    assert [case.unknown for case in dataset.cases()] == [(), ("Mass", "Nodule"), (), ()]
    assert any("1 case without a label" in note for note in dataset.notes())
    columns = {"report": "text", "labels": "labels", "patient_id": "patient", "blank": "absent"}
    assert [case.unknown for case in manifest(tmp_path, text, **columns).cases()] == [()] * 4


#: As CheXpert and MIMIC-CXR publish labels: 1, 0, -1 where the report hedges, nothing where it is silent.
CHEXPERT = (
    "Path,No Finding,Cardiomegaly,Edema,Support Devices\n"
    "patient00001/study1/view1.png,1.0,,,1.0\n"
    "patient00001/study2/view1.png,,1.0,-1.0,\n"
    "patient00002/study1/view1.png,,0.0,1.0,\n"
    "patient00003/study1/view1.png,1.0,1.0,,\n"
)
FIELDS = {"image": "Path", "label_columns": ["No Finding", "Cardiomegaly", "Edema", "Support Devices"]}


def chexpert(tmp_path: Path, **rules: str) -> Manifest:
    for line in CHEXPERT.splitlines()[1:]:
        write_film(tmp_path / line.split(",")[0])
    return manifest(tmp_path, CHEXPERT, **FIELDS, **rules)


def states(case: Case, names: tuple[str, ...]) -> str:
    return "".join("+" if name in case.labels else "?" if name in case.unknown else "-" for name in names)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, ["--+", "+??", "-+?", "+--"]),
        ({"uncertain": "present"}, ["--+", "++?", "-+?", "+--"]),
        ({"uncertain": "absent"}, ["--+", "+-?", "-+?", "+--"]),
        ({"blank": "absent"}, ["--+", "+?-", "-+-", "+--"]),
        ({"uncertain": "absent", "blank": "absent"}, ["--+", "+--", "-+-", "+--"]),
    ],
)
def test_uncertain_and_blank_cells_of_label_columns(tmp_path: Path, rules: dict[str, str], expected: list[str]) -> None:
    dataset = chexpert(tmp_path, **rules)
    assert dataset.label_names == ("Cardiomegaly", "Edema", "Support Devices")  # No Finding says what is absent
    assert [states(case, dataset.label_names) for case in dataset.cases()] == expected


def test_what_was_taken_for_unknown_is_told(tmp_path: Path) -> None:
    dataset = chexpert(tmp_path)
    (note,) = (note for note in dataset.notes() if note.startswith("Label columns"))
    assert "uncertain cells, taken as unknown: 1; empty cells, taken as unknown: 6" in note
    # "No Finding" beside a finding, but not beside a support device, which is none.
    (problem,) = dataset.problems()
    assert (problem.row, problem.column, problem.severity) == (5, "No Finding", "warning")


def test_columns_that_never_say_no_are_told(tmp_path: Path) -> None:
    text = "text,patient,Mass,Nodule\na,1,1,0\nb,2,,1\n"
    columns = {"report": "text", "patient_id": "patient", "label_columns": ["Mass", "Nodule"]}
    (problem,) = manifest(tmp_path, text, **columns).problems()
    assert "no cell of 'Mass' says 0" in problem.message
    assert "blank: absent" in problem.message
    assert manifest(tmp_path, text, **columns, blank="absent").problems() == ()


def test_the_rule_is_one_of_three_words(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("text,Mass\na,1\n")
    (tmp_path / "columns.yaml").write_text("{report: text, label_columns: [Mass], uncertain: perhaps}")
    with pytest.raises(DatasetError, match="uncertain: Input should be 'present', 'absent' or 'unknown'"):
        Manifest(tmp_path)
