"""ChestX-ray14: 112,120 frontal films of 30,805 patients with 14 findings mined from reports (NIH Clinical Center)."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.case import Case, ProfileValue, Split
from index_builder.cases.labels import NIH_LABELS
from index_builder.datasets.base import DatasetCard, FindingPlace
from index_builder.datasets.reading.cases import FilmFolder, Reading, SplitRule, TableDataset, TablePass, carve_val
from index_builder.datasets.reading.film_tree import walk
from index_builder.datasets.reading.rows import Row, Table
from index_builder.datasets.reading.tables import read_table
from index_builder.datasets.reading.values import parse_age, parse_number, parse_sex, parse_view, shown
from index_builder.errors import DatasetError
from index_builder.resources import packaged

TABLE_PATTERN = "Data_Entry*.csv"
IMAGES_PATTERN = "images*"
TRAIN_VAL_LIST = "train_val_list.txt"
TEST_LIST = "test_list.txt"

IMAGE, LABELS, PATIENT = "Image Index", "Finding Labels", "Patient ID"
AGE, SEX, VIEW, FOLLOW_UP = "Patient Age", "Patient Gender", "View Position", "Follow-up #"
SPLIT = "split"

_NO_FINDING = "No Finding"
_BY_NAME: dict[str, str | None] = {label.casefold(): label for label in NIH_LABELS} | {_NO_FINDING.casefold(): None}


#: Pixels on a side of the films that the boxes were drawn on.
_BOXED_SIZE = 1024
#: The one label that the boxes spell differently.
_BOX_LABELS = {"Infiltrate": "Infiltration"}


class NIH(TableDataset):
    """Reader of ChestX-ray14 as published, or of any part of it.

    Layout: one `Data_Entry*.csv` beside `images/` or the `images_001/images/` … folders of the original archives. Films
    are found by image index without extension, so a copy reduced to JPEG works. A film that is listed but not
    there - most of them, after a partial download - is left out, counted in `missing_films` and reported by `check`.

    Split: the column `split` if the table has one; else the published `train_val_list.txt` and `test_list.txt`; else by
    patient. Where there is no validation part, a tenth of the training patients becomes one.

    Labels were mined from reports that are not published; their authors estimate an accuracy above 90 %, others found
    less for some findings. Ages above 120 years, as in the first release, are left out with a warning.

    Source: https://nihcc.app.box.com/v/ChestXray-NIHCC
    Citation: Wang X. et al. ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised
    Classification and Localization of Common Thorax Diseases. CVPR 2017.
    """

    card = DatasetCard(
        name="nih",
        title="NIH ChestX-ray14",
        description="Frontal chest films of the NIH Clinical Center, 1992 to 2015, with 14 findings mined from the "
        "reports, age, sex, view and number of the follow-up. The reports themselves are not published.",
        citation="Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: Hospital-scale Chest X-ray Database "
        "and Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax Diseases. CVPR 2017.",
        licence="Published by the NIH Clinical Center without restriction of use; cite the paper and name the source.",
        source="https://nihcc.app.box.com/v/ChestXray-NIHCC",
        label_definition="14 findings mined from the reports by text processing, spelled as published. "
        "No finding is the empty set.",
    )
    label_names = NIH_LABELS

    def __init__(self, root: Path) -> None:
        """Read the table and list the image folders; no pixels.

        Raises:
            DatasetError: The folder, its table or its images are missing, or the table has not the published columns.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise DatasetError(
                f"ChestX-ray14 folder {self.root} does not exist. Give the folder that holds {TABLE_PATTERN}."
            )
        folders = sorted(path for path in self.root.glob(IMAGES_PATTERN) if path.is_dir())
        if not folders:
            raise DatasetError(
                f"{self.root}: no images/ or images_001/ … folder. Unpack the films beside {TABLE_PATTERN}."
            )
        table = read_table(self._find_table())
        table.require((IMAGE, LABELS, PATIENT, AGE, SEX, VIEW, FOLLOW_UP))
        self.films = FilmFolder(self.root, linked=folders)
        self.reading = self._read(table, _films_by_stem(self.root, folders))

    def finding_places(self, case: Case, shape: tuple[int, int]) -> Sequence[FindingPlace]:
        """The boxes that radiologists drew on 880 of the films (Wang et al., CVPR 2017)."""
        rows, columns = shape
        y, x = rows / _BOXED_SIZE, columns / _BOXED_SIZE
        masks: dict[str, NDArray[np.bool_]] = {}
        for label, (left, top, width, height) in nih_boxes().get(case.case_id, ()):
            mask = masks.setdefault(label, np.zeros(shape, bool))
            mask[round(top * y) : round((top + height) * y), round(left * x) : round((left + width) * x)] = True
        return [FindingPlace(label, label != "Cardiomegaly", mask) for label, mask in masks.items()]

    def _find_table(self) -> Path:
        tables = sorted(self.root.glob(TABLE_PATTERN))
        if len(tables) != 1:
            found = ", ".join(path.name for path in tables) or "none"
            raise DatasetError(f"{self.root}: one {TABLE_PATTERN} is needed, found: {found}. Keep exactly one there.")
        return tables[0]

    def _read(self, table: Table, films: Mapping[str, str]) -> Reading:
        run = TablePass(table)
        split_column = SPLIT if SPLIT in table.columns else None
        rule = SplitRule.of_table(table, split_column, self.card.name)
        published = None if rule.column else self._published_splits()
        for row in table.rows:
            case = self._case(row, films, rule, published, run)
            if case is not None:
                run.add(case, row, id_column=IMAGE, patient_column=PATIENT, film_is_id=True)
        return run.finish(
            none_left=f"none of the {len(table.rows):,} films listed is in {self.root}/{IMAGES_PATTERN}. "
            "Unpack the image archives there, or give the right folder."
        )

    def _case(
        self,
        row: Row,
        films: Mapping[str, str],
        rule: SplitRule,
        published: Mapping[str, Split] | None,
        run: TablePass,
    ) -> Case | None:
        """Case of a row; None where its film is missing or a value is at fault, which is noted."""
        image, patient = row.text(IMAGE), row.text(PATIENT)
        errors_before = run.error_count
        if not image:
            run.error("case id", "no image index. Restore the published table.", row, IMAGE)
        if not patient:
            run.error("case id", "no patient id. Restore the published table.", row, PATIENT)
        labels = run.parsed(parse_labels, row, LABELS, "label")
        if labels and _NO_FINDING.casefold() in row.text(LABELS).casefold():
            run.warning("label", f"{_NO_FINDING!r} stands beside a finding, which is kept.", row, LABELS)
        case_id = _stem(image)
        film = films.get(case_id)
        if film is None and run.error_count == errors_before:
            run.warning(
                "missing film", f"film {shown(image)} is not in {self.root}/{IMAGES_PATTERN}; left out.", row, IMAGE
            )
            return None
        split = self._split(row, rule, published, run)
        if run.error_count > errors_before or labels is None or split is None:
            return None
        profile: dict[str, ProfileValue] = {}
        fields = {
            "age": run.parsed(parse_age, row, AGE, "age", "warning"),
            "sex": run.parsed(parse_sex, row, SEX, "sex", "warning"),
            "follow_up": run.parsed(_whole_number, row, FOLLOW_UP, "value", "warning"),
        }
        profile.update({name: value for name, value in fields.items() if value is not None})
        view = run.parsed(parse_view, row, VIEW, "view", "warning")
        return Case(case_id, patient, split, labels, image=film, view=view, profile=profile)

    def _split(self, row: Row, rule: SplitRule, published: Mapping[str, Split] | None, run: TablePass) -> Split | None:
        patient = row.text(PATIENT)
        if published is None:
            return rule.split(row, patient, run)
        split = published.get(_stem(row.text(IMAGE)))
        if split is None:
            where = f"in neither {TRAIN_VAL_LIST} nor {TEST_LIST}"
            run.error("split", f"film {shown(row.text(IMAGE))} is {where}. Use the published lists.", row, IMAGE)
        return carve_val(patient, self.card.name) if split == "train" else split

    def _published_splits(self) -> dict[str, Split] | None:
        """Split of each image index by the published lists; None where the folder has neither of them."""
        parts: tuple[tuple[str, Split], ...] = ((TRAIN_VAL_LIST, "train"), (TEST_LIST, "test"))
        present = [name for name, _ in parts if (self.root / name).is_file()]
        if not present:
            return None
        if len(present) < len(parts):
            raise DatasetError(
                f"{self.root}: {present[0]} is there without its counterpart. "
                f"Put both {TRAIN_VAL_LIST} and {TEST_LIST} there, or neither."
            )
        splits: dict[str, Split] = {}
        for name, split in parts:
            path = self.root / name
            try:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DatasetError(f"{path}: cannot be read as UTF-8 text ({error}). Download it again.") from error
            for line in filter(None, map(str.strip, lines)):
                if splits.setdefault(_stem(line), split) != split:
                    raise DatasetError(f"{path}: film {shown(line)} is in both lists. Use the published lists.")
        return splits


