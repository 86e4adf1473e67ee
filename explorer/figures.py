"""Figures as data: map points with their colours, and Plotly charts. No Streamlit here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.search import Query, SearchResult
from index_builder.casebook import Space
from index_builder.datasets.base import SPLITS
from index_builder.projections import place

#: Colours told apart with any colour vision, on a light and on a dark ground: Okabe and Ito (2008), the light ones
#: darkened and the dark ones lightened until they stand out.
CATEGORIES = (
    ("#0072B2", "#56B4E9"),
    ("#D98200", "#F0A63A"),
    ("#008A63", "#2FC79A"),
    ("#B8578F", "#E08FBE"),
    ("#C24A00", "#F0763A"),
    ("#8C7A00", "#F0E442"),
    ("#5B4FA8", "#A99BF2"),
    ("#3F3F3F", "#E8E8E8"),
)
#: What is not of interest, or not known.
REST = ("#A9B4BD", "#56616B")
#: Low to high, after cividis (Nuñez et al. 2018): equal steps for all colour vision.
SEQUENCE = (
    ("#00326F", "#3E5C9A"),
    ("#3C4D6E", "#6B7BA8"),
    ("#666970", "#8F9398"),
    ("#8E8570", "#B5AA7E"),
    ("#B8A54F", "#D8C45F"),
    ("#D9B800", "#FBE44D"),
)

MAIN_FINDING = "main finding"
_LABEL_PREFIX = "label:"
_NORMAL = ("Normal", "No Finding")


@dataclass(frozen=True, slots=True)
class Category:
    """One colour of a map: name, colour on light and on dark ground, number of cases."""

    name: str
    light: str
    dark: str
    count: int


@dataclass(frozen=True, slots=True)
class MapPoints:
    """Cases on a map.

    Attributes:
        rows: [n] int64, rows of the casebook's cases that have a place on this map.
        positions: [n, 2] float32.
        categories: [n] uint8, number of each case's category.
        legend: The categories.
        method: "umap" or "pca".
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.float32]
    categories: NDArray[np.uint8]
    legend: tuple[Category, ...]
    method: str


@dataclass(frozen=True, slots=True)
class MapQuery:
    """A query on a map.

    Attributes:
        position: Where it is drawn.
        exact: It is a case with a place of its own; otherwise it stands at the mean of its neighbours' places.
        neighbours: (row of `MapPoints`, rank) of the neighbours on this map.
    """

    position: tuple[float, float]
    exact: bool
    neighbours: tuple[tuple[int, int], ...]


def colour_fields(casebook: Casebook) -> list[str]:
    """What a map can be coloured by: main finding, split, view, profile fields, then each label as "label:NAME"."""
    fields = [MAIN_FINDING] if casebook.label_names else []
    fields += [name for name in ("split", "view") if len(_values(casebook, name)) > 1]
    fields += [name for name in casebook.profile_fields if len(_values(casebook, name)) > 1]
    return fields + [_LABEL_PREFIX + name for name in casebook.label_names]


def map_points(casebook: Casebook, space: Space, colour: str) -> MapPoints:
    """Cases on the map of a space, coloured by a field.

    Args:
        casebook: Whose map.
        space: Which map.
        colour: One of `colour_fields`.

    Raises:
        QueryError: No such map or field.
    """
    positions, method = casebook.projection(space)
    rows = np.flatnonzero(np.isfinite(positions).all(axis=1))
    names, numbers, colours = _categories(casebook, colour)
    numbers = numbers[rows]
    counts = np.bincount(numbers, minlength=len(names))
    legend = tuple(Category(name, *pair, int(count)) for name, pair, count in zip(names, colours, counts, strict=True))
    return MapPoints(rows, positions[rows], numbers.astype(np.uint8), legend, method)


def place_query(casebook: Casebook, points: MapPoints, query: Query, result: SearchResult) -> MapQuery | None:
    """Where a query belongs on a map; None when neither it nor any of its neighbours has a place there."""
    index = {int(row): number for number, row in enumerate(points.rows)}
    found = [
        (index[row], neighbour) for neighbour in result.neighbours if (row := casebook.row(neighbour.case_id)) in index
    ]
    neighbours = tuple((number, neighbour.rank) for number, neighbour in found)
    if query.case_id is not None and (own := index.get(casebook.row(query.case_id))) is not None:
        x, y = points.positions[own].tolist()
        return MapQuery((x, y), True, neighbours)
    if not found:
        return None
    scores = np.array([neighbour.score for _, neighbour in found], np.float32)
    return MapQuery(place(points.positions[[number for number, _ in found]], scores), False, neighbours)


