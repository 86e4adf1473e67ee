"""One case in full: films, report, profile, origin, neighbours."""

from __future__ import annotations

from html import escape

import streamlit as st

from explorer.widgets.cards import neighbour_card
from explorer.widgets.filter_panel import field_words
from explorer.widgets.library import Shelved, film_png, neighbours_of
from explorer.widgets.markup import chips_html, facts_html, film_html, highlighted_html, person_words, plain_markdown
from explorer.widgets.session import last_outcome, query_in_words, search_like
from explorer.widgets.shell import EXPLAIN_ICON, link_parameters, page_of, settings
from explorer.widgets.sign_in import record_case
from explorer.widgets.viewer import film_viewer
from index_builder.datasets.base import SECTION_ORDER, Case
from index_builder.errors import CxrError

_NEIGHBOURS = 6
_EXAMPLES = 6
_EXAMPLE_WIDTH = 164


def case_page(shelved: Shelved) -> None:
    """Draw the case the address names, or say what could be meant."""
    casebook = shelved.casebook
    asked = st.query_params.get("case")
    if asked is None:
        outcome = last_outcome(shelved)
        _choose(shelved, "Open a case", "Pick one, or search first and open a case from the results.")
        if outcome is not None and outcome.result.neighbours:
            st.page_link(page_of("search"), label="Back to the search results", icon=":material/arrow_back:")
        return
    if asked not in casebook:
        _choose(
            shelved,
            "No such case here",
            f"Casebook {shelved.name} has no case “{asked[:120]}”. It may be in another casebook, or the link may be "
            "incomplete. Some cases of this one:",
        )
        return
    record_case(shelved.name, asked)
    case = casebook.case(asked)
    _head(shelved, case)
    left, right = st.columns([0.6, 0.4], gap="medium")
    with left:
        _films(shelved, case)
    with right:
        _record(shelved, case)
    _neighbours(shelved, case)


def _choose(shelved: Shelved, title: str, text: str) -> None:
    st.header(title, anchor=False)
    st.text(text)
    casebook = shelved.casebook
    with st.container(horizontal=True, gap="small"):
        for case_id in casebook.case_ids[:_EXAMPLES]:
            case = casebook.case(case_id)
            with st.container(width=_EXAMPLE_WIDTH, gap="xxsmall"):
                alt = f"Film of case {case_id}"
                st.html(film_html(casebook.thumbnail(case_id), alt, synthetic=case.synthetic))
                st.html(f'<span class="cxr-example-id">{escape(case_id)}</span>{chips_html((), case.labels[:2])}')
                st.page_link(page_of("case"), label="Open", query_params=link_parameters(shelved, case_id))
    chosen = st.selectbox(
        "Or type an id",
        shelved.casebook.case_ids[:5000],
        index=None,
        placeholder="Case id",
        key=f"choose-case-{shelved.name}",
        width=360,
        accept_new_options=len(shelved.casebook) > 5000,
    )
    if chosen is not None:
        st.switch_page(page_of("case"), query_params=link_parameters(shelved, chosen))


def _head(shelved: Shelved, case: Case) -> None:
    outcome = last_outcome(shelved)
    ids = [] if outcome is None else [neighbour.case_id for neighbour in outcome.result.neighbours]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="cxr-case-head"):
        st.html(f'<h1 class="cxr-title">{escape(case.case_id)}</h1>', width="content")
        if case.synthetic:
            st.badge("Synthetic film", icon=":material/draw:", color="orange")
        with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="xsmall"):
            if outcome is not None and case.case_id in ids:
                place = ids.index(case.case_id)
                st.caption(f"{place + 1} of {len(ids)} for {plain_markdown(_short(query_in_words(outcome.query)))}")
                _step(shelved, "Previous", ":material/chevron_left:", ids[place - 1] if place else None)
                _step(shelved, "Next", ":material/chevron_right:", ids[place + 1] if place + 1 < len(ids) else None)
            st.page_link(
                page_of("explain"),
                label="Explain",
                icon=EXPLAIN_ICON,
                query_params=link_parameters(shelved, case.case_id),
            )
            st.page_link(
                page_of("map"),
                label="Show on map",
                icon=":material/bubble_chart:",
                query_params=link_parameters(shelved, case.case_id),
            )
    facts = " · ".join(
        part for part in (f"{case.view} view" if case.view else "", person_words(case.profile), f"{case.split} split")
    )
    st.html(f'<p class="cxr-muted cxr-facts-line">{escape(facts)}</p>{chips_html((), case.labels)}')


