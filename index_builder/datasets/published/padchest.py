"""PadChest: 160,861 films of 67,625 patients with Spanish reports and 174 findings (Hospital San Juan, Alicante)."""

from __future__ import annotations

from pathlib import Path

from index_builder.cases.case import Case, ProfileValue
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.reading.cases import FilmFolder, Reading, TableDataset, TablePass
from index_builder.datasets.reading.film_names import FilmFinder
from index_builder.datasets.reading.film_tree import linked_folders
from index_builder.datasets.reading.label_cells import label_items
from index_builder.datasets.reading.rows import Row, Table
from index_builder.datasets.reading.splits import split_of
from index_builder.datasets.reading.studies import (
    StudyFilm,
    existing_folder,
    find_one,
    frontal_first,
    has_ids,
    present_film,
)
from index_builder.datasets.reading.tables import read_table
from index_builder.datasets.reading.values import MAX_AGE_YEARS, parse_number, parse_sex, shown

TABLE = "PADCHEST_*.csv"
IMAGE, FOLDER, STUDY, PATIENT = "ImageID", "ImageDir", "StudyID", "PatientID"
LABELS, REPORT, PROJECTION = "Labels", "Report", "Projection"
BIRTH, DATE, SEX, METHOD = "PatientBirth", "StudyDate_DICOM", "PatientSex_DICOM", "MethodLabel"

#: View of each projection; None where the film is none of the usual views of the chest. COSTAL films show ribs.
_VIEWS = {"PA": "PA", "AP": "AP", "AP_horizontal": "AP", "L": "LATERAL", "UNK": None}

_NORMAL = "normal"
#: Labels of a report or its film that name no finding.
_NO_LABEL = frozenset({"unchanged", "suboptimal study"})
_EXCLUDE = "exclude"


