"""Tables as CSV that a spreadsheet opens safely."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A header and rows, UTF-8 with a mark that spreadsheets understand; no cell is taken for a formula."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([safe_cell(name) for name in columns])
    for row in rows:
        writer.writerow([safe_cell(cell) for cell in row])
    return buffer.getvalue().encode("utf-8-sig")


def frame_csv(table: pd.DataFrame) -> bytes:
    """A table without its index as CSV; what is missing stays empty."""
    values = table.astype(object).where(table.notna(), "")
    return csv_bytes([str(name) for name in table.columns], ([str(cell) for cell in row] for row in values.to_numpy()))


def safe_cell(text: str) -> str:
    """A cell that a spreadsheet shows as text; numbers stay numbers."""
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text
