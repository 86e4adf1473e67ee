"""Figures of retrieval: its figures with chance beside them, queries by how well they went, film to report."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from explorer.charts.chart import Chart, chart, error_bars, with_interval
from explorer.charts.measured import Measured
from explorer.charts.theme import Scheme, look

METRICS = {"p@5": "P@5", "mrr": "MRR", "ndcg@5": "nDCG@5", "map": "mAP"}
PROTOCOLS = {"test_to_train": "among training cases", "test_to_test": "among scored cases"}
_RECALLS = ("recall@1", "recall@5", "recall@10")
_PAIRED = {"image_to_report": "film → {}", "report_to_image": "{} → film"}
_VARIANTS = {"": "its own", "same_codes": "one of the same codes", "same_labels": "one of the same findings"}


def retrieval_table(measured: Measured) -> pd.DataFrame:
    """Each way of ranking and each protocol in a row, chance under them, with 95 % intervals."""
    rows: list[dict[str, Any]] = []
    for title, blocks in _rankings(measured).items():
        for protocol, block in blocks.items():
            rows.append({"Ranking": title, "Neighbours": PROTOCOLS[protocol]} | _figures(block, block["interval"]))
    for protocol, block in measured.result["retrieval"].items():
        rows.append({"Ranking": "chance", "Neighbours": PROTOCOLS[protocol]} | _figures(block["chance"], {}))
    return pd.DataFrame(rows)


def retrieval_levels(measured: Measured, scheme: Scheme) -> Chart:
    """Retrieval figures of both protocols with intervals and chance; a point leads to the queries, worst first."""
    colours = look(scheme)
    titles = list(PROTOCOLS.values())
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=titles)
    table = []
    for place, protocol in enumerate(PROTOCOLS, start=1):
        for number, (title, blocks) in enumerate(_rankings(measured).items()):
            block = blocks[protocol]
            shown = {name: metric for metric, name in METRICS.items() if block[metric] is not None}
            values = [block[metric] for metric in shown.values()]
            spans = [block["interval"][metric] for metric in shown.values()]
            figure.add_bar(
                x=list(shown),
                y=values,
                name=title,
                marker={"color": colours.series[number], "opacity": 0.9},
                error_y=error_bars(values, spans, colours.text, width=3),
                customdata=[["queries", protocol, 0, 1]] * len(values),
                hovertemplate=f"{title}<br>%{{x}} %{{y:.3f}}<br>click for the queries, worst first<extra></extra>",
                legendgroup=title,
                showlegend=place == 1,
                row=1,
                col=place,
            )
            table += [
                {
                    "ranking": title,
                    "protocol": protocol,
                    "metric": name,
                    "value": value,
                    "low": low,
                    "high": high,
                    "chance": block["chance"][shown[name]],
                }
                for name, value, (low, high) in zip(shown, values, spans, strict=True)
            ]
        chance = measured.result["retrieval"][protocol]["chance"]
        figure.add_scatter(
            x=list(METRICS.values()),
            y=[chance.get(metric) for metric in METRICS],
            mode="markers",
            name="chance",
            marker={"symbol": "line-ew", "size": 34, "line": {"width": 2.5, "color": colours.rest}},
            hovertemplate="chance %{y:.3f}<extra></extra>",
            legendgroup="chance",
            showlegend=place == 1,
            row=1,
            col=place,
        )
    figure.update_yaxes(range=[0, 1.04])
    figure.update_xaxes(showgrid=False)
    figure.update_layout(height=380, barmode="group", bargap=0.28, margin={"t": 56}, legend={"y": 1.1})
    history = measured.result["retrieval"]["test_to_train"]
    caption = (
        f"{measured.scope}, {measured.read_words}: {history['queries']:,} queries with a finding; a case is relevant "
        "when it shares one. Bars: 95 % bootstrap intervals over patients. Dash: a random ranking."
    )
    return chart("retrieval", "Retrieval", caption, figure, pd.DataFrame(table), scheme)


def query_shares(measured: Measured, scheme: Scheme, protocol: str = "test_to_train") -> Chart:
    """How many queries had 0 to 5 relevant cases among the first five; a bar leads to them."""
    found = [share for share in measured.result["per_case"]["retrieval"][protocol]["p@5"] if share is not None]
    counts = [sum(round(5 * share) == hits for share in found) for hits in range(6)]
    figure = go.Figure(
        go.Bar(
            x=list(range(6)),
            y=counts,
            text=counts,
            textposition="outside",
            cliponaxis=False,
            marker={"color": look(scheme).series[0]},
            customdata=[["queries", protocol, hits / 5, hits / 5] for hits in range(6)],
            hovertemplate="%{y} queries with %{x} of 5<br>click to see them<extra></extra>",
        )
    )
    figure.update_xaxes(title="Cases of the first five that share a finding", dtick=1, showgrid=False)
    figure.update_yaxes(title="Queries", range=[0, 1.12 * max(counts, default=1)])
    figure.update_layout(height=320)
    caption = f"{measured.scope}, {measured.read_words}; neighbours {PROTOCOLS[protocol]}."
    table = pd.DataFrame({"relevant of 5": range(6), "queries": counts})
    return chart(
        f"queries-{protocol}", f"Queries {PROTOCOLS[protocol]} by how well they went", caption, figure, table, scheme
    )


def counterparts(measured: Measured, scheme: Scheme) -> Chart | None:
    """Film to report and back: recall of the counterpart with chance; None where cases are not both."""
    paired = measured.result.get("cross_modal")
    if paired is None:
        return None
    colours = look(scheme)
    ways = {key: title.format(measured.reads) for key, title in _PAIRED.items()}
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=list(ways.values()))
    table = []
    for place, key in enumerate(ways, start=1):
        variants = {name: paired[key] if not code else paired[key].get(code) for code, name in _VARIANTS.items()}
        for number, (name, block) in enumerate((name, block) for name, block in variants.items() if block is not None):
            values = [block[metric] for metric in _RECALLS]
            spans = [block["interval"][metric] for metric in _RECALLS]
            figure.add_scatter(
                x=[metric.removeprefix("recall@") for metric in _RECALLS],
                y=values,
                name=name,
                mode="lines+markers",
                line={"color": colours.series[number], "width": 2},
                legendgroup=name,
                showlegend=place == 1,
                error_y=error_bars(values, spans),
                hovertemplate=f"{name}: recall %{{y:.3f}} at %{{x}}<extra></extra>",
                row=1,
                col=place,
            )
            figure.add_scatter(
                x=[metric.removeprefix("recall@") for metric in _RECALLS],
                y=[block["chance"][metric] for metric in _RECALLS],
                mode="lines",
                hoverinfo="skip",
                line={"color": colours.series[number], "width": 1.2, "dash": "dot"},
                showlegend=False,
                row=1,
                col=place,
            )
            table += [
                {
                    "from": key,
                    "counterpart": name,
                    "metric": metric,
                    "value": value,
                    "low": low,
                    "high": high,
                    "chance": block["chance"][metric],
                }
                for metric, value, (low, high) in zip(_RECALLS, values, spans, strict=True)
            ]
    figure.update_xaxes(title="Of the first", type="category", showgrid=False)
    figure.update_yaxes(range=[0, 1.04])
    figure.update_yaxes(title="Recall", row=1, col=1)
    figure.update_layout(height=360, margin={"t": 56}, legend={"y": 1.1})
    caption = (
        f"{measured.scope}; in a pool of {paired['pool']['pairs']:,} pairs. Dotted: chance. "
        f"Bars: 95 % bootstrap intervals over patients."
    )
    return chart("counterparts", f"Film to {measured.reads} and back", caption, figure, pd.DataFrame(table), scheme)


def _rankings(measured: Measured) -> dict[str, dict[str, Any]]:
    """Retrieval blocks by the way of ranking."""
    result = measured.result
    if "retrieval_cosine" in result:
        return {"with findings graph": result["retrieval"], "by similarity alone": result["retrieval_cosine"]}
    return {"by similarity": result["retrieval"]}


def _figures(block: dict[str, Any], intervals: dict[str, Any]) -> dict[str, str]:
    return {name: with_interval(block.get(metric), intervals.get(metric)) for metric, name in METRICS.items()}
