"""Readers of published collections, each on a small folder in the layout in which it is published."""

from collections.abc import Callable
from pathlib import Path

import published_layouts as layouts
import pytest
from published_layouts import LAYOUTS, write_films, write_lines

from explorer.cli.options import DatasetOption
from index_builder.cases.case import SPLITS, Case
from index_builder.datasets import DATASETS, open_dataset
from index_builder.datasets.base import Dataset
from index_builder.datasets.check import check_dataset
from index_builder.datasets.published.chexpert_labels import CHEXPERT_LABELS
from index_builder.errors import DatasetError

#: Folders of real films beside the checkout, by the dataset that reads each, with cases, films and patients.
REAL = [
    ("folder", "paediatric_pneumonia", 1500, 1500, 1323),
    ("radiography", "radiography_db", 1192, 1192, 1192),
    ("hannover", "hannover_covid", 161, 161, 39),
    ("jsrt", "jsrt", 240, 240, 240),
    ("openi", "openi_films", 3955, 6671, 3955),
]


def by_id(dataset: Dataset) -> dict[str, Case]:
    return {case.case_id: case for case in dataset.cases()}


@pytest.mark.parametrize(("kind", "make"), LAYOUTS)
def test_every_layout_is_read_without_error(tmp_path: Path, kind: str, make: Callable[[Path], Path]) -> None:
    dataset = open_dataset(kind, make(tmp_path))
    report = check_dataset(dataset, decode=True)
    assert report.ok, report.lines()
    assert report.undecodable_films == 0
    cases = dataset.cases()
    assert len(cases) == report.cases > 0
    for case in cases:
        assert case.split in SPLITS
        assert set(case.labels) | set(case.unknown) <= set(dataset.label_names)
        assert not set(case.labels) & set(case.unknown)
        assert case.image is not None
    card = dataset.card
    for text in (card.title, card.description, card.citation, card.licence, card.source, card.label_definition):
        assert text
    assert kind in DATASETS


def test_help_lists_every_dataset() -> None:
    assert all(name in DatasetOption.__metadata__[0].help for name in DATASETS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [name for name in DATASETS if not name.startswith(("phantom", "openi"))])
def test_a_missing_or_empty_folder_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DatasetError, match="add --root"):
        open_dataset(kind)
    with pytest.raises(DatasetError, match="absent"):
        open_dataset(kind, tmp_path / "absent").cases()
    with pytest.raises(DatasetError, match=tmp_path.name):
        open_dataset(kind, tmp_path).cases()


def test_chexpert_studies_labels_and_splits(tmp_path: Path) -> None:
    cases = by_id(open_dataset("chexpert", layouts.chexpert(tmp_path)))
    assert list(cases) == [
        "patient00002-study1",
        "patient00002-study2",
        "patient00003-study1",
        "patient64541-study1",
    ]
    first = cases["patient00002-study1"]
    assert first.image == "train/patient00002/study1/view1_frontal.jpg"
    assert first.other_images == ("train/patient00002/study1/view2_lateral.jpg",)
    assert (first.view, first.patient_id) == ("AP", "patient00002")
    assert first.profile == {"age": 83, "sex": "F"}
    assert first.labels == ("Cardiomegaly", "Support Devices")
    known_absent = set(CHEXPERT_LABELS) - set(first.labels) - set(first.unknown)
    assert known_absent == {"Consolidation"}
    normal = cases["patient00002-study2"]
    assert (normal.labels, normal.unknown) == ((), ("Support Devices",))
    assert cases["patient00003-study1"].profile == {}
    assert cases["patient64541-study1"].unknown == ()
    assert cases["patient64541-study1"].split == "test"
    assert {case.split for name, case in cases.items() if name < "patient6"} <= {"train", "val"}
    assert first.split == normal.split


