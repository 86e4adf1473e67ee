"""VinDr-CXR: 18,000 frontal films, each read by several radiologists (Hospital 108 and Hanoi Medical University)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from index_builder.cases.case import Case, Split
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.reading.cases import FilmFolder, Reading, TableDataset, TablePass, carve_val
from index_builder.datasets.reading.film_names import FilmFinder
from index_builder.datasets.reading.film_tree import linked_folders
from index_builder.datasets.reading.label_cells import State, parse_mark
from index_builder.datasets.reading.rows import Row, Table
from index_builder.datasets.reading.splits import split_of
from index_builder.datasets.reading.studies import existing_folder, has_ids, labels_of, present_film
from index_builder.datasets.reading.tables import read_table
from index_builder.errors import DatasetError

TABLES: tuple[tuple[str, Split], ...] = (("image_labels_train.csv", "train"), ("image_labels_test.csv", "test"))
TABLES_FOLDER = "annotations"
#: The table of the Kaggle challenge: the training films only, a row for each box.
KAGGLE_TABLE = "train.csv"

IMAGE, READER, CLASS = "image_id", "rad_id", "class_name"
#: A column of the published tables, and a class of the challenge, that names no finding.
_NO_FINDING = "no finding"
#: The published tables of training and test films do not spell this column alike.
_SPELLING = {"Other disease": "Other diseases"}


@dataclass(slots=True)
class _Read:
    """A film: its first row, who read it, and how many found each finding."""

    row: Row
    readers: set[str] = field(default_factory=set)
    votes: dict[str, set[str]] = field(default_factory=dict)

    def vote(self, reader: str, findings: Sequence[str]) -> None:
        self.readers.add(reader)
        for finding in findings:
            self.votes.setdefault(finding, set()).add(reader)

    def states(self, names: Sequence[str]) -> dict[str, State]:
        """Present where more than half of the readers say so, absent where none does, else unknown."""
        return {name: _state(len(self.votes.get(name, ())), len(self.readers)) for name in names}


def _state(votes: int, readers: int) -> State:
    if 2 * votes > readers:
        return "present"
    return "unknown" if votes else "absent"


class VinDr(TableDataset):
    """Reader of VinDr-CXR as PhysioNet publishes it, of the Kaggle challenge's part of it, or of any part of either.

    Layout: `image_labels_train.csv` and `image_labels_test.csv`, or one of them, in the folder or in its
    `annotations/`, beside `train/<image_id>.dicom` and `test/<image_id>.dicom`. Of the challenge: `train.csv`, one
    row for each box, beside `train/<image_id>.dicom`. Copies may be PNG or JPEG, anywhere below the folder; only the
    name counts. Films that are listed but not there are left out and counted. Boxes are not read: a case has labels
    only.

    Labels: three radiologists read each training film, apart from each other. A finding is present where two or three
    say so and absent where none does; where one alone says so it is unknown, which is neither trained on nor scored.
    The test films have the consensus of five. `No finding` is the empty set.

    Split: the published test films are the test part, a tenth of the training films the validation part; where one of
    the two is absent, a hash of the film decides. No patient ids, ages or reports are published; all films are PA.

    Source: https://physionet.org/content/vindr-cxr/ and
    https://www.kaggle.com/c/vinbigdata-chest-xray-abnormalities-detection
    Citation: Nguyen H. Q. et al. VinDr-CXR: An open dataset of chest X-rays with radiologist's annotations. Sci Data
    2022;9:429.
    """

    card = DatasetCard(
        name="vindr",
        title="VinDr-CXR",
        description="PA films of two hospitals in Hanoi, 2018 to 2020, with findings and diagnoses that radiologists "
        "saw: three for each training film, a consensus of five for the test films. No patient ids, no reports.",
        citation="Nguyen HQ, Lam K, Le LT, et al. VinDr-CXR: An open dataset of chest X-rays with radiologist's "
        "annotations. Sci Data 2022;9:429.",
        licence="PhysioNet Credentialed Health Data License: named, trained users only; no passing on.",
        source="https://physionet.org/content/vindr-cxr/",
        label_definition="Findings seen by most of a film's readers; one that a minority saw is unknown.",
    )

    def __init__(self, root: Path) -> None:
        """Read the tables and look which films are there; no pixels.

        Raises:
            DatasetError: The folder or its tables are missing, or a table has not the published columns.
        """
        self.root = existing_folder(Path(root), f"{TABLES[0][0]} and train/")
        paths = _find_tables(self.root)
        tables = {part: read_table(path) for part, path in paths.items()}
        for table in tables.values():
            table.require((IMAGE, CLASS, READER) if table.path.name == KAGGLE_TABLE else (IMAGE,))
        names = (_SPELLING.get(name, name) for table in tables.values() for name in _findings(table))
        self.label_names = tuple(dict.fromkeys(names))
        self.films = FilmFolder(self.root, linked=linked_folders(self.root))
        self.reading = self._read(tables)

    def _read(self, tables: Mapping[Split, Table]) -> Reading:
        finder = FilmFinder(self.films)
        run = TablePass(next(iter(tables.values())))
        for part, table in tables.items():
            run.begin(table)
            for image, read in _votes(table, run).items():
                names = (f"{part}/{image}.dicom", image, f"{image}.dicom", f"{image}.png", f"{image}.jpg")
                film = present_film(finder, names, read.row, IMAGE, run)
                if film is None:
                    continue
                if len(tables) < len(TABLES):
                    split = split_of(image, salt=self.card.name)
                else:
                    split = carve_val(image, self.card.name) if part == "train" else part
                labels, unknown = labels_of(read.states(self.label_names))
                case = Case(image, image, split, labels, image=film, view="PA", unknown=unknown)
                run.add(case, read.row, id_column=IMAGE)
        return run.finish(none_left=f"none of the films listed is in {self.root}. Download train/ or test/ there.")


def _find_tables(root: Path) -> dict[Split, Path]:
    found: dict[Split, Path] = {}
    for name, part in TABLES:
        present = [path for path in (root / name, root / TABLES_FOLDER / name) if path.is_file()]
        if present:
            found[part] = present[0]
    if not found and (root / KAGGLE_TABLE).is_file():
        found["train"] = root / KAGGLE_TABLE
    if not found:
        raise DatasetError(f"{root}: neither {TABLES[0][0]} nor {KAGGLE_TABLE}. Give the folder that holds it.")
    return found


def _findings(table: Table) -> tuple[str, ...]:
    """Columns of findings in a published table, or classes of the challenge's."""
    if CLASS in table.columns:
        names = sorted({row.text(CLASS) for row in table.rows} - {""})
    else:
        names = [name for name in table.columns if name not in (IMAGE, READER)]
    return tuple(name for name in names if name.casefold() != _NO_FINDING)


def _votes(table: Table, run: TablePass) -> dict[str, _Read]:
    """What was read of each film, in order of its first row. A consensus is one reader."""
    findings = _findings(table)
    films: dict[str, _Read] = {}
    for row in table.rows:
        if not has_ids(row, (IMAGE,), run):
            continue
        read = films.setdefault(row.text(IMAGE), _Read(row))
        if CLASS in table.columns:
            found = [name for name in (row.text(CLASS),) if name in findings]
        else:
            found = [name for name in findings if run.parsed(parse_mark, row, name, "label") == "present"]
        read.vote(row.text(READER), [_SPELLING.get(name, name) for name in found])
    return films