def _step(shelved: Shelved, label: str, icon: str, case_id: str | None) -> None:
    st.page_link(
        page_of("case"),
        label=label,
        icon=icon,
        disabled=case_id is None,
        query_params=link_parameters(shelved, case_id),
    )


def _films(shelved: Shelved, case: Case) -> None:
    references = [reference for reference in (case.image, *case.other_images) if reference is not None]
    if not references:
        st.info("This case has no film, only a report.", icon=":material/hide_image:")
        return
    reference = references[0]
    if len(references) > 1:
        names = {name: f"Film {number}" for number, name in enumerate(references, start=1)}
        names[references[0]] += plain_markdown(f" ({case.view})") if case.view else ""
        reference = (
            st.segmented_control(
                "Film",
                references,
                default=references[0],
                required=True,
                format_func=lambda name: names[name],
                key=f"film-of-{case.case_id}",
                label_visibility="collapsed",
            )
            or references[0]
        )
    view = f", {case.view} view" if case.view and reference == references[0] else ""
    alt = f"Chest film of case {case.case_id}{view}; labelled: {', '.join(case.labels) or 'no finding'}"
    try:
        with st.spinner("Loading the film …"):
            image = film_png(shelved, reference, settings().display_side)
        caption = "Shown at display size, at most 1,024 pixels a side, in 8 bits."
    except CxrError as error:
        thumbnail = shelved.casebook.thumbnail(case.case_id) if reference == case.image else None
        if thumbnail is None:
            st.warning(f"This film is out of reach: {plain_markdown(str(error))}", icon=":material/broken_image:")
            return
        image = thumbnail
        caption = f"Only the small copy kept in the casebook (256 pixels) is shown: {plain_markdown(str(error))}"
        st.warning(
            "The source of this casebook is out of reach, so you see the small copy kept in it.",
            icon=":material/photo_size_select_small:",
        )
    film_viewer(image, alt=alt, synthetic=case.synthetic, key=f"viewer-{shelved.name}")
    st.caption(caption)


def _record(shelved: Shelved, case: Case) -> None:
    st.button(
        "Find cases like this",
        type="primary",
        icon=":material/manage_search:",
        key="like-this-case",
        on_click=search_like,
        args=(shelved, case.case_id),
    )
    if st.session_state.get("like-this-case"):
        st.switch_page(page_of("search"), query_params=link_parameters(shelved))
    if case.sections:
        outcome = last_outcome(shelved)
        phrases: tuple[str, ...] = ()
        if outcome is not None:
            phrases = next((hit.shared_phrases for hit in outcome.result.neighbours if hit.case_id == case.case_id), ())
        ordered = [name for name in SECTION_ORDER if name in case.sections]
        ordered += [name for name in case.sections if name not in ordered]
        body = "".join(
            f"<h4>{escape(name)}</h4><p>{highlighted_html(case.sections[name], phrases)}</p>" for name in ordered
        )
        st.html(f'<section class="cxr-report" aria-label="Report">{body}</section>')
    else:
        st.caption("The source publishes no report for this case.")
    st.html(facts_html("Patient", {field_words(name): _value(value) for name, value in case.profile.items()}))
    if case.codes:
        st.html(facts_html("Codes as published", {"": "; ".join(case.codes)}))
    dataset = shelved.casebook.manifest.dataset
    st.html(
        facts_html(
            "Origin",
            {
                "Dataset": dataset.title,
                "Split": case.split,
                "View": case.view or "unknown",
                "Films": str((case.image is not None) + len(case.other_images)),
                "Synthetic": "yes: the film is drawn, not exposed" if case.synthetic else "no",
                "Labels": dataset.label_definition,
            },
        )
    )


def _neighbours(shelved: Shelved, case: Case) -> None:
    st.subheader("Nearest cases", anchor=False)
    try:
        result = neighbours_of(shelved, case.case_id, _NEIGHBOURS)
    except CxrError as error:
        st.caption(plain_markdown(str(error)))
        return
    if not result.neighbours:
        st.caption("No other case can be compared with this one.")
        return
    columns = st.columns(2, gap="small")
    for number, neighbour in enumerate(result.neighbours):
        with columns[number % 2]:
            neighbour_card(shelved, neighbour, place="case", space=result.space, compared=case.case_id)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:38].rstrip() + " …"
