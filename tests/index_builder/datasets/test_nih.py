"""ChestX-ray14: the real sample, the real full table, and small folders with one thing wrong."""

import gzip
import importlib.util
from collections import Counter
from pathlib import Path

import pytest
from table_samples import sample, write_film

from index_builder.cases.labels import NIH_LABELS
from index_builder.datasets.published.nih import NIH
from index_builder.errors import DatasetError, ImagingError

HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
SIZES = ",OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"


def folder(tmp_path: Path, rows: list[str], header: str = HEADER, *, films: bool = True) -> Path:
    """A ChestX-ray14 folder with a film for every row."""
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    (tmp_path / "images").mkdir()
    for seed, row in enumerate(rows if films else rows[:1]):
        write_film(tmp_path / "images" / row.split(",")[0], seed)
    return tmp_path


def row(patient: int, number: int = 0, *, labels: str = "No Finding", age: str = "50", tail: str = "") -> str:
    return f"{patient:08d}_{number:03d}.png,{labels},{number},{patient},{age},F,PA{tail}"


def test_real_sample() -> None:
    dataset = NIH(sample("nih_sample"))
    cases = dataset.cases()
    assert len(cases) == 1005
    splits = Counter(case.split for case in cases)
    assert splits["test"] == 224
    assert splits["train"] + splits["val"] == 781
    assert 50 <= splits["val"] <= 110
    assert dataset.missing_films == 0
    assert dataset.problems() == ()
    assert Counter(case.view for case in cases) == {"AP": 503, "PA": 502}
    assert Counter(case.profile["sex"] for case in cases) == {"M": 563, "F": 442}
    assert len({case.patient_id for case in cases}) == 745
    assert {label for case in cases for label in case.labels} == set(NIH_LABELS)
    first = cases[0]
    assert first.case_id == "00000061_012"
    assert first.labels == ("Edema", "Effusion", "Infiltration", "Pleural_Thickening", "Pneumonia")
    assert dict(first.profile) == {"age": 77, "sex": "M", "follow_up": 12}
    assert dataset.load_film(first.image or "").pixels.shape == (512, 512)


def test_full_published_table_with_three_films_downloaded(tmp_path: Path) -> None:
    package = importlib.util.find_spec("torchxrayvision")
    assert package is not None
    assert package.origin is not None
    packed = Path(package.origin).parent / "data" / "Data_Entry_2017_v2020.csv.gz"
    (tmp_path / "Data_Entry_2017_v2020.csv").write_bytes(gzip.decompress(packed.read_bytes()))
    for name in (
        "images_001/images/00000001_000.png",
        "images_001/images/00000003_002.png",
        "images_012/00030805_000.png",
    ):
        write_film(tmp_path / name)
    dataset = NIH(tmp_path)
    assert [case.case_id for case in dataset.cases()] == ["00000001_000", "00000003_002", "00030805_000"]
    assert dataset.cases()[0].image == "images_001/images/00000001_000.png"
    assert dataset.missing_films == 112_120 - 3
    assert all(problem.severity == "warning" for problem in dataset.problems())


def test_first_release_with_ages_like_060y_and_trailing_comma(tmp_path: Path) -> None:
    rows = [row(1, age="060Y", tail=",2682,2749,0.143,0.143,"), row(2, age="412Y", tail=",2682,2749,0.143,0.143,")]
    dataset = NIH(folder(tmp_path, rows, HEADER + SIZES + ","))
    old, implausible = dataset.cases()
    assert old.profile["age"] == 60
    assert "age" not in implausible.profile
    (problem,) = dataset.problems()
    assert (problem.kind, problem.severity, problem.row, problem.column) == ("age", "warning", 3, "Patient Age")
    assert "412" in str(problem)


def test_published_lists_give_the_split_and_validation_is_carved_by_patient(tmp_path: Path) -> None:
    root = folder(tmp_path, [row(patient, number) for patient in range(60) for number in range(2)])
    names = [f"{patient:08d}_{number:03d}.png" for patient in range(60) for number in range(2)]
    (root / "train_val_list.txt").write_text("\n".join(names[:100]))
    (root / "test_list.txt").write_text("\n".join(names[100:]))
    cases = NIH(root).cases()
    assert {case.case_id for case in cases if case.split == "test"} == {name[:-4] for name in names[100:]}
    split_of_patient: dict[str, set[str]] = {}
    for case in cases:
        split_of_patient.setdefault(case.patient_id, set()).add(case.split)
    assert all(len(splits) == 1 for splits in split_of_patient.values())
    assert {"train", "val", "test"} == set().union(*split_of_patient.values())


