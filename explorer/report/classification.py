"""Figures of classification: intervals per class, ROC and precision–recall curves, confusion."""

from __future__ import annotations

import math
from itertools import cycle
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from explorer.charts.cases_behind import CORNERS
from explorer.charts.chart import Chart, chart, error_bars, number, with_interval, words
from explorer.charts.measured import Measured
from explorer.charts.theme import Look, Scheme, look

METRICS = {"auroc": "AUROC", "ap": "Average precision", "f1": "F1", "sensitivity": "Sensitivity"}
#: Of narrow panels.
_SHORT = METRICS | {"ap": "AP"}
Curve = Literal["roc", "pr"]

_AXES = {"roc": ("fpr", "tpr"), "pr": ("recall", "precision")}
_TITLES = {
    "roc": ("ROC", "1 − specificity", "Sensitivity"),
    "pr": ("Precision–recall", "Recall (sensitivity)", "Precision"),
}
_GRID_COLUMNS = 6
_INTERVALS = "Bars: 95 % bootstrap intervals over patients."


def class_table(measured: Measured) -> pd.DataFrame:
    """One row per class, then the mean over classes: every metric with its 95 % interval."""
    block = measured.result["classification"]
    metrics = ["auroc", "ap", "f1", "sensitivity", "specificity"]
    rows = []
    for name, row in block["per_class"].items():
        figures = {metric: with_interval(row[metric], row[f"{metric}_interval"]) for metric in metrics}
        rows.append({"finding": words(name), "positives": row["positives"], **figures})
    averages = {"mean over classes": block}
    if (frequent := measured.result.get("classification_frequent")) is not None:
        averages[f"mean over {len(frequent['classes'])} classes of 10 or more positives"] = frequent
    for name, part in averages.items():
        figures = {metric: with_interval(part["macro"][metric], part["macro_interval"][metric]) for metric in metrics}
        rows.append({"finding": name, "positives": None, **figures})
    titles = {metric: METRICS.get(metric, metric.capitalize()) for metric in metrics}
    table = pd.DataFrame(rows).rename(columns={"finding": "Finding", "positives": "Positives", **titles})
    return table.astype({"Positives": "Int64"})


def class_intervals(measured: Measured, scheme: Scheme, metrics: tuple[str, ...] = ("auroc", "ap")) -> Chart:
    """Metrics of every class with intervals, the best class on top; a point leads to the class's errors."""
    block, colours = measured.result["classification"], look(scheme)
    rows = {name: row for name, row in block["per_class"].items() if row["auroc"] is not None}
    order = sorted(rows, key=lambda name: rows[name]["auroc"])
    figure = make_subplots(
        1, len(metrics), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=[_SHORT[one] for one in metrics]
    )
    table = []
    for place, metric in enumerate(metrics, start=1):
        values = [rows[name][metric] for name in order]
        spans = [rows[name][f"{metric}_interval"] or [value, value] for name, value in zip(order, values, strict=True)]
        figure.add_scatter(
            x=values,
            y=[words(name) for name in order],
            mode="markers",
            marker={"color": colours.series[0], "size": 9},
            error_x=error_bars(values, spans, colours.series[0]),
            customdata=[["errors", name] for name in order],
            hovertemplate=f"%{{y}}<br>{METRICS[metric]} %{{x:.3f}}<br>click for its errors<extra></extra>",
            showlegend=False,
            row=1,
            col=place,
        )
        mean = block["macro"][metric]
        if mean is not None:
            figure.add_vline(x=mean, line={"color": colours.rest, "dash": "dot", "width": 1}, row=1, col=place)
        figure.update_xaxes(range=[_floor(spans), 1.02], row=1, col=place)
        table += [
            {
                "metric": METRICS[metric],
                "finding": name,
                "value": value,
                "low": low,
                "high": high,
                "positives": rows[name]["positives"],
            }
            for name, value, (low, high) in zip(order, values, spans, strict=True)
        ]
    figure.update_yaxes(tickfont={"size": 11})
    figure.update_layout(height=78 + 18 * max(5, len(order)), margin={"t": 46})
    left_out = ", ".join(map(words, block["left_out"]))
    left_out = f" Without {left_out}: not both kinds of case." if left_out else ""
    caption = f"{measured.scope}, {measured.read_words}. {_INTERVALS} Dotted: mean over classes. AP: average precision."
    caption += left_out
    return chart("classes", "Each finding", caption, figure, pd.DataFrame(table), scheme)


