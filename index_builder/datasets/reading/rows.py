"""Rows of text and their faults, whatever kind of file they came from."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from index_builder.errors import DatasetError

#: Longest text of one cell, in characters. The longest published reports have some ten thousand.
MAX_CELL_CHARS = 1_000_000


#: Text that pandas and numpy leave where nothing was; never a word of a report.
_MISSING = frozenset({"nan", "NaN", "<NA>", "NaT"})


Cell = str | tuple[str, ...]


Severity = Literal["error", "warning"]


ProblemKind = Literal[
    "age",
    "case id",
    "column",
    "duplicate case id",
    "duplicate film",
    "empty case",
    "encoding",
    "excluded",
    "film outside root",
    "label",
    "long text",
    "malformed film",
    "missing film",
    "no cases",
    "patient",
    "patient in two splits",
    "ragged row",
    "repeated row",
    "sex",
    "source",
    "split",
    "syntax",
    "text in film",
    "undecodable film",
    "unlabelled",
    "value",
    "view",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a dataset.

    Attributes:
        kind: What it is, for totals.
        message: What is wrong with which value, and the remedy.
        file: Name of the table or film at fault.
        row: As a spreadsheet counts: the header of a CSV is row 1; lines of a JSONL file and records of a Parquet file
            count from 1. None: the whole file.
        column: Name of the column, None: the whole row.
        severity: An error keeps the dataset from being used. A warning says what was left out of it.
    """

    kind: ProblemKind
    message: str
    file: str
    row: int | None = None
    column: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        """Give one line: where, then what."""
        where = self.file
        if self.row is not None:
            where += f", row {self.row}"
        if self.column is not None:
            where += f", column {self.column!r}"
        return f"{where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Row:
    """One record. `number` as in `Problem.row`; `cells` by column name, stripped, "" where missing."""

    number: int
    _positions: dict[str, int]
    _cells: Sequence[Cell]

    def cell(self, column: str) -> Cell:
        """Cell of a column; a tuple where JSONL or Parquet holds a list. Missing: ""."""
        position = self._positions.get(column)
        return "" if position is None or position >= len(self._cells) else self._cells[position]

    def text(self, column: str) -> str:
        """Cell of a column as one text; the items of a list joined by ", "."""
        cell = self.cell(column)
        return cell if isinstance(cell, str) else ", ".join(cell)

    def items(self, column: str, separator: str) -> tuple[str, ...]:
        """Non-empty items of a list cell, or of a text split at `separator`, stripped."""
        cell = self.cell(column)
        parts = cell.split(separator) if isinstance(cell, str) else cell
        return tuple(stripped for part in parts if (stripped := part.strip()))


@dataclass(frozen=True, slots=True)
class Table:
    """A table in memory: its sound rows, and the problems of those that are not."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]

    def require(self, columns: Iterable[str]) -> None:
        """Raise `DatasetError` unless the table has these columns."""
        missing = [name for name in columns if name not in self.columns]
        if missing:
            raise DatasetError(
                f"{self.path}: no column {_quoted(missing)}. Columns present: {_quoted(self.columns) or 'none'}. "
                "Check that it is the right file, or correct its header."
            )


def append_row(row: Row, path: Path, rows: list[Row], problems: list[Problem]) -> None:
    """Take a row whose texts are sound; else say which of them are not."""
    faults: list[Problem] = []
    names: list[str] = []
    for position, cell in enumerate(row._cells):
        for text in (cell,) if isinstance(cell, str) else cell:
            fault = _text_fault(text)
            if fault is not None:
                names = names or list(row._positions)
                column = names[position] if position < len(names) else ""
                named = column if column and "\0" not in column else None
                faults.append(Problem(fault[0], fault[1], path.name, row.number, named))
                break
    if faults:
        problems.extend(faults)
    else:
        rows.append(row)


def _text_fault(text: str) -> tuple[ProblemKind, str] | None:
    if len(text) > MAX_CELL_CHARS:
        message = f"a text of {len(text):,} characters, more than the limit of {MAX_CELL_CHARS:,}. Shorten it."
        return "long text", message
    if "\0" in text:
        return "encoding", "a NUL character. Export the table again as UTF-8 text."
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            what = f"byte 0x{code - 0xDC00:02X}" if 0xDC80 <= code <= 0xDCFF else f"lone surrogate U+{code:04X}"
            return "encoding", f"not UTF-8 ({what}). Save the table as UTF-8 ('CSV UTF-8' in Excel)."
    return None


def text_of(value: Any) -> Cell:
    """A value of any of the three formats as stripped text; lists as tuples, nested objects as JSON."""
    if isinstance(value, str):
        stripped = value.strip()
        return "" if stripped in _MISSING else stripped
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        items = (text_of(item) for item in value)
        return tuple(text for item in items if (text := item if isinstance(item, str) else ", ".join(item)))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, int | float | Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def checked_columns(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Names of a header without the empty ones. Raises `DatasetError` for one that is no text or occurs twice."""
    for name in names:
        fault = _text_fault(name)
        if fault is not None:
            raise DatasetError(f"{path}, header: {fault[1]}")
    named = [name for name in names if name]
    if not named:
        raise DatasetError(f"{path}: no column names. The first row of a table names its columns.")
    twice = sorted(name for name, count in Counter(named).items() if count > 1)
    if twice:
        raise DatasetError(f"{path}: column {_quoted(twice)} appears more than once. Rename or delete one.")
    return tuple(named)


def positions_of(header: Sequence[str]) -> dict[str, int]:
    """Position of each column; unnamed ones keep their place under a name that no header can have."""
    return {name or f"\0{position}": position for position, name in enumerate(header)}


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
