"""CSV, JSONL and Parquet files to rows of text, with every fault named by row and column.

No type is guessed: a cell is the text that the file holds ("007" stays "007"), whatever the format, so that one dataset
gives the same cases from each of the three.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TextIO

from index_builder.datasets.reading.packed_text import GZIP_MAGIC, open_text
from index_builder.datasets.reading.values import counted
from index_builder.errors import DatasetError

#: Longest text of one cell, in characters. The longest published reports have some ten thousand.
MAX_CELL_CHARS = 1_000_000
#: Longest record: a line of JSONL, or a row of CSV with all its line breaks. Some sections of the longest texts fit.
MAX_RECORD_CHARS = 8 * MAX_CELL_CHARS
TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".jsonl", ".ndjson", ".parquet")

#: Text that pandas and numpy leave where nothing was; never a word of a report.
_MISSING = frozenset({"nan", "NaN", "<NA>", "NaT"})

#: What a file really is when its first bytes disagree with its name.
_FOREIGN_CONTENT = (
    (b"PK\x03\x04", "an Excel workbook or ZIP archive; export it as 'CSV UTF-8'"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; export it as 'CSV UTF-8'"),
    (GZIP_MAGIC, "compressed with gzip; unpack it, or name it .csv.gz"),
    (codecs.BOM_UTF16_LE, "UTF-16 text; save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "UTF-16 text; save it as UTF-8"),
)
_PARQUET_MAGIC = b"PAR1"

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


def read_table(path: Path) -> Table:
    """Read a whole .csv, .csv.gz, .tsv, .jsonl, .ndjson or .parquet file.

    Raises:
        DatasetError: The file is missing, empty, of another kind than its name says, or has no sound header.
            Faults of single rows are collected in `Table.problems` instead.
    """
    suffix = next((known for known in reversed(TABLE_SUFFIXES) if path.name.lower().endswith(known)), "")
    if not suffix:
        raise DatasetError(f"{path}: not a table that can be read. Use one of {', '.join(TABLE_SUFFIXES)}.")
    try:
        with path.open("rb") as file:
            head = file.read(8)
        _check_content(path, suffix, head)
        if suffix == ".parquet":
            from index_builder.datasets.reading.parquet_table import read_parquet

            return read_parquet(path)
        if suffix in (".jsonl", ".ndjson"):
            return _read_jsonl(path)
        return _read_csv(path, delimiter="\t" if suffix == ".tsv" else None)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DatasetError(f"{path}: cannot be read ({reason}). Check the path and its permissions.") from error


def _check_content(path: Path, suffix: str, head: bytes) -> None:
    if not head:
        raise DatasetError(f"{path}: the file is empty. Export the table again.")
    if suffix == ".csv.gz":
        if not head.startswith(GZIP_MAGIC):
            raise DatasetError(f"{path}: named .gz but it is not compressed with gzip. Rename or download it again.")
        return
    for magic, what in _FOREIGN_CONTENT:
        if head.startswith(magic):
            raise DatasetError(f"{path}: named {suffix} but it is {what}.")
    if head.startswith(_PARQUET_MAGIC) != (suffix == ".parquet"):
        really = "not a Parquet file" if suffix == ".parquet" else "a Parquet file"
        raise DatasetError(f"{path}: named {suffix} but it is {really}. Rename or export it again.")


def _read_csv(path: Path, delimiter: str | None) -> Table:
    # The csv module's own limit of 131,072 characters is below ours. It is one number for the whole process, so it is
    # only ever raised; twice ours, so that a text just too long is reported as such and an open quote stops early.
    csv.field_size_limit(max(csv.field_size_limit(), 2 * MAX_CELL_CHARS))
    # Bytes that are no UTF-8 become surrogates here and are reported by row and column below.
    with open_text(path) as file:
        if delimiter is None:
            first_line = file.readline(MAX_CELL_CHARS)
            delimiter = max(",;\t", key=first_line.count)
            file.seek(0)
        records = enumerate(_csv_records(file, delimiter), start=1)
        problems: list[Problem] = []
        header: list[str] = []
        for number, record in records:
            if isinstance(record, csv.Error):
                raise DatasetError(f"{path}, row {number}: {_csv_fault(record)}")
            header = [name.strip() for name in record]
            if any(header):
                break
        width = len(header)
        while header and not header[-1]:
            header.pop()
        columns = checked_columns(path, header)
        positions = positions_of(header)
        unnamed = _UnnamedColumns(header)
        rows: list[Row] = []
        for number, record in records:
            if isinstance(record, csv.Error):
                problems.append(Problem("syntax", _csv_fault(record), path.name, number))
                break
            cells = [text_of(cell) for cell in record]
            if not any(cells):
                continue  # Spreadsheets leave empty rows behind; they count as rows.
            if len(cells) < len(header) or any(cells[width:]):
                message = (
                    f"{len(cells)} cells under a header of {len(header)}; row left out. Quote texts that contain "
                    f"{delimiter!r}, and fill missing cells with nothing between delimiters."
                )
                problems.append(Problem("ragged row", message, path.name, number, severity="warning"))
                continue
            unnamed.look(number, cells)
            append_row(Row(number, positions, cells[: len(header)]), path, rows, problems)
    return Table(path, columns, tuple(rows), (*problems, *unnamed.problems(path)))


class _UnnamedColumns:
    """What stands in columns without a name, so that it is not left out without a word."""

    def __init__(self, header: Sequence[str]) -> None:
        self._width = len(header)
        self._places = [place for place, name in enumerate(header) if not name]
        self._found: dict[int, list[tuple[int, str]]] = {}

    def look(self, row: int, cells: Sequence[Cell]) -> None:
        """Note the cells of a row that have text and no name above."""
        for place in (*self._places, *range(self._width, len(cells))):
            if cells[place]:
                self._found.setdefault(place, []).append((row, str(cells[place])))

    def problems(self, path: Path) -> Iterator[Problem]:
        """One warning a column; none for the row numbers that pandas writes before the first column."""
        for place, found in sorted(self._found.items()):
            if place == 0 and all(text.isdecimal() for _, text in found):
                continue
            row, text = found[0]
            message = (
                f"column {place + 1} has no name and text in {counted(len(found), 'row')}, e.g. {text[:40]!r} in row "
                f"{row}; left out. Name it in the header if it is needed."
            )
            yield Problem("column", message, path.name, severity="warning")


class _RecordTooLongError(csv.Error):
    """A record of more than `MAX_RECORD_CHARS`."""


def _csv_records(file: TextIO, delimiter: str) -> Iterator[list[str] | csv.Error]:
    """Records, and at last the error that ends them, if one does: what follows it would be read out of step."""
    room = MAX_RECORD_CHARS

    def lines() -> Iterator[str]:
        nonlocal room
        while line := file.readline(room + 1):
            room -= len(line)
            if room < 0:
                raise _RecordTooLongError(f"a record of more than {MAX_RECORD_CHARS:,} characters")
            yield line

    try:
        for record in csv.reader(lines(), delimiter=delimiter, strict=True):
            yield record
            room = MAX_RECORD_CHARS
    except csv.Error as error:
        yield error


def _csv_fault(error: csv.Error) -> str:
    if isinstance(error, _RecordTooLongError):
        return f"{error}; what follows was not read. Shorten its texts, or close its quotes."
    return (
        f"the quotes do not match up ({error}); what follows was not read. "
        "Close the quote, and double quotes inside a text."
    )


def _read_jsonl(path: Path) -> Table:
    problems: list[Problem] = []
    names: dict[str, None] = {}
    # Rows of the same fields share one mapping, so that memory grows with the file and not with rows times fields.
    shapes: dict[tuple[str, ...], dict[str, int]] = {}
    rows: list[Row] = []
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_RECORD_CHARS + 1), ""), start=1):
            if len(line) > MAX_RECORD_CHARS:
                message = f"a line of more than {MAX_RECORD_CHARS:,} characters; what follows was not read. Shorten it."
                problems.append(Problem("long text", message, path.name, number))
                break
            if not line.strip():
                continue
            try:
                # Numbers stay the text they are, so that 1.10 is not 1.1 and no integer is too long.
                record = json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None)
                if not isinstance(record, dict):
                    raise ValueError(f"a {type(record).__name__}, not an object")
                values = {key.strip(): text_of(value) for key, value in record.items()}
            except (ValueError, RecursionError) as error:
                reason = "nested too deeply" if isinstance(error, RecursionError) else error
                message = f"not a JSON object ({reason}). Write one object a line, as json.dumps does."
                problems.append(Problem("syntax", message, path.name, number))
                continue
            names |= dict.fromkeys(values)
            positions = shapes.setdefault(tuple(values), {name: place for place, name in enumerate(values)})
            append_row(Row(number, positions, list(values.values())), path, rows, problems)
    if not names and problems:
        raise DatasetError(str(problems[0]))
    columns = checked_columns(path, [name for name in names if name])
    return Table(path, columns, tuple(rows), tuple(problems))


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
