"""Parquet files to rows of text, as `tables` gives them for CSV, with a limit on what they may unpack to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from index_builder.datasets.reading.rows import Problem, Row, Table, append_row, checked_columns, positions_of, text_of
from index_builder.errors import DatasetError

#: A Parquet file of repeated values can hold terabytes in kilobytes. One that unpacks to more than this many bytes and
#: more than so many times its size is refused; texts and numbers of real datasets compress ten times at best.
MAX_UNPACKED_BYTES = 256 * 2**20
MAX_UNPACKED_RATIO = 200

#: Rows of a Parquet file that are unpacked at a time.
_PARQUET_ROWS = 256
#: What a row costs in memory before it holds anything.
_ROW_BYTES = 128


def read_parquet(path: Path) -> Table:
    """Read a whole Parquet file. Raises `DatasetError` where it is damaged or unpacks to far more than it holds."""
    problems: list[Problem] = []
    rows: list[Row] = []
    try:
        limit = max(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * path.stat().st_size)
        schema = pq.read_schema(path)
        repeated = [field.name for field in schema if pa.types.is_string(field.type)]
        # Dictionaries stay what they are in the file, so that what they unpack to is known before it is unpacked.
        with pq.ParquetFile(path, read_dictionary=repeated) as parquet:
            names = [field.name for field in schema if not _holds_bytes(field.type)]
            columns = checked_columns(path, names)
            positions = positions_of(names)
            groups = [parquet.metadata.row_group(group) for group in range(parquet.num_row_groups)]
            number, unpacked = 0, _ROW_BYTES * sum(group.num_rows for group in groups)
            _check_unpacked(path, unpacked + sum(group.total_byte_size for group in groups), limit)
            for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS, columns=names):
                size = _unpacked_bytes(batch)
                unpacked += size
                _check_unpacked(path, size, MAX_UNPACKED_BYTES)
                _check_unpacked(path, unpacked, limit)
                lists = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in names]
                for values in zip(*lists, strict=True):
                    number += 1
                    cells = [text_of(value) for value in values]
                    append_row(Row(number, positions, cells), path, rows, problems)
    # Beside Arrow's own errors: unknown time zones (KeyError), types without a Python value (NotImplementedError).
    except (pa.ArrowException, ValueError, OverflowError, LookupError, NotImplementedError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DatasetError(f"{path}: not a readable Parquet file ({reason}). Write it again.") from error
    return Table(path, columns, tuple(rows), tuple(problems))


def _check_unpacked(path: Path, size: int, limit: int) -> None:
    if size > limit:
        raise DatasetError(
            f"{path}: {path.stat().st_size:,} bytes that unpack to far more; it is not a table of cases. Shorten its "
            "texts, or write it as CSV."
        )


def _unpacked_bytes(batch: Any) -> int:
    """Bytes of a batch's values once each stands for itself, and a pointer for each cell."""
    total = 8 * batch.num_rows * batch.num_columns
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            total += pc.sum(pc.take(pc.binary_length(column.dictionary), column.indices)).as_py() or 0
        else:
            total += column.nbytes
    return total


def _holds_bytes(kind: Any) -> bool:
    """Whether a Parquet column holds raw bytes (e.g. embedded images), which are no text."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