def test_chexpert_with_one_table_splits_by_patient(tmp_path: Path) -> None:
    root = layouts.chexpert(tmp_path)
    (root / "valid.csv").unlink()
    rows = [
        f"CheXpert-v1.0/train/patient{number:05}/study1/view1_frontal.jpg,Male,50,Frontal,PA{',' * 14}"
        for number in range(60)
    ]
    write_lines(root / "train.csv", [layouts.CHEXPERT_HEADER, *rows])
    write_films(root, *(row.split(",")[0].split("/", 1)[1] for row in rows))
    assert {case.split for case in open_dataset("chexpert", root).cases()} == set(SPLITS)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (",Lateral,,,,1.0,", ",Lateral,,,,7,", "label"),
        ("CheXpert-v1.0-small/train/patient00002/study1/view1", "view1", "case id"),
        (",Female,83,", ",Female,183,", "age"),
        ("/view1_frontal.jpg,Female,83", "/view9_frontal.jpg,Female,83", "missing film"),
    ],
)
def test_chexpert_names_what_is_wrong(tmp_path: Path, old: str, new: str, kind: str) -> None:
    root = layouts.chexpert(tmp_path)
    table = root / "train.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    report = check_dataset(open_dataset("chexpert", root))
    (problem,) = [problem for problem in report.problems if problem.kind == kind]
    assert problem.file == "train.csv"
    assert problem.row is not None
    if kind == "missing film":
        assert "train/patient00002/study1/view9_frontal.jpg" in problem.message


def test_mimic_joins_films_labels_splits_and_reports(tmp_path: Path) -> None:
    cases = by_id(open_dataset("mimic-cxr", layouts.mimic_cxr(tmp_path)))
    assert list(cases) == ["s50414267", "s53189527", "s53911762"]
    first = cases["s50414267"]
    assert first.image == "files/p10/p10000032/s50414267/pa.jpg"
    assert first.other_images == ("files/p10/p10000032/s50414267/lat.jpg",)
    assert (first.patient_id, first.split, first.view) == ("p10000032", "train", "PA")
    assert first.labels == ("Cardiomegaly",)
    assert "Edema" in first.unknown
    assert "Consolidation" not in first.unknown
    assert first.sections == {
        "indication": "___F with cough // acute process?",
        "comparison": "None.",
        "findings": "There is no focal consolidation. The heart is enlarged.",
        "impression": "Cardiomegaly.",
    }
    assert (cases["s53189527"].labels, cases["s53189527"].unknown) == ((), ("Support Devices",))
    unlisted = cases["s53911762"]
    assert (unlisted.split, unlisted.view) == ("val", None)
    assert unlisted.unknown == tuple(sorted(CHEXPERT_LABELS))
    assert unlisted.sections == {"findings": "PA chest. Lungs are clear."}


def test_mimic_with_unpacked_tables_and_without_reports(tmp_path: Path) -> None:
    packed = layouts.mimic_cxr(tmp_path / "packed")
    root = layouts.mimic_cxr(tmp_path / "unpacked")
    layouts.unpacked(root)
    for report in root.rglob("*.txt"):
        report.unlink()
    found, expected = by_id(open_dataset("mimic-cxr", root)), by_id(open_dataset("mimic-cxr", packed))
    assert list(found) == list(expected)
    assert all(found[name].labels == expected[name].labels for name in found)
    assert all(case.sections == {} for case in found.values())


def test_mimic_without_a_published_split_is_an_error(tmp_path: Path) -> None:
    root = layouts.mimic_cxr(tmp_path)
    write_lines(root / "mimic-cxr-2.0.0-split.csv.gz", ["dicom_id,study_id,subject_id,split", "pa,1,1,train"])
    with pytest.raises(DatasetError, match=r"metadata\.csv\.gz, row 2.*not train, validate or test.*errors"):
        open_dataset("mimic-cxr", root).cases()


@pytest.mark.parametrize("damage", [b"", b"no gzip", b"\x1f\x8b\x08 damaged"])
def test_a_damaged_packed_table_is_named(tmp_path: Path, damage: bytes) -> None:
    root = layouts.mimic_cxr(tmp_path)
    (root / "mimic-cxr-2.0.0-chexpert.csv.gz").write_bytes(damage)
    with pytest.raises(DatasetError, match=r"mimic-cxr-2\.0\.0-chexpert\.csv\.gz"):
        open_dataset("mimic-cxr", root)