def class_curve(measured: Measured, curve: Curve, scheme: Scheme, label: str | None = None) -> Chart:
    """ROC or precision–recall curves: all stages, or one finding before the others.

    Args:
        measured: Whose.
        curve: Which.
        scheme: Look.
        label: The finding in front; its points lead to the errors at that threshold. None: all in colour.
    """
    curves, colours = measured.result["classification"]["curves"], look(scheme)
    title, x_title, y_title = _TITLES[curve]
    figure, table = go.Figure(), []
    behind = [name for name in curves if name != label] if label is not None else []
    colour = cycle(colours.series)
    for name in [*behind, *(name for name in curves if name not in behind)]:
        x, y = (curves[name][curve][axis] for axis in _AXES[curve])
        faint = name in behind
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines" if faint else "lines+markers",
            name=words(name),
            line={"width": 1, "color": colours.line} if faint else {"width": 2, "color": next(colour)},
            marker={"size": 5},
            customdata=None if faint else _called(measured, name, curve, x, y),
            hovertemplate=f"{words(name)}<br>{x_title} %{{x:.3f}}<br>{y_title} %{{y:.3f}}<extra></extra>",
            hoverinfo="skip" if faint else None,
            showlegend=not faint,
        )
        if not faint:
            table += [{"finding": name, _AXES[curve][0]: a, _AXES[curve][1]: b} for a, b in zip(x, y, strict=True)]
    shown = [name for name in curves if name not in behind]
    _chance(figure, measured, curve, shown, colours)
    _operating_marks(figure, measured, curve, shown, colours)
    figure.update_xaxes(title=x_title, range=[-0.02, 1.02])
    figure.update_yaxes(title=y_title, range=[-0.02, 1.02])
    figure.update_layout(height=400, margin={"t": 8})
    area = "auroc" if curve == "roc" else "ap"
    rows = measured.result["classification"]["per_class"]
    areas = "; ".join(
        f"{words(name)} {METRICS[area]} {with_interval(rows[name][area], rows[name][f'{area}_interval'])}"
        for name in shown
    )
    faint_words = " Faint: the other findings." if behind else ""
    caption = f"{measured.scope}. {areas}. Diamond: where the system calls it.{faint_words}"
    return chart(curve, title, caption, figure, pd.DataFrame(table), scheme)


def curve_grid(measured: Measured, curve: Curve, scheme: Scheme) -> Chart:
    """The curves of all findings as small multiples, for a page one cannot click."""
    curves, colours = measured.result["classification"]["curves"], look(scheme)
    rows = measured.result["classification"]["per_class"]
    names = list(curves)
    height = math.ceil(len(names) / _GRID_COLUMNS)
    area = "auroc" if curve == "roc" else "ap"
    titles = [f"{_short(words(name))}<br>{number(rows[name][area])}" for name in names]
    figure = make_subplots(
        height,
        _GRID_COLUMNS,
        shared_xaxes=True,
        shared_yaxes=True,
        subplot_titles=titles,
        horizontal_spacing=0.03,
        vertical_spacing=min(0.5, 0.36 / height),
    )
    table = []
    for place, name in enumerate(names):
        x, y = (curves[name][curve][axis] for axis in _AXES[curve])
        where = {"row": place // _GRID_COLUMNS + 1, "col": place % _GRID_COLUMNS + 1}
        level = rows[name]["positives"] / measured.result["classification"]["cases"]
        chance = [0, 1] if curve == "roc" else [level, level]
        figure.add_scatter(
            x=[0, 1],
            y=chance,
            mode="lines",
            line={"color": colours.rest, "width": 1, "dash": "dot"},
            hoverinfo="skip",
            **where,
        )
        figure.add_scatter(x=x, y=y, mode="lines", line={"color": colours.series[0], "width": 2}, **where)
        table += [{"finding": name, _AXES[curve][0]: a, _AXES[curve][1]: b} for a, b in zip(x, y, strict=True)]
    figure.update_xaxes(range=[-0.03, 1.03], tickvals=[0, 1], constrain="domain")
    figure.update_yaxes(range=[-0.03, 1.03], tickvals=[0, 1])
    figure.update_annotations(font={"size": 9.5})
    figure.update_layout(height=50 + 88 * height, showlegend=False, margin={"t": 40})
    title, x_title, y_title = _TITLES[curve]
    caption = (
        f"{measured.scope}, {measured.read_words}. {y_title} against {x_title[:1].lower()}{x_title[1:]}; the number is "
        f"the {METRICS[area] if area == 'auroc' else METRICS[area].lower()}. Dotted: chance."
    )
    return chart(f"{curve}-all", f"{title} of every finding", caption, figure, pd.DataFrame(table), scheme)


def confusion(measured: Measured, scheme: Scheme) -> Chart:
    """Stages against stages, or what became of each finding; a cell leads to its cases."""
    if measured.stages:
        names = measured.names
        counts = np.array(measured.result["stages"]["confusion"])
        tokens = [[["confusion", truth, said] for said in names] for truth in names]
        rows, columns = [words(name) for name in names], [words(name) for name in names]
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        of_what = "colour: share of the cases of that stage"
    else:
        block = measured.result["classification"]["per_class"]
        kept = [name for name, row in block.items() if row["positives"]]
        rows, columns = [words(name) for name in kept], list(CORNERS)
        keys = {"found": "tp", "missed": "fn", "false alarm": "fp", "rightly not called": "tn"}
        counts = np.array([[block[name]["confusion"][keys[corner]] for corner in CORNERS] for name in kept])
        tokens = [[["class", corner, name] for corner in CORNERS] for name in kept]
        carried = counts[:, :2].sum(axis=1, keepdims=True), counts[:, 2:].sum(axis=1, keepdims=True)
        shares = np.hstack([counts[:, :2] / np.maximum(carried[0], 1), counts[:, 2:] / np.maximum(carried[1], 1)])
        of_what = "colour: share of the cases with the finding (left two) or without it (right two)"
    figure = _cells(rows, columns, counts, shares, tokens, look(scheme))
    figure.update_layout(height=(56 * len(rows) if measured.stages else 21 * len(rows)) + 60)
    if measured.stages:
        figure.update_xaxes(title="Read as")
        figure.update_yaxes(title="Stage of the case")
    table = pd.DataFrame(counts, columns=columns)
    table.insert(0, "finding", rows)
    caption = f"{measured.scope}, {measured.read_words}; numbers of cases, {of_what}."
    return chart("confusion", "Confusion", caption, figure, table, scheme)


def _cells(
    rows: list[str], columns: list[str], counts: np.ndarray, shares: np.ndarray, tokens: list[list[Any]], colours: Look
) -> go.Figure:
    """A heat map under invisible points: Streamlit tells which point was clicked, but not which cell."""
    figure = go.Figure(
        go.Heatmap(
            x=columns,
            y=rows,
            z=shares,
            zmin=0,
            zmax=1,
            colorscale=[[0, colours.heat[0]], [1, colours.heat[1]]],
            showscale=False,
            text=[[f"{count:,}" for count in row] for row in counts],
            texttemplate="%{text}",
            textfont={"color": colours.text},
            hoverinfo="skip",
            xgap=2,
            ygap=2,
        )
    )
    figure.add_scatter(
        x=columns * len(rows),
        y=[name for name in rows for _ in columns],
        mode="markers",
        marker={"size": 22, "opacity": 0, "symbol": "square"},
        customdata=[token for row in tokens for token in row],
        text=[f"{count:,}" for count in counts.ravel()],
        hovertemplate="%{y}: %{x}, %{text} cases<br>click to see them<extra></extra>",
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        showlegend=False,
    )
    figure.update_layout(hoverdistance=80)
    figure.update_xaxes(side="top", showgrid=False)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5], showgrid=False, tickfont={"size": 11})
    return figure