def test_given_validation_part_is_kept(tmp_path: Path) -> None:
    words = ["train", "val", "test"] * 20
    rows = [row(patient, tail=f",{word}") for patient, word in enumerate(words)]
    assert [case.split for case in NIH(folder(tmp_path, rows, HEADER + ",split")).cases()] == words


def test_splits_do_not_depend_on_which_films_are_there(tmp_path: Path) -> None:
    rows = [row(patient) for patient in range(100)]
    (tmp_path / "all").mkdir()
    (tmp_path / "part").mkdir()
    whole = {case.case_id: case.split for case in NIH(folder(tmp_path / "all", rows)).cases()}
    part = folder(tmp_path / "part", rows[::-1])
    for path in sorted((part / "images").iterdir())[::3]:
        path.unlink()
    cases = NIH(part).cases()
    assert len(cases) == 66
    assert all(case.split == whole[case.case_id] for case in cases)


def test_patient_in_two_splits_is_named(tmp_path: Path) -> None:
    rows = [row(7, 0, tail=",train"), row(8, 0, tail=",val"), row(7, 1, tail=",test")]
    with pytest.raises(
        DatasetError, match=r"row 4, column 'Patient ID': patient '7' is in 'test' here and in 'train' in row 2"
    ):
        NIH(folder(tmp_path, rows, HEADER + ",split")).cases()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(1, labels="Effusion|Pneumonitis"), "row 3, column 'Finding Labels': 'Pneumonitis' is not one of the 14"),
        (row(1, labels=""), "'' is not one of the 14"),
        ("00000001_000.png,Mass,0,,50,F,PA", "row 3, column 'Patient ID': no patient id"),
    ],
)
def test_faults_name_row_column_and_value(tmp_path: Path, bad: str, message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        NIH(folder(tmp_path, [row(0), bad])).cases()
    assert message in str(caught.value)
    assert "Data_Entry_2017_v2020.csv" in str(caught.value)


def test_odd_but_harmless_values_are_left_out_with_a_warning(tmp_path: Path) -> None:
    dataset = NIH(folder(tmp_path, ["00000001_000.png,Mass,-1,1,50,X,oblique"]))
    (case,) = dataset.cases()
    assert (dict(case.profile), case.view) == ({"age": 50}, None)
    assert sorted(problem.kind for problem in dataset.problems()) == ["sex", "value", "view"]


def test_no_film_found_is_an_error(tmp_path: Path) -> None:
    root = folder(tmp_path, [row(1), row(2)])
    for path in (root / "images").iterdir():
        path.unlink()
    dataset = NIH(root)
    assert dataset.missing_films == 2
    with pytest.raises(DatasetError, match="none of the 2 films listed"):
        dataset.cases()


def test_reduced_copy_as_jpeg_behind_a_linked_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "", [row(1)])
    (root / "images" / "00000001_000.png").unlink()
    (root / "images").rmdir()
    write_film(tmp_path / "elsewhere" / "00000001_000.jpg")
    (root / "images").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "leak.jpg").symlink_to("/etc/hostname")
    dataset = NIH(root)
    (case,) = dataset.cases()
    assert case.image == "images/00000001_000.jpg"
    assert dataset.load_film(case.image).pixels.shape == (32, 40)
    for reference in ("images/leak.jpg", "../x.png", "/etc/hostname", "images/../../x.png"):
        with pytest.raises(ImagingError):
            dataset.load_film(reference)


def test_setup_faults_raise_at_once(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        NIH(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no images/"):
        NIH(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="found: none"):
        NIH(tmp_path)
    (tmp_path / "Data_Entry_a.csv").write_text("Image Index,Patient ID\n1.png,1\n")
    with pytest.raises(DatasetError, match=r"no column 'Finding Labels'.*Columns present: 'Image Index', 'Patient ID'"):
        NIH(tmp_path)
    (tmp_path / "Data_Entry_b.csv").touch()
    with pytest.raises(DatasetError, match=r"Data_Entry_a\.csv, Data_Entry_b\.csv"):
        NIH(tmp_path)


def test_one_list_alone_or_a_film_in_both_or_neither(tmp_path: Path) -> None:
    root = folder(tmp_path, [row(1), row(2)])
    (root / "test_list.txt").write_text("00000001_000.png\n")
    with pytest.raises(DatasetError, match="without its counterpart"):
        NIH(root)
    (root / "train_val_list.txt").write_text("00000001_000.png\n")
    with pytest.raises(DatasetError, match="in both lists"):
        NIH(root)
    (root / "train_val_list.txt").write_text("")
    with pytest.raises(DatasetError, match=r"row 3.*'00000002_000.png' is in neither"):
        NIH(root).cases()
