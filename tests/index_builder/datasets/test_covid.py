"""The COVID-19 image data collection: the real sample, and rows of both generations of its table."""

from collections import Counter
from pathlib import Path

import pytest
from table_samples import sample, write_film

from index_builder.datasets.published.covid import COVID_LABELS, Covid
from index_builder.errors import DatasetError

HEADER = "patientid,offset,sex,age,finding,survival,temperature,view,modality,filename,license,clinical_notes"


def folder(tmp_path: Path, rows: list[str], header: str = HEADER) -> Path:
    (tmp_path / "metadata.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        write_film(tmp_path / "images" / name, seed)
    return tmp_path


def test_real_sample() -> None:
    dataset = Covid(sample("covid_sample"))
    cases = dataset.cases()
    assert len(cases) == 435
    assert dataset.problems() == ()
    assert len({case.case_id for case in cases}) == 435
    assert len({case.patient_id for case in cases}) == 235
    assert Counter(case.view for case in cases) == {"PA": 225, "AP": 176, "LATERAL": 34}
    labels = Counter(label for case in cases for label in case.labels)
    assert labels["COVID-19"] == 341
    assert (labels["Pneumonia"], labels["Viral"], labels["ARDS"]) == (421, 362, 12)
    assert sum(not case.labels for case in cases) == 10
    assert sum("notes" in case.sections for case in cases) == 356
    assert sum("geographic_mean" in case.profile for case in cases) == 78
    assert all(0 <= float(case.profile.get("geographic_mean", 0)) <= 8 for case in cases)
    assert Counter(case.profile.get("survival") for case in cases) == {None: 242, True: 155, False: 38}
    assert sum(case.profile.get("position") == "supine" for case in cases) == 98
    splits: dict[str, set[str]] = {}
    for case in cases:
        splits.setdefault(case.patient_id, set()).add(case.split)
    assert all(len(found) == 1 for found in splits.values())
    assert dataset.load_film(cases[0].image or "").pixels.ndim == 2


@pytest.mark.parametrize(
    ("finding", "labels"),
    [
        ("COVID-19", ("COVID-19", "Pneumonia", "Viral")),
        ("Pneumonia/Viral/COVID-19", ("COVID-19", "Pneumonia", "Viral")),
        ('"COVID-19, ARDS"', ("ARDS", "COVID-19", "Pneumonia", "Viral")),
        ("Pneumonia/Bacterial/Staphylococcus/MRSA", ("Bacterial", "Pneumonia", "Staphylococcus")),
        ("Pneumonia/Viral/Influenza/H1N1", ("Influenza", "Pneumonia", "Viral")),
        ("Pneumonia/Viral/Herpes ", ("Herpes", "Pneumonia", "Viral")),
        ("Tuberculosis", ("Tuberculosis",)),
        ("No Finding", ()),
    ],
)
def test_findings_of_both_generations(tmp_path: Path, finding: str, labels: tuple[str, ...]) -> None:
    (case,) = Covid(folder(tmp_path, [f"1,,M,60,{finding},,,PA,X-ray,a.png,,"])).cases()
    assert case.labels == labels
    assert set(labels) <= set(COVID_LABELS)


def test_typed_profile_and_notes(tmp_path: Path) -> None:
    (case,) = Covid(
        folder(tmp_path, ['2,3.0,M,65.0,COVID-19,Y,38.5,AP Supine,X-ray,a.png,CC BY,"Fever, cough"'])
    ).cases()
    assert dict(case.profile) == {
        "age": 65,
        "sex": "M",
        "position": "supine",
        "survival": True,
        "offset": 3.0,
        "temperature": 38.5,
        "license": "CC BY",
    }
    assert (case.view, dict(case.sections), case.patient_id) == ("AP", {"notes": "Fever, cough"}, "2")
    assert case.report == "Fever, cough"


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    rows = [
        "1,,M,60,COVID-19,,,Axial,CT,a.png,,",
        "2,,M,60,todo,,,PA,X-ray,a.png,,",
        "3,,M,60,Unknown,,,PA,X-ray,a.png,,",
        "4,,M,60,Psittacosis,,,PA,X-ray,a.png,,",
        "5,,M,60,COVID-19,,,PA,X-ray,gone.png,,",
        "6,x,Q,999,COVID-19/Zeta,maybe,warm,oblique,X-ray,b.png,,",
    ]
    dataset = Covid(folder(tmp_path, rows))
    (case,) = dataset.cases()
    assert (case.patient_id, dict(case.profile), case.view) == ("6", {}, None)
    assert case.labels == ("COVID-19", "Pneumonia", "Viral")
    assert dataset.missing_films == 1
    assert Counter(problem.kind for problem in dataset.problems()) == {
        "excluded": 1,
        "unlabelled": 3,
        "label": 2,
        "missing film": 1,
        "value": 3,
        "sex": 1,
        "age": 1,
        "view": 1,
    }


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none of the 1 rows gives a case"):
        Covid(folder(tmp_path, ["5,,M,60,COVID-19,,,PA,X-ray,gone.png,,"])).cases()


@pytest.mark.parametrize("name", ["../metadata.csv", "/etc/hostname", "a/../../metadata.csv"])
def test_film_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=r"row 2, column 'filename': film .* is not a path below"):
        Covid(folder(tmp_path, [f"5,,M,60,COVID-19,,,PA,X-ray,{name},,"])).cases()


def test_split_column_is_obeyed_and_a_torn_patient_named(tmp_path: Path) -> None:
    header = HEADER + ",split"
    rows = ["1,,,,COVID-19,,,PA,,a.png,,,test", "2,,,,COVID-19,,,PA,,b.png,,,val", "1,,,,COVID-19,,,PA,,c.png,,,train"]
    assert [case.split for case in Covid(folder(tmp_path, rows[:2], header)).cases()] == ["test", "val"]
    with pytest.raises(DatasetError, match="patient '1' is in 'train' here and in 'test' in row 2"):
        Covid(folder(tmp_path, rows, header)).cases()


def test_setup_faults(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        Covid(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match=r"metadata\.csv: cannot be read \(No such file"):
        Covid(tmp_path)
    (tmp_path / "metadata.csv").write_text("patientid,finding\n1,COVID-19\n")
    with pytest.raises(DatasetError, match="no column 'view', 'filename'"):
        Covid(tmp_path)


def test_every_label_is_reached_by_its_own_name(tmp_path: Path) -> None:
    rows = [f"{number},,,,{label},,,PA,,{number}.png,," for number, label in enumerate(COVID_LABELS)]
    for number in range(len(COVID_LABELS)):
        write_film(tmp_path / "images" / f"{number}.png", number)
    cases = Covid(folder(tmp_path, rows)).cases()
    assert len(cases) == 24
    assert all(label in case.labels for label, case in zip(COVID_LABELS, cases, strict=True))
