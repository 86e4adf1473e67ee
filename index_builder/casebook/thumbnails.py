"""Small films of a casebook, written in groups of cases and read a group at a time: never all in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cachetools import LRUCache

from index_builder.errors import CasebookError

_SCHEMA = pa.schema([("case_id", pa.string()), ("thumbnail", pa.binary())])
#: Groups of cases kept in memory, each a megabyte or so.
_GROUPS = 16


def thumbnail_writer(path: Path) -> pq.ParquetWriter:
    """Writes tables of `case_id` and `thumbnail` (JPEG bytes or null), each as one group."""
    return pq.ParquetWriter(path, _SCHEMA, compression="none")


def thumbnail_table(case_ids: Sequence[str], thumbnails: Sequence[bytes | None]) -> pa.Table:
    """What such a writer takes: a JPEG or None of each case, or of each film."""
    return pa.table([pa.array(case_ids, pa.string()), pa.array(thumbnails, pa.binary())], _SCHEMA)


class ThumbnailReader:
    """JPEGs by row of the casebook, or by film; one instance serves many threads."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            CasebookError: It is missing or damaged.
        """
        self._path = path
        self._lock = Lock()
        self._groups: LRUCache[int, pa.ChunkedArray] = LRUCache(_GROUPS)
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(error) from error
        metadata = self._file.metadata
        rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._ends = np.cumsum(rows)

    def __getitem__(self, row: int) -> bytes | None:
        """JPEG of a row; None where there is none."""
        number = int(np.searchsorted(self._ends, row, side="right"))
        if not 0 <= number < len(self._ends):
            raise IndexError(row)
        start = int(self._ends[number - 1]) if number else 0
        return self._group(number)[row - start].as_py()

    def _group(self, number: int) -> pa.ChunkedArray:
        with self._lock:
            if number not in self._groups:
                try:
                    self._groups[number] = self._file.read_row_group(number, ["thumbnail"]).column("thumbnail")
                except (OSError, pa.ArrowException) as error:
                    raise self._damaged(error) from error
            return self._groups[number]

    def _damaged(self, error: Exception) -> CasebookError:
        return CasebookError(f"{self._path}: unreadable ({str(error)[:200]}). Rebuild the casebook.")
