"""Figures in a row with captions, data to download, and the cases behind a point that is clicked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from explorer.app.library import Shelved
from explorer.app.shared.downloads import export_button
from explorer.app.shared.errors import telling_errors
from explorer.app.shared.gallery import case_gallery
from explorer.app.shared.markup import plain_markdown
from explorer.charts.cases_behind import CaseList, Token
from explorer.charts.chart import Chart
from explorer.charts.tables import frame_csv
from explorer.charts.theme import Scheme, image_options

#: Finds the cases behind a token.
Find = Callable[[Token], CaseList]


def scheme() -> Scheme:
    """The ground the reader has chosen."""
    return "light" if st.context.theme.type == "light" else "dark"


@st.fragment
def figure_row(shelved: Shelved, charts: Sequence[Chart | None], place: str, find: Find | None = None) -> None:
    """Draw figures side by side; a click on a point opens its cases under the row.

    Args:
        shelved: The casebook the cases are of.
        charts: Figures; None is left out.
        place: Tells rows of one page apart, and what they are about: with another place a selection is forgotten.
        find: The cases behind a point; None: points lead nowhere.
    """
    drawn = [one for one in charts if one is not None]
    if not drawn:
        return
    columns = st.columns(len(drawn), gap="medium") if len(drawn) > 1 else [st.container()]
    for column, chart in zip(columns, drawn, strict=True):
        with column:
            _figure(shelved, chart, place, clickable=find is not None)
    token = st.session_state.get(_token_key(shelved, place))
    if find is not None and token is not None:
        with telling_errors():
            case_gallery(shelved, find(token), f"{shelved.name}-{place}")


def figure_table(shelved: Shelved, table: pd.DataFrame, name: str, alt: str) -> None:
    """Draw a table, with its download as CSV."""
    st.dataframe(table, hide_index=True, placeholder="–", alt=alt)
    csv_button(shelved, table, name)


def csv_button(shelved: Shelved, table: pd.DataFrame, name: str) -> None:
    """Draw the button that downloads a table as CSV."""
    export_button(
        "Table as CSV",
        partial(frame_csv, table),
        f"{shelved.name}-{name}.csv",
        "text/csv",
        key=f"csv-{shelved.name}-{name}",
    )


def _figure(shelved: Shelved, chart: Chart, place: str, *, clickable: bool) -> None:
    key = f"figure-{shelved.name}-{place}-{chart.key}"
    name = f"{shelved.name}-{chart.key}"
    settings: dict[str, Any] = {}
    if clickable:
        settings = {
            "on_select": lambda: _selected(key, _token_key(shelved, place)),
            "selection_mode": "points",
        }
    with st.container(key=f"cxr-{key}", gap="xxsmall"):
        st.markdown(f"## {plain_markdown(chart.title)}")
        st.plotly_chart(
            chart.figure,
            theme=None,
            key=key,
            config=image_options(name),
            alt=f"{chart.title}. {chart.caption}",
            **settings,
        )
        st.caption(plain_markdown(chart.caption))
        export_button("Data as CSV", chart.csv, f"{name}.csv", "text/csv", key=f"csv-{key}")


def _token_key(shelved: Shelved, place: str) -> str:
    return f"token-{shelved.name}-{place}"


def _selected(key: str, token_key: str) -> None:
    """Keep what the clicked point stands for; a click beside all points forgets it."""
    points = st.session_state[key]["selection"]["points"]
    tokens = [point["customdata"] for point in points if point.get("customdata")]
    st.session_state[token_key] = list(tokens[0]) if tokens else None
