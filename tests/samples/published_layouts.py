"""Small folders in the layout in which each collection is published: tables with made-up rows, films drawn here."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from openi_samples import dicom_film
from table_samples import write_film

CHEXPERT_HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
_TRAIN, _VALID = "CheXpert-v1.0-small/train", "CheXpert-v1.0-small/valid"
CHEXPERT_TRAIN = [
    # The lateral film is listed first; the study is uncertain of edema and does not mention most findings.
    f"{_TRAIN}/patient00002/study1/view2_lateral.jpg,Female,83,Lateral,,,,1.0,,,-1.0,0.0,,,,,,,1.0",
    f"{_TRAIN}/patient00002/study1/view1_frontal.jpg,Female,83,Frontal,AP,,,1.0,,,-1.0,0.0,,,,,,,1.0",
    f"{_TRAIN}/patient00002/study2/view1_frontal.jpg,Female,87,Frontal,PA,1.0,,,,,,,,,,,,,",
    f"{_TRAIN}/patient00003/study1/view1_frontal.jpg,Unknown,0,Frontal,AP,,,,,,,,,,,1.0,,,",
]
CHEXPERT_VALID = [
    f"{_VALID}/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP,0.0,1.0,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,"
    "0.0",
]

MIMIC_LABELS = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
MIMIC_METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
MIMIC_REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough  // acute process?

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation. The heart is
 enlarged.

 IMPRESSION:

 Cardiomegaly.
"""

PADCHEST_HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,Report,MethodLabel,Labels,Localizations"
)
PADCHEST_ROWS = [
    "0,s1_lat.png,0,20140915,s1,p1,1930.0,F,LATERAL,L,m,No,derram pleural .,Physician,"
    "\"['pleural effusion', ' pleural effusion', 'unchanged', '']\",[]",
    "1,s1_pa.png,0,20140915,s1,p1,1930.0,F,POSTEROANTERIOR,PA,m,No,derram pleural .,Physician,['pleural effusion'],[]",
    "2,s2.png,1,20150101,s2,p1,1930.0,F,,AP_horizontal,m,No,sin hallazg .,RNN_model,['normal'],[]",
    "3,s3.png,1,20150101,s3,p2,,O,,PA,m,No,sin cambi .,RNN_model,['unchanged'],[]",
    "4,s4.png,1,20150101,s4,p3,1950,M,,COSTAL,m,No,fractur costal .,RNN_model,['rib fracture'],[]",
    "5,s5.png,1,20150101,s5,p4,1950,M,,PA,m,No,mal,RNN_model,['exclude'],[]",
    "6,s6.png,1,20150101,s6,p5,2090,M,,PA,m,No,nodul .,Physician,['nodule'],[]",
]

VINDR_TRAIN = ["image_id,rad_id,Cardiomegaly,Nodule/Mass,Tuberculosis,Other diseases,No finding"] + [
    f"{image},{reader},{marks}"
    for image, reads in {"aaa": ("1,1,0,0,0", "1,0,0,0,0", "0,0,0,0,1"), "bbb": ("0,0,0,0,1",) * 3}.items()
    for reader, marks in zip(("R1", "R2", "R3"), reads, strict=True)
]
VINDR_TEST = ["image_id,Cardiomegaly,Nodule/Mass,Tuberculosis,Other disease,No finding", "ccc,0,0,1,1,0"]
VINDR_KAGGLE = [
    "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max",
    "aaa,Cardiomegaly,3,R1,691.0,1375.0,1653.0,1831.0",
    "aaa,Cardiomegaly,3,R2,690.0,1375.0,1653.0,1831.0",
    "aaa,Nodule/Mass,8,R1,10,10,20,20",
    "aaa,Nodule/Mass,8,R1,30,30,40,40",
    "aaa,No finding,14,R3,,,,",
    "bbb,No finding,14,R1,,,,",
    "bbb,No finding,14,R2,,,,",
    "bbb,No finding,14,R3,,,,",
]