@cache
def nih_boxes() -> Mapping[str, list[tuple[str, tuple[float, float, float, float]]]]:
    """Case id -> (label, (left, top, width, height) in pixels of a film of 1,024 by 1,024), from torchxrayvision."""
    found: dict[str, list[tuple[str, tuple[float, float, float, float]]]] = {}
    with gzip.open(packaged("torchxrayvision", "data", "BBox_List_2017.csv.gz"), "rt", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        for image, label, left, top, width, height, *_ in rows:
            box = (float(left), float(top), float(width), float(height))
            found.setdefault(image.partition(".")[0], []).append((_BOX_LABELS.get(label, label), box))
    return found


def parse_labels(text: str) -> tuple[str, ...]:
    """Sorted findings of "Effusion|Mass", in any case; "No Finding" adds none. Raises `ValueError` for other names."""
    names = [name.strip() for name in text.split("|")]
    unknown = [name for name in names if name.casefold() not in _BY_NAME]
    if unknown:
        raise ValueError(
            f"{shown(unknown[0])} is not one of the 14 findings. Use {', '.join(NIH_LABELS)}, joined by |, "
            f"or {_NO_FINDING} alone."
        )
    return tuple(sorted({label for name in names if (label := _BY_NAME[name.casefold()])}))


def _whole_number(text: str) -> int | None:
    number = parse_number(text)
    if number is None:
        return None
    if number < 0 or not float(number).is_integer():
        raise ValueError(f"{shown(text)} is not a count. Correct it or leave it empty.")
    return int(number)


def _stem(image: str) -> str:
    return os.path.splitext(image)[0]  # noqa: PTH122 - a Path for each of 112,120 names takes a second.


def _films_by_stem(root: Path, folders: list[Path]) -> dict[str, str]:
    """Reference of each film by its name without extension, from `images*/` and `images*/images/`."""
    films: dict[str, str] = {}
    for folder in folders:
        for place in (folder, folder / "images"):
            if not place.is_dir():
                continue
            prefix = place.relative_to(root).as_posix()
            for name in sorted(next(walk(place))[2]):
                films.setdefault(_stem(name), f"{prefix}/{name}")
    return films
