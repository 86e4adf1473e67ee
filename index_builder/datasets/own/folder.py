"""Films sorted into a folder for each class, with or without folders for training and testing above."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from index_builder.cases.case import Case, Split
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.check import patients_in_several_splits
from index_builder.datasets.reading.cases import FilmFolder, Reading, TableDataset, carve_val, split_word
from index_builder.datasets.reading.film_tree import FilmTree, film_tree, linked_folders
from index_builder.datasets.reading.rows import Problem, ProblemKind, Severity
from index_builder.datasets.reading.splits import split_of
from index_builder.datasets.reading.values import counted
from index_builder.errors import DatasetError

#: Folder names that say that nothing was found.
_NORMAL = frozenset({"normal", "no finding", "no findings", "no_finding", "nofinding", "healthy"})

#: Outlines of organs, as some collections keep them beside the films; no films.
_MASKS = frozenset({"mask", "masks"})

#: What names a patient in a file or folder name: "person12_virus_3", "patient00012". The paediatric pneumonia set
#: numbers bacterial and viral cases apart: person1_bacteria and person1_virus are two children.
_PATIENT = re.compile(r"(?:person|patient|subject)[-_ ]?\d+(?:_(?:bacteria|virus)(?![a-z]))?", re.IGNORECASE)
#: A study as viewers export it, "IM-0033-0001-0002"; its number means something within one folder only.
_STUDY = re.compile(r"(?:NORMAL2-)?\bIM-\d+(?=-\d)", re.IGNORECASE)

#: Files passed over that are in the warning; the rest is counted.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Placed:
    """A film, the part of the data it is filed under, and its folders from the class on."""

    film: str
    split: Split | None
    folders: tuple[str, ...]


class Folder(TableDataset):
    """Reader of films in a folder for each class: `PNEUMONIA/a.jpeg`, or `train/PNEUMONIA/a.jpeg`.

    The folder's name is the label, spelled as it is; `NORMAL`, `No Finding` and the like are the empty set. Deeper
    folders (`PNEUMONIA/images/a.jpeg`) are read too, except `masks`. Files that are no films, `.DS_Store`,
    `Thumbs.db` and `__MACOSX` are passed over, which `check` reports.

    Split: folders named train, val (valid, validation) and test above the classes. Where there is train and no
    validation part, a tenth of the training patients becomes one. Without such folders a hash of the patient decides.

    Patients: taken from names that hold one (`person12_bacteria_3.jpeg`, `patient7/a.png`); any other film is its own
    patient. `check --duplicates` is worth its time here: public copies of such folders often hold a film twice.

    As published so: the paediatric pneumonia set, children of one to five years (Guangzhou), at
    https://data.mendeley.com/datasets/rscbjbr9sj/2 under CC BY 4.0. Citation: Kermany D. S. et al. Identifying Medical
    Diagnoses and Treatable Diseases by Image-Based Deep Learning. Cell 2018;172(5):1122-1131.
    """

    card = DatasetCard(
        name="folder",
        title="Films in a folder for each class",
        description="Films whose label is the name of the folder they lie in.",
        citation="not stated",
        licence="not stated",
        source="not stated",
        label_definition="The folder's name; normal and the like are the empty set.",
    )
    #: Labels that a collection spells otherwise than its folders.
    spelling: Mapping[str, str] = {}

    def __init__(self, root: Path) -> None:
        """List the files; no pixels.

        Raises:
            DatasetError: No such folder.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder. Give the folder that holds a folder for each class.")
        tree = film_tree(self.root)
        self.films = FilmFolder(self.root, linked=linked_folders(self.root))
        self.reading = self._read(tree)
        self.label_names = tuple(sorted({label for case in self.reading.cases for label in case.labels}))

    def _read(self, tree: FilmTree) -> Reading:
        masks = tuple(film for film in tree.films if _MASKS.intersection(film.lower().split("/")[:-1]))
        placed = [_placed(film) for film in sorted(set(tree.films).difference(masks))]
        problems = [*self._passed_over((*tree.passed_over, *masks)), *self._layout_problems(placed)]
        carve = not any(one.split == "val" for one in placed)
        cases = tuple(self._case(one, carve) for one in placed if one.folders)
        for patient in patients_in_several_splits(cases):
            message = (
                f"patient {patient!r}, as the file names have it, is in more than one of train, val and test. Put all "
                "films of a patient in one part."
            )
            problems.append(Problem("patient in two splits", message, str(self.root)))
        return Reading(cases, tuple(problems))

    def _case(self, placed: _Placed, carve: bool) -> Case:
        patient = _patient(placed.film)
        split = placed.split or split_of(patient, salt=self.card.name)
        if placed.split == "train" and carve:
            split = carve_val(patient, self.card.name)
        label = self.spelling.get(placed.folders[0], placed.folders[0])
        labels = () if label.casefold() in _NORMAL else (label,)
        return Case(placed.film, patient, split, labels, image=placed.film)

    def _passed_over(self, files: Sequence[str]) -> list[Problem]:
        if not files:
            return []
        named = ", ".join(files[:_NAMED]) + (f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else "")
        return [Problem("excluded", f"no films, passed over: {named}.", str(self.root), severity="warning")]

    def _layout_problems(self, placed: Sequence[_Placed]) -> list[Problem]:
        """What keeps the class of films from being known."""
        problems: list[Problem] = []

        def note(kind: ProblemKind, message: str, severity: Severity = "error") -> None:
            problems.append(Problem(kind, message, str(self.root), severity=severity))

        if not placed:
            note("no cases", f"no film below {self.root}. Give the folder that holds a folder for each class.")
        loose = [one.film for one in placed if not one.folders]
        if loose:
            more = f" and {counted(len(loose) - 1, 'more film')}" if len(loose) > 1 else ""
            note("label", f"no class folder holds {loose[0]}{more}. Move every film into the folder of its class.")
        classes = {one.folders[0] for one in placed if one.folders}
        if len(classes) == 1:
            note("label", f"all films lie in one class folder, {classes.pop()}/. Is it the right folder?", "warning")
        beside = [one.folders[0] for one in placed if one.folders and one.split is None]
        if beside and any(one.split for one in placed):
            note("split", f"{beside[0]}/ lies beside folders for training and testing. Move it into one, or away.")
        for top in sorted({one.folders[0] for one in placed if any(map(split_word, one.folders[1:]))}):
            note("split", f"{top}/ holds folders for training and testing. Give {self.root / top} as the folder.")
        return problems


def _patient(film: str) -> str:
    """Patient that a path names, from its end; the path itself where it names none."""
    named = next(filter(None, map(_PATIENT.search, film.split("/")[::-1])), None)
    if named:
        return named[0].lower()
    folder, _, name = film.rpartition("/")
    study = _STUDY.match(name)
    return f"{folder}/{study[0]}" if study else film


def _placed(film: str) -> _Placed:
    *folders, _ = film.split("/")
    split = split_word(folders[0]) if folders else None
    return _Placed(film, split, tuple(folders[split is not None :]))
