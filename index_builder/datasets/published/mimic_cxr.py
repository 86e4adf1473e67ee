"""MIMIC-CXR-JPG: 377,110 films of 227,827 studies with 13 findings read from the reports (Beth Israel Deaconess)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from index_builder.cases.case import Case, Split
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.published.chexpert_labels import CHEXPERT_LABELS, LABEL_DEFINITION, NO_FINDING, read_states
from index_builder.datasets.published.report_sections import report_sections
from index_builder.datasets.reading.cases import (
    FilmFolder,
    FilmOutsideError,
    Reading,
    TableDataset,
    TablePass,
    split_word,
)
from index_builder.datasets.reading.film_names import FilmFinder
from index_builder.datasets.reading.film_tree import linked_folders
from index_builder.datasets.reading.label_cells import State
from index_builder.datasets.reading.rows import MAX_CELL_CHARS, Row, Table
from index_builder.datasets.reading.studies import (
    StudyFilm,
    existing_folder,
    find_one,
    frontal_first,
    has_ids,
    labels_of,
    present_film,
)
from index_builder.datasets.reading.tables import read_table
from index_builder.datasets.reading.values import parse_view, shown
from index_builder.errors import ImagingError

METADATA, LABELS, SPLITS = "mimic-cxr-*-metadata.csv", "mimic-cxr-*-chexpert.csv", "mimic-cxr-*-split.csv"
DICOM, SUBJECT, STUDY, VIEW, SPLIT = "dicom_id", "subject_id", "study_id", "ViewPosition", "split"

#: Folder of the reports where they are not beside the films, as mimic-cxr-reports.zip may be unpacked.
REPORTS_FOLDER = "mimic-cxr-reports"


class MimicCxr(TableDataset):
    """Reader of MIMIC-CXR-JPG as published, or of any part of it, with the reports of MIMIC-CXR where they are there.

    Layout: `mimic-cxr-2.0.0-metadata.csv.gz`, `…-chexpert.csv.gz` and `…-split.csv.gz` (packed or unpacked) beside
    `files/p10/p10000032/s50414267/<dicom_id>.jpg`. Reports (`s50414267.txt`, from mimic-cxr-reports.zip) lie beside
    the study's folder, as published, or likewise below `mimic-cxr-reports/`; without them the cases have films only.
    Films that are listed but not there are left out and counted, and with them a study that has none left.

    A case is a study with all its films, the frontal one first. Labels are those of the CheXpert labeler, read from
    the report; a study that its table lacks has none that is known. A report's headings tell its sections. Age and
    sex stand in MIMIC-IV and are not read.

    Split: as published, no patient in two parts.

    Source: https://physionet.org/content/mimic-cxr-jpg/ and https://physionet.org/content/mimic-cxr/
    Citation: Johnson A. E. W. et al. MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs.
    arXiv:1901.07042.
    """

    card = DatasetCard(
        name="mimic-cxr",
        title="MIMIC-CXR-JPG",
        description="Frontal and lateral films of Beth Israel Deaconess Medical Center, 2011 to 2016, many of them of "
        "emergency patients, with 13 findings read from the reports by a text labeler and, where they were added, the "
        "de-identified reports themselves. A case is a study.",
        citation="Johnson AEW, Pollard TJ, Greenbaum NR, et al. MIMIC-CXR-JPG, a large publicly available database of "
        "labeled chest radiographs. arXiv:1901.07042, 2019. Johnson AEW, Pollard TJ, Berkowitz SJ, et al. MIMIC-CXR, a "
        "de-identified publicly available database of chest radiographs with free-text reports. Sci Data 2019;6:317.",
        licence="PhysioNet Credentialed Health Data License: named, trained users only; no passing on.",
        source="https://physionet.org/content/mimic-cxr-jpg/",
        label_definition=LABEL_DEFINITION,
    )
    label_names = CHEXPERT_LABELS

    def __init__(self, root: Path) -> None:
        """Read the tables and the reports, and look which films are there; no pixels.

        Raises:
            DatasetError: The folder or a table is missing, or a table has not the published columns.
        """
        self.root = existing_folder(Path(root), "mimic-cxr-2.0.0-metadata.csv.gz and files/")
        metadata, labels, splits = (
            read_table(find_one(self.root, f"{pattern}.gz", pattern)) for pattern in (METADATA, LABELS, SPLITS)
        )
        metadata.require((DICOM, SUBJECT, STUDY, VIEW))
        labels.require((STUDY, NO_FINDING, *CHEXPERT_LABELS))
        splits.require((DICOM, SPLIT))
        self.films = FilmFolder(self.root, linked=linked_folders(self.root))
        self.reading = self._read(metadata, labels, splits)

    def _read(self, metadata: Table, labels: Table, splits: Table) -> Reading:
        run = TablePass(splits)
        split_of_film = {row.text(DICOM): row for row in splits.rows}
        run.begin(metadata)
        finder = FilmFinder(self.films)
        studies: dict[str, list[StudyFilm]] = {}
        for row in metadata.rows:
            if not has_ids(row, (DICOM, SUBJECT, STUDY), run):
                continue
            film = present_film(finder, [f"{_study_folder(row)}/{row.text(DICOM)}.jpg"], row, DICOM, run)
            if film is not None:
                view = run.parsed(parse_view, row, VIEW, "view", "warning")
                studies.setdefault(row.text(STUDY), []).append(StudyFilm(row, film, view))
        states = self._states(labels, studies, run)
        run.begin(metadata)
        for study, films in studies.items():
            split = self._split(split_of_film.get(films[0].row.text(DICOM)), films[0].row, run)
            if split is not None:
                case = self._case(films, states.get(study, dict.fromkeys(CHEXPERT_LABELS, "unknown")), split, run)
                run.add(case, films[0].row, id_column=STUDY, patient_column=SUBJECT)
        return run.finish(
            none_left=f"none of the {len(metadata.rows):,} films listed is in {self.root}/files. Download some there."
        )

    def _states(
        self, labels: Table, studies: Mapping[str, list[StudyFilm]], run: TablePass
    ) -> dict[str, Mapping[str, State]]:
        """What is known of each finding, of every study that has a film."""
        run.begin(labels)
        return {row.text(STUDY): read_states(row, run) for row in labels.rows if row.text(STUDY) in studies}

    def _split(self, listed: Row | None, film: Row, run: TablePass) -> Split | None:
        text = "" if listed is None else listed.text(SPLIT)
        split = split_word(text)
        if split is None:
            message = f"the published split has {shown(text)} for this film, not train, validate or test. Restore it."
            run.error("split", message, film, DICOM)
        return split

    def _case(self, films: list[StudyFilm], states: Mapping[str, State], split: Split, run: TablePass) -> Case:
        primary, *others = frontal_first(films)
        labels, unknown = labels_of(states)
        return Case(
            f"s{primary.row.text(STUDY)}",
            f"p{primary.row.text(SUBJECT)}",
            split,
            labels,
            image=primary.reference,
            other_images=tuple(film.reference for film in others),
            view=primary.view,
            other_views=tuple(film.view for film in others),
            sections=self._sections(primary.row, run),
            unknown=unknown,
        )

    def _sections(self, row: Row, run: TablePass) -> dict[str, str]:
        """Sections of a study's report; none where it is not there, or cannot be read, which is noted."""
        for folder in ("", f"{REPORTS_FOLDER}/"):
            try:
                with self.films.path(f"{folder}{_study_folder(row)}.txt").open(encoding="utf-8") as file:
                    return report_sections(file.read(MAX_CELL_CHARS))
            except FilmOutsideError as error:
                run.error("film outside root", str(error), row, STUDY)
            except (OSError, UnicodeDecodeError) as error:
                message = f"its report cannot be read as UTF-8 text ({error}). Download it again."
                run.error("encoding", message, row, STUDY)
            except ImagingError:
                continue  # no such file
        return {}


def _study_folder(row: Row) -> str:
    subject = row.text(SUBJECT)
    return f"files/p{subject[:2]}/p{subject}/s{row.text(STUDY)}"
