"""Films in a folder for each class: splits, patients, and what is passed over or refused."""

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from openi_samples import dicom_film
from PIL import Image
from published_layouts import paediatric, write_films
from table_samples import sample

from index_builder.cases.case import SPLITS
from index_builder.datasets.check import check_dataset
from index_builder.datasets.own.folder import Folder
from index_builder.datasets.reading.film_tree import linked_folders
from index_builder.errors import DatasetError, ImagingError


def test_the_paediatric_layout(tmp_path: Path) -> None:
    dataset = Folder(paediatric(tmp_path))
    cases = {case.case_id: case for case in dataset.cases()}
    assert len(cases) == 7
    assert dataset.label_names == ("PNEUMONIA",)
    assert {case.labels for name, case in cases.items() if "/NORMAL/" in name} == {()}
    assert {case.labels for name, case in cases.items() if "/PNEUMONIA/" in name} == {("PNEUMONIA",)}
    assert all(case.split == name.split("/")[0] for name, case in cases.items())
    patients = Counter(case.patient_id for case in cases.values())
    # Bacterial and viral cases are numbered apart: person1 is two children, in two parts.
    assert patients["person1_bacteria"] == 2
    assert patients["person1_virus"] == 1
    assert patients["train/NORMAL/IM-0115"] == 2
    assert dataset.load_film("train/NORMAL/IM-0115-0001.jpeg").pixels.shape == (32, 40)


def test_junk_is_passed_over_and_told(tmp_path: Path) -> None:
    (warning,) = check_dataset(Folder(paediatric(tmp_path))).problems
    assert (warning.kind, warning.severity) == ("excluded", "warning")
    for name in (".DS_Store", "Thumbs.db", "__MACOSX"):
        assert name in warning.message


def test_without_parts_patients_stay_together(tmp_path: Path) -> None:
    write_films(tmp_path, *(f"Mass/patient{number % 60}_{number}.png" for number in range(120)))
    write_films(tmp_path, *(f"normal/patient{number}/view.png" for number in range(60)))
    cases = Folder(tmp_path).cases()
    assert len({case.patient_id for case in cases}) == 60
    assert len({(case.patient_id, case.split) for case in cases}) == 60
    assert {case.split for case in cases} == set(SPLITS)
    assert Counter(case.labels for case in cases) == {("Mass",): 120, (): 60}


def test_a_training_part_gives_up_a_tenth_where_there_is_no_validation_part(tmp_path: Path) -> None:
    write_films(tmp_path, *(f"Training/Mass/{number}.png" for number in range(120)), "testing/Mass/1.png")
    splits = Counter(case.split for case in Folder(tmp_path).cases())
    assert splits["test"] == 1
    assert 1 <= splits["val"] <= 25
    assert splits["train"] + splits["val"] == 120


def test_a_case_keeps_its_part_when_films_are_added(tmp_path: Path) -> None:
    write_films(tmp_path, *(f"Mass/{number}.png" for number in range(20)), "Nodule/1.png")
    before = {case.case_id: case.split for case in Folder(tmp_path).cases()}
    write_films(tmp_path, *(f"Nodule/{number}.png" for number in range(20)))
    after = {case.case_id: case.split for case in Folder(tmp_path).cases()}
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("films", "kind", "words"),
    [
        ([], "no cases", "no film below"),
        (["a.png", "Mass/b.png", "Nodule/c.png"], "label", "no class folder holds a.png."),
        (
            ["train/a.png", "train/b.png", "test/Mass/b.png", "test/Nodule/c.png"],
            "label",
            "no class folder holds train/a.png and 1 more film.",
        ),
        (["train/Mass/a.png", "train/Nodule/a.png", "Mass/b.png"], "split", "Mass/ lies beside folders"),
        (["set/train/Mass/a.png", "set/test/Nodule/b.png"], "split", "set as the folder"),
        (["train/M/person7_1.png", "test/N/person7_2.png"], "patient in two splits", "'person7'"),
    ],
)
def test_a_layout_that_leaves_the_class_open_is_refused(
    tmp_path: Path, films: list[str], kind: str, words: str
) -> None:
    write_films(tmp_path, *films)
    dataset = Folder(tmp_path)
    (problem,) = check_dataset(dataset).errors
    assert problem.kind == kind
    assert words in problem.message
    with pytest.raises(DatasetError, match=tmp_path.name):
        dataset.cases()


def test_one_class_alone_is_told(tmp_path: Path) -> None:
    write_films(tmp_path, "images/a.png", "images/b.png")
    (warning,) = check_dataset(Folder(tmp_path)).problems
    assert (warning.kind, warning.severity) == ("label", "warning")
    assert "images/" in warning.message


def test_dicom_without_an_extension_and_linked_folders(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    write_films(root, "Mass/a.dcm")
    (root / "Mass" / "IM0001").write_bytes(dicom_film(1))
    (root / "Mass" / "README").write_text("no film", encoding="utf-8")
    write_films(elsewhere, "b.png")
    (root / "Nodule").symlink_to(elsewhere, target_is_directory=True)
    (root / "Mass" / "deeper").symlink_to(elsewhere, target_is_directory=True)
    dataset = Folder(root)
    assert [case.image for case in dataset.cases()] == ["Mass/IM0001", "Mass/a.dcm", "Nodule/b.png"]
    assert [dataset.load_film(case.image or "").pixels.ndim for case in dataset.cases()] == [2, 2, 2]
    (warning,) = check_dataset(dataset).problems
    assert "Mass/README" in warning.message
    with pytest.raises(ImagingError):
        dataset.load_film("../elsewhere/b.png")


def test_the_real_paediatric_folder() -> None:
    dataset = Folder(sample("paediatric_pneumonia"))
    report = check_dataset(dataset)
    assert report.problems == ()
    assert (report.cases, report.patients, report.unlabelled) == (1500, 1323, 500)
    assert report.labels == {"PNEUMONIA": 1000}
    assert report.splits["test"] == 173
    assert report.patients_in_several_splits == ()


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refused(path: str) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    for name in ("open", "locked"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "film.png")
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DatasetError, match=r"locked: the folder cannot be read \(Permission denied\)"):
        Folder(tmp_path)
    with pytest.raises(DatasetError, match=r"locked: the folder cannot be read"):
        linked_folders(tmp_path / "locked")
