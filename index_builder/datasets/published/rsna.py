"""RSNA Pneumonia Detection Challenge: 26,684 frontal films of ChestX-ray14, read again for lung opacities."""

from __future__ import annotations

import json
from pathlib import Path

from index_builder.cases.case import Case
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.reading.cases import FilmFolder, Reading, TableDataset, TablePass
from index_builder.datasets.reading.film_names import FilmFinder
from index_builder.datasets.reading.film_tree import linked_folders
from index_builder.datasets.reading.rows import Row, Table
from index_builder.datasets.reading.splits import split_of
from index_builder.datasets.reading.studies import existing_folder, find_one, has_ids, present_film
from index_builder.datasets.reading.tables import read_table
from index_builder.datasets.reading.values import parse_yes_no, shown
from index_builder.errors import DatasetError

LABELS_TABLE, CLASSES_TABLE = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
IMAGES_FOLDER = "stage_2_train_images"
MAPPING = "pneumonia-challenge-dataset-mappings*.json"
PATIENT, TARGET, CLASS = "patientId", "Target", "class"

OPACITY, OTHER, NORMAL = "Lung Opacity", "No Lung Opacity / Not Normal", "Normal"

#: The published mapping has 17 MB; far beyond that it is something else.
MAX_MAPPING_BYTES = 200_000_000


class RSNA(TableDataset):
    """Reader of the RSNA Pneumonia Detection Challenge (2018) as published, or of any part of it.

    Layout: `stage_2_train_labels.csv`, one row for each box or film, and `stage_2_detailed_class_info.csv` beside
    `stage_2_train_images/<patientId>.dcm`. Copies may be PNG or JPEG, anywhere below the folder; only the name
    counts. Films that are listed but not there are left out and counted. The challenge's test films have no labels
    and are not read, boxes neither.

    Labels: Lung Opacity (a box that radiologists hold for pneumonia), or No Lung Opacity / Not Normal; Normal is the
    empty set.

    Patients: the challenge's `patientId` names a film, not a person. Where RSNA's
    `pneumonia-challenge-dataset-mappings_2018.json` lies beside the tables, the patients of ChestX-ray14 behind the
    films are kept together; without it a patient's films may come to lie in several parts. Every film is one of
    ChestX-ray14: what is trained there must not be tested here. The split is by patient. Age, sex and view stand in
    the DICOM headers alone and are not read.

    Source: https://www.kaggle.com/c/rsna-pneumonia-detection-challenge
    Citation: Shih G. et al. Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert
    Annotations of Possible Pneumonia. Radiol Artif Intell 2019;1(1):e180041.
    """

    card = DatasetCard(
        name="rsna",
        title="RSNA Pneumonia Detection Challenge",
        description="Frontal films of ChestX-ray14 (NIH Clinical Center), read again by radiologists for opacities "
        "that may be pneumonia.",
        citation="Shih G, Wu CC, Halabi SS, et al. Augmenting the National Institutes of Health Chest Radiograph "
        "Dataset with Expert Annotations of Possible Pneumonia. Radiol Artif Intell 2019;1(1):e180041.",
        licence="Rules of the challenge: research and education, not commercial; cite RSNA and the NIH Clinical "
        "Center.",
        source="https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
        label_definition="Read by radiologists, one for each film: Lung Opacity, or No Lung Opacity / Not Normal. "
        "Normal is the empty set.",
    )
    label_names = (OPACITY, OTHER)

    def __init__(self, root: Path) -> None:
        """Read the tables and look which films are there; no pixels.

        Raises:
            DatasetError: The folder or a table is missing or has not the published columns, or the mapping is damaged.
        """
        self.root = existing_folder(Path(root), f"{LABELS_TABLE} and {IMAGES_FOLDER}/")
        labels, classes = (read_table(find_one(self.root, name)) for name in (LABELS_TABLE, CLASSES_TABLE))
        labels.require((PATIENT, TARGET))
        classes.require((PATIENT, CLASS))
        self.films = FilmFolder(self.root, linked=linked_folders(self.root))
        self.reading = self._read(labels, classes, _nih_patients(self.root))

    def _read(self, labels: Table, classes: Table, patients: dict[str, str]) -> Reading:
        run = TablePass(classes)
        class_of = {row.text(PATIENT): row.text(CLASS) for row in classes.rows}
        run.begin(labels)
        finder = FilmFinder(self.films)
        rows = [row for row in labels.rows if has_ids(row, (PATIENT,), run)]
        first_rows = {row.text(PATIENT): row for row in reversed(rows)}
        for image, row in reversed(first_rows.items()):
            found = _labels(class_of.get(image, ""), row, run)
            names = (f"{IMAGES_FOLDER}/{image}.dcm", image)
            film = present_film(finder, names, row, PATIENT, run)
            if found is None or film is None:
                continue
            patient = patients.get(image, image)
            split = split_of(patient, salt=self.card.name)
            run.add(Case(image, patient, split, found, image=film), row, id_column=PATIENT)
        return run.finish(none_left=f"none of the films listed is in {self.root / IMAGES_FOLDER}. Unpack them there.")


def _labels(name: str, row: Row, run: TablePass) -> tuple[str, ...] | None:
    """Labels of a film by its class, checked against the target; None, noted, where the two disagree."""
    target = run.parsed(parse_yes_no, row, TARGET, "label")
    if name not in (OPACITY, OTHER, NORMAL) or target is not (name == OPACITY):
        said = f"target {shown(row.text(TARGET))} and class {shown(name)}"
        run.error("label", f"{said} do not agree. Restore the published tables.", row, TARGET)
        return None
    return () if name == NORMAL else (name,)


def _nih_patients(root: Path) -> dict[str, str]:
    """Patient of ChestX-ray14 behind each film, where the published mapping is there."""
    if not list(root.glob(MAPPING)):
        return {}
    path = find_one(root, MAPPING)
    try:
        if path.stat().st_size > MAX_MAPPING_BYTES:
            raise ValueError(f"more than {MAX_MAPPING_BYTES:,} bytes")
        records = json.loads(path.read_text(encoding="utf-8"))
        # "00013774_026.png": the patient, then the number of the film.
        return {record["subset_img_id"]: f"nih-{record['img_id'].split('_')[0]}" for record in records}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"{path}: not the published mapping ({error!r}). Download it again, or remove it."
        raise DatasetError(message) from error
