"""The dry run: counts of the real samples, and every kind of fault found in one go."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from table_samples import sample, write_film

from index_builder.datasets.base import Case, DatasetCard
from index_builder.datasets.check import check_dataset
from index_builder.datasets.covid import Covid
from index_builder.datasets.manifest import Manifest
from index_builder.datasets.nih import NIH
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
