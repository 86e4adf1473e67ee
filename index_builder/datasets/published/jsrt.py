"""The JSRT database: 154 films with one lung nodule and 93 without (Japanese Society of Radiological Technology)."""

from __future__ import annotations

import re
from pathlib import Path

from index_builder.cases.case import Case
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.reading.cases import FilmFolder, Reading, TableDataset
from index_builder.datasets.reading.film_tree import FilmTree, film_tree, linked_folders
from index_builder.datasets.reading.rows import Problem
from index_builder.datasets.reading.splits import split_of
from index_builder.datasets.reading.studies import existing_folder

NODULE = "Nodule"

_FILM_NAME = re.compile(r"JPC(LN|NN)\d{3}", re.IGNORECASE)
_MASKS_FOLDER = "masks"


class JSRT(TableDataset):
    """Reader of the JSRT database, from its film names alone.

    Layout: films named `JPCLN001` (with a nodule) and `JPCNN001` (without), anywhere below the folder except in
    `masks/`. Published are raw files (`JPCLN001.IMG`, 2048 × 2048, 12 bits), which are no films of a kind read here:
    convert them to PNG. Age, sex and place of the nodule (`CLNDAT_EN.txt`) are not read.

    A film is a case and a patient. The split is by film. All films are PA.

    Source: http://db.jsrt.or.jp/eng.php
    Citation: Shiraishi J. et al. Development of a digital image database for chest radiographs with and without a lung
    nodule. AJR 2000;174(1):71-74.
    """

    card = DatasetCard(
        name="jsrt",
        title="JSRT database",
        description="PA films from 14 hospitals, 154 with one lung nodule, proven by CT, and 93 without.",
        citation="Shiraishi J, Katsuragawa S, Ikezoe J, et al. Development of a digital image database for chest "
        "radiographs with and without a lung nodule. AJR Am J Roentgenol 2000;174(1):71-74.",
        licence="Free for research and education; cite the paper.",
        source="http://db.jsrt.or.jp/eng.php",
        label_definition="Nodule, benign or malignant, proven by CT; none is the empty set.",
    )
    label_names = (NODULE,)

    def __init__(self, root: Path) -> None:
        """List the films; no pixels.

        Raises:
            DatasetError: No such folder.
        """
        self.root = existing_folder(Path(root), "the films JPCLN001 to JPCNN093")
        self.films = FilmFolder(self.root, linked=linked_folders(self.root))
        self.reading = self._read(film_tree(self.root))

    def _read(self, tree: FilmTree) -> Reading:
        cases: dict[str, Case] = {}
        problems = []
        for film in tree.films:
            *folders, name = film.split("/")
            match = _FILM_NAME.match(name)
            if match is None or _MASKS_FOLDER in folders:
                continue
            case_id = match[0].upper()
            if case_id in cases:
                message = f"film {case_id} is there as {cases[case_id].image} too. Keep one of the two."
                problems.append(Problem("duplicate case id", message, film))
                continue
            labels = (NODULE,) if match[1].upper() == "LN" else ()
            split = split_of(case_id, salt=self.card.name)
            cases[case_id] = Case(case_id, case_id, split, labels, image=film, view="PA")
        if not cases:
            message = f"no film named like JPCLN001.png below {self.root}. Give the folder that holds them."
            problems.append(Problem("no cases", message, str(self.root)))
        return Reading(tuple(cases.values()), tuple(problems))