def _floor(spans: list[list[float]]) -> float:
    """Where an axis of shares begins so that all bars fit: at 0, or at 0.5 where that suffices."""
    return 0.45 if min((low for low, _ in spans), default=0) > 0.5 else -0.02


def _called(measured: Measured, name: str, curve: Curve, x: list[float], y: list[float]) -> list[list[Any]]:
    """Tokens of a curve's points: how many cases are called at each."""
    column = measured.column(name)
    positives = int(measured.truth[:, column].sum())
    negatives = int(measured.known[:, column].sum()) - positives
    called = []
    for across, up in zip(x, y, strict=True):
        if curve == "roc":
            count = round(across * negatives) + round(up * positives)
        else:
            found = round(across * positives)
            count = round(found / up) if up else 0
        called.append(["point", name, count])
    return called


def _chance(figure: go.Figure, measured: Measured, curve: Curve, shown: list[str], colours: Look) -> None:
    if curve == "roc":
        levels = [0.0, 1.0]
    elif len(shown) == 1:
        column = measured.column(shown[0])
        levels = [float(measured.truth[measured.known[:, column], column].mean())] * 2
    else:
        return
    figure.add_scatter(
        x=[0, 1],
        y=levels,
        mode="lines",
        name="chance",
        hoverinfo="skip",
        line={"color": colours.rest, "dash": "dot", "width": 1.5},
    )


def _operating_marks(figure: go.Figure, measured: Measured, curve: Curve, shown: list[str], colours: Look) -> None:
    """Where the system's own calls lie on the curves."""
    x, y = [], []
    for name in shown:
        column = measured.column(name)
        known = measured.known[:, column]
        called, truth = measured.called[known, column], measured.truth[known, column]
        hit, total, positives = int((called & truth).sum()), int(called.sum()), int(truth.sum())
        if curve == "roc":
            x.append((total - hit) / max(1, len(truth) - positives))
            y.append(hit / max(1, positives))
        elif total:
            x.append(hit / max(1, positives))
            y.append(hit / total)
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        hoverinfo="skip",
        showlegend=False,
        marker={"symbol": "diamond", "size": 11, "color": colours.text, "line": {"width": 1, "color": colours.ground}},
    )


def _short(name: str) -> str:
    return name if len(name) <= 20 else name[:18].rstrip() + "…"
