"""Anyone's table: three formats, given and guessed columns, every fault by row and column."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from table_samples import write_film

from index_builder.cases.case import SPLITS, Case
from index_builder.datasets.base import Dataset
from index_builder.datasets.own.column_map import ColumnMap
from index_builder.datasets.own.manifest import Manifest
from index_builder.datasets.reading.rows import MAX_CELL_CHARS, ProblemKind
from index_builder.errors import DatasetError, ImagingError


def folder(tmp_path: Path, text: str | bytes, name: str = "manifest.csv") -> Path:
    """A folder with a manifest and the films a.png, b.png, c.png."""
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    for seed, film in enumerate("abc"):
        write_film(tmp_path / f"{film}.png", seed)
    return tmp_path


def problems_of(tmp_path: Path, text: str | bytes, **columns: Any) -> list[tuple[ProblemKind, int | None, str | None]]:
    dataset = Manifest(folder(tmp_path, text), ColumnMap(**columns) if columns else None)
    return [(problem.kind, problem.row, problem.column) for problem in dataset.problems()]


# Formats


RECORDS: list[dict[str, Any]] = [
    {
        "id": "007",
        "film": "a.png",
        "text": "=1+1, kept",
        "dx": ["Mass", "Nodule"],
        "age": 64,
        "hb": 12.5,
        "smoker": True,
    },
    {"id": "1.10", "film": None, "text": "Zweite Zeile\nmit ü", "dx": [], "age": None, "hb": 13.25, "smoker": False},
    {"id": "1e3", "film": "b.png", "text": None, "dx": ["Mass"], "age": 7, "hb": None, "smoker": None},
]
COLUMNS = ColumnMap(
    case_id="id", image="film", report="text", labels="dx", profile={"age": "age", "hb": "hb", "smoker": "smoker"}
)


def _csv(records: list[dict[str, Any]]) -> str:
    def cell(value: Any) -> str:
        text = "|".join(value) or "[]" if isinstance(value, list) else "" if value is None else str(value)
        return '"' + text.replace('"', '""') + '"'

    return "\n".join([",".join(records[0]), *(",".join(map(cell, record.values())) for record in records)])


def test_one_dataset_gives_the_same_cases_from_each_format(tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "jsonl").mkdir()
    (tmp_path / "parquet").mkdir()
    roots = [
        folder(tmp_path / "csv", _csv(RECORDS)),
        folder(tmp_path / "jsonl", "\n".join(map(json.dumps, RECORDS)), "manifest.jsonl"),
        folder(tmp_path / "parquet", ""),
    ]
    (roots[2] / "manifest.csv").unlink()
    pq.write_table(pa.Table.from_pylist(RECORDS), roots[2] / "manifest.parquet")
    from_csv, from_jsonl, from_parquet = (Manifest(root, COLUMNS).cases() for root in roots)
    assert from_csv == from_jsonl == from_parquet
    assert [case.case_id for case in from_csv] == ["007", "1.10", "1e3"]
    assert from_csv[0].sections == {"findings": "=1+1, kept"}
    assert from_csv[1].report == "Zweite Zeile\nmit ü"
    assert from_csv[0].profile == {"age": 64, "hb": 12.5, "smoker": True}
    assert from_csv[0].labels == ("Mass", "Nodule")


def test_byte_order_mark_semicolons_crlf_and_empty_rows(tmp_path: Path) -> None:
    text = "\ufeffcase_id;image;text;patient;;\r\n1;a.png;Eins;p;;\r\n;;;;;\r\n\r\n2;b.png;Zwei;q\r\n3;;;\r\n".encode()
    dataset = Manifest(folder(tmp_path, text))
    assert [(case.case_id, case.image) for case in dataset.reading.cases] == [("1", "a.png"), ("2", "b.png")]
    assert [(problem.kind, problem.row) for problem in dataset.problems()] == [("empty case", 6)]


def test_parquet_of_pandas_with_missing_numbers_and_raw_bytes(tmp_path: Path) -> None:
    root = folder(tmp_path, "")
    (root / "manifest.csv").unlink()
    table = pa.table({"image": ["a.png", "b.png"], "age": [64.0, float("nan")], "raw": [b"\xff", b"\x00"]})
    pq.write_table(table, root / "manifest.parquet")
    dataset = Manifest(root)
    assert [dict(case.profile) for case in dataset.cases()] == [{"age": 64}, {}]
    with pytest.raises(DatasetError, match="no text column 'raw' \\(report\\)"):
        Manifest(root, ColumnMap(report="raw"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.csv", b"", "the file is empty"),
        ("manifest.csv", b"\n\n", "no column names"),
        ("manifest.csv", b"PK\x03\x04....", "an Excel workbook"),
        ("manifest.csv", "id,text".encode("utf-16"), "UTF-16"),
        ("manifest.csv", b"id,text,id\n1,a,2\n", "column 'id' appears more than once"),
        ("manifest.csv", "id,t\xe9xt\n".encode("latin-1"), "header: not UTF-8 (byte 0xE9)"),
        ("manifest.csv", b"id,text\n", "holds no cases"),
        ("manifest.parquet", b"PAR1 and then nothing", "not a readable Parquet file"),
        ("manifest.parquet", b"id,text\n1,x\n", "it is not a Parquet file"),
        ("manifest.csv", b"PAR1xxxxPAR1", "it is a Parquet file"),
        ("manifest.jsonl", b'[{"id": 1}]', "row 1: not a JSON object (a list, not an object)"),
        ("manifest.jsonl", b'{"id": 1', "row 1: not a JSON object"),
        ("manifest.jsonl", b'{"text": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        Manifest(folder(tmp_path, content, name)).cases()
    assert message in str(caught.value)
    assert name in str(caught.value)


def test_where_the_table_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or folder"):
        Manifest(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="found: none"):
        Manifest(tmp_path)
    folder(tmp_path, "text\nA\n", "cases.csv")
    assert len(Manifest(tmp_path / "cases.csv").cases()) == 1
    folder(tmp_path, "text\nA\n")
    folder(tmp_path, '{"text": "A"}', "manifest.jsonl")
    with pytest.raises(DatasetError, match=r"found: manifest\.csv, manifest\.jsonl"):
        Manifest(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DatasetError, match="not a table that can be read"):
        Manifest(tmp_path / "notes.txt")


# Columns


def test_guess_is_told_and_the_rest_left_out(tmp_path: Path) -> None:
    text = "ID,Image Path,Report-Text,Finding,Gender,Age,Secret\n1,a.png,Clear.,Mass; Nodule,male,64,x\n"
    dataset = Manifest(folder(tmp_path, text))
    (case,) = dataset.cases()
    expected = Case(
        "1",
        "1",
        case.split,
        ("Mass", "Nodule"),
        "a.png",
        sections={"findings": "Clear."},
        profile={"age": 64, "sex": "M"},
    )
    assert case == expected
    assert dataset.label_names == ("Mass", "Nodule")
    assert "case_id from 'ID'" in dataset.card.description
    assert "labels separated by ';'" in dataset.card.description
    assert "Left out: 'Secret'." in dataset.card.description


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("filename,path,text\na.png,b.png,3", "'filename' and 'path' could both be the image"),
        ("report,findings\n1,2", "'report' and 'findings' could both be the findings"),
        ("Foo,Bar,age\na.png,b.png,3", "'Foo' and 'Bar' could both be the image"),
        ("Foo,Bar,age\n1,2,3", "no column looks like an image path or a report.*Columns present: 'Foo', 'Bar', 'age'"),
        ("Case ID,case_id,text\n1,2,3", "could both be the case_id"),
    ],
)
def test_ambiguous_or_useless_columns_name_the_remedy(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        Manifest(folder(tmp_path, table + "\n"))
    assert "columns.yaml" in str(caught.value)


def test_own_name_wins_over_a_synonym(tmp_path: Path) -> None:
    (case,) = Manifest(folder(tmp_path, "id,case_id,text\n1,2,x\n")).cases()
    assert case.case_id == "2"


@pytest.mark.parametrize("name", ["columns.yaml", "columns.json"])
def test_columns_file_beside_the_table(tmp_path: Path, name: str) -> None:
    root = folder(tmp_path, "a,b,c\nx,Clear.,5\n")
    (root / name).write_text(
        json.dumps({"report": "b", "profile": ["c"], "card": {"name": "ward-7", "synthetic": True}})
    )
    dataset = Manifest(root)
    (case,) = dataset.cases()
    assert (case.report, dict(case.profile), case.synthetic) == ("Clear.", {"c": 5}, True)
    assert (dataset.card.name, dataset.card.synthetic, dataset.card.licence) == ("ward-7", True, "not stated")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imagee: a", "imagee: unknown field"),
        ("image: [a]", "image: Input should be a valid string"),
        ("case_id: a", "a case needs a film or a text"),
        ("{report: a, labels: b, label_columns: [c]}", "not both"),
        ("{report: a, sections: {findings: b}}", "not both"),
        ("{report: a, card: {name: ../x}}", "card.name"),
        ("- a", "column map"),
        ("a: [", "not valid YAML"),
        ("!!python/object/apply:os.system [true]", "not valid YAML"),
        ("{report: a, split: nope}", "no text column 'nope' (split). Columns present: 'a', 'b'"),
        ("x" * 300_000, "not a column map"),
    ],
)
def test_faulty_columns_files(tmp_path: Path, text: str, message: str) -> None:
    root = folder(tmp_path, "a,b\n1,2\n")
    (root / "columns.yaml").write_text(text)
    with pytest.raises(DatasetError) as caught:
        Manifest(root)
    assert message in str(caught.value)


def test_two_columns_files(tmp_path: Path) -> None:
    root = folder(tmp_path, "text\nx\n")
    for name in ("columns.yaml", "columns.json"):
        (root / name).write_text("{}")
    with pytest.raises(DatasetError, match=r"both columns\.yaml and columns\.json"):
        Manifest(root)


def test_column_map_in_code_is_checked_too() -> None:
    with pytest.raises(ValidationError):
        ColumnMap(image="a", lables="b")  # type: ignore[call-arg]


def test_one_hot_labels_lists_views_codes_and_further_films(tmp_path: Path) -> None:
    text = (
        "i,o,M,N,v,c,s\na.png,b.png|c.png,1,0,AP Supine,Mass/lung|Opacity,1\nb.png,,1.0,,L,,no\nc.png,,false,yes,,,\n"
    )
    columns = ColumnMap(
        image="i",
        other_images="o",  # type: ignore[arg-type]  # One name is read as a list of one.
        label_columns=["N", "M"],
        view="v",
        codes="c",
        synthetic="s",
    )
    dataset = Manifest(folder(tmp_path, text), columns)
    cases = dataset.cases()
    assert dataset.label_names == ("N", "M")
    assert [case.labels for case in cases] == [("M",), ("M",), ("N",)]
    assert [case.view for case in cases] == ["AP", "LATERAL", None]
    assert cases[0].other_images == ("b.png", "c.png")
    assert cases[0].codes == ("Mass/lung", "Opacity")
    assert [case.synthetic for case in cases] == [True, False, False]


# Values


def test_profile_types_are_lossless_and_by_column(tmp_path: Path) -> None:
    text = "text,id7,n,f,b,mixed\nA,007,1,1.5,True,1\nB,008,-2,2,false,x\nC,,,,,\n"
    dataset = Manifest(folder(tmp_path, text), ColumnMap(report="text", profile=["id7", "n", "f", "b", "mixed"]))  # type: ignore[arg-type]
    first, second, third = (dict(case.profile) for case in dataset.cases())
    assert first == {"id7": "007", "n": 1, "f": 1.5, "b": True, "mixed": "1"}
    assert second == {"id7": "008", "n": -2, "f": 2.0, "b": False, "mixed": "x"}
    assert isinstance(second["f"], float)
    assert third == {}


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("64", 64),
        ("64.0", 64),
        ("064Y", 64),
        ("18M", 1.5),
        ("10D", 0.03),
        ("0", 0),
        ("unknown", None),
        ("NaN", None),
        ("", None),
    ],
)
def test_ages(tmp_path: Path, age: str, years: float | None) -> None:
    (case,) = Manifest(folder(tmp_path, f"text,age\nA,{age}\n")).cases()
    assert case.profile.get("age") == years


@pytest.mark.parametrize("age", ["121", "-1", "sixty", "1e2", "412Y", "99999999999999999999", "٣٤x", "inf"])
def test_bad_ages(tmp_path: Path, age: str) -> None:
    assert problems_of(tmp_path, f"text,age\nA,{age}\n") == [("age", 2, "age")]


def test_derived_ids_are_stable_under_reordering(tmp_path: Path) -> None:
    rows = ["a.png,Mass seen.", ",Only a text.", "b.png,", ",Another text."]
    ids = {
        case.image or case.report: case.case_id
        for case in Manifest(folder(tmp_path, "\n".join(["image,text", *rows]))).cases()
    }
    again = {
        case.image or case.report: case.case_id
        for case in Manifest(folder(tmp_path, "\n".join(["image,text", *rows[::-1][:3]]))).cases()
    }
    assert len(set(ids.values())) == 4
    assert again.items() <= ids.items()
    assert all(re.fullmatch(r"case-[0-9a-f]{16}", case_id) for case_id in ids.values())


def test_every_problem_at_once(tmp_path: Path) -> None:
    text = (
        "case_id,image,text,labels,age,sex,patient_id,split,view\n"
        "1,a.png,ok,Mass,64,F,p1,train,PA\n"
        "1,b.png,ok,Mass,64,F,p2,train,PA\n"  # 3: duplicate id
        "2,gone.png,ok,Mass,640,F,p2,train,PA\n"  # 4: film and age
        "3,../a.png,ok,Mass,64,F,p2,fold3,PA\n"  # 5: outside and split
        "4,,,Mass,64,F,p3,train,PA\n"  # 6: empty
        "5,a.png,ok,Mass|No Finding,64,F,p3,train,PA\n"  # 7: label, a warning
        "6,b.png,ok,Mass,64,F,p1,test,PA\n"  # 8: torn patient
        "7,b.png,ok\n"  # 9: ragged, a warning
        "8,b.png,o\x00k,Mass,64,F,p4,train,PA\n"  # 10: NUL
        "9,b.png,ok,Mass,64,Q,p4,,sideways\n"  # 11: warnings and an empty split
        f"10,b.png,{'x' * (MAX_CELL_CHARS + 1)},Mass,64,F,p5,train,PA\n"  # 12: long
        f"{'y' * 201},b.png,ok,Mass,64,F,p6,train,PA\n"  # 13: id
    )
    content = text.encode().replace(b"4,,,", b"4,,\xe9,")  # 6: now not UTF-8
    found = problems_of(tmp_path, content)
    assert found == [
        ("duplicate case id", 3, "case_id"),
        ("missing film", 4, "image"),
        ("age", 4, "age"),
        ("film outside root", 5, "image"),
        ("split", 5, "split"),
        ("encoding", 6, "text"),
        ("label", 7, "labels"),
        ("patient in two splits", 8, "patient_id"),
        ("ragged row", 9, None),
        ("encoding", 10, "text"),
        ("split", 11, "split"),
        ("view", 11, "view"),
        ("sex", 11, "sex"),
        ("long text", 12, "text"),
        ("case id", 13, "case_id"),
    ]
    with pytest.raises(DatasetError) as caught:
        Manifest(tmp_path).cases()
    assert str(caught.value).startswith("manifest.csv, row 3, column 'case_id': case '1' is already in row 2.")
    assert "1 of 11 errors" in str(caught.value)


def test_a_text_at_the_limit_is_read(tmp_path: Path) -> None:
    (case,) = Manifest(folder(tmp_path, f"text\n{'x' * MAX_CELL_CHARS}\n")).cases()
    assert len(case.report) == MAX_CELL_CHARS


def test_a_quote_never_closed_names_the_row_where_it_opened(tmp_path: Path) -> None:
    assert problems_of(tmp_path, 'id,text\n1,fine\n2,"never closed\n3,swallowed\n') == [("syntax", 3, None)]


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    text = 'id,text,age\n1,"two\nlines",64\n\n2,x,999\n'
    assert problems_of(tmp_path, text) == [("age", 4, "age")]


def test_prose_as_labels_is_refused(tmp_path: Path) -> None:
    rows = "\n".join(f"x,sentence {number},{number}" for number in range(1_001))
    dataset = Manifest(folder(tmp_path, f"text,labels,patient\n{rows}\n"))
    (problem,) = dataset.problems()
    assert (problem.kind, problem.row, problem.column) == ("label", None, "labels")
    assert "1,001 different labels" in problem.message


# Films


def test_films_outside_the_folder(tmp_path: Path) -> None:
    write_film(tmp_path / "secret.png")
    root = tmp_path / "data"
    root.mkdir()
    outside = tmp_path / "secret.png"
    (root / "link.png").symlink_to(outside)
    (root / "door").symlink_to(tmp_path, target_is_directory=True)
    references = ["../secret.png", str(outside), "link.png", "door/secret.png", "x/../../secret.png", "..\\secret.png"]
    folder(root, "image\n" + "\n".join(references) + "\n")
    dataset = Manifest(root)
    assert [problem.kind for problem in dataset.problems()] == ["film outside root"] * 6
    for reference in references[:5]:
        with pytest.raises(ImagingError):
            dataset.load_film(reference)
    (root / "x").mkdir()
    trusting = Manifest(root, allow_outside=True)
    assert trusting.problems()[-1].kind == "repeated row"  # "..\\" and "../" are one film.
    assert len(trusting.reading.cases) == 5
    assert trusting.load_film(str(outside)).pixels.shape == (32, 40)


def test_a_folder_or_a_pipe_is_no_film(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    too_long = "x" * 5000 + ".png"
    found = problems_of(tmp_path, f"image\nfolder.png\n.\n{too_long}\nhttps://example.org/a.png\n")
    assert [kind for kind, _, _ in found] == ["missing film"] * 4


def test_films_load_and_the_reader_is_a_dataset(tmp_path: Path) -> None:
    dataset: Dataset = Manifest(folder(tmp_path, "image\n.\\a.png\n./b.png\n"))
    assert [case.image for case in dataset.cases()] == ["a.png", "b.png"]
    assert dataset.load_film("a.png").pixels.shape == (32, 40)


# Splits


def test_without_split_column_patients_stay_together(tmp_path: Path) -> None:
    rows = "\n".join(f"{number},text {number},p{number % 50}" for number in range(300))
    cases = Manifest(folder(tmp_path, f"id,text,patient_id\n{rows}\n")).cases()
    splits = {(case.patient_id, case.split) for case in cases}
    assert len(splits) == 50
    assert {split for _, split in splits} == set(SPLITS)


def test_split_words_and_carved_validation(tmp_path: Path) -> None:
    rows = "\n".join(f"{number},t{number},{'Training' if number % 3 else 'TEST'}" for number in range(120))
    cases = Manifest(folder(tmp_path, f"id,text,split\n{rows}\n")).cases()
    assert all((case.split == "test") == (int(case.case_id) % 3 == 0) for case in cases)
    assert 1 <= sum(case.split == "val" for case in cases) <= 20
