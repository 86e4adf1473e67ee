"""Plotly charts of what a casebook holds. No Streamlit here."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.charts.palette import ABSENT, CATEGORIES
from index_builder.cases.case import SPLITS


def label_frequency(casebook: Casebook) -> go.Figure:
    """Cases per label, most frequent on top, bars split by part of the data; then those of which it is unknown."""
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
    unknown = (~casebook.known_matrix).sum(0)[order]
    if unknown.any():
        figure.add_bar(
            y=names,
            x=unknown,
            name="unknown",
            orientation="h",
            marker_color=ABSENT[0],
            hovertemplate="%{y}: unknown of %{x}<extra></extra>",
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
