"""Data quality: what may be wrong with labels, parts and fields, each finding with its cases."""

from __future__ import annotations

from functools import partial

import streamlit as st

from explorer.app.library import Shelved
from explorer.app.shared.figure_row import figure_row, figure_table, scheme
from explorer.app.shared.gallery import case_gallery
from explorer.app.shared.markup import plain_markdown
from explorer.quality.balance import cases_of_part
from explorer.quality.check import Finding, Quality, check_quality
from explorer.report.quality import balance_chart, drift_table, part_table

_MARKS = {
    "problem": (":material/error:", "red", "Problem"),
    "look": (":material/visibility:", "orange", "Look"),
    "fine": (":material/check_circle:", "green", "Fine"),
}
#: Checks of more cases than this are begun by a button.
_AT_ONCE = 3_000


def quality_section(shelved: Shelved) -> None:
    """Run the checks, or say how long they may take, and draw what they found."""
    begun = f"quality-begun-{shelved.name}"
    if len(shelved.casebook) > _AT_ONCE and not st.session_state.get(begun):
        st.caption(f"Checking {len(shelved.casebook):,} cases takes a while: every small film is compared with others.")
        st.button("Check the data", type="primary", on_click=st.session_state.update, kwargs={begun: True})
        return
    quality = _quality(shelved, str(shelved.folder), shelved.stamp)
    made_up = ", synthetic films" if quality.synthetic else ""
    st.caption(f"All {len(shelved.casebook):,} cases of {plain_markdown(quality.casebook)}{made_up}, every part.")
    for finding in sorted(quality.findings, key=lambda one: list(_MARKS).index(one.level)):
        _finding(shelved, finding)
    figure_row(shelved, [balance_chart(quality, scheme())], "quality", partial(cases_of_part, shelved.casebook))
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("## What is missing")
        figure_table(shelved, part_table(quality.missing), "missing", "Missing fields by part")
    with right:
        st.markdown("## Views")
        figure_table(shelved, part_table(quality.views), "views", "Views by part")
    st.markdown("## Parts compared with the training part")
    figure_table(shelved, drift_table(quality), "drift", "Comparisons of parts")
    st.caption(
        "χ², Fisher and Kolmogorov–Smirnov tests, p values adjusted after Benjamini and Hochberg; vectors: can a "
        "classifier tell the parts apart (0.5: it cannot)."
    )


def _finding(shelved: Shelved, finding: Finding) -> None:
    icon, colour, mark = _MARKS[finding.level]
    with st.container(border=True, key=f"cxr-finding-{finding.key.replace(' ', '-')}", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(mark, icon=icon, color=colour)  # type: ignore[arg-type]  # one of the colours above
            st.markdown(f"**{plain_markdown(finding.title)}**")
        st.caption(plain_markdown(finding.text))
        if finding.cases.cases and st.toggle("Show the cases", key=f"show-{shelved.name}-{finding.key}"):
            case_gallery(shelved, finding.cases, f"{shelved.name}-{finding.key.replace(' ', '-')}")


@st.cache_data(max_entries=8, show_spinner=False)
def _quality(_shelved: Shelved, folder: str, stamp: str) -> Quality:
    bar = st.progress(0.0, "Checking the data …")

    def advance(what: str, done: int, of: int) -> None:
        bar.progress(min(1.0, done / max(1, of)), f"{what} …")

    quality = check_quality(_shelved.casebook, advance)
    bar.empty()
    return quality
