"""CheXpert: 224,316 films of 65,240 patients with 13 findings read from the reports (Stanford)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from index_builder.cases.case import Case, ProfileValue, Split
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.published.chexpert_labels import CHEXPERT_LABELS, LABEL_DEFINITION, NO_FINDING, read_states
from index_builder.datasets.reading.cases import FilmFolder, Reading, TableDataset, TablePass, carve_val
from index_builder.datasets.reading.film_names import FilmFinder
from index_builder.datasets.reading.film_tree import linked_folders
from index_builder.datasets.reading.rows import Row, Table
from index_builder.datasets.reading.splits import split_of
from index_builder.datasets.reading.studies import StudyFilm, existing_folder, frontal_first, labels_of, present_film
from index_builder.datasets.reading.tables import read_table
from index_builder.datasets.reading.values import parse_age, parse_sex, parse_view, shown
from index_builder.errors import DatasetError

TRAIN_TABLE, VALID_TABLE = "train.csv", "valid.csv"
PATH, SEX, AGE, FRONTAL, AP_PA = "Path", "Sex", "Age", "Frontal/Lateral", "AP/PA"

#: The parts of a path that name a film below the folder, from the end: train/patient00001/study1/view1_frontal.jpg.
_PATH_PARTS = 4


class CheXpert(TableDataset):
    """Reader of CheXpert as published, small or full size, or of any part of it.

    Layout: `train.csv` and `valid.csv`, or one of them, beside `train/` and `valid/`. The folder that the paths in
    the tables begin with (`CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg`) is the given one,
    whatever it is called. Films that are listed but not there are left out and counted. The tables of the test films
    have other columns and are not read.

    A case is a study with all its films, the frontal one first; its labels are those of the report, the same in all its
    rows. The reports are not read: Stanford publishes them apart (CheXpert Plus).

    Split: `valid.csv`, labelled by radiologists, is the test part; a tenth of the patients of `train.csv` is the
    validation part. Where one of the two tables is absent, a hash of the patient decides.

    Ages are whole years; 90 stands for 90 and older, and 0, which stands for none, is left out.

    Source: https://stanfordmlgroup.github.io/competitions/chexpert/
    Citation: Irvin J. et al. CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert Comparison.
    AAAI 2019. arXiv:1901.07031.
    """

    card = DatasetCard(
        name="chexpert",
        title="CheXpert",
        description="Frontal and lateral films of Stanford Hospital, 2002 to 2017, with 13 findings read from the "
        "reports by a text labeler, in the small test part by radiologists; age and sex. A case is a study.",
        citation="Irvin J, Rajpurkar P, Ko M, et al. CheXpert: A Large Chest Radiograph Dataset with Uncertainty "
        "Labels and Expert Comparison. AAAI 2019;33:590-597. arXiv:1901.07031",
        licence="Stanford University Dataset Research Use Agreement: research only, no passing on.",
        source="https://stanfordmlgroup.github.io/competitions/chexpert/",
        label_definition=LABEL_DEFINITION,
    )
    label_names = CHEXPERT_LABELS

    def __init__(self, root: Path) -> None:
        """Read the tables and look which films are there; no pixels.

        Raises:
            DatasetError: The folder or both tables are missing, or a table has not the published columns.
        """
        self.root = existing_folder(Path(root), f"{TRAIN_TABLE} and {VALID_TABLE}")
        tables = [read_table(self.root / name) for name in (TRAIN_TABLE, VALID_TABLE) if (self.root / name).is_file()]
        if not tables:
            raise DatasetError(
                f"{self.root}: neither {TRAIN_TABLE} nor {VALID_TABLE}. Give the folder that holds them, such as "
                "CheXpert-v1.0-small."
            )
        for table in tables:
            table.require((PATH, SEX, AGE, FRONTAL, AP_PA, NO_FINDING, *CHEXPERT_LABELS))
        self.films = FilmFolder(self.root, linked=linked_folders(self.root))
        self.reading = self._read(tables)

    def _read(self, tables: Sequence[Table]) -> Reading:
        finder = FilmFinder(self.films)
        run = TablePass(tables[0])
        for table in tables:
            if table is not tables[0]:
                run.begin(table)
            part: Split | None = None
            if len(tables) > 1:
                part = "train" if table.path.name == TRAIN_TABLE else "test"
            studies: dict[tuple[str, str], list[StudyFilm]] = {}
            for row in table.rows:
                parts = _path_parts(row, run)
                film = present_film(finder, ["/".join(parts)], row, PATH, run) if parts else None
                if film is not None:
                    studies.setdefault((parts[-3], parts[-2]), []).append(StudyFilm(row, film, _view(row, run)))
            for (patient, name), films in studies.items():
                case = self._case(patient, name, films, part, run)
                if case is not None:
                    run.add(case, films[0].row, id_column=PATH, patient_column=PATH)
        return run.finish(
            none_left=f"none of the films listed is in {self.root}. Unpack train/ and valid/ beside the tables."
        )

    def _case(
        self, patient: str, study: str, films: list[StudyFilm], part: Split | None, run: TablePass
    ) -> Case | None:
        """Case of a study; None where a value is at fault, which is noted."""
        errors_before = run.error_count
        primary, *others = frontal_first(films)
        row = films[0].row  # labels, age and sex are the same in all rows of a study
        labels, unknown = labels_of(read_states(row, run))
        if run.error_count > errors_before:
            return None
        if part is None:
            split = split_of(patient, salt=self.card.name)
        else:
            split = carve_val(patient, self.card.name) if part == "train" else part
        fields: dict[str, ProfileValue | None] = {
            "age": run.parsed(parse_age, row, AGE, "age", "warning") or None,
            "sex": run.parsed(parse_sex, row, SEX, "sex", "warning"),
        }
        return Case(
            f"{patient}-{study}",
            patient,
            split,
            labels,
            image=primary.reference,
            other_images=tuple(film.reference for film in others),
            view=primary.view,
            other_views=tuple(film.view for film in others),
            profile={name: value for name, value in fields.items() if value is not None},
            unknown=unknown,
        )


def _path_parts(row: Row, run: TablePass) -> tuple[str, ...]:
    """Part, patient, study and film that a path names, without the folders above; empty, noted, where it names none."""
    parts = PurePosixPath(row.text(PATH).replace("\\", "/")).parts[-_PATH_PARTS:]
    if len(parts) < _PATH_PARTS:
        message = f"{shown(row.text(PATH))} is no path of patient, study and film. Restore the published table."
        run.error("case id", message, row, PATH)
        return ()
    return parts


def _view(row: Row, run: TablePass) -> str | None:
    if row.text(FRONTAL).casefold() == "lateral":
        return "LATERAL"
    return run.parsed(parse_view, row, AP_PA, "view", "warning")
