"""All figures and tables of casebooks in one HTML file that needs no server and no network."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd

from explorer.casebook import Casebook
from explorer.charts.cases_behind import CaseList, worst_cases
from explorer.charts.chart import Chart
from explorer.charts.measured import Measured, comparable, of_casebook, of_file, runs_of
from explorer.charts.tables import frame_csv
from explorer.charts.theme import Scheme, image_options
from explorer.quality.check import Quality, check_quality
from explorer.report.classification import class_curve, class_intervals, class_table, confusion, curve_grid
from explorer.report.comparison import differences
from explorer.report.confidence import reliability, risk_against_coverage
from explorer.report.quality import balance_chart, drift_table, part_table
from explorer.report.retrieval import (
    PROTOCOLS,
    counterparts,
    query_shares,
    retrieval_levels,
    retrieval_table,
)
from explorer.report.summary import head_figures, scope_sentences
from explorer.report.systems import (
    ablation_chart,
    difference_chart,
    learning_chart,
    system_levels,
    system_table,
)
from index_builder.disclaimer import DISCLAIMER
from index_builder.errors import QueryError
from index_builder.evaluation.runs import Run, read_runs
from index_builder.progress import Progress
from index_builder.resources import resource

_SCHEME: Scheme = "light"
#: Cases shown of the surest errors and of each finding about the data.
_CASES = 8
#: Rows shown of a table.
_ROWS = 40
_INTERVAL = re.compile(r"<td>([\d.]+) (\[[^<\]]+\])</td>")


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a report.

    Attributes:
        casebooks: Each gets a part of its own.
        measured: Figures from files, compared with the casebooks' where the dataset is the same.
        runs: Trainings from files; those kept in the casebooks are added.
    """

    casebooks: list[Casebook]
    measured: list[Measured]
    runs: list[Run]


def read_sources(paths: Sequence[Path]) -> Sources:
    """Open the sources of a report.

    Raises:
        CxrError: A path is neither a casebook nor a file of figures or runs, or nothing has figures to show.
    """
    casebooks, measured, runs = [], [], []
    for path in paths:
        if path.suffix == ".jsonl":
            runs += read_runs(path)
        elif path.suffix == ".json" and path.is_file():
            measured += of_file(path)
        else:
            casebooks.append(Casebook.open(path))
    if not casebooks and not measured:
        raise QueryError("a report needs a casebook, or a file that `cxr-explorer evaluate --out` wrote.")
    return Sources(casebooks, measured, runs)


def write_report(sources: Sources, out: Path, progress: Progress) -> None:
    """Write the report.

    Args:
        sources: From `read_sources`.
        out: HTML file to write.
        progress: Called as casebooks are done.

    Raises:
        QueryError: The file cannot be written.
        CxrError: A casebook is damaged.
    """
    html = report_html(sources, progress)
    try:
        out.write_text(html, "utf-8")
    except OSError as error:
        raise QueryError(f"--out {out}: cannot be written ({error.strerror}). Choose another file.") from None


def report_html(sources: Sources, progress: Progress) -> str:
    """The report as one document."""
    from jinja2 import Environment
    from plotly.offline import get_plotlyjs

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resource("assets", "report.html").read_text("utf-8"))
    everything = [*(one for casebook in sources.casebooks for one in of_casebook(casebook)), *sources.measured]
    parts = []
    for done, casebook in enumerate(sources.casebooks):
        progress("Writing the report", done, len(sources.casebooks))
        parts.append(_part_of_casebook(casebook, everything, sources.runs, progress))
    if not sources.casebooks:
        parts.append(_part_of_files(sources))
    progress("Writing the report", len(sources.casebooks), len(sources.casebooks))
    number = count()
    return template.render(
        parts=parts,
        written=date.today().isoformat(),
        disclaimer=DISCLAIMER,
        plotly=get_plotlyjs(),
        draw=lambda chart: _drawn(chart, next(number)),
        table=_table,
        link=_data_link,
        film=_film,
    )


def _part_of_casebook(
    casebook: Casebook, everything: Sequence[Measured], runs: Sequence[Run], progress: Progress
) -> dict[str, Any]:
    """What the template shows of a casebook."""
    manifest = casebook.manifest
    own = of_casebook(casebook)
    known = [*runs_of(casebook), *(run for run in runs if run.dataset == manifest.dataset.kind)]
    return {
        "name": casebook.name,
        "title": manifest.dataset.title,
        "dataset": manifest.dataset,
        "system": manifest.system,
        "counts": f"{manifest.cases:,} cases, {manifest.films:,} films, {manifest.reports:,} reports",
        "not_measured": {} if casebook.metrics is None else casebook.metrics["not_measured"],
        "readings": [_reading(one) for one in own],
        "comparison": _comparison(own[0], everything, known) if own else None,
        "quality": _quality(casebook, check_quality(casebook, progress)),
    }


