"""A figure with what belongs to it: title, caption, and its data as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from explorer.charts.tables import frame_csv
from explorer.charts.theme import Scheme, template


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure ready to be drawn or written.

    Attributes:
        key: Short name, also of its files.
        title: What it shows.
        caption: What was scored, what the marks mean, what to beware of.
        figure: Points that lead to cases carry a token for `cases.cases_behind` as `customdata`.
        table: Every value of the figure.
    """

    key: str
    title: str
    caption: str
    figure: go.Figure
    table: pd.DataFrame

    def csv(self) -> bytes:
        """The table as CSV that a spreadsheet opens safely."""
        return frame_csv(self.table)


def chart(key: str, title: str, caption: str, figure: go.Figure, table: pd.DataFrame, scheme: Scheme) -> Chart:
    """A chart in the look of a scheme."""
    figure.update_layout(template=template(scheme))
    return Chart(key, title, caption, figure, table)


def words(label: str) -> str:
    """A label as plain words: published spellings join them with an underscore."""
    return label.replace("_", " ")


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where it is not defined."""
    return "–" if value is None else f"{value:.{digits}f}"


def with_interval(value: float | None, interval: list[float] | tuple[float, ...] | None) -> str:
    """A figure and its 95 % interval, e.g. "0.876 [0.862, 0.888]"."""
    return number(value) + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def error_bars(
    values: Sequence[float], spans: Sequence[Sequence[float] | None], colour: str | None = None, **style: Any
) -> dict[str, Any]:
    """Intervals as Plotly's error bars; none where there is no interval."""
    kept = [span or (value, value) for value, span in zip(values, spans, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, span[1] - value) for value, span in zip(values, kept, strict=True)],
        "arrayminus": [max(0.0, value - span[0]) for value, span in zip(values, kept, strict=True)],
        "color": colour,
        "thickness": 1.6,
        "width": 0,
    } | style