RSNA_LABELS = [
    "patientId,x,y,width,height,Target",
    "0004cfab-14fd,,,,,0",
    "00436515-870c,264.0,152.0,213.0,379.0,1",
    "00436515-870c,562.0,152.0,256.0,453.0,1",
    "00569f44-917d,,,,,0",
]
RSNA_CLASSES = [
    "patientId,class",
    "0004cfab-14fd,No Lung Opacity / Not Normal",
    "00436515-870c,Lung Opacity",
    "00436515-870c,Lung Opacity",
    "00569f44-917d,Normal",
]

HANNOVER_HEADER = (
    "patient_id,image_id,sex,age,size,weight,admission_offset,icu_admission_offset,icu_release_offset,death_offset,"
    "modality,projection,crp_offset,crp_val,d-dimer_offset,d-dimer_val,factor_xii_offset,factor_xii_val,ldh_offset,ldh_val,"
    "lymphocytes_offset,lymphocytes_val,neutrophils_offset,neutrophils_val,pco2_offset,pco2_val,po2_offset,po2_val"
)
HANNOVER_ROWS = [
    "024e7871,fff13f3a,f,,,,0,,,,CR,pa,0.0,3.0,0.0,0.3,,,,,0.0,1.8,0.0,3.1,0.0,30.0,0.0,30.0",
    "024e7871,aaa13f3a,f,,,,4,,,,DX,ap,,,,,,,,,,,,,,,,",
    "042f06a9,b343e657,m,,,,0,0.0,4.0,,CR,ap,,,,,,,,,,,,,,,,",
]