def _part_of_files(sources: Sources) -> dict[str, Any]:
    """What the template shows of files alone."""
    first = sources.measured[0]
    return {
        "name": first.result["dataset"],
        "title": f"{first.system} on {first.result['dataset']}",
        "counts": first.scope,
        "not_measured": {},
        "readings": [_reading(one) for one in sources.measured],
        "comparison": _comparison(first, sources.measured, sources.runs),
        "quality": None,
    }


def _reading(measured: Measured) -> dict[str, Any]:
    """Figures, in rows of one or two, and tables of a system that reads one modality."""
    curves: list[Chart] = []
    if measured.has_curves:
        draw = class_curve if measured.stages else curve_grid
        curves = [draw(measured, curve, _SCHEME) for curve in ("roc", "pr")]
    label = None if measured.stages else _commonest(measured)
    pairs = counterparts(measured, _SCHEME)
    return {
        "id": f"{measured.casebook.name if measured.casebook else measured.name}-{measured.modality}",
        "title": f"Reading the {measured.read_words}",
        "scope": " ".join(scope_sentences(measured)),
        "figures": head_figures(measured),
        "classes": [[one] for one in (class_intervals(measured, _SCHEME), *curves, confusion(measured, _SCHEME))],
        "class_table": class_table(measured),
        "confidence": [[reliability(measured, _SCHEME), risk_against_coverage(measured, _SCHEME, label)]],
        "retrieval": [
            [retrieval_levels(measured, _SCHEME)],
            [query_shares(measured, _SCHEME, protocol) for protocol in PROTOCOLS],
            *([[pairs]] if pairs is not None else []),
        ],
        "retrieval_table": retrieval_table(measured),
        "worst": None if measured.casebook is None else _shown(measured.casebook, worst_cases(measured)),
    }


def _comparison(measured: Measured, everything: Sequence[Measured], runs: Sequence[Run]) -> dict[str, Any]:
    systems = comparable(measured, everything)
    between = differences(systems)
    charts = [
        system_levels(systems, _SCHEME),
        difference_chart(between, systems[0], _SCHEME) if between else None,
        learning_chart(runs, _SCHEME),
        ablation_chart(runs, _SCHEME),
    ]
    return {"charts": [[one] for one in charts if one is not None], "table": system_table(systems)}


def _quality(casebook: Casebook, quality: Quality) -> dict[str, Any]:
    return {
        "findings": [
            {"level": one.level, "title": one.title, "text": one.text, "shown": _shown(casebook, one.cases)}
            for one in quality.findings
        ],
        "charts": [[balance_chart(quality, _SCHEME)]],
        "missing": part_table(quality.missing),
        "views": part_table(quality.views),
        "drift": drift_table(quality),
    }


def _shown(casebook: Casebook, found: CaseList) -> dict[str, Any]:
    """The first cases of a list with their films, and how many there are."""
    cases = []
    for judged in found.cases[:_CASES]:
        case = casebook.case(judged.case_id)
        cases.append({"judged": judged, "case": case, "film": casebook.thumbnail(case.case_id)})
    return {"title": found.title, "cases": cases, "all": len(found.cases)}


def _commonest(measured: Measured) -> str:
    """The finding most cases have, as the example of a figure that shows one."""
    rows = measured.result["classification"]["per_class"]
    return max(rows, key=lambda name: (rows[name]["auroc"] is not None, rows[name]["positives"]))


def _drawn(chart: Chart, number: int) -> str:
    from plotly.io import to_html

    config = image_options(chart.key) | {"displayModeBar": "hover"}
    return to_html(
        chart.figure, config=config, include_plotlyjs=False, full_html=False, div_id=f"figure-{number}",
        default_width="100%", default_height=f"{chart.figure.layout.height}px",
    )  # fmt: skip


def _table(table: pd.DataFrame, kind: str) -> str:
    """A table as HTML; intervals stand under their figures, so that many columns fit a page."""
    shown = table.astype(object).where(table.notna(), "")
    html = shown.head(_ROWS).to_html(index=False, border=0, classes=f"figures {kind}", escape=True)
    more = f'<p class="muted">{_ROWS} of {len(table)} rows; the CSV has all.</p>' if len(table) > _ROWS else ""
    return _INTERVAL.sub(r"<td>\1<br><small>\2</small></td>", html) + more


def _data_link(table: pd.DataFrame) -> str:
    """A table as CSV inside its own address."""
    data = base64.b64encode(frame_csv(table)).decode("ascii")
    return f"data:text/csv;base64,{data}"


def _film(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
