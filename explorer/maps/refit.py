"""A map recomputed for some of a casebook's cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from index_builder.casebook.manifest import MapName, MapRecord
from index_builder.cases.space import Space
from index_builder.cases.table import CaseRows
from index_builder.errors import QueryError
from index_builder.maps.layout import Steps
from index_builder.maps.maps import LEAST_CASES, draw_maps, reach
from index_builder.maps.stored import mapped_cases
from index_builder.stores.faiss import FaissStore


@dataclass(frozen=True, slots=True)
class RefittedMap:
    """A map of some cases.

    Attributes:
        positions: [N, 2 or 3] float32 by row of the casebook, NaN for the other cases.
        record: How far it can be trusted.
    """

    positions: NDArray[np.float32]
    record: MapRecord


def refit(casebook: Casebook, space: Space, name: MapName, rows: NDArray[np.int64], progress: Steps) -> RefittedMap:
    """Draw a map of chosen cases, as `build` would have drawn it of these alone.

    Args:
        casebook: Whose cases.
        space: Space of the vectors.
        name: Which kind of map.
        rows: Which cases; those without the modality are left out.
        progress: Told of steps done and in all.

    Raises:
        QueryError: Too few cases for a map.
    """
    held = rows[casebook.has_vector(space)[rows]]
    if len(held) < LEAST_CASES:
        raise QueryError(f"{len(held)} cases meet the filters: a map wants at least {LEAST_CASES}. Remove a filter.")
    vectors = np.asarray(casebook.vectors(space)[held])
    store = FaissStore.build(vectors, casebook.keys[held])
    wanted = reach(len(held), (name,))
    mapped = mapped_cases(CaseRows(casebook.table, held), vectors, store, wanted, casebook.manifest.system.reads)
    drawn = draw_maps(
        mapped, casebook.manifest.dataset.seed, lambda _, done, total: progress(done, total), names=(name,)
    )
    found = drawn.positions[name]
    positions = np.full((len(casebook), found.shape[1]), np.nan, np.float32)
    positions[held] = found
    return RefittedMap(positions, drawn.record.maps[name])
