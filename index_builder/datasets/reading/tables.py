"""CSV, JSONL and Parquet files to rows of text, with every fault named by row and column.

No type is guessed: a cell is the text that the file holds ("007" stays "007"), whatever the format, so that one dataset
gives the same cases from each of the three.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from index_builder.datasets.reading.packed_text import GZIP_MAGIC, open_text
from index_builder.datasets.reading.rows import (
    MAX_CELL_CHARS,
    Cell,
    Problem,
    Row,
    Table,
    append_row,
    checked_columns,
    positions_of,
    text_of,
)
from index_builder.datasets.reading.values import counted
from index_builder.errors import DatasetError

#: Longest record: a line of JSONL, or a row of CSV with all its line breaks. Some sections of the longest texts fit.
MAX_RECORD_CHARS = 8 * MAX_CELL_CHARS
TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".jsonl", ".ndjson", ".parquet")


#: What a file really is when its first bytes disagree with its name.
_FOREIGN_CONTENT = (
    (b"PK\x03\x04", "an Excel workbook or ZIP archive; export it as 'CSV UTF-8'"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; export it as 'CSV UTF-8'"),
    (GZIP_MAGIC, "compressed with gzip; unpack it, or name it .csv.gz"),
    (codecs.BOM_UTF16_LE, "UTF-16 text; save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "UTF-16 text; save it as UTF-8"),
)
_PARQUET_MAGIC = b"PAR1"


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
