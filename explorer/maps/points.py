"""Cases as points of one map, or of two maps side by side, and where a query belongs among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.maps.colouring import Colouring
from explorer.search.query import Query
from explorer.search.result import SearchResult
from index_builder.casebook.manifest import MapName
from index_builder.cases.space import Space
from index_builder.maps.placing import PLACING_NEIGHBOURS, place


@dataclass(frozen=True, slots=True)
class Category:
    """One colour of a map: name, colour on light and on dark ground, number of cases."""

    name: str
    light: str
    dark: str
    count: int


@dataclass(frozen=True, slots=True)
class MapPoints:
    """Cases on maps that show the same cases.

    Attributes:
        rows: [n] int64, rows of the casebook's cases that have a place on every map.
        positions: [n, 2 or 3] float32 of each map.
        categories: [n] uint8, number of each case's category.
        legend: The categories.
    """

    rows: NDArray[np.int64]
    positions: tuple[NDArray[np.float32], ...]
    categories: NDArray[np.uint8]
    legend: tuple[Category, ...]


@dataclass(frozen=True, slots=True)
class PlacedQuery:
    """A query on a map.

    Attributes:
        position: [2 or 3] float32, where it is drawn.
        exact: It is a case with a place of its own; otherwise it stands among its `PLACING_NEIGHBOURS` nearest cases.
    """

    position: NDArray[np.float32]
    exact: bool


def map_points(positions: Sequence[NDArray[np.float32]], colours: Colouring, among: NDArray[np.bool_]) -> MapPoints:
    """Put cases on one map or on several.

    Args:
        positions: Positions of each map [N, 2 or 3] float32 by row of one casebook, NaN where a case has no place.
        colours: Colours of the N cases.
        among: [N] bool, cases to show.
    """
    shown = among.copy()
    for places in positions:
        shown &= np.isfinite(places).all(axis=1)
    rows = np.flatnonzero(shown)
    numbers = colours.numbers[rows]
    counts = np.bincount(numbers, minlength=len(colours.names))
    legend = tuple(
        Category(name, *pair, int(count))
        for name, pair, count in zip(colours.names, colours.colours, counts, strict=True)
    )
    return MapPoints(rows, tuple(np.ascontiguousarray(places[rows]) for places in positions), numbers, legend)


def matched_positions(casebook: Casebook, other: Casebook, space: Space, name: MapName) -> NDArray[np.float32]:
    """Places on another casebook's map by row of this one, [N, 2 or 3] float32, cases matched by their id.

    Raises:
        QueryError: The other casebook has no such map.
    """
    places = other.projection(space, name)
    found = np.full((len(casebook), places.shape[1]), np.nan, np.float32)
    own, theirs = _in_both(casebook, other)
    found[own] = places[theirs]
    return found


def neighbours_kept(casebook: Casebook, space: Space, other: Casebook, other_space: Space, k: int = 10) -> float | None:
    """Mean share of a case's `k` nearest cases by full vectors that two spaces agree on, among cases both hold.

    Of larger sets 2,000 cases are drawn. None where fewer than k + 1 cases are in both.
    """
    rows, matched = _in_both(casebook, other)
    held = casebook.has_vector(space)[rows] & other.has_vector(other_space)[matched]
    rows, matched = rows[held], matched[held]
    if len(rows) <= k:
        return None
    asked = np.sort(np.random.default_rng(0).permutation(len(rows))[:2_000])
    near = [
        _nearest(vectors[asked_rows].astype(np.float32), vectors[all_rows].astype(np.float32), asked, k)
        for vectors, asked_rows, all_rows in (
            (casebook.vectors(space), rows[asked], rows),
            (other.vectors(other_space), matched[asked], matched),
        )
    ]
    return float(np.mean([len(np.intersect1d(*pair)) / k for pair in zip(*near, strict=True)]))


def place_query(
    casebook: Casebook,
    space: Space,
    positions: NDArray[np.float32],
    among: NDArray[np.int64],
    query: Query,
    result: SearchResult,
) -> PlacedQuery | None:
    """Where a query belongs on a map; None when there is no case near it to go by.

    Args:
        casebook: What was searched.
        space: The map's.
        positions: [N, 2 or 3] float32 by row.
        among: Rows of the cases on the map.
        query: What was searched with.
        result: What was found; its vector is compared with the cases of the map's space.
    """
    if query.case_id is not None and np.isin(row := casebook.row(query.case_id), among):
        return PlacedQuery(positions[row], True)
    allowed = None if len(among) == casebook.manifest.spaces[space].count else casebook.keys[among]
    hits = casebook.store(space).search(result.vector, PLACING_NEIGHBOURS, allowed)
    if not len(hits.keys):
        return None
    return PlacedQuery(place(positions[casebook.rows_of_keys(hits.keys)], hits.scores), False)


def _in_both(casebook: Casebook, other: Casebook) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows here and there of the cases that two casebooks share, in the order of the first."""
    _, rows, matched = np.intersect1d(casebook.keys, other.keys, assume_unique=True, return_indices=True)
    order = np.argsort(rows)
    return rows[order], matched[order]


def _nearest(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], own: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    similarity = queries @ vectors.T
    similarity[np.arange(len(queries)), own] = -np.inf
    return np.argpartition(-similarity, k, axis=1)[:, :k]
