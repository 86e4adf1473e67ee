"""Systems and baselines side by side, of every open casebook on the same dataset; training runs."""

from __future__ import annotations

from functools import partial

import streamlit as st

from explorer.app.library import Shelved, shelve
from explorer.app.shared.errors import show_error
from explorer.app.shared.figure_row import figure_row, figure_table, scheme
from explorer.app.shell import settings
from explorer.charts.measured import Measured, comparable, of_casebook, runs_of
from explorer.report.comparison import Difference, compared_cases, differences
from explorer.report.systems import (
    ablation_chart,
    difference_chart,
    learning_chart,
    system_levels,
    system_table,
)
from index_builder.errors import CxrError


def systems_section(shelved: Shelved, measured: Measured) -> None:
    """Draw the comparison, then what is known of training on less data and without parts."""
    others: list[Measured] = []
    for one in shelve(settings().casebooks).values():
        try:
            others += of_casebook(one.casebook)
        except CxrError as error:
            show_error(error)
    systems = comparable(measured, others)
    find = partial(compared_cases, systems)
    place = f"systems-{measured.modality}"
    figure_row(shelved, [system_levels(systems, scheme())], place, find)
    alt = "Figures of systems and baselines with 95 % intervals"
    figure_table(shelved, system_table(systems), "systems-table", alt)
    if not any("baselines" in one.result for one in systems):
        st.caption("No baselines were measured. This command adds them; it reads every film of the casebook once:")
        st.code(f"cxr-explorer metrics {shelved.folder.name} --baselines", language=None)
    between = _differences(systems, "|".join(f"{one.name} {_stamp(one)}" for one in systems))
    if between:
        figure_row(shelved, [difference_chart(between, systems[0], scheme())], f"differences-{place}", find)
    runs = runs_of(shelved.casebook)
    figure_row(shelved, [learning_chart(runs, scheme()), ablation_chart(runs, scheme())], "runs")
    if not runs:
        st.markdown("## Learning curve and ablations")
        st.caption(
            "None are kept here: each point needs its own training run. Train with tests/benchmarks/ablations.py, "
            "which writes a line per run, and add the file:"
        )
        st.code(f"cxr-explorer metrics {shelved.folder.name} --runs runs.jsonl", language=None)


@st.cache_data(max_entries=32, show_spinner="Resampling patients …")
def _differences(_systems: list[Measured], key: str) -> list[Difference]:
    return differences(_systems)


def _stamp(measured: Measured) -> str:
    return "" if measured.casebook is None else measured.casebook.manifest.digest
