"""Whether the query's film is a lateral, and what it is compared with for that."""

from __future__ import annotations

import streamlit as st

from explorer.app.library import Shelved
from explorer.app.session import ALL_FILMS_KEY, Outcome
from explorer.search.reading.film_report import FRONTAL_UP_TO, LATERAL_FROM

_BY = {"header": "by its header", "likeness": "by the films here that are most like it", None: ""}


def lateral_notice(shelved: Shelved, outcome: Outcome) -> None:
    """Say so of a query that is one lateral film, or may be one, and offer the other way to search."""
    reports = outcome.result.films
    if len(reports) != 1 or outcome.query.text or outcome.query.profile or outcome.options.space not in (None, "image"):
        return
    report = reports[0]
    if not shelved.casebook.case_films.has_lateral.any():
        return
    if report.is_lateral:
        compared = "lateral films" if outcome.result.laterals else "all films of each case"
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="cxr-lateral"):
            st.caption(f"Your film is a lateral {_BY[report.view_by]}, so it is compared with {compared}.")
            st.button(
                "Search all films instead" if outcome.result.laterals else "Search lateral films",
                key="search-all-films" if outcome.result.laterals else "search-laterals",
                type="tertiary",
                icon=":material/swap_horiz:",
                on_click=_search_all,
                args=(outcome.result.laterals,),
            )
    elif report.lateral_share is not None and FRONTAL_UP_TO < report.lateral_share < LATERAL_FROM:
        st.caption(
            "It is not clear whether your film is frontal or lateral, so it is compared with all films of each case."
        )


def _search_all(every: bool) -> None:
    st.session_state[ALL_FILMS_KEY] = every
