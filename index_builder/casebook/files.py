"""Tables and vectors of a casebook, read and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from index_builder.casebook.layout import Layout
from index_builder.cases.space import Space
from index_builder.errors import CasebookError


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet, compressed, the same bytes for the same table."""
    pq.write_table(table, path, compression="zstd")


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file of a casebook.

    Raises:
        CasebookError: The file is missing or damaged.
    """
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise CasebookError(f"{path}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error


def read_embeddings(folder: Path, space: Space, rows: int) -> np.ndarray:
    """Vectors of a space, [rows, D] float16, memory-mapped.

    Raises:
        CasebookError: The file is missing, damaged, or of another length than the cases.
    """
    return _read_vectors(Layout(folder).embeddings(space), rows, "cases")


def read_film_embeddings(folder: Path, films: int) -> np.ndarray:
    """Vectors of each film by itself, [films, D] float16, memory-mapped. Raises as `read_embeddings`."""
    return _read_vectors(Layout(folder).film_embeddings, films, "films")


def _read_vectors(path: Path, rows: int, of_what: str) -> np.ndarray:
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CasebookError(f"{path}: unreadable ({error}). Rebuild the casebook.") from error
    if vectors.ndim != 2 or len(vectors) != rows:
        raise CasebookError(f"{path}: shape {vectors.shape} for {rows} {of_what}. Rebuild the casebook.")
    return vectors