def test_a_packed_table_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index_builder.datasets.reading.packed_text.MAX_UNPACKED_BYTES", 100)
    with pytest.raises(DatasetError, match="unpacks to more than 100 bytes"):
        open_dataset("mimic-cxr", layouts.mimic_cxr(tmp_path))


def test_padchest_studies_labels_and_what_is_left_out(tmp_path: Path) -> None:
    dataset = open_dataset("padchest", layouts.padchest(tmp_path))
    cases = by_id(dataset)
    assert list(cases) == ["s1", "s2", "s6"]
    first = cases["s1"]
    assert (first.image, first.other_images, first.view) == ("0/s1_pa.png", ("0/s1_lat.png",), "PA")
    assert first.labels == ("pleural effusion",)
    assert first.sections == {"findings": "derram pleural ."}
    assert first.profile == {"age": 84, "sex": "F", "labelled_by": "physician"}
    assert (cases["s2"].labels, cases["s2"].view, cases["s2"].split) == ((), "AP", first.split)
    assert cases["s6"].profile == {"sex": "M", "labelled_by": "physician"}
    assert dataset.label_names == ("nodule", "pleural effusion")
    found = {(problem.kind, problem.row) for problem in check_dataset(dataset).problems}
    assert found == {("unlabelled", 5), ("excluded", 6), ("excluded", 7), ("age", 8)}


def test_mimic_reports_stay_in_the_folder_and_are_text(tmp_path: Path) -> None:
    root = layouts.mimic_cxr(tmp_path / "root")
    report = root / "files/p10/p10000032/s50414267.txt"
    report.write_bytes(b"FINDINGS: caf\xe9")
    (problem,) = check_dataset(open_dataset("mimic-cxr", root)).errors
    assert (problem.kind, problem.row) == ("encoding", 3)
    report.rename(tmp_path / "elsewhere.txt")
    report.symlink_to(tmp_path / "elsewhere.txt")
    (problem,) = check_dataset(open_dataset("mimic-cxr", root)).errors
    assert problem.kind == "film outside root"


@pytest.mark.parametrize(
    ("kind", "make", "table", "row"),
    [
        ("padchest", layouts.padchest, "PADCHEST_x.csv", layouts.PADCHEST_ROWS[0].replace(",s1,p1,", ",,p1,")),
        ("vindr", layouts.vindr_kaggle, "train.csv", ",Cardiomegaly,3,R1,,,,"),
        ("rsna", layouts.rsna, "stage_2_train_labels.csv", ",,,,,0"),
        ("hannover", layouts.hannover, "data.csv", layouts.HANNOVER_ROWS[0].replace("024e7871", "")),
    ],
)
def test_a_row_without_its_id_is_an_error(
    tmp_path: Path, kind: str, make: Callable[[Path], Path], table: str, row: str
) -> None:
    root = make(tmp_path)
    layouts.unpacked(root)
    path = next(root.glob(table.replace("_x", "_*")))
    path.write_text(path.read_text() + row + "\n")
    (problem,) = check_dataset(open_dataset(kind, root)).errors
    assert (problem.kind, problem.file) == ("case id", path.name)


def test_padchest_films_are_found_anywhere_by_name(tmp_path: Path) -> None:
    root = layouts.padchest(tmp_path)
    (root / "images-224").mkdir()
    for film in list(root.glob("[01]/*.png")):
        film.rename(root / "images-224" / film.name)
    assert by_id(open_dataset("padchest", root))["s1"].image == "images-224/s1_pa.png"


