"""Columns of the table of cases as numpy arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def values_of(column: pa.ChunkedArray, *, number: bool) -> np.ndarray:
    """All values of a column [N]: numbers as float64 with NaN for what is missing, others as objects with None."""
    if number:
        return column.to_numpy(zero_copy_only=False).astype(np.float64)
    if pa.types.is_dictionary(column.type):
        values = np.array([*column.chunk(0).dictionary.to_pylist(), None], object)
        numbers = pc.fill_null(pa.chunked_array([chunk.indices for chunk in column.chunks]), len(values) - 1)
        return values[numbers.to_numpy()]
    return np.array(column.to_pylist(), object)
