"""What the readers of tables share: one pass that collects cases and problems, split rules, films under a folder."""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from index_builder.cases.case import Case, Split
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.reading.rows import Problem, ProblemKind, Row, Severity, Table
from index_builder.datasets.reading.splits import split_of
from index_builder.datasets.reading.values import shown
from index_builder.errors import DatasetError, ImagingError

if TYPE_CHECKING:
    from index_builder.imaging import Film

T = TypeVar("T")

_SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_DRIVE = re.compile(r"[A-Za-z]:")

#: Characters of a film's path in a message: the folders tell films of equal names apart.
_PATH_SHOWN = 200


class FilmOutsideError(ImagingError):
    """A film reference leads out of the dataset's folder."""


class FilmFolder:
    """Films under a root folder, by POSIX paths relative to it. Thread-safe.

    Args:
        root: The dataset's folder.
        linked: Folders directly under `root` that may be links to elsewhere, as large image folders often are.
        allow_outside: Accept absolute paths, ".." and links that lead out. Only for tables one trusts.
    """

    def __init__(self, root: Path, *, linked: Sequence[Path] = (), allow_outside: bool = False) -> None:
        self.root = root
        self.allow_outside = allow_outside
        self._bases = tuple(os.path.realpath(folder) for folder in (root, *linked))
        self._inside: dict[str, bool] = {}
        self._names: dict[str, dict[str, str]] = {}

    def path(self, reference: str) -> Path:
        """File of a reference.

        Raises:
            FilmOutsideError: It leads out of the folder.
            ImagingError: No such file.
        """
        pure = PurePosixPath(reference)
        if not self.allow_outside and (pure.is_absolute() or ".." in pure.parts or _DRIVE.match(reference)):
            raise FilmOutsideError(
                f"film {shown(reference, _PATH_SHOWN)} is not a path below {self.root}. Give paths relative to that "
                "folder; only a manifest opened with allow_outside=True may name others."
            )
        path = self.root / pure
        try:
            mode = path.lstat().st_mode
            linked = stat.S_ISLNK(mode)
            if linked:
                mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            raise ImagingError(self._missing(reference, path, error)) from error
        if not stat.S_ISREG(mode):
            raise ImagingError(self._missing(reference, path))
        if not self.allow_outside and not self._is_inside(path if linked else path.parent):
            raise FilmOutsideError(
                f"film {shown(reference, _PATH_SHOWN)} is reached through a link that leads out of {self.root}. "
                "Copy the film there; only a manifest opened with allow_outside=True may name others."
            )
        return path

    def _is_inside(self, path: Path) -> bool:
        key = str(path)
        inside = self._inside.get(key)
        if inside is None:
            real = os.path.realpath(key)
            inside = any(real == base or real.startswith(base.rstrip(os.sep) + os.sep) for base in self._bases)
            self._inside[key] = inside
        return inside

    def _missing(self, reference: str, path: Path, error: OSError | ValueError | None = None) -> str:
        named = f"film {shown(reference, _PATH_SHOWN)}"
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.ELOOP):
            return f"{named} in {self.root} cannot be reached ({error.strerror}). Make it readable or correct the path."
        # A name that no file can have (ValueError) leads to nothing either.
        if not isinstance(error, ValueError) and os.path.lexists(path):
            what = "a folder" if path.is_dir() else "a link to nothing" if path.is_symlink() else "a device or pipe"
            return f"{named} in {self.root} is {what}, not a file. Put the film there or correct the path."
        alike = self._alike(reference)
        missing = f"{named} is not a file in {self.root}"
        if alike is None or not (self.root / alike).is_file():
            return f"{missing}. Copy it there or correct the path."
        same = unicodedata.normalize("NFC", alike) == unicodedata.normalize("NFC", reference)
        how = "Unicode form of its letters (NFC or NFD)" if same else "case of its letters"
        return f"{missing}, but {shown(alike, _PATH_SHOWN)} is: the same name in another {how}. Rename one of the two."

    def _alike(self, reference: str) -> str | None:
        """Path of a file whose name differs in case or Unicode form only, from folder to folder; None without one."""
        found = PurePosixPath()
        for part in PurePosixPath(reference).parts:
            folder = str(self.root / found)
            if folder not in self._names:
                self._names[folder] = {_folded(name): name for name in _listed(folder)}
            name = self._names[folder].get(_folded(part))
            if name is None:
                return None
            found /= name
        return found.as_posix()


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names alone, of folders with a hundred thousand films.
    except OSError:  # no folder, or not ours to read: it then holds no name that could be meant
        return []


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one pass over a source's tables gave.

    Attributes:
        cases: Sound ones.
        problems: In order of tables and rows, those of a whole table first.
        notes: What was made of the tables, a sentence each: which column is what, where patients come from.
    """

    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    def count(self, kind: ProblemKind) -> int:
        """Number of problems of a kind."""
        return sum(problem.kind == kind for problem in self.problems)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that keep the dataset from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


class TablePass:
    """Collects cases and problems while a reader walks its tables; the only place that checks cases against each other.

    What is noted belongs to the table begun last.
    """

    def __init__(self, table: Table) -> None:
        self._files: dict[str, int] = {}
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._cases: list[Case] = []
        self._place_of_case: dict[str, str] = {}
        self._split_of_patient: dict[str, tuple[Split, str]] = {}
        self._torn: set[str] = set()
        self.error_count = 0
        self.begin(table)

    def begin(self, table: Table) -> None:
        """Go on with another table, or again with one; the first time its own problems are taken over."""
        self._file = table.path.name
        if self._file not in self._files:
            self._files[self._file] = len(self._files)
            self._problems += table.problems
            self.error_count += sum(problem.severity == "error" for problem in table.problems)

    def error(self, kind: ProblemKind, message: str, row: Row | None, column: str | None = None) -> None:
        """Note what keeps the dataset from being used."""
        self._note("error", kind, message, row, column)

    def warning(self, kind: ProblemKind, message: str, row: Row | None, column: str | None = None) -> None:
        """Note what was left out."""
        self._note("warning", kind, message, row, column)

    @property
    def cases(self) -> tuple[Case, ...]:
        """Cases taken so far."""
        return tuple(self._cases)

    def tell(self, note: str) -> None:
        """Say what was made of the table."""
        self._notes.append(note)

    def _note(self, severity: Severity, kind: ProblemKind, message: str, row: Row | None, column: str | None) -> None:
        number = None if row is None else row.number
        self._problems.append(Problem(kind, message, self._file, number, column, severity))
        self.error_count += severity == "error"

    def parsed(
        self,
        parse: Callable[[str], T],
        row: Row,
        column: str | None,
        kind: ProblemKind,
        severity: Severity = "error",
    ) -> T | None:
        """Value of a cell, or None where the table has no such column or the value is at fault, which is noted."""
        if column is None:
            return None
        try:
            return parse(row.text(column))
        except ValueError as error:
            self._note(severity, kind, str(error), row, column)
            return None

    def add(
        self,
        case: Case,
        row: Row,
        *,
        id_column: str | None = None,
        patient_column: str | None = None,
        film_is_id: bool = False,
    ) -> None:
        """Take a sound case. A second one of the same id is refused; a patient in two splits is named once.

        Args:
            case: Case of a row.
            row: Where it stands.
            id_column: Column of its id.
            patient_column: Column of its patient.
            film_is_id: The film names the case, as in published collections that list some films twice: a repeated one
                is left out with a warning.
        """
        place = f"row {row.number}" if len(self._files) == 1 else f"row {row.number} of {self._file}"
        first = self._place_of_case.setdefault(case.case_id, place)
        if first != place:
            if film_is_id:
                message = f"film {shown(case.case_id)} is already in {first}; this row left out."
                self.warning("repeated row", message, row, id_column)
            else:
                message = f"case {shown(case.case_id)} is already in {first}. Give every case an id of its own."
                self.error("duplicate case id", message, row, id_column)
            return
        split, split_place = self._split_of_patient.setdefault(case.patient_id, (case.split, place))
        if split != case.split and case.patient_id not in self._torn:
            self._torn.add(case.patient_id)
            message = (
                f"patient {shown(case.patient_id)} is in {case.split!r} here and in {split!r} in {split_place}. "
                "Put all cases of a patient in one split."
            )
            self.error("patient in two splits", message, row, patient_column)
        self._cases.append(case)

    def finish(self, *, none_left: str = "holds no cases. Add rows below the header.") -> Reading:
        """End the pass. `none_left` says why no case may be left when nothing else was found wrong."""
        if not self._cases and not self.error_count:
            self.error("no cases", none_left, None)
        problems = sorted(self._problems, key=lambda problem: (self._files[problem.file], problem.row or 0))
        return Reading(tuple(self._cases), tuple(problems), tuple(self._notes))


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How a table's cases get their split.

    A split column is obeyed. Where it has no validation part, a tenth of the training patients, chosen by hash, become
    validation. Without a column `split_of` decides by patient.
    """

    salt: str
    column: str | None = None
    carve_val: bool = False

    @classmethod
    def of_table(cls, table: Table, column: str | None, salt: str) -> SplitRule:
        """Rule for a table; `column` None or absent from every row: by hash."""
        if column is None or not any(row.text(column) for row in table.rows):
            return cls(salt)
        return cls(salt, column, carve_val=not any(split_word(row.text(column)) == "val" for row in table.rows))

    def split(self, row: Row, patient: str, run: TablePass) -> Split | None:
        """Split of a row; None, noted, where the column holds no known one."""
        if self.column is None:
            return split_of(patient, salt=self.salt)
        text = row.text(self.column)
        split = split_word(text)
        if split is None:
            message = f"{shown(text)} is not a split. Write train, val or test in every row, or drop the column."
            run.error("split", message, row, self.column)
        return carve_val(patient, self.salt) if self.carve_val and split == "train" else split


