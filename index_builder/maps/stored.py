"""The maps of a whole casebook, written into it and read from it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_builder.casebook.files import write_table
from index_builder.casebook.indexes import IndexesInTurn
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import MapName, MapsRecord, cluster_column, map_columns, write_maps
from index_builder.casebook.memory import give_back
from index_builder.cases.space import Space
from index_builder.cases.table import CaseRows, carried_labels, label_matrix
from index_builder.maps.clusters import case_terms
from index_builder.maps.maps import DrawnMaps, MappedCases, draw_maps, map_names, reach
from index_builder.maps.neighbours import neighbour_graph
from index_builder.progress import Progress
from index_builder.stores.base import VectorStore, case_keys


def mapped_cases(cases: CaseRows, vectors: np.ndarray, store: VectorStore, wanted: int, reads: str) -> MappedCases:
    """Cases of a casebook that have a vector in a space, as maps see them.

    Args:
        cases: N cases.
        vectors: [N, D] of them.
        store: Index of these vectors and no others; not needed afterwards.
        wanted: Neighbours of each, see `MappedCases.graph`.
        reads: What the system takes for the text of a case.
    """
    keys = case_keys(cases.column("case_id").to_pylist())
    labels = cases.column("labels")
    matrix = label_matrix(labels, sorted(carried_labels(labels)))
    return MappedCases(neighbour_graph(store, keys, vectors, wanted), vectors, matrix, _Terms(cases, reads))


@dataclass(frozen=True, slots=True)
class _Terms:
    """What cases say, found when it is asked for: of many cases it would fill more memory than their vectors."""

    cases: CaseRows
    reads: str

    def __iter__(self) -> Iterator[list[str]]:
        return (case_terms(case, self.reads) for case in self.cases)


def draw_casebook_maps(
    folder: Path,
    cases: CaseRows,
    vectors: Mapping[Space, np.ndarray],
    stores: IndexesInTurn,
    reads: str,
    seed: int,
    progress: Progress,
) -> None:
    """Draw every map of every space and write them.

    Args:
        folder: Folder of the casebook.
        cases: N cases.
        vectors: [N, D] by space, zero where a case lacks the modality.
        stores: Index of each space that holds a vector; none is left open.
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

    def of_space(space: Space, held: NDArray[np.int64]) -> DrawnMaps:
        found = vectors[space] if len(held) == len(cases) else vectors[space][held]
        mapped = mapped_cases(cases.at(held), found, stores[space], reach(len(held)), reads)
        stores.close()
        return draw_maps(mapped, seed, advance)

    for space in stores:
        drawn[space] = rows[space], of_space(space, rows[space])
        gc.collect()  # openTSNE's objects, and what they hold, refer to each other
        give_back()
        done += len(drawn[space][1].positions)
        progress("Drawing maps", done, total)
    write_drawn_maps(folder, cases, drawn)


def write_drawn_maps(folder: Path, cases: CaseRows, drawn: Mapping[Space, tuple[NDArray[np.int64], DrawnMaps]]) -> None:
    """Write maps of spaces, each with the rows of the cases it shows."""
    columns: dict[str, pa.Array] = {"case_id": cases.column("case_id")}
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
