"""Figures and tables of data quality."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from explorer.charts.chart import Chart, chart, words
from explorer.charts.theme import Scheme, look
from explorer.quality.check import Quality


def balance_chart(quality: Quality, scheme: Scheme) -> Chart:
    """Share of each part that carries each label, of the cases of which it is known; the most frequent on top."""
    colours, table = look(scheme), quality.labels
    order = table.groupby("label")["cases"].sum().sort_values(kind="stable").index.tolist()
    figure = go.Figure()
    for place, part in enumerate(table["part"].unique()):
        rows = table[table["part"] == part].set_index("label").loc[order]
        figure.add_scatter(
            x=rows["share"],
            y=[words(label) for label in order],
            name=str(part),
            mode="markers",
            marker={"color": colours.series[place], "size": 9, "symbol": ("circle", "diamond", "square")[place]},
            customdata=[["part", label, str(part)] for label in order],
            text=[f"{cases:,} cases" for cases in rows["cases"]],
            hovertemplate=f"%{{y}}<br>{part}: %{{x:.1%}}, %{{text}}<br>click to see them<extra></extra>",
        )
    figure.update_xaxes(title="Share of the part", tickformat=".0%", range=[-0.015, 1.06 * float(table["share"].max())])
    figure.update_yaxes(range=[-0.6, len(order) - 0.4], tickfont={"size": 11})
    figure.update_layout(height=110 + 22 * max(4, len(order)))
    made_up = ", synthetic films" if quality.synthetic else ""
    caption = (
        f"All cases of {quality.casebook}{made_up}; for each label, those where it is known. If points lie apart, the "
        "label is more frequent in one part."
    )
    return chart("class-balance", "Labels in each part", caption, figure, table, scheme)


def part_table(table: pd.DataFrame) -> pd.DataFrame:
    """Counts and shares with a column per part, from a table of `explorer.quality.balance`."""
    kind = table.columns[0]
    shown = [
        f"{cases:,} ({share:.1%})".replace("%", " %")
        for cases, share in zip(table["cases"], table["share"], strict=True)
    ]
    wide = table.assign(shown=shown).pivot_table(
        index=kind, columns="part", values="shown", aggfunc="first", sort=False
    )
    wide.columns.name = None
    return wide.reset_index().rename(columns={kind: str(kind).capitalize()})


def drift_table(quality: Quality) -> pd.DataFrame:
    """Every comparison with the training part, what differs first."""
    ordered = sorted(quality.drifts, key=lambda one: (not one.differs, one.p is not None, one.p or 0))
    return pd.DataFrame(
        [
            {
                "Differs": "yes" if one.differs else "no",
                "Part": one.part,
                "What": words(one.what),
                "Effect": one.effect,
                "Test": one.test,
                "Adjusted p": None if one.p is None else float(f"{one.p:.2g}"),
            }
            for one in ordered
        ],
        columns=["Differs", "Part", "What", "Effect", "Test", "Adjusted p"],
    )
