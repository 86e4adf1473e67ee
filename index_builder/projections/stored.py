"""The maps of a whole casebook, written into it and read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_builder.casebook import (
    Layout,
    MapName,
    MapsRecord,
    Space,
    cluster_column,
    map_columns,
    write_maps,
    write_table,
)
from index_builder.datasets.base import Case
from index_builder.projections.clusters import case_terms
from index_builder.projections.maps import DrawnMaps, MappedCases, draw_maps, map_names
from index_builder.stores.base import VectorStore, case_keys

#: (stage, maps done, maps in all)
Progress = Callable[[str, int, int], None]


def mapped_cases(
    cases: Sequence[Case], rows: NDArray[np.int64], vectors: np.ndarray, store: VectorStore, reads: str
) -> MappedCases:
    """Those cases of a casebook that have a vector in a space.

    Args:
        cases: All cases.
        rows: Which of them.
        vectors: [N, D] of all cases.
        store: Index of the vectors of `rows`.
        reads: What the system takes for the text of a case.
    """
    kept = [cases[row] for row in rows]
    names = {name: column for column, name in enumerate(sorted({label for case in kept for label in case.labels}))}
    labels = np.zeros((len(kept), len(names)), bool)
    for row, case in enumerate(kept):
        labels[row, [names[label] for label in case.labels]] = True
    return MappedCases(
        store=store,
        keys=case_keys([case.case_id for case in kept]),
        vectors=vectors if len(rows) == len(vectors) else vectors[rows],
        labels=labels,
        terms=_Terms(kept, reads),
    )


@dataclass(frozen=True, slots=True)
class _Terms:
    """What cases say, found when it is asked for: of many cases it would fill more memory than their vectors."""

    cases: Sequence[Case]
    reads: str

    def __iter__(self) -> Iterator[list[str]]:
        return (case_terms(case, self.reads) for case in self.cases)


def draw_casebook_maps(
    folder: Path,
    cases: Sequence[Case],
    vectors: Mapping[Space, np.ndarray],
    stores: Mapping[Space, VectorStore],
    reads: str,
    seed: int,
    progress: Progress,
) -> None:
    """Draw every map of every space and write them.

    Args:
        folder: Of the casebook.
        cases: N cases.
        vectors: [N, D] by space, zero where a case lacks the modality.
        stores: Index of each space that holds a vector.
        reads: What the system takes for the text of a case.
        seed: Random state of the maps.
        progress: Told of maps.
    """
    drawn: dict[Space, tuple[NDArray[np.int64], DrawnMaps]] = {}
    rows = {space: np.flatnonzero(vectors[space].any(axis=1)) for space in stores}
    total = sum(len(map_names(len(held))) for held in rows.values())
    done = 0

    def advance(name: MapName, step: int, steps: int) -> None:
        progress("Drawing maps", done, total)

    for space, store in stores.items():
        # No name keeps what is mapped: it would stay in memory beside that of the next space.
        maps = draw_maps(mapped_cases(cases, rows[space], vectors[space], store, reads), seed, advance)
        drawn[space] = rows[space], maps
        done += len(drawn[space][1].positions)
        progress("Drawing maps", done, total)
    write_drawn_maps(folder, cases, drawn)


def write_drawn_maps(
    folder: Path, cases: Sequence[Case], drawn: Mapping[Space, tuple[NDArray[np.int64], DrawnMaps]]
) -> None:
    """Write maps of spaces, each with the rows of the cases it shows."""
    columns: dict[str, pa.Array] = {"case_id": pa.array([case.case_id for case in cases], pa.string())}
    for space, (rows, maps) in drawn.items():
        for name, positions in maps.positions.items():
            placed = np.full((len(cases), positions.shape[1]), np.nan, np.float32)
            placed[rows] = positions
            for column, values in zip(map_columns(space, name), placed.T, strict=True):
                columns[column] = pa.array(values, from_pandas=True)
        number = np.full(len(cases), -1, np.int32)
        number[rows] = maps.clusters
        columns[cluster_column(space)] = pa.array(number, mask=~np.isin(np.arange(len(cases)), rows))
    write_table(pa.table(columns), Layout(folder).projections)
    write_maps(folder, MapsRecord(spaces={space: maps.record for space, (_, maps) in drawn.items()}))
