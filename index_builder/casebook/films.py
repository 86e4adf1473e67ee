"""Each film of a casebook by itself: its case, its view, its vector. There where a case has several films.

A case is found in the image space by the vector of all its films together. What asks for one film (does a lateral look
like this lateral, what does the lateral add) asks this table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_builder.casebook.files import read_film_embeddings, read_table, write_table
from index_builder.casebook.layout import Layout
from index_builder.cases.case import LATERAL, Case
from index_builder.errors import CasebookError
from index_builder.stores.base import case_keys


@dataclass(frozen=True)
class FilmTable:
    """F films in the order of their cases, a case's primary film before its others.

    Attributes:
        rows: [F] int64, row of each film's case.
        references: [F], as in `Case.image`.
        views: [F], "PA", "AP", "LATERAL" or None when unknown.
        keys: [F] int64, made of case id and reference: what an index of films knows them by.
        vectors: [F, D] float16, L2-normalised.
    """

    rows: NDArray[np.int64]
    references: pa.ChunkedArray
    views: pa.ChunkedArray
    keys: NDArray[np.int64]
    vectors: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def is_lateral(self) -> NDArray[np.bool_]:
        """Which films are known to be laterals, [F]."""
        return np.array([view == LATERAL for view in self.views.to_pylist()], bool)

    @cached_property
    def primary(self) -> NDArray[np.int64]:
        """Numbers of the primary films, [C], one of each case that has films."""
        return np.flatnonzero(np.diff(self.rows, prepend=-1))

    @cached_property
    def _by_key(self) -> NDArray[np.intp]:
        return np.argsort(self.keys)

    def numbers_of(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the films of some keys. Raises `CasebookError` where one is not here."""
        numbers = self._by_key[np.searchsorted(self.keys, keys, sorter=self._by_key).clip(max=len(self) - 1)]
        if not np.array_equal(self.keys[numbers], keys):
            raise CasebookError("the index of lateral films is not of these films. Rebuild the casebook.")
        return numbers

    def of_rows(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Numbers of the films of some cases, whose rows ascend."""
        return np.flatnonzero(np.isin(self.rows, np.asarray(rows, np.int64)))


def film_counts(cases: Sequence[Case]) -> NDArray[np.int64]:
    """How many films each case has, [N]."""
    return np.fromiter((len(case.films) for case in cases), np.int64, len(cases))


def write_films(cases: Sequence[Case], path: Path) -> None:
    """Write the table of the films of all cases; their vectors lie beside it."""
    films = [(row, case.case_id, film) for row, case in enumerate(cases) for film in case.films]
    keys = case_keys([f"{case_id}\n{film.reference}" for _, case_id, film in films])
    table = {
        "row": pa.array([row for row, _, _ in films], pa.int64()),
        "film": pa.array([film.reference for _, _, film in films], pa.string()),
        "view": pa.array([film.view for _, _, film in films], pa.string()),
        "key": pa.array(keys),
    }
    write_table(pa.table(table), path)


def read_films(folder: Path, count: int) -> FilmTable:
    """Open the films of a casebook.

    Raises:
        CasebookError: A file is missing, damaged or of another length.
    """
    path = Layout(folder).films
    table = read_table(path, ["row", "film", "view", "key"])
    if len(table) != count:
        raise CasebookError(f"{path}: {len(table)} films where the manifest says {count}. Rebuild the casebook.")
    rows, keys = (table.column(name).to_numpy() for name in ("row", "key"))
    return FilmTable(rows, table.column("film"), table.column("view"), keys, read_film_embeddings(folder, count))