def write_lines(path: Path, lines: list[str]) -> None:
    """A table of text lines, packed where its name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_films(root: Path, *names: str) -> None:
    """Drawn films by path: DICOM for .dcm and .dicom, else PNG or JPEG."""
    for seed, name in enumerate(names):
        path = root / name
        if path.suffix in (".dcm", ".dicom"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(dicom_film(seed))
        else:
            write_film(path, seed)


def chexpert(root: Path) -> Path:
    root = root / "CheXpert-v1.0-small"
    write_lines(root / "train.csv", [CHEXPERT_HEADER, *CHEXPERT_TRAIN])
    write_lines(root / "valid.csv", [CHEXPERT_HEADER, *CHEXPERT_VALID])
    rows = [*CHEXPERT_TRAIN, *CHEXPERT_VALID]
    write_films(root, *(row.split(",")[0].split("/", 1)[1] for row in rows))
    return root


def mimic_cxr(root: Path) -> Path:
    def metadata(dicom: str, subject: str, study: str, view: str) -> str:
        return f"{dicom},{subject},{study},CHEST (PA AND LAT),{view},3056,2544,21800506,213014.531,,,"

    films = [
        ("lat", "10000032", "50414267", "LATERAL"),
        ("pa", "10000032", "50414267", "PA"),
        ("ap", "10000032", "53189527", "AP"),
        ("none", "11000033", "53911762", ""),
    ]
    write_lines(root / "mimic-cxr-2.0.0-metadata.csv.gz", [MIMIC_METADATA, *(metadata(*film) for film in films)])
    write_lines(
        root / "mimic-cxr-2.0.0-chexpert.csv.gz",
        [MIMIC_LABELS, "10000032,50414267,,1.0,0.0,-1.0,,,,,,,,,,", "10000032,53189527,,,,,,,,,1.0,,,,,"],
    )
    parts = zip(films, ("train", "train", "train", "validate"), strict=True)
    rows = [f"{dicom},{study},{subject},{part}" for (dicom, subject, study, _), part in parts]
    write_lines(root / "mimic-cxr-2.0.0-split.csv.gz", ["dicom_id,study_id,subject_id,split", *rows])
    write_films(root, *(f"files/p{film[1][:2]}/p{film[1]}/s{film[2]}/{film[0]}.jpg" for film in films))
    (root / "files/p10/p10000032/s50414267.txt").write_text(MIMIC_REPORT, encoding="utf-8")
    reports = root / "mimic-cxr-reports/files/p11/p11000033"
    reports.mkdir(parents=True)
    (reports / "s53911762.txt").write_text("FINAL REPORT\n\n PA chest. Lungs are clear.\n", encoding="utf-8")
    return root


def padchest(root: Path) -> Path:
    write_lines(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz", [PADCHEST_HEADER, *PADCHEST_ROWS])
    write_films(root, *(f"{row.split(',')[2]}/{row.split(',')[1]}" for row in PADCHEST_ROWS))
    return root


def vindr(root: Path) -> Path:
    write_lines(root / "annotations/image_labels_train.csv", VINDR_TRAIN)
    write_lines(root / "annotations/image_labels_test.csv", VINDR_TEST)
    write_films(root, "train/aaa.dicom", "train/bbb.dicom", "test/ccc.dicom")
    return root


def vindr_kaggle(root: Path) -> Path:
    write_lines(root / "train.csv", VINDR_KAGGLE)
    write_films(root, "train/aaa.dicom", "png/bbb.png")
    return root


def rsna(root: Path) -> Path:
    write_lines(root / "stage_2_train_labels.csv", RSNA_LABELS)
    write_lines(root / "stage_2_detailed_class_info.csv", RSNA_CLASSES)
    write_films(root, *(f"stage_2_train_images/{row.split(',')[0]}.dcm" for row in RSNA_LABELS[1:]))
    mapping = [
        {"img_id": f"00000007_00{number}.png", "subset_img_id": row.split(",")[0], "subset_group": "train"}
        for number, row in enumerate(RSNA_LABELS[1:3])
    ]
    (root / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(mapping), encoding="utf-8")
    return root


def radiography_folders(root: Path) -> Path:
    for name in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"):
        write_films(root, f"{name}/images/{name}-1.png", f"{name}/masks/{name}-1.png")
        (root / f"{name}.metadata.xlsx").write_bytes(b"PK\x03\x04")
    return root


def radiography_table(root: Path) -> Path:
    write_lines(
        root / "metadata.csv", ["filename,finding", "tb_1.jpg,Tuberculosis", "covid_1.jpg,COVID-19", "n.jpg,Normal"]
    )
    write_films(root, "images/tb_1.jpg", "images/covid_1.jpg", "images/n.jpg")
    return root


def hannover(root: Path) -> Path:
    write_lines(root / "data.csv", [HANNOVER_HEADER, *HANNOVER_ROWS])
    write_films(root, "png/fff13f3a.png", "png/aaa13f3a.png")
    return root


def jsrt(root: Path) -> Path:
    write_films(root, "images/JPCLN001.png", "images/JPCNN001.png", "masks/JPCLN001.png", "images/other.png")
    return root


def paediatric(root: Path) -> Path:
    write_films(
        root,
        "train/NORMAL/IM-0115-0001.jpeg",
        "train/NORMAL/IM-0115-0001-0002.jpeg",
        "train/PNEUMONIA/person1_bacteria_1.jpeg",
        "train/PNEUMONIA/person1_bacteria_2.jpeg",
        "test/NORMAL/IM-0001-0001.jpeg",
        "test/PNEUMONIA/person1_virus_6.jpeg",
        "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    )
    for name in ("train/.DS_Store", "train/NORMAL/Thumbs.db", "__MACOSX/train/NORMAL/._IM-0115-0001.jpeg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"junk")
    return root


#: Each layout by the dataset that reads it, and how it is made.
LAYOUTS: list[tuple[str, Callable[[Path], Path]]] = [
    ("chexpert", chexpert),
    ("mimic-cxr", mimic_cxr),
    ("padchest", padchest),
    ("vindr", vindr),
    ("vindr", vindr_kaggle),
    ("rsna", rsna),
    ("radiography", radiography_folders),
    ("radiography", radiography_table),
    ("hannover", hannover),
    ("jsrt", jsrt),
    ("folder", paediatric),
]


def unpacked(root: Path) -> None:
    """Unpack every table of a folder in place."""
    for path in root.glob("*.csv.gz"):
        with gzip.open(path) as source, path.with_suffix("").open("wb") as target:
            shutil.copyfileobj(source, target)
        path.unlink()
