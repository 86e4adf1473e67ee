"""The cases chosen on a map: what they have in common, their films, and how to keep them."""

from __future__ import annotations

from functools import partial
from html import escape

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from explorer.app.library import Shelved
from explorer.app.shared.case_links import film_link, name_link
from explorer.app.shared.downloads import export_button
from explorer.app.shared.draw import draw_html
from explorer.app.shared.errors import telling_errors
from explorer.app.shared.markup import case_words, label_html
from explorer.maps.selection import DISCOVERY_RATE, LabelExcess, label_excess, selection_csv, selection_zip
from explorer.prediction.words import percent
from index_builder.casebook.manifest import MapName
from index_builder.cases.space import Space

_SHOWN = 24
_LABELS = 8


@st.fragment
def selection_panel(
    shelved: Shelved, rows: NDArray[np.int64], among: NDArray[np.int64], space: Space, name: MapName
) -> None:
    """Draw the chosen cases.

    Args:
        shelved: Their casebook.
        rows: The chosen cases.
        among: All cases on the map.
        space: The map's.
        name: Which map.
    """
    with telling_errors(), st.container(border=True, key="cxr-map-selection", gap="small"):
        casebook = shelved.casebook
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.header(f"{len(rows):,} chosen {'case' if len(rows) == 1 else 'cases'}", anchor=False)
            chosen = f"{shelved.name}-selection"
            export_button("CSV", partial(selection_csv, casebook, rows, space, name), f"{chosen}.csv", "text/csv")
            export_button(
                "Casebook (ZIP)",
                partial(selection_zip, casebook, rows, chosen),
                f"{chosen}.zip",
                "application/zip",
                icon=":material/folder_zip:",
                note="A casebook of only these cases. Unpack it and open it with: cxr-explorer serve FOLDER. "
                "The CSV's case ids do the same on the command line: cxr-explorer subset.",
            )
        known = casebook.known_matrix[among]
        excess = label_excess(casebook.label_matrix[among], casebook.label_names, np.isin(among, rows), known)
        _excess(excess, all_known=bool(known.all()))
        _gallery(shelved, rows)


def _excess(excess: list[LabelExcess], *, all_known: bool) -> None:
    notable = [one for one in excess if one.notable]
    if not notable:
        st.caption("No finding is clearly more or less frequent among them than among the other cases on the map.")
        return
    bars = "".join(_bar(one) for one in notable[:_LABELS])
    draw_html(f'<div class="cxr-excess">{bars}</div>')
    hidden = len(notable) - _LABELS
    more = f" {hidden} more {'differs' if hidden == 1 else 'differ'} too." if hidden > 0 else ""
    more += "" if all_known else " Cases where a finding is unknown do not count for it."
    st.caption(
        "Share of the chosen cases with each finding; the mark shows that of the other cases. Odds ratio with 95 % "
        f"interval, Fisher's exact test, false discovery rate {100 * DISCOVERY_RATE:.0f} % (Benjamini–Hochberg).{more} "
        "Similar cases lie together on a map, so groups differ. This shows how they differ, not why."
    )


def _bar(one: LabelExcess) -> str:
    word = "more often" if one.odds_ratio > 1 else "less often"
    low, high = one.interval
    return (
        f'<div class="cxr-bar"><span class="cxr-bar-name">{label_html(one.label)}</span>'
        f'<span class="cxr-bar-track"><span style="width:{100 * one.chosen_share:.1f}%"></span>'
        f'<i style="left:{100 * one.others_share:.1f}%"></i></span>'
        f'<span class="cxr-bar-value">{percent(one.chosen_share)} against {percent(one.others_share)}, {word} · OR '
        f"{_ratio(one.odds_ratio)} [{_ratio(low)}, {_ratio(high)}] · q {_small(one.q)}</span></div>"
    )


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _small(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _gallery(shelved: Shelved, rows: NDArray[np.int64]) -> None:
    casebook = shelved.casebook
    key = f"map-gallery-{shelved.name}-{len(rows)}-{rows[0]}"
    shown = st.session_state.get(key, _SHOWN)
    with st.container(horizontal=True, gap="small", key="cxr-gallery"):
        for row in rows[:shown]:
            case = casebook.case(casebook.case_ids[row])
            labels = case_words(case.labels, case.unknown)
            alt = f"Chest film of chosen case {case.case_id}: {labels}"
            with st.container(width=132, gap=None):
                film_link(shelved, case.case_id, f"chosen-{row}", alt=alt)
                name_link(shelved, case.case_id, f"chosen-{row}")
                draw_html(f'<span class="cxr-cell" title="{escape(labels, quote=True)}">{escape(labels)}</span>')
    if shown < len(rows) and st.button(
        f"Show more of the {len(rows):,}", icon=":material/expand_more:", key=f"{key}-more"
    ):
        st.session_state[key] = shown + 2 * _SHOWN
        st.rerun(scope="fragment")
