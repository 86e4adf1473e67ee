"""The evaluation page: how good the system is on this casebook, and how good the casebook's data are."""

from __future__ import annotations

from functools import partial
from html import escape

import streamlit as st

from explorer.app.evaluation.quality import quality_section
from explorer.app.evaluation.systems import systems_section
from explorer.app.library import Shelved
from explorer.app.links import current_address
from explorer.app.shared.draw import draw_html
from explorer.app.shared.figure_row import csv_button, figure_row, figure_table, scheme
from explorer.app.shared.gallery import case_gallery
from explorer.app.shared.markup import plain_markdown, title_html
from explorer.charts.cases_behind import cases_behind, worst_cases
from explorer.charts.chart import words
from explorer.charts.measured import Measured, of_casebook
from explorer.report.classification import class_curve, class_intervals, class_table, confusion
from explorer.report.confidence import reliability, risk_against_coverage
from explorer.report.retrieval import (
    PROTOCOLS,
    counterparts,
    query_shares,
    retrieval_levels,
    retrieval_table,
)
from explorer.report.summary import head_figures, scope_sentences

_SECTIONS = ("Overview", "Findings", "Confidence", "Retrieval", "Systems", "Data quality")


def evaluation_page(shelved: Shelved) -> None:
    """Draw the section the reader chose, and no other."""
    found = of_casebook(shelved.casebook)
    draw_html(title_html("Evaluation"))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="cxr-evaluation-controls"):
        section = current_address().choice("section", "section", _SECTIONS, _SECTIONS[0])
        st.segmented_control("Show", _SECTIONS, required=True, key="section", persist_state="session")
        measured = _modality(shelved, found) if found and section != "Data quality" else None
    if section == "Data quality":
        quality_section(shelved)
        return
    if measured is None:
        _nothing_measured(shelved)
        return
    st.caption(plain_markdown(" ".join(scope_sentences(measured))))
    if section == "Findings":
        _findings(shelved, measured)
    elif section == "Confidence":
        _confidence(shelved, measured)
    elif section == "Retrieval":
        _retrieval(shelved, measured)
    elif section == "Systems":
        systems_section(shelved, measured)
    else:
        _overview(shelved, measured)


def _modality(shelved: Shelved, found: list[Measured]) -> Measured:
    by_name = {one.modality: one for one in found}
    if len(found) == 1:
        return found[0]
    names, key = list(by_name), f"evaluation-modality-{shelved.name}"
    chosen = current_address().choice("reads", key, names, names[0])
    st.segmented_control(
        "The system reads",
        names,
        required=True,
        format_func=lambda name: by_name[name].read_words.capitalize(),
        key=key,
        persist_state="session",
    )
    return by_name[chosen]


def _nothing_measured(shelved: Shelved) -> None:
    metrics = shelved.casebook.metrics
    reasons = "" if metrics is None else " ".join(dict.fromkeys(metrics["not_measured"].values()))
    st.info(
        "Nothing was measured on this casebook. "
        + (
            plain_markdown(reasons) or "It may be older than this page. This command measures it, without new training:"
        ),
        icon=":material/monitoring:",
    )
    st.code(f"cxr-explorer metrics {shelved.folder.name}", language=None)


def _overview(shelved: Shelved, measured: Measured) -> None:
    tiles = "".join(
        f'<div class="cxr-tile"><dt>{escape(one.name)}</dt><dd>{escape(one.value)}</dd>'
        f'<dd class="cxr-tile-note">{escape(one.note)}</dd></div>'
        for one in head_figures(measured)
    )
    draw_html(f'<section class="cxr-evaluation"><dl class="cxr-tiles">{tiles}</dl></section>')
    find = partial(cases_behind, measured)
    figure_row(shelved, [class_intervals(measured, scheme())], _place("overview", measured), find)
    table = class_table(measured)
    st.markdown("## Each finding in figures")
    chosen = st.dataframe(
        table,
        hide_index=True,
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row",
        key=f"class-table-{shelved.name}-{measured.modality}",
        alt="Figures for each finding with 95 % intervals",
    )
    st.caption("Choose a row to see the cases that were missed or called wrongly, the most confident errors first.")
    csv_button(shelved, table, f"classes-table-{measured.modality}")
    rows = chosen["selection"]["rows"]
    if rows and rows[0] < len(measured.names):
        label = list(measured.result["classification"]["per_class"])[rows[0]]
        case_gallery(shelved, find(["errors", label]), f"{shelved.name}-class-row")
    else:
        st.markdown("## The most confident errors")
        case_gallery(shelved, worst_cases(measured), f"{shelved.name}-{measured.modality}-worst")


def _findings(shelved: Shelved, measured: Measured) -> None:
    label = None
    if not measured.stages:
        label = _label(shelved, measured)
    place = _place(f"findings-{label}", measured)
    find = partial(cases_behind, measured)
    if measured.has_curves:
        curves = [class_curve(measured, curve, scheme(), label) for curve in ("roc", "pr")]
        figure_row(shelved, curves, place, find)
    else:
        st.info(
            "These cases all carry the same findings: there are no curves, which compare cases with a finding to cases "
            "without it.",
            icon=":material/monitoring:",
        )
    figure_row(shelved, [confusion(measured, scheme())], _place("confusion", measured), find)


def _confidence(shelved: Shelved, measured: Measured) -> None:
    label = None if measured.stages else _label(shelved, measured)
    charts = [reliability(measured, scheme(), label), risk_against_coverage(measured, scheme(), label)]
    figure_row(shelved, charts, _place(f"confidence-{label}", measured), partial(cases_behind, measured))
    if label is not None:
        figure_row(shelved, [reliability(measured, scheme())], _place("reliability", measured))


def _retrieval(shelved: Shelved, measured: Measured) -> None:
    find = partial(cases_behind, measured)
    figure_row(shelved, [retrieval_levels(measured, scheme())], _place("retrieval", measured), find)
    table = retrieval_table(measured)
    name = f"retrieval-table-{measured.modality}"
    figure_table(shelved, table, name, "Retrieval figures with 95 % intervals and chance")
    shares = [query_shares(measured, scheme(), protocol) for protocol in PROTOCOLS]
    figure_row(shelved, shares, _place("queries", measured), find)
    figure_row(shelved, [counterparts(measured, scheme())], _place("counterparts", measured))


def _label(shelved: Shelved, measured: Measured) -> str | None:
    rows = measured.result["classification"]["per_class"]
    judged = [name for name, row in rows.items() if row["auroc"] is not None] or list(rows)
    if not judged:
        return None
    key = f"evaluation-label-{shelved.name}"
    chosen = current_address().choice("finding", key, judged, judged[0])
    st.selectbox("Finding", judged, format_func=words, key=key, persist_state="session", width=320)
    return chosen


def _place(name: str, measured: Measured) -> str:
    return f"{name}-{measured.modality}"
