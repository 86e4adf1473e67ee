"""Tables in the layouts that collections are published in, read as manifests without a word about their columns."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from table_samples import sample, write_film

from index_builder.datasets.check import check_dataset
from index_builder.datasets.own.column_map import ColumnMap
from index_builder.datasets.own.manifest import Manifest
from index_builder.datasets.published.covid import Covid
from index_builder.datasets.published.nih import NIH
from index_builder.errors import DatasetError, ImagingError


def published(folder: Path, name: str, text: str, films: Sequence[str] = ()) -> Path:
    """A table beside its films."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, film in enumerate(films):
        write_film(folder / film, seed)
    (folder / name).write_bytes(text.encode())
    return folder / name


#: Name of the folder, text of the table, films, and what is expected: columns of film, patient, view, labels; images.
LAYOUTS = {
    "CheXpert-v1.0-small": (
        "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema\n"
        "CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg,Male,61,Frontal,AP,,1.0\n"
        "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Male,61,Frontal,PA,1.0,\n",
        ["train/patient00002/study1/view1_frontal.jpg", "train/patient00002/study2/view1_frontal.jpg"],
        ("Path", None, "AP/PA", None),
    ),
    "mimic-metadata": (
        "dicom_id,subject_id,study_id,ViewPosition\n02aa804e-bde0afdd,10000032,50414267,PA\n"
        "174413ec-4ec4c1f7,10000032,50414267,LL\n",
        ["files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg", "files/p10/p10000032/s50414267/174413ec-4ec4c1f7.jpg"],
        ("dicom_id", "subject_id", "ViewPosition", None),
    ),
    "padchest": (
        ",ImageID,ImageDir,PatientID,PatientSex_DICOM,Projection,Report,Labels\n"
        "0,2053_k6.png,0,p1,M,PA,sin alteraciones,['normal']\n"
        "1,1353_ab.png,0,p2,F,AP_horizontal,derrame,\"['pleural effusion', ' cardiomegaly']\"\n",
        ["0/2053_k6.png", "0/1353_ab.png"],
        ("ImageID", "PatientID", "Projection", "Labels"),
    ),
    "vindr": (
        "image_id,rad_id,Cardiomegaly,No finding\n000434271f63a053,R1,0,1\n00053190460d56c5,R1,1,0\n",
        ["train/000434271f63a053.png", "train/00053190460d56c5.png"],
        ("image_id", None, None, None),
    ),
    "vinbigdata": (
        "image_id,class_name,class_id,x_min\n50a418190bc3fb1e,No finding,14,\n21a10246a5ec7af1,Cardiomegaly,3,691\n",
        ["train/50a418190bc3fb1e.png", "train/21a10246a5ec7af1.png"],
        ("image_id", None, None, "class_name"),
    ),
    "rsna": (
        "patientId,x,y,width,height,Target\n0004cfab,,,,,0\n00436515,264.0,152.0,213.0,379.0,1\n",
        ["stage_2_train_images/0004cfab.png", "stage_2_train_images/00436515.png"],
        ("patientId", "patientId", None, None),
    ),
    "nih": (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
        "00000013_005.png,Emphysema|Infiltration,005,00000013,060Y,M,AP\n"
        "00000013_026.png,No Finding,026,00000013,057Y,M,PA\n",
        ["images_001/images/00000013_005.png", "images_001/images/00000013_026.png"],
        ("Image Index", "Patient ID", "View Position", "Finding Labels"),
    ),
    "iu-x-ray": (
        "uid,filename,projection\n1,1_IM-0001-4001.dcm.png,Frontal\n1,1_IM-0001-3001.dcm.png,Lateral\n",
        ["images/images_normalized/1_IM-0001-4001.dcm.png", "images/images_normalized/1_IM-0001-3001.dcm.png"],
        ("filename", None, "projection", None),
    ),
    "roco": (
        "id,name,caption\nROCO_2,PMC4083729_g002.jpg,Chest film in a patient with fever.\n"
        "ROCO_3,PMC2837471_001.jpg,Chest film after surgery.\n",
        ["images/PMC4083729_g002.jpg", "images/PMC2837471_001.jpg"],
        ("name", None, None, None),
    ),
    "coronahack": (
        ",X_ray_image_name,Label,Dataset_type\n0,IM-0128-0001.jpeg,Normal,TRAIN\n1,IM-0127-0001.jpeg,Pnemonia,TRAIN\n",
        ["train/IM-0128-0001.jpeg", "train/IM-0127-0001.jpeg"],
        ("X_ray_image_name", None, None, "Label"),
    ),
    "siim": (
        "ImageId,EncodedPixels\n1.2.276.0.1,-1\n1.2.276.0.2,557374 2 1015 8\n",
        ["dicom/1.2.276.0.1.png", "dicom/1.2.276.0.2.png"],
        ("ImageId", None, None, None),
    ),
    "ranzcr": (
        "StudyInstanceUID,ETT - Normal,PatientID\n1.2.826.0.1,0,ec89\n1.2.826.0.2,1,bf4c\n",
        ["train/1.2.826.0.1.jpg", "train/1.2.826.0.2.jpg"],
        ("StudyInstanceUID", "PatientID", None, None),
    ),
    "radiography": (
        "FILE NAME,FORMAT,SIZE,URL\nCOVID-1,PNG,256*256,https://sirm.org/a.png\nCOVID-2,PNG,256*256,https://sirm.org/b.png\n",
        ["COVID/images/COVID-1.png", "COVID/images/COVID-2.png"],
        ("FILE NAME", None, None, None),
    ),
    "shenzhen": (
        "study_id,sex,age,findings\nCHNCXR_0001_0.png,Male,45yrs,normal\n"
        'CHNCXR_0327_1.png,Female,37,"STB, pleurisy"\n',
        ["CXR_png/CHNCXR_0001_0.png", "CXR_png/CHNCXR_0327_1.png"],
        ("study_id", None, None, None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_films_of_each_published_layout_are_found(tmp_path: Path, name: str) -> None:
    text, films, expected = LAYOUTS[name]
    dataset = Manifest(published(tmp_path / name, "table.csv", text, films))
    columns = dataset.columns
    assert (columns.image, columns.patient_id, columns.view, columns.labels) == expected
    cases = dataset.cases()
    assert [case.image for case in cases] == films
    assert all(dataset.load_film(film).pixels.shape == (32, 40) for film in films)
    assert f"image from {columns.image!r}" in dataset.notes()[0]
    assert check_dataset(dataset).text_only == 0


def test_a_text_column_called_image_is_no_film(tmp_path: Path) -> None:
    text = (
        "uid,MeSH,Problems,image,indication,comparison,findings,impression\n"
        "1,normal,normal,Xray Chest PA and Lateral,Positive TB test,None.,The lungs are clear.,Normal chest.\n"
        '2,Cardiomegaly,Cardiomegaly;Mass,"Chest, 2 views",Preop.,None.,Borderline heart.,No acute findings.\n'
    )
    dataset = Manifest(published(tmp_path, "reports.csv", text))
    assert dataset.columns.image is None
    assert [case.labels for case in dataset.cases()] == [(), ("Cardiomegaly", "Mass")]
    (told,) = (problem for problem in dataset.problems() if problem.kind == "column")
    assert "column 'image' is named like films, but its cells (e.g. 'Xray Chest PA and Lateral')" in told.message
    assert "'image'" in dataset.notes()[0].partition("Left out")[2]


@pytest.mark.parametrize(
    ("header", "cells", "message"),
    [
        ("text,scan", ["clear,x/a.png", "normal,x/b.png"], "column 'scan' is left out and looks like films"),
        ("image,scan", ["a.png,c.png", "b.png,d.png"], "say it in columns.yaml (other_images: [scan])"),
        (
            "image,dictation",
            [f"{n}.png,the heart is large and the lungs are clear" for n in "ab"],
            "looks like reports",
        ),
        ("image,Mass,Edema", ["a.png,1,", "b.png,-1,0"], "label_columns: [Mass, Edema]"),
        ("text,filename", ["clear,0001", "normal,0002"], "'filename' is named like films, but its cells (e.g. '0001')"),
    ],
)
def test_left_out_columns_that_look_like_films_reports_or_labels_are_told(
    tmp_path: Path, header: str, cells: list[str], message: str
) -> None:
    rows = [f"{row},p{number}" for number, row in enumerate(cells)]
    text = "\n".join([f"{header},patient", *rows]) + "\n"
    dataset = Manifest(published(tmp_path, "table.csv", text, ["a.png", "b.png"]))
    (problem,) = dataset.problems()
    assert (problem.kind, problem.severity) == ("column", "warning")
    assert message in problem.message


def test_a_column_map_is_told_too(tmp_path: Path) -> None:
    path = published(tmp_path, "table.csv", "f,a,b,c\na.png,1,0,x\n", ["a.png"])
    (note,) = Manifest(path, ColumnMap(image="f", label_columns=["a", "b"])).notes()
    assert note == "Columns as mapped: image from 'f', label_columns from 'a' and 'b'. Left out: 'c'."


def test_two_columns_that_lead_to_the_same_films_are_one(tmp_path: Path) -> None:
    text = "image_id,image_path,patient\na,x/a.png,1\nb,x/b.png,2\n"
    dataset = Manifest(published(tmp_path, "table.csv", text, ["x/a.png", "x/b.png"]))
    assert dataset.columns.image == "image_path"
    assert dataset.problems() == ()


def test_a_name_that_several_films_have_is_no_film(tmp_path: Path) -> None:
    path = published(tmp_path, "table.csv", "image,patient\na.png,1\nb.png,2\n", ["x/a.png", "y/a.png", "x/b.png"])
    dataset = Manifest(path)
    (problem,) = dataset.problems()
    assert (problem.kind, problem.row) == ("missing film", 2)
    assert "'a.png' is there more than once below" in problem.message
    assert [case.image for case in dataset.reading.cases] == ["x/b.png"]


def test_a_film_of_another_folder_is_not_taken_for_one_that_is_missing(tmp_path: Path) -> None:
    films = ["train/patient00001/study1/view1.png"]
    text = "Path\npatient00001/study1/view1.png\ntrain/patient00002/study1/view1.png\nother/view1.png\n"
    dataset = Manifest(published(tmp_path, "table.csv", text, films))
    assert [problem.kind for problem in dataset.problems()] == ["missing film"] * 3


# Patients


@pytest.mark.parametrize(
    ("films", "patients"),
    [
        (["patient00002/study1/a.png", "patient00002/study2/a.png"], ["patient00002", "patient00002"]),
        (["p10/p10000032/s50414267/a.png", "p10/p10000764/s1/a.png"], ["p10000032", "p10000764"]),
        (["sub-01/ses-1/a.png", "sub-01/ses-2/a.png"], ["sub-01", "sub-01"]),
    ],
)
def test_patients_come_from_paths_that_tell_them(tmp_path: Path, films: list[str], patients: list[str]) -> None:
    dataset = Manifest(published(tmp_path, "table.csv", "image\n" + "\n".join(films) + "\n", films))
    assert [case.patient_id for case in dataset.cases()] == patients
    assert dataset.problems() == ()
    assert f"Patients of 2 cases are the folders of their films, e.g. '{patients[0]}'." in dataset.notes()


def test_a_column_of_patients_goes_before_the_path(tmp_path: Path) -> None:
    films = ["patient1/a.png", "patient1/b.png"]
    text = "image,patient_id\npatient1/a.png,X\npatient1/b.png,\n"
    cases = Manifest(published(tmp_path, "table.csv", text, films)).cases()
    assert [case.patient_id for case in cases] == ["X", "patient1"]


def test_without_patients_a_torn_one_is_warned_of(tmp_path: Path) -> None:
    dataset = Manifest(published(tmp_path, "table.csv", "image\na.png\nb.png\n", ["a.png", "b.png"]))
    (problem,) = dataset.problems()
    assert (problem.kind, problem.severity) == ("patient", "warning")
    assert "films of one person can stand in two splits" in problem.message
    assert len(dataset.cases()) == 2


# Rows that are not as they should be


COVID = "patientid,finding,view,filename"
NIH_COLUMNS = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"


def odd(header: str, rows: Sequence[str], separator: str = ",") -> str:
    """A table with a byte order mark, CRLF, an unnamed last column with text in a row, a ragged and a repeated row."""
    lines = [f"{header}{separator}", *(f"{row}{separator}" for row in rows)]
    lines += [f"{rows[0]}{separator}", f"{rows[1]}{separator}", rows[0].partition(separator)[0]]
    lines[2] += "a remark"
    return "\ufeff" + "\r\n".join(lines) + "\r\n\r\n"


def test_odd_rows_are_left_out_with_a_word_in_each_reader(tmp_path: Path) -> None:
    covid = ["1,COVID-19,PA,a.png", "2,No Finding,AP,b.png"]
    published(tmp_path / "covid", "metadata.csv", odd(COVID, covid), ["images/a.png", "images/b.png"])
    nih = ["a.png,Mass,0,1,50,F,PA", "b.png,No Finding|mass,0,2,51,M,AP"]
    published(tmp_path / "nih", "Data_Entry_2017.csv", odd(NIH_COLUMNS, nih), ["images/a.png", "images/b.png"])
    own = ["a.png;p1;Mass", "b.png;p2;Edema"]
    published(tmp_path / "own", "manifest.csv", odd("image;patient;labels", own, ";"), ["a.png", "b.png"])
    for dataset in (Covid(tmp_path / "covid"), NIH(tmp_path / "nih"), Manifest(tmp_path / "own")):
        kinds = [(one.kind, one.row) for one in dataset.problems() if one.kind != "label"]
        assert kinds == [("column", None), ("repeated row", 4), ("repeated row", 5), ("ragged row", 6)]
        assert "has no name and text in 1 row, e.g. 'a remark' in row 3" in dataset.problems()[0].message
        assert check_dataset(dataset).ok
        assert len(dataset.cases()) == 2
    assert NIH(tmp_path / "nih").cases()[1].labels == ("Mass",)


def test_the_row_numbers_of_pandas_are_no_column(tmp_path: Path) -> None:
    text = ",image,patient\n0,a.png,1\n1,b.png,2\n"
    assert Manifest(published(tmp_path, "table.csv", text, ["a.png", "b.png"])).problems() == ()


def test_rows_of_one_film_that_disagree_are_an_error(tmp_path: Path) -> None:
    text = "image,labels,patient\na.png,Mass,1\na.png,Edema,1\n"
    dataset = Manifest(published(tmp_path, "table.csv", text, ["a.png"]))
    with pytest.raises(DatasetError, match=r"row 3: film 'a.png' is already in row 2, with other labels or texts"):
        dataset.cases()


# Films that are nearly there


@pytest.mark.parametrize(
    ("written", "there", "hint"),
    [
        ("films/a.PNG", "Films/A.png", "case of its letters"),
        ("f/a.jpg", "f/a.JPG", "case of its letters"),
        (
            unicodedata.normalize("NFD", "Aufnahmé/ü.png"),
            unicodedata.normalize("NFC", "Aufnahmé/ü.png"),
            "Unicode form",
        ),
        (unicodedata.normalize("NFC", "ö.png"), unicodedata.normalize("NFD", "ö.png"), "Unicode form"),
    ],
)
def test_a_missing_film_hints_at_nearly_the_same_name(tmp_path: Path, written: str, there: str, hint: str) -> None:
    path = published(tmp_path, "table.csv", f"image\n{written}\n", [there])
    (problem,) = Manifest(path).problems()
    assert problem.kind == "missing film"
    assert f"but {there!r} is: the same name in another {hint}" in problem.message
    with pytest.raises(ImagingError, match="the same name in another"):
        Manifest(path).load_film(written)


# Real tables


def test_real_tables_as_manifests() -> None:
    nih = Manifest(sample("nih_sample") / "Data_Entry_2017_sample.csv")
    assert (len(nih.cases()), nih.problems()) == (1005, ())
    assert len({case.patient_id for case in nih.cases()}) == 745
    covid = Manifest(sample("covid_sample") / "metadata.csv")
    assert (len(covid.cases()), {problem.kind for problem in covid.problems()}) == (435, {"column"})
    radiography = Manifest(sample("radiography_db") / "metadata.csv")
    assert [problem.kind for problem in radiography.problems()] == ["patient"]
    assert len(radiography.cases()) == 1192
    # Its table lists films that are not there; the others are found by their ids.
    hannover = Manifest(sample("hannover_covid") / "data.csv")
    assert (len(hannover.reading.cases), hannover.missing_films) == (161, 82)
