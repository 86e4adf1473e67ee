"""Figures of confidence: reliability before and after temperature scaling, risk against coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from explorer.charts.cases_behind import doubt
from explorer.charts.chart import Chart, chart, error_bars, number, with_interval, words
from explorer.charts.measured import Measured
from explorer.charts.theme import Scheme, look
from index_builder.calibration.temperature import BINS, TEMPERATURES
from index_builder.calibration.uncertainty import risk_coverage

_WHEN = {"before": "as the system says", "after": "after temperature scaling"}


def reliability(measured: Measured, scheme: Scheme, label: str | None = None) -> Chart:
    """How often what was said with a probability came true; a point leads to its cases.

    Args:
        measured: Whose probabilities.
        scheme: Look.
        label: One finding; None: the most probable stage, or all findings taken together.
    """
    calibration, colours = measured.result["calibration"], look(scheme)
    one_answer = measured.stages or label is not None
    figure, table = go.Figure(), []
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="perfect",
        hoverinfo="skip",
        line={"color": colours.rest, "dash": "dot", "width": 1.5},
    )
    for place, (when, name) in enumerate(_WHEN.items()):
        bins = _bins(calibration[when], measured.stages, label)
        counts = np.array([one["cases"] for one in bins])
        token_label = None if not one_answer else (label or "")
        figure.add_scatter(
            x=[one["confidence"] for one in bins],
            y=[one["accuracy"] for one in bins],
            mode="markers" if label is not None and not measured.stages else "lines+markers",
            name=name,
            line={"color": colours.series[place], "width": 1.5},
            marker={"size": (5 + 17 * np.sqrt(counts / counts.max())).tolist(), "opacity": 0.85},
            error_y=error_bars([one["accuracy"] for one in bins], _wilson(bins), colours.series[place], thickness=1)
            if one_answer
            else None,
            customdata=None
            if token_label is None
            else [["bin", token_label, when, round(one["low"] * BINS)] for one in bins],
            text=[f"{count:,} answers" for count in counts],
            hovertemplate="said %{x:.2f}, came true %{y:.2f}<br>%{text}<extra></extra>",
        )
        table += [{"when": when, **one} for one in bins]
    figure.update_xaxes(title="Probability given", range=[-0.02, 1.02])
    figure.update_yaxes(title="Share that came true", range=[-0.05, 1.05])
    figure.update_layout(height=400)
    about = words(label) if label else "the most probable stage" if measured.stages else "all findings together"
    before, after = (number(_error(calibration[when], measured.stages, label)) for when in ("before", "after"))
    bars = (
        " Bars: 95 % Wilson intervals."
        if one_answer
        else " No intervals, because the findings of a case are not independent."
    )
    caption = (
        f"{measured.scope}, {measured.read_words}; {about}. Calibration error {before}; after division of the logits "
        f"by {calibration['temperature']:.2f}, which validation cases chose, {after}. Larger points: more answers."
        f"{bars}{_at_the_end(calibration['temperature'])}"
    )
    title = f"Reliability: {about}"
    return chart(f"reliability-{'one' if label else 'all'}", title, caption, figure, pd.DataFrame(table), scheme)


def risk_against_coverage(measured: Measured, scheme: Scheme, label: str | None = None) -> Chart:
    """Error when only the most confident cases are answered; a point leads to the errors that remain.

    Args:
        measured: Whose answers.
        scheme: Look.
        label: One finding; None where the answer is a stage.
    """
    colours = look(scheme)
    _, uncertainty, wrong = doubt(measured, label)
    curve = risk_coverage(uncertainty, wrong)
    error = float(wrong.mean())
    figure = go.Figure()
    figure.add_hline(y=error, line={"color": colours.rest, "dash": "dot", "width": 1.5})
    figure.add_scatter(
        x=curve["coverage"],
        y=curve["risk"],
        mode="lines+markers",
        line={"color": colours.series[0], "width": 2},
        marker={"size": 5},
        customdata=[["coverage", label or "", share] for share in curve["coverage"]],
        hovertemplate="answering %{x:.0%}: %{y:.1%} wrong<br>click for these errors<extra></extra>",
        showlegend=False,
    )
    chosen = measured.result.get("uncertainty", {}).get("at_threshold") if label is None else None
    mark = ""
    if chosen is not None and chosen["error"] is not None:
        figure.add_scatter(
            x=[chosen["coverage"]],
            y=[chosen["error"]],
            mode="markers",
            hoverinfo="skip",
            showlegend=False,
            marker={"symbol": "diamond", "size": 12, "color": colours.text},
        )
        mark = (
            f" Diamond: at the uncertainty {chosen['threshold']:.3f}, chosen on validation cases for "
            f"{measured.result['uncertainty']['risk']:.0%} errors, {chosen['coverage']:.0%} are answered, "
            f"{chosen['error']:.1%} of them wrongly."
        ).replace("%", " %")
    figure.update_xaxes(title="Share answered, most confident first", range=[-0.02, 1.02], tickformat=".0%")
    figure.update_yaxes(title="Share of them wrong", tickformat=".2~p", rangemode="tozero")
    figure.update_layout(height=400)
    caption = f"{measured.scope}, {measured.read_words}. Dotted: answering all, {error:.1%} wrong.".replace("%", " %")
    caption += _selective(measured, label) + mark
    return chart("risk-coverage", "Risk against coverage", caption, figure, pd.DataFrame(curve), scheme)


def _at_the_end(temperature: float) -> str:
    low, high = TEMPERATURES
    if low * 1.01 < temperature < high * 0.99:
        return ""
    return (
        " The temperature reached the end of its range because hardly any validation case was wrong, so do not rely on "
        "it."
    )


def _selective(measured: Measured, label: str | None) -> str:
    if label is not None:
        return f" Most confident: {words(label)} farthest from the probability at which it is called."
    block = measured.result["uncertainty"]
    ratio = with_interval(block["ratio@0.8"], block["interval"]["ratio@0.8"])
    return f" Uncertainty: 1 − the probability of the stage. Answering 80 % leaves {ratio} of the error."


def _bins(block: dict[str, Any], stages: bool, label: str | None) -> list[dict[str, float]]:
    if label is not None and not stages:
        return block["per_class"][label]["bins"]
    if stages:
        return block["bins"]
    pooled: dict[float, dict[str, float]] = {}
    for row in block["per_class"].values():
        for one in row["bins"]:
            into = pooled.setdefault(one["low"], {"low": one["low"], "high": one["high"], "cases": 0, "c": 0, "a": 0})
            into["cases"] += one["cases"]
            into["c"] += one["cases"] * one["confidence"]
            into["a"] += one["cases"] * one["accuracy"]
    return [
        {
            "low": one["low"],
            "high": one["high"],
            "cases": one["cases"],
            "confidence": one["c"] / one["cases"],
            "accuracy": one["a"] / one["cases"],
        }
        for _, one in sorted(pooled.items())
    ]


def _error(block: dict[str, Any], stages: bool, label: str | None) -> float:
    if stages:
        return block["ece"]
    return block["macro"]["ece"] if label is None else block["per_class"][label]["ece"]


def _wilson(bins: list[dict[str, float]]) -> list[tuple[float, float]]:
    """Wilson's 95 % interval of each bin's share."""
    from scipy.stats import binomtest

    spans = [
        binomtest(round(one["accuracy"] * one["cases"]), int(one["cases"])).proportion_ci(method="wilson")
        for one in bins
    ]
    return [(float(span.low), float(span.high)) for span in spans]
