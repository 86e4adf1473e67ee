"""The answer side of the search page: what the query shows, its neighbours, downloads."""

from __future__ import annotations

from functools import partial

import streamlit as st

from explorer.app.library import Shelved, text_vectors_exist
from explorer.app.links import link
from explorer.app.query_address import waiting_words
from explorer.app.search.chips import query_chips
from explorer.app.search.counter_evidence import counter_panel
from explorer.app.search.export import predictions_csv, result_csv, result_json
from explorer.app.search.film_warning import film_notice, film_warning, stands_in_the_way
from explorer.app.search.lateral_notice import lateral_notice
from explorer.app.search.predictions import at_chosen_levels, predict_panel
from explorer.app.session import Outcome, current_query, query_in_words, run_query
from explorer.app.shared.cards import neighbour_card
from explorer.app.shared.downloads import export_button
from explorer.app.shared.filter_panel import clear_filters
from explorer.app.shared.markup import plain_markdown, space_words
from explorer.search.closeness import NO_CLOSE_MATCH
from explorer.search.query import SearchOptions
from explorer.search.reading.text_report import TextReport

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
    with st.spinner(waiting_words(shelved), show_time=False):
        outcome = at_chosen_levels(shelved, run_query(shelved, query, options))
    reports = outcome.result.films
    if stands_in_the_way(reports):
        film_warning(reports)
        return
    film_notice(reports)
    _text_notice(outcome.result.text)
    if not outcome.result.neighbours and outcome.result.mode == "lexical":
        st.info("No report that meets the filters contains a word of this text.", icon=":material/search_off:")
    elif not outcome.result.neighbours:
        st.info("No case meets all filters. Remove one, or clear them.", icon=":material/filter_alt_off:")
        st.button("Clear all filters", on_click=clear_filters, args=(shelved,), key="clear-from-results")
    with st.container(key="cxr-results-head", gap="xsmall"):
        query_chips(shelved, outcome)
        _title(outcome)
        lateral_notice(shelved, outcome)
    # A typed text is no patient: the cases that it finds are what is asked for, and come first.
    about_a_patient = query.pixels is not None or query.case_id is not None
    if about_a_patient:
        _summary(shelved, outcome)
        counter_panel(shelved, outcome)
    for neighbour in outcome.result.neighbours:
        neighbour_card(shelved, neighbour, place="result", space=outcome.result.space)
    if not about_a_patient:
        _summary(shelved, outcome)
        counter_panel(shelved, outcome)


def _welcome(shelved: Shelved) -> None:
    manifest = shelved.casebook.manifest
    text = "patient profile" if manifest.system.reads == "profile" else "report"
    if st.session_state.get("search-button"):
        st.info(
            f"Nothing to search with yet: upload a film, enter a {text}, or use an example.", icon=":material/search:"
        )
    st.html(
        '<div class="cxr-empty"><h2>Find cases that look or read like yours</h2>'
        f"<p>Give a chest film, a {text}, or both. You get the nearest cases of the casebook, how close they are, "
        "and what they have in common with your query.</p>"
        f"<p class='cxr-muted'>{manifest.cases:,} cases to search. No film at hand? Use an example.</p></div>"
    )


def _text_notice(report: TextReport | None) -> None:
    """What must be known of the text before its results."""
    if report is None:
        return
    if not report.flags:
        return
    # One box, for the films are to stay in sight below it.
    tell = st.info if report.readable else st.warning
    with st.container(key="cxr-text-notice"):
        tell("  \n".join(plain_markdown(flag.words) for flag in report.flags), icon=":material/spellcheck:")


def _title(outcome: Outcome) -> None:
    result, query = outcome.result, outcome.query
    count = _count(len(result.neighbours), nearest=result.mode == "dense")
    st.markdown(f"## {count} for {plain_markdown(query_in_words(query))}")
    far = bool(result.neighbours) and max(one.closeness for one in result.neighbours) < NO_CLOSE_MATCH
    # A few words are seldom near to a whole text, and each result says so: no reason to push the films down.
    if far and (query.pixels is not None or query.case_id is not None):
        st.warning("No close match. These are only the nearest available.", icon=":material/social_distance:")


def _summary(shelved: Shelved, outcome: Outcome) -> None:
    result = outcome.result
    with st.container(key="cxr-summary", border=True, gap="small"):
        predict_panel(shelved, outcome)
        with st.container(key="cxr-toolbar", horizontal=True, vertical_alignment="center", gap="small"):
            link(shelved, "map", "Show on map", icon=":material/bubble_chart:")
            for title, name, kind, write in _DOWNLOADS if result.assessment is not None else _DOWNLOADS[1:]:
                mime = "text/csv" if kind == "csv" else "application/json"
                export_button(title, partial(write, outcome), f"{name}-{shelved.name}.{kind}", mime)
            st.caption(_how(shelved, outcome))


def _how(shelved: Shelved, outcome: Outcome) -> str:
    result, casebook = outcome.result, shelved.casebook
    searched = f"{result.searched:,} of {len(casebook):,}" if outcome.options.filters else f"{result.searched:,}"
    of_what = "cases with a lateral" if result.laterals else "cases"
    space = "image" if result.space == "joint" and not text_vectors_exist(casebook) else result.space
    words = space_words(space, casebook.manifest.system.reads)
    how = {
        "dense": f"compared by {words}",
        "lexical": "searched by the words of their reports",
        "hybrid": f"searched by what their reports say, by words, and compared by {words}",
    }[result.mode]
    told = f"{searched} {of_what} {how} in {_duration(result.timings_ms['total'])}"
    if result.diversity is None:
        return told
    findings = f", {result.diversity['labels']:.2f} by findings" if casebook.label_names else ""
    return f"{told} · diversity of these cases {result.diversity['vectors']:.2f} by {words}{findings}"


def _duration(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _count(number: int, *, nearest: bool) -> str:
    if not nearest:
        return f"{number} cases" if number != 1 else "One case"
    return f"{number} nearest cases" if number != 1 else "The nearest case"