class PadChest(TableDataset):
    """Reader of PadChest as published, or of any part of it.

    Layout: `PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv` (or `.csv.gz`) beside the films, which lie in the
    folders 0 to 54 that the archives unpack to (column ImageDir), or anywhere below the folder under their published
    names, as in reduced copies. Films that are listed but not there are left out and counted.

    A case is a study with all its films, the frontal one first. Left out, with a warning: films of the ribs or of no
    use (projections COSTAL, EXCLUDE), reports labelled `exclude`, and reports without any label that names a finding
    or `normal` (such as `unchanged` alone), which would read as normal films.

    Labels: the report's, repeated spaces and spellings aside as published, with findings, differential diagnoses and
    devices alike. A quarter was labelled by physicians, the rest by a network trained on it: profile field
    `labelled_by`. The report is Spanish, in lower case and with its words cut to their stems, as published: the section
    findings. Encoders trained on English reports make little of it.

    Age is the year of the study less the year of birth. The split is by patient.

    Source: https://bimcv.cipf.es/bimcv-projects/padchest/
    Citation: Bustos A. et al. PadChest: A large chest x-ray image dataset with multi-label annotated reports. Med Image
    Anal 2020;66:101797. arXiv:1901.07441.
    """

    card = DatasetCard(
        name="padchest",
        title="PadChest",
        description="Frontal and lateral films of Hospital San Juan, Alicante, 2009 to 2017, with age, sex, findings "
        "read from the reports and the reports themselves, in Spanish with words cut to their stems. A case is a "
        "study.",
        citation="Bustos A, Pertusa A, Salinas JM, de la Iglesia-Vaya M. PadChest: A large chest x-ray image dataset "
        "with multi-label annotated reports. Med Image Anal 2020;66:101797. arXiv:1901.07441",
        licence="PadChest Dataset Research Use Agreement: research only, no passing on.",
        source="https://bimcv.cipf.es/bimcv-projects/padchest/",
        label_definition="Labels of the report as published, a quarter of them by physicians, the others by a network. "
        "Normal is the empty set.",
    )

    def __init__(self, root: Path) -> None:
        """Read the table and look which films are there; no pixels.

        Raises:
            DatasetError: The folder or its table is missing, or the table has not the published columns.
        """
        self.root = existing_folder(Path(root), TABLE)
        table = read_table(find_one(self.root, TABLE, f"{TABLE}.gz"))
        table.require((IMAGE, FOLDER, STUDY, PATIENT, LABELS, REPORT, PROJECTION, BIRTH, DATE, SEX, METHOD))
        self.films = FilmFolder(self.root, linked=linked_folders(self.root))
        self.reading = self._read(table)
        self.label_names = tuple(sorted({label for case in self.reading.cases for label in case.labels}))

    def _read(self, table: Table) -> Reading:
        run = TablePass(table)
        finder = FilmFinder(self.films)
        studies: dict[str, list[StudyFilm]] = {}
        for row in table.rows:
            if not has_ids(row, (IMAGE, STUDY, PATIENT), run):
                continue
            projection = row.text(PROJECTION)
            if projection not in _VIEWS:
                message = f"projection {shown(projection)} is no view of the chest that is known; left out."
                run.warning("excluded", message, row, PROJECTION)
                continue
            image = row.text(IMAGE)
            film = present_film(finder, [f"{row.text(FOLDER)}/{image}", image], row, IMAGE, run)
            if film is not None:
                studies.setdefault(row.text(STUDY), []).append(StudyFilm(row, film, _VIEWS[projection]))
        for films in studies.values():
            case = self._case(films, run)
            if case is not None:
                run.add(case, films[0].row, id_column=STUDY, patient_column=PATIENT)
        return run.finish(
            none_left=f"none of the {len(table.rows):,} films listed gives a case: none is in {self.root}, or none is "
            "labelled. Unpack the archives there."
        )

    def _case(self, films: list[StudyFilm], run: TablePass) -> Case | None:
        """Case of a study; None where it is left out, which is noted."""
        row = films[0].row
        patient = row.text(PATIENT)
        odd = [film for film in films if film.row.text(PATIENT) != patient]
        for film in odd:
            run.warning("excluded", "another patient than in the study's first row; left out.", film.row, PATIENT)
        labels = _labels(row, run)
        if labels is None:
            return None
        primary, *others = frontal_first(film for film in films if film not in odd)
        report = row.text(REPORT)
        method = row.text(METHOD)
        fields: dict[str, ProfileValue | None] = {
            "age": _age(row, run),
            "sex": run.parsed(parse_sex, row, SEX, "sex", "warning"),
            "labelled_by": {"Physician": "physician", "RNN_model": "network"}.get(method, method) or None,
        }
        return Case(
            row.text(STUDY),
            patient,
            split_of(patient, salt=self.card.name),
            labels,
            image=primary.reference,
            other_images=tuple(film.reference for film in others),
            view=primary.view,
            other_views=tuple(film.view for film in others),
            sections={"findings": report} if report else {},
            profile={name: value for name, value in fields.items() if value is not None},
        )


def _labels(row: Row, run: TablePass) -> tuple[str, ...] | None:
    """Labels of a row; None, noted, where its report is excluded or says nothing."""
    names = set(label_items(row.cell(LABELS), ",") or ())
    if _EXCLUDE in names:
        run.warning("excluded", f"its report is labelled {_EXCLUDE!r}; left out.", row, LABELS)
        return None
    if not names - _NO_LABEL:
        run.warning("unlabelled", f"{shown(row.text(LABELS))} names no finding; left out.", row, LABELS)
        return None
    return tuple(sorted(names - _NO_LABEL - {_NORMAL}))


def _age(row: Row, run: TablePass) -> int | None:
    """Age in the year of the study, to a year; None where a year is missing, or where it is noted as impossible."""
    born = run.parsed(parse_number, row, BIRTH, "age", "warning")
    seen = run.parsed(lambda text: parse_number(text[:4]), row, DATE, "age", "warning")
    if born is None or seen is None:
        return None
    age = int(seen) - int(born)
    if not 0 <= age <= MAX_AGE_YEARS:
        run.warning("age", f"born {int(born)}, seen {int(seen)}: no plausible age; left out.", row, BIRTH)
        return None
    return age