def carve_val(patient: str, salt: str) -> Split:
    """Split "val" for a tenth of training patients, chosen by a hash of its own; "train" for the others."""
    return "val" if split_of(patient, salt=f"{salt}-val") == "val" else "train"


def split_word(text: str) -> Split | None:
    """The split that a cell or a folder name means ("Training", "valid"); None for any other text."""
    return _SPLIT_WORDS.get(text.strip().casefold())


class TableDataset:
    """Base of the readers whose films are files of a folder: `Dataset` plus `reading`, with every problem found."""

    card: DatasetCard
    label_names: tuple[str, ...]
    root: Path
    reading: Reading
    films: FilmFolder

    @property
    def missing_films(self) -> int:
        """Films that the table names and the folder does not hold."""
        return self.reading.count("missing film")

    def problems(self) -> tuple[Problem, ...]:
        """Every problem of the table, errors and warnings."""
        return self.reading.problems

    def notes(self) -> tuple[str, ...]:
        """What was made of the table, a sentence each."""
        return self.reading.notes

    def cases(self) -> Sequence[Case]:
        """All cases in order of the table. Raises `DatasetError` for the first error, and says how many there are."""
        errors = self.reading.errors
        if errors:
            more = "" if len(errors) == 1 else f" (1 of {len(errors):,} errors; `cxr-explorer check` lists them all.)"
            raise DatasetError(f"{errors[0]}{more}")
        return self.reading.cases

    def film_path(self, reference: str) -> Path:
        """File of a film reference. Raises `ImagingError` where it is missing or leads out of the folder."""
        return self.films.path(reference)

    def load_film(self, reference: str) -> Film:
        """Decode one film. Thread-safe. Raises `ImagingError` naming its path below the folder."""
        from index_builder.imaging import read_film

        return read_film(self.film_path(reference), name=reference)
