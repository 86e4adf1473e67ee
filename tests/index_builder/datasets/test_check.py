"""The dry run: counts of the real samples, and every kind of fault found in one go."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from table_samples import sample, write_film

from index_builder.cases.case import Case
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.check import check_dataset, problem_lines, reader_lines
from index_builder.datasets.own.manifest import Manifest
from index_builder.datasets.published.covid import Covid
from index_builder.datasets.published.nih import NIH
from index_builder.datasets.reading.rows import Problem, ProblemKind
from index_builder.errors import DatasetError
from index_builder.imaging import Film, read_film


def folder(tmp_path: Path) -> Path:
    """Five rows: two sound cases of one film, an undecodable film, a text only, and one error."""
    write_film(tmp_path / "a.png", 1)
    write_film(tmp_path / "b.png", 1)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "manifest.csv").write_text(
        "id,image,text,labels,patient_id,split\n"
        "1,a.png,,Mass,p1,train\n"
        "2,b.png,,Mass|Nodule,p2,test\n"
        "3,broken.png,,,p3,val\n"
        "4,,Only a text.,Nodule,p1,test\n"
        "5,gone.png,,Hernia,p4,train\n"
    )
    return tmp_path


def test_everything_at_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = check_dataset(
        Manifest(folder(tmp_path)),
        decode=True,
        duplicates=True,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (report.dataset, report.cases, report.patients, report.films, report.text_only) == ("manifest", 4, 3, 3, 1)
    assert report.labels == {"Mass": 2, "Nodule": 2}
    assert report.unlabelled == 1
    assert report.splits == {"train": 1, "val": 1, "test": 2}
    assert report.patients_in_several_splits == ("p1",)
    assert (report.missing_films, report.undecodable_films, report.duplicate_films) == (1, 1, 1)
    assert report.totals() == {
        "patient in two splits": 1,
        "missing film": 1,
        "undecodable film": 1,
        "duplicate film": 1,
    }
    assert not report.ok
    assert len(report.errors) == 3
    (duplicate,) = report.warnings
    assert (duplicate.kind, duplicate.file) == ("duplicate film", "b.png")
    assert "One is in 'train', the other in 'test'" in duplicate.message
    assert seen == [(step, 6) for step in range(1, 7)]


def test_without_films_being_opened(tmp_path: Path) -> None:
    report = check_dataset(Manifest(folder(tmp_path)))
    assert (report.undecodable_films, report.duplicate_films) == (None, None)
    assert report.totals() == {"patient in two splits": 1, "missing film": 1}


def test_cases_and_check_find_the_same(tmp_path: Path) -> None:
    dataset = Manifest(folder(tmp_path))
    report = check_dataset(dataset)
    with pytest.raises(DatasetError) as caught:
        dataset.cases()
    assert str(caught.value).startswith(str(report.errors[0]))
    assert report.problems == dataset.problems()


def test_report_as_json(tmp_path: Path) -> None:
    report = check_dataset(Manifest(folder(tmp_path)), decode=True)
    loaded = json.loads(json.dumps(report.as_dict()))
    assert loaded["ok"] is False
    assert loaded["totals"]["missing film"] == 1
    (missing,) = [problem for problem in loaded["problems"] if problem["kind"] == "missing film"]
    assert (missing["file"], missing["row"], missing["column"]) == ("manifest.csv", 6, "image")


def test_real_samples() -> None:
    nih = check_dataset(NIH(sample("nih_sample")), duplicates=True)
    assert nih.ok
    assert (nih.cases, nih.films, nih.patients, nih.text_only, nih.duplicate_films) == (1005, 1005, 745, 0, 1)
    assert nih.splits["train"] + nih.splits["val"] == 781
    assert nih.labels["Pneumonia"] == 437
    assert nih.unlabelled == 434
    covid = check_dataset(Covid(sample("covid_sample")), duplicates=True)
    assert covid.ok
    assert (covid.cases, covid.films, covid.patients) == (435, 435, 235)
    assert covid.duplicate_films == 5
    assert (covid.labels["COVID-19"], covid.labels["Tuberculosis"], covid.unlabelled) == (341, 0, 10)
    assert covid.patients_in_several_splits == ()


def test_every_film_of_the_real_samples_decodes() -> None:
    assert check_dataset(NIH(sample("nih_sample")), decode=True).undecodable_films == 0
    assert check_dataset(Covid(sample("covid_sample")), decode=True).undecodable_films == 0


class _OtherReader:
    """A reader that keeps no table, as those of phantoms and of Open-i."""

    card = DatasetCard("other", "", "", "", "", "", "")
    label_names: tuple[str, ...] = ("Mass",)

    def __init__(self, cases: Sequence[Case], film: Path) -> None:
        self._cases = cases
        self._film = film

    def cases(self) -> Sequence[Case]:
        if not self._cases:
            raise DatasetError("other.xml: not a report.")
        return self._cases

    def load_film(self, reference: str) -> Film:
        return read_film(self._film)


def test_readers_without_a_table(tmp_path: Path) -> None:
    write_film(tmp_path / "a.png")
    cases = [Case("1", "p", "train", ("Mass",), image="a"), Case("2", "p", "test", (), sections={"findings": "x"})]
    other = _OtherReader(cases, tmp_path / "a.png")
    report = check_dataset(other, decode=True)
    assert (report.cases, report.films, report.undecodable_films) == (2, 1, 0)
    assert report.totals() == {"patient in two splits": 1}
    with pytest.raises(DatasetError, match="cannot be compared as files"):
        check_dataset(other, duplicates=True)
    broken = check_dataset(_OtherReader([], tmp_path))
    assert [str(problem) for problem in broken.problems] == ["other: other.xml: not a report."]
    assert (broken.cases, broken.ok) == (0, False)


def test_warnings_of_a_kind_are_one_line_with_their_number_and_an_example(tmp_path: Path) -> None:
    rows = [f"{number:08d}_000.png,Mass,0,{number},{200 if number % 2 else 50},F,oblique" for number in range(300)]
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    (tmp_path / "Data_Entry.csv").write_text("\n".join([header, *rows]) + "\n")
    for number in range(4):
        write_film(tmp_path / "images" / f"{number:08d}_000.png", number)
    report = check_dataset(NIH(tmp_path))
    assert (len(report.problems), report.missing_films) == (296 + 2 + 4, 296)
    lines = [line.strip() for line in report.lines()]
    assert lines[lines.index("problems: 0 errors, 302 warnings") + 1 :] == [
        "warning: 4 × view, e.g. Data_Entry.csv, row 2, column 'View Position': 'oblique' is not a view of the chest. "
        "Write PA, AP or LATERAL, or leave it empty.",
        "warning: 2 × age, e.g. Data_Entry.csv, row 3, column 'Patient Age': an age of '200' is not plausible. "
        "Give 0 to 120 years or leave it empty.",
        "warning: 296 × missing film, e.g. Data_Entry.csv, row 6, column 'Image Index': film '00000004_000.png' is "
        f"not in {tmp_path}/images*; left out.",
    ]
    assert len(report.as_dict()["problems"]) == 302


@pytest.mark.parametrize("kind", ["duplicate film", "text in film", "undecodable film"])
def test_warnings_of_films_are_grouped_too(kind: ProblemKind) -> None:
    problems = [Problem(kind, "odd.", f"{number}.png", severity="warning") for number in range(1_200)]
    assert problem_lines(problems) == [f"warning: 1,200 × {kind}, e.g. 0.png: odd."]


def test_errors_are_listed_first_and_one_by_one_up_to_twenty() -> None:
    problems = [Problem("missing film", "gone.", "t.csv", row, "image") for row in range(2, 52)]
    problems += [Problem("view", "odd.", "t.csv", 2, "view", "warning"), Problem("age", "old.", "t.csv", 9, "age")]
    lines = problem_lines(problems)
    assert lines[:20] == [f"error: t.csv, row {row}, column 'image': gone." for row in range(2, 22)]
    assert lines[20:] == [
        "error: missing film: 30 more; --json lists them all",
        "error: t.csv, row 9, column 'age': old.",
        "warning: t.csv, row 2, column 'view': odd.",
    ]


def test_what_is_said_of_a_whole_table_is_said_in_full() -> None:
    said = [Problem("column", f"column {name} left out.", "t.csv", severity="warning") for name in "abc"]
    assert problem_lines(said) == [f"warning: t.csv: column {name} left out." for name in "abc"]


def test_unknown_labels_are_counted_and_notes_told(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("text,labels,patient\na,Mass,1\nb,,2\nc,Nodule,3\nd,Unknown,4\n")
    dataset = Manifest(tmp_path)
    report = check_dataset(dataset)
    assert (report.unknown, report.unlabelled) == ({"Mass": 2, "Nodule": 2}, 2)
    assert report.notes == dataset.notes()
    assert "unknown: Mass 2, Nodule 2" in report.lines()
    assert [line for line in report.lines() if line.startswith("note: ")] == reader_lines(dataset)
    assert json.loads(json.dumps(report.as_dict()))["unknown"] == {"Mass": 2, "Nodule": 2}