@pytest.mark.parametrize("make", [layouts.vindr, layouts.vindr_kaggle])
def test_vindr_votes_of_three_readers(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    cases = by_id(open_dataset("vindr", make(tmp_path)))
    assert cases["aaa"].labels == ("Cardiomegaly",)
    assert cases["aaa"].unknown == ("Nodule/Mass",)
    assert (cases["bbb"].labels, cases["bbb"].unknown) == ((), ())
    assert {case.view for case in cases.values()} == {"PA"}


def test_vindr_test_films_have_the_consensus(tmp_path: Path) -> None:
    dataset = open_dataset("vindr", layouts.vindr(tmp_path))
    assert dataset.label_names == ("Cardiomegaly", "Nodule/Mass", "Tuberculosis", "Other diseases")
    case = by_id(dataset)["ccc"]
    assert (case.split, case.labels, case.unknown) == ("test", ("Other diseases", "Tuberculosis"), ())
    assert case.image == "test/ccc.dicom"


def test_rsna_labels_and_patients_behind_the_films(tmp_path: Path) -> None:
    root = layouts.rsna(tmp_path)
    cases = by_id(open_dataset("rsna", root))
    assert {name: case.labels for name, case in cases.items()} == {
        "0004cfab-14fd": ("No Lung Opacity / Not Normal",),
        "00436515-870c": ("Lung Opacity",),
        "00569f44-917d": (),
    }
    assert cases["0004cfab-14fd"].patient_id == cases["00436515-870c"].patient_id == "nih-00000007"
    assert cases["00569f44-917d"].patient_id == "00569f44-917d"
    (root / "pneumonia-challenge-dataset-mappings_2018.json").write_text('{"img_id": 1}', encoding="utf-8")
    with pytest.raises(DatasetError, match="not the published mapping"):
        open_dataset("rsna", root)


def test_rsna_tables_that_disagree_are_an_error(tmp_path: Path) -> None:
    root = layouts.rsna(tmp_path)
    write_lines(root / "stage_2_detailed_class_info.csv", ["patientId,class", "0004cfab-14fd,Lung Opacity"])
    report = check_dataset(open_dataset("rsna", root))
    assert [(problem.kind, problem.row) for problem in report.errors] == [("label", 2), ("label", 3), ("label", 5)]


def test_radiography_classes_by_folder_and_by_table(tmp_path: Path) -> None:
    folders = open_dataset("radiography", layouts.radiography_folders(tmp_path / "folders"))
    assert {case.case_id: case.labels for case in folders.cases()} == {
        "COVID/images/COVID-1.png": ("COVID-19",),
        "Lung_Opacity/images/Lung_Opacity-1.png": ("Lung Opacity",),
        "Normal/images/Normal-1.png": (),
        "Viral Pneumonia/images/Viral Pneumonia-1.png": ("Viral Pneumonia",),
    }
    (warning,) = check_dataset(folders).problems
    assert "COVID.metadata.xlsx" in warning.message
    assert "and 5 more" in warning.message  # the other three workbooks, and four outlines
    table = open_dataset("radiography", layouts.radiography_table(tmp_path / "table"))
    assert [case.labels for case in table.cases()] == [("Tuberculosis",), ("COVID-19",), ()]
    assert [case.image for case in table.cases()][:1] == ["images/tb_1.jpg"]
    assert table.card.name == folders.card.name == "radiography"
    assert (table.card.citation, table.card.licence) == (folders.card.citation, folders.card.licence)


def test_hannover_keeps_a_patient_together_and_tells_missing_films(tmp_path: Path) -> None:
    dataset = open_dataset("hannover", layouts.hannover(tmp_path))
    first, second = dataset.cases()
    assert first.split == second.split
    assert (first.view, second.view) == ("PA", "AP")
    assert first.profile["crp"] == 3
    assert second.profile == {"sex": "F", "admission_offset": 4}
    assert [problem.kind for problem in check_dataset(dataset).problems] == ["missing film"]


def test_jsrt_labels_by_name(tmp_path: Path) -> None:
    root = layouts.jsrt(tmp_path)
    cases = by_id(open_dataset("jsrt", root))
    assert {name: case.labels for name, case in cases.items()} == {"JPCLN001": ("Nodule",), "JPCNN001": ()}
    write_films(root, "copy/JPCLN001.png")
    with pytest.raises(DatasetError, match="JPCLN001 is there as"):
        open_dataset("jsrt", root).cases()


@pytest.mark.parametrize(("kind", "name", "cases", "films", "patients"), REAL)
def test_real_folders(kind: str, name: str, cases: int, films: int, patients: int) -> None:
    from table_samples import sample

    report = check_dataset(open_dataset(kind, sample(name)))
    assert report.ok, report.lines()
    assert (report.cases, report.films, report.patients) == (cases, films, patients)
