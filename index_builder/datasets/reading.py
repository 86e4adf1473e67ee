"""What the readers of tables share: one pass that collects cases and problems, split rules, films under a folder."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from index_builder.datasets.base import Case, DatasetCard, Split
from index_builder.datasets.splits import split_of
from index_builder.datasets.tables import Problem, ProblemKind, Row, Severity, Table
from index_builder.datasets.values import shown
from index_builder.errors import DatasetError, ImagingError

if TYPE_CHECKING:
    from index_builder.imaging import Film

T = TypeVar("T")

_SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_DRIVE = re.compile(r"[A-Za-z]:")


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

    def path(self, reference: str) -> Path:
        """File of a reference.

        Raises:
            FilmOutsideError: It leads out of the folder.
            ImagingError: No such file.
        """
        pure = PurePosixPath(reference)
        if not self.allow_outside and (pure.is_absolute() or ".." in pure.parts or _DRIVE.match(reference)):
            raise FilmOutsideError(
                f"film {shown(reference)} is not a path below {self.root}. Give paths relative to that "
                "folder; only a manifest opened with allow_outside=True may name others."
            )
        path = self.root / pure
        try:
            mode = path.lstat().st_mode
            linked = stat.S_ISLNK(mode)
            if linked:
                mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            raise ImagingError(self._missing(reference)) from error
        if not stat.S_ISREG(mode):
            raise ImagingError(self._missing(reference))
        if not self.allow_outside and not self._is_inside(path if linked else path.parent):
            raise FilmOutsideError(
                f"film {shown(reference)} is reached through a link that leads out of {self.root}. "
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

    def _missing(self, reference: str) -> str:
        return f"film {shown(reference)} is not a file in {self.root}. Copy it there or correct the path."


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one pass over a table gave. `problems` are in order of rows, those of the whole file first."""

    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]

    def count(self, kind: ProblemKind) -> int:
        """Number of problems of a kind."""
        return sum(problem.kind == kind for problem in self.problems)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that keep the dataset from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


class TablePass:
    """Collects cases and problems while a reader walks a table; the only place that checks cases against each other."""

    def __init__(self, table: Table) -> None:
        self._file = table.path.name
        self._problems = list(table.problems)
        self._cases: list[Case] = []
        self._row_of_case: dict[str, int] = {}
        self._split_of_patient: dict[str, tuple[Split, int]] = {}
        self._torn: set[str] = set()
        self.error_count = sum(problem.severity == "error" for problem in table.problems)

    def error(self, kind: ProblemKind, message: str, row: Row | None, column: str | None = None) -> None:
        """Note what keeps the dataset from being used."""
        self._note("error", kind, message, row, column)

    def warning(self, kind: ProblemKind, message: str, row: Row | None, column: str | None = None) -> None:
        """Note what was left out."""
        self._note("warning", kind, message, row, column)

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

    def add(self, case: Case, row: Row, *, id_column: str | None = None, patient_column: str | None = None) -> None:
        """Take a sound case. A second one of the same id is refused; a patient in two splits is named once."""
        first_row = self._row_of_case.setdefault(case.case_id, row.number)
        if first_row != row.number:
            message = f"case {shown(case.case_id)} is already in row {first_row}. Give every case an id of its own."
            self.error("duplicate case id", message, row, id_column)
            return
        split, split_row = self._split_of_patient.setdefault(case.patient_id, (case.split, row.number))
        if split != case.split and case.patient_id not in self._torn:
            self._torn.add(case.patient_id)
            message = (
                f"patient {shown(case.patient_id)} is in {case.split!r} here and in {split!r} in row {split_row}. "
                "Put all cases of a patient in one split."
            )
            self.error("patient in two splits", message, row, patient_column)
        self._cases.append(case)

    def finish(self, *, none_left: str = "holds no cases. Add rows below the header.") -> Reading:
        """End the pass. `none_left` says why no case may be left when nothing else was found wrong."""
        if not self._cases and not self.error_count:
            self.error("no cases", none_left, None)
        problems = sorted(self._problems, key=lambda problem: problem.row or 0)
        return Reading(tuple(self._cases), tuple(problems))


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
        return cls(salt, column, carve_val=not any(_split_word(row.text(column)) == "val" for row in table.rows))

    def split(self, row: Row, patient: str, run: TablePass) -> Split | None:
        """Split of a row; None, noted, where the column holds no known one."""
        if self.column is None:
            return split_of(patient, salt=self.salt)
        text = row.text(self.column)
        split = _split_word(text)
        if split is None:
            message = f"{shown(text)} is not a split. Write train, val or test in every row, or drop the column."
            run.error("split", message, row, self.column)
        return carve_val(patient, self.salt) if self.carve_val and split == "train" else split


def carve_val(patient: str, salt: str) -> Split:
    """Split "val" for a tenth of training patients, chosen by a hash of its own; "train" for the others."""
    return "val" if split_of(patient, salt=f"{salt}-val") == "val" else "train"


def _split_word(text: str) -> Split | None:
    return _SPLIT_WORDS.get(text.strip().casefold())


class TableDataset:
    """Base of the readers whose cases stand in one table: `Dataset` plus `reading`, with every problem found."""

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
        """Decode one film. Thread-safe. Raises `ImagingError` naming the film."""
        from index_builder.imaging import read_film

        return read_film(self.film_path(reference))