def label_frequency(casebook: Casebook) -> go.Figure:
    """Cases per label, most frequent on top, bars split by part of the data."""
    counts = casebook.label_matrix.sum(0)
    order = np.argsort(counts, kind="stable")
    names = [casebook.label_names[number].replace("_", " ") for number in order]
    splits = casebook.column("split")
    figure = go.Figure()
    for split, (light, _) in zip(SPLITS, (CATEGORIES[0], CATEGORIES[2], CATEGORIES[1]), strict=True):
        part = casebook.label_matrix[splits == split].sum(0)[order]
        if part.any():
            figure.add_bar(
                y=names,
                x=part,
                name=split,
                orientation="h",
                marker_color=light,
                hovertemplate=f"%{{y}}: %{{x}} in {split}<extra></extra>",
            )
    return _plain(figure, height=60 + 24 * max(3, len(names)))


def number_histogram(values: NDArray[np.float64], title: str) -> go.Figure:
    """Distribution of a number; absent values (NaN) are left out."""
    figure = go.Figure(go.Histogram(x=values[~np.isnan(values)], nbinsx=18, marker_color=CATEGORIES[0][0]))
    figure.update_traces(hovertemplate="%{x}: %{y} cases<extra></extra>")
    figure.update_xaxes(title=title)
    return _plain(figure, height=220)


def _plain(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height,
        barmode="stack",
        bargap=0.25,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        dragmode=False,
    )
    figure.update_yaxes(automargin=True, showgrid=False)
    return figure


def _values(casebook: Casebook, field: str) -> set[object]:
    column = casebook.column(field)
    if column.dtype == np.float64:
        return set(np.unique(column[~np.isnan(column)]).tolist())
    return {value for value in column if value is not None}


def _categories(casebook: Casebook, colour: str) -> tuple[list[str], NDArray[np.int64], list[tuple[str, str]]]:
    """Names of the categories, the category of each row, and their colours."""
    if colour == MAIN_FINDING:
        return _by_text(_main_findings(casebook), "no finding labelled", quiet=_NORMAL)
    if colour.startswith(_LABEL_PREFIX):
        label = colour.removeprefix(_LABEL_PREFIX)
        held = casebook.label_matrix[:, casebook.label_names.index(label)]
        return [label.replace("_", " "), "without"], np.where(held, 0, 1), [CATEGORIES[1], REST]
    column = casebook.column(colour)
    if column.dtype == np.float64 and len(_values(casebook, colour)) > len(CATEGORIES):
        return _by_number(column)
    if column.dtype == np.float64:
        column = np.array([None if np.isnan(value) else f"{value:g}" for value in column], object)
    return _by_text([None if value is None else str(value) for value in column], "unknown")


def _main_findings(casebook: Casebook) -> list[str | None]:
    """Each case's label that most cases carry, a finding before "Normal"."""
    counts = dict(zip(casebook.label_names, casebook.label_matrix.sum(0).tolist(), strict=True))

    def weight(label: str) -> tuple[bool, int]:
        return label not in _NORMAL, counts[label]

    return [max(labels, key=weight).replace("_", " ") if labels else None for labels in casebook.labels]


def _by_text(
    values: Sequence[str | None], absent: str, quiet: Sequence[str] = ()
) -> tuple[list[str], NDArray[np.int64], list[tuple[str, str]]]:
    """Categories by frequency. Of too many, the rarest share one.

    What is absent or `quiet` has the colour of the rest.
    """
    counts: dict[str, int] = {}
    for value in values:
        if value is not None:
            counts[value] = counts.get(value, 0) + 1
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    shown = ranked if len(ranked) <= len(CATEGORIES) else ranked[: len(CATEGORIES) - 1]
    number = {name: place for place, name in enumerate(shown)}
    names, bright = list(shown), iter(CATEGORIES)
    colours = [REST if name in quiet else next(bright) for name in shown]
    if len(shown) < len(ranked):
        number |= dict.fromkeys(ranked[len(shown) :], len(names))
        names.append(f"{len(ranked) - len(shown)} others")
        colours.append(CATEGORIES[-1])
    if None in values:
        names.append(absent)
        colours.append(REST)
    last = len(names) - 1
    return names, np.array([last if value is None else number[value] for value in values], np.int64), colours


def _by_number(column: NDArray[np.float64]) -> tuple[list[str], NDArray[np.int64], list[tuple[str, str]]]:
    """Six steps of about equally many cases."""
    known = ~np.isnan(column)
    edges = np.unique(np.quantile(column[known], np.linspace(0, 1, len(SEQUENCE) + 1)))
    numbers = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, len(edges) - 2)
    names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    steps = np.linspace(0, len(SEQUENCE) - 1, len(names)).round().astype(int)
    colours = [SEQUENCE[step] for step in steps]
    if not known.all():
        names.append("unknown")
        colours.append(REST)
        numbers[~known] = len(names) - 1
    return names, numbers.astype(np.int64), colours
