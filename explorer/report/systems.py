"""Systems and baselines side by side, what a system learns from more data, and what its parts add."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from explorer.charts.chart import Chart, chart, error_bars, with_interval
from explorer.charts.measured import Measured
from explorer.charts.theme import Scheme, look
from explorer.report.comparison import Difference
from index_builder.evaluation.runs import FULL, Run, ablations, learning_curve

#: Title and where the figure stands in a result: (block, metric).
METRICS = {
    "AUROC": ("classification", "auroc"),
    "AP": ("classification", "ap"),
    "F1": ("classification", "f1"),
    "Accuracy": ("stages", "accuracy"),
    "P@5": ("retrieval", "p@5"),
    "mAP": ("retrieval", "map"),
}
_SHOWN = {True: ("Accuracy", "AUROC", "P@5"), False: ("AUROC", "AP", "P@5")}


def system_table(systems: Sequence[Measured]) -> pd.DataFrame:
    """Every system and baseline in a row, means over classes, neighbours among training cases."""
    stages = systems[0].stages
    rows = []
    for name, cases, block in _entries(systems):
        figures = {title: with_interval(*_figure(block, title)) for title in METRICS if stages or title != "Accuracy"}
        rows.append({"System": name, "Cases": cases} | figures)
    return pd.DataFrame(rows)


def system_levels(systems: Sequence[Measured], scheme: Scheme) -> Chart:
    """The main figures of systems (filled) and baselines (open) with 95 % intervals."""
    colours, titles = look(scheme), _SHOWN[systems[0].stages]
    entries = list(_entries(systems))[::-1]
    own = {one.name for one in systems}
    figure = make_subplots(1, len(titles), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=titles)
    table = []
    for place, title in enumerate(titles, start=1):
        measured = [(name, *_figure(block, title)) for name, _, block in entries]
        found = [(name, value, span or [value, value]) for name, value, span in measured if value is not None]
        figure.add_scatter(
            x=[value for _, value, _ in found],
            y=[_wrapped(name) for name, _, _ in found],
            mode="markers",
            marker={
                "size": 10,
                "color": colours.series[0],
                "symbol": ["circle" if name in own else "circle-open" for name, _, _ in found],
            },
            error_x=error_bars([value for _, value, _ in found], [span for _, _, span in found], colours.series[0]),
            customdata=[["worst", name] if name in own else None for name, _, _ in found],
            hovertemplate=f"%{{y}}<br>{title} %{{x:.3f}}<extra></extra>",
            showlegend=False,
            row=1,
            col=place,
        )
        table += [
            {"metric": title, "system": name, "value": value, "low": span[0], "high": span[1]}
            for name, value, span in found[::-1]
        ]
    chance = systems[0].result["retrieval"]["test_to_train"]["chance"].get("p@5")
    if chance is not None:
        figure.add_vline(x=chance, line={"color": colours.rest, "dash": "dot", "width": 1.5}, row=1, col=len(titles))
    figure.update_xaxes(nticks=4, autotickangles=[0, 90])  # upright where they would run into each other
    figure.update_yaxes(
        categoryorder="array", categoryarray=[_wrapped(name) for name, _, _ in entries], tickfont={"size": 11}
    )
    figure.update_layout(height=88 + 28 * max(3, len(entries)), margin={"t": 46})
    alike = all(one.case_ids == systems[0].case_ids for one in systems)
    same = (
        ""
        if len(systems) == 1
        else " All on the same cases."
        if alike
        else " Not all on the same cases: compare with care."
    )
    caption = (
        f"{systems[0].scope}. Means over classes; AP: average precision; P@5 among training cases, dotted: "
        f"chance. Filled: systems, open: baselines. Bars: 95 % bootstrap intervals over patients.{same}"
    )
    return chart("systems", "Systems and baselines", caption, figure, pd.DataFrame(table), scheme)


def difference_chart(differences: Sequence[Difference], first: Measured, scheme: Scheme) -> Chart:
    """What other systems score above the first on the very same cases, resampled together."""
    colours, metrics = look(scheme), list(dict.fromkeys(one.metric for one in differences))
    others = list(dict.fromkeys(_wrapped(one.other) for one in differences))[::-1]
    figure = make_subplots(1, len(metrics), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=metrics)
    for place, metric in enumerate(metrics, start=1):
        found = [one for one in differences if one.metric == metric]
        figure.add_scatter(
            x=[one.value for one in found],
            y=[_wrapped(one.other) for one in found],
            mode="markers",
            marker={"size": 10, "color": colours.series[0]},
            error_x=error_bars([one.value for one in found], [one.interval for one in found], colours.series[0]),
            customdata=[["disagree", one.other] for one in found],
            hovertemplate=f"%{{y}}<br>{metric} %{{x:+.3f}}<br>click for cases they judge differently<extra></extra>",
            showlegend=False,
            row=1,
            col=place,
        )
        figure.add_vline(x=0, line={"color": colours.rest, "dash": "dot", "width": 1.5}, row=1, col=place)
    figure.update_xaxes(tickformat="+.2~f", nticks=3, tickangle=0)
    figure.update_yaxes(
        range=[-0.6, len(others) - 0.4], categoryorder="array", categoryarray=others, tickfont={"size": 11}
    )
    figure.update_layout(height=88 + 28 * max(2, len(others)), margin={"t": 46})
    caption = (
        f"{first.scope}, the same for all. Right of the dotted line: better than {first.name}. Bars: 95 % intervals of "
        "the difference, patients resampled for both systems together. No correction for several comparisons."
    )
    table = pd.DataFrame(
        [
            {
                "metric": one.metric,
                "system": one.other,
                "difference": one.value,
                "low": one.interval[0],
                "high": one.interval[1],
            }
            for one in differences
        ]
    )
    return chart("differences", f"Differences to {first.name}", caption, figure, table, scheme)


def learning_chart(runs: Sequence[Run], scheme: Scheme) -> Chart | None:
    """Test figures against the share of training cases; None where the whole system was trained on one share only."""
    whole = learning_curve(runs)
    if not whole:
        return None
    colours = look(scheme)
    shares = sorted({run.fraction for run in whole})
    figure, table = go.Figure(), list[dict[str, Any]]()
    for place, metric in enumerate(whole[0].figures):
        means = []
        for share in shares:
            values = [run.figures[metric] for run in whole if run.fraction == share and metric in run.figures]
            cases = next(run.training_cases for run in whole if run.fraction == share)
            means.append(float(np.mean(values)))
            table.append(
                {
                    "metric": metric,
                    "share": share,
                    "training cases": cases,
                    "mean": means[-1],
                    "low": min(values),
                    "high": max(values),
                    "seeds": len(values),
                }
            )
        rows = [row for row in table if row["metric"] == metric]
        figure.add_scatter(
            x=[row["training cases"] for row in rows],
            y=means,
            name=metric,
            mode="lines+markers",
            visible=True if place < 3 else "legendonly",
            line={"color": colours.series[place % len(colours.series)], "width": 2},
            error_y=error_bars(means, [(row["low"], row["high"]) for row in rows]),
            hovertemplate=f"{metric} %{{y:.3f}} from %{{x:,}} training cases<extra></extra>",
        )
    figure.update_xaxes(title="Training cases", rangemode="tozero")
    figure.update_yaxes(title="Test figure")
    figure.update_layout(height=380)
    caption = _trained(whole) + " Press a name to show or hide its line."
    return chart("learning-curve", "Learning curve", caption, figure, pd.DataFrame(table), scheme)


def ablation_chart(runs: Sequence[Run], scheme: Scheme) -> Chart | None:
    """Test figures of the system with parts left out; None where nothing was."""
    found = ablations(runs)
    if not found:
        return None
    colours = look(scheme)
    metrics = list(found[0].figures)[:3]
    variants = sorted({run.variant for run in found}, key=lambda name: (name != FULL, name))[::-1]
    figure = make_subplots(1, len(metrics), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=metrics)
    table: list[dict[str, Any]] = []
    for place, metric in enumerate(found[0].figures, start=1):
        rows: list[dict[str, Any]] = []
        for variant in variants:
            values = [run.figures[metric] for run in found if run.variant == variant and metric in run.figures]
            if values:
                rows.append(
                    {
                        "metric": metric,
                        "variant": variant,
                        "mean": float(np.mean(values)),
                        "low": min(values),
                        "high": max(values),
                        "seeds": len(values),
                    }
                )
        table += rows[::-1]
        if place > len(metrics):
            continue
        figure.add_scatter(
            x=[row["mean"] for row in rows],
            y=[row["variant"] for row in rows],
            mode="markers",
            marker={
                "size": 10,
                "color": [colours.series[0] if row["variant"] == FULL else colours.series[1] for row in rows],
            },
            error_x=error_bars(
                [row["mean"] for row in rows], [(row["low"], row["high"]) for row in rows], colours.series[1]
            ),
            hovertemplate=f"%{{y}}<br>{metric} %{{x:.3f}}<extra></extra>",
            showlegend=False,
            row=1,
            col=place,
        )
        whole = [row["mean"] for row in rows if row["variant"] == FULL]
        if whole:
            figure.add_vline(x=whole[0], line={"color": colours.rest, "dash": "dot", "width": 1.5}, row=1, col=place)
    figure.update_yaxes(categoryorder="array", categoryarray=variants)
    figure.update_layout(height=98 + 28 * len(variants), margin={"t": 46})
    caption = _trained(found) + f" All on {found[0].fraction:.0%} of the training part.".replace("%", " %")
    return chart("ablations", "What each part adds", caption, figure, pd.DataFrame(table), scheme)


def _trained(runs: Sequence[Run]) -> str:
    seeds = len({run.seed for run in runs})
    spread = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed each, so differences may be luck"
    return f"{runs[0].system} trained again for each point, test part of {runs[0].dataset}; {spread}."


def _entries(systems: Sequence[Measured]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Name, scored cases and figures of systems, each baseline once behind them."""
    for one in systems:
        yield one.name, one.result["cases"], one.result
    seen: dict[str, dict[str, Any]] = {}
    for one in systems:
        for key, block in one.result.get("baselines", {}).items():
            if key in ("image_only", "text_only"):
                continue  # the system on one modality stands among the systems already
            name = f"{block['title']} ({one.reads})" if key.startswith("tfidf") else block["title"]
            if name in seen and seen[name].get("classification") != block.get("classification"):
                name += f", beside {one.system}"
            if name not in seen:
                seen[name] = block
                yield name, block.get("classification", {}).get("cases", one.result["cases"]), block


def _wrapped(name: str) -> str:
    """A name on lines short enough for a narrow screen."""
    return "<br>".join(wrap(name, 24))


def _figure(block: dict[str, Any], title: str) -> tuple[float | None, list[float] | None]:
    """Value and interval of a metric of `METRICS`; None where it was not measured."""
    part, metric = METRICS[title]
    found = block.get(part)
    if found is None:
        return None, None
    if part == "stages":
        return found["accuracy"], found["accuracy_interval"]
    if part == "classification":
        return found["macro"].get(metric), found["macro_interval"].get(metric)
    return found["test_to_train"][metric], found["test_to_train"]["interval"].get(metric)
