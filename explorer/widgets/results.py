"""The answer side of the search page: what the query shows, its neighbours, downloads."""

from __future__ import annotations

from functools import partial

import streamlit as st

from explorer.search import SearchOptions
from explorer.widgets.cards import neighbour_card
from explorer.widgets.counter_panel import counter_panel
from explorer.widgets.downloads import export_button
from explorer.widgets.export import predictions_csv, result_csv, result_json
from explorer.widgets.film_warning import film_notice, film_warning, stands_in_the_way
from explorer.widgets.filter_panel import clear_filters
from explorer.widgets.library import Shelved, is_warm, text_vectors_exist
from explorer.widgets.markup import NO_CLOSE_MATCH, plain_markdown, space_words
from explorer.widgets.predict_panel import at_chosen_levels, predict_panel
from explorer.widgets.session import Outcome, current_query, query_in_words, run_query
from explorer.widgets.shell import link_parameters, page_of

_DOWNLOADS = (
    ("Predictions", "predictions", "csv", predictions_csv),
    ("CSV", "neighbours", "csv", result_csv),
    ("JSON", "neighbours", "json", result_json),
)


def results_panel(shelved: Shelved, options: SearchOptions) -> None:
    """Draw the result of the session's query, or what to do where there is none."""
    query = current_query(shelved)
    if query is None:
        _welcome(shelved)
        return
    waiting = "Searching …" if is_warm(shelved) else "Loading the system that reads films and texts (once) …"
    with st.spinner(waiting, show_time=False):
        outcome = at_chosen_levels(shelved, run_query(shelved, query, options))
    report = outcome.result.film
    if report is not None and stands_in_the_way(report):
        film_warning(report)
        return
    film_notice(report)
    _summary(shelved, outcome)
    counter_panel(shelved, outcome)
    if not outcome.result.neighbours:
        st.info("No case meets all filters. Take one away, or clear them.", icon=":material/filter_alt_off:")
        st.button("Clear all filters", on_click=clear_filters, args=(shelved,), key="clear-from-results")
        return
    for neighbour in outcome.result.neighbours:
        neighbour_card(shelved, neighbour, place="result", space=outcome.result.space)


def _welcome(shelved: Shelved) -> None:
    manifest = shelved.casebook.manifest
    text = "patient profile" if manifest.system.reads == "profile" else "report"
    if st.session_state.get("search-button"):
        st.info(
            f"Nothing to search with yet: upload a film, give a {text}, or take an example.", icon=":material/search:"
        )
    st.html(
        '<div class="cxr-empty"><h2>Find cases that look or read like yours</h2>'
        f"<p>Give a chest film, a {text}, or both. You get the nearest cases of the casebook, how close they are, "
        "and what they have in common with your query.</p>"
        f"<p class='cxr-muted'>{manifest.cases:,} cases to search. No film at hand? Take an example.</p></div>"
    )


def _summary(shelved: Shelved, outcome: Outcome) -> None:
    result = outcome.result
    with st.container(key="cxr-summary", border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"##### {_count(len(result.neighbours))} for {plain_markdown(query_in_words(outcome.query))}")
        predict_panel(shelved, outcome)
        if result.neighbours and result.neighbours[0].closeness < NO_CLOSE_MATCH:
            _far(outcome)
        with st.container(key="cxr-toolbar", horizontal=True, vertical_alignment="center", gap="small"):
            st.page_link(
                page_of("map"),
                label="Show on map",
                icon=":material/bubble_chart:",
                query_params=link_parameters(shelved),
            )
            for title, name, kind, write in _DOWNLOADS if result.assessment is not None else _DOWNLOADS[1:]:
                mime = "text/csv" if kind == "csv" else "application/json"
                export_button(title, partial(write, outcome), f"{name}-{shelved.name}.{kind}", mime)
            st.caption(_how(shelved, outcome))


def _far(outcome: Outcome) -> None:
    """Say that even the best match is far, and what that means for this kind of query."""
    if outcome.query.pixels is None and outcome.query.case_id is None:
        st.info(
            "No close match. A few words are seldom as near to a whole text as such texts are to each other: judge by "
            "rank and by what is shared.",
            icon=":material/social_distance:",
        )
        return
    st.warning(
        "No close match: the nearest case is farther away than cases of this casebook usually are from each other. "
        "Read what follows as the least unlike, not as alike.",
        icon=":material/social_distance:",
    )


def _how(shelved: Shelved, outcome: Outcome) -> str:
    result, casebook = outcome.result, shelved.casebook
    searched = f"{result.searched:,} of {len(casebook):,}" if outcome.options.filters else f"{result.searched:,}"
    space = "image" if result.space == "joint" and not text_vectors_exist(casebook) else result.space
    words = space_words(space, casebook.manifest.system.reads)
    told = f"{searched} cases compared by {words} in {_duration(result.timings_ms['total'])}"
    if result.diversity is None:
        return told
    findings = f", {result.diversity['labels']:.2f} by findings" if casebook.label_names else ""
    return f"{told} · diversity of these cases {result.diversity['vectors']:.2f} by {words}{findings}"


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _count(number: int) -> str:
    return f"{number} nearest cases" if number != 1 else "The nearest case"
