"""One case in full: films, report, profile, origin, neighbours."""

from __future__ import annotations

from html import escape

import streamlit as st

from explorer.app.library import Shelved, anatomy_of, film_png, neighbours_of
from explorer.app.links import EXPLAIN_ICON, current_address, dead_link, go, link
from explorer.app.query_address import session_outcome
from explorer.app.session import Outcome, query_in_words
from explorer.app.shared.cards import neighbour_card
from explorer.app.shared.case_links import film_link, name_link
from explorer.app.shared.draw import draw_html
from explorer.app.shared.film_choice import film_choice, films_words, view_words
from explorer.app.shared.filter_panel import field_words
from explorer.app.shared.markup import (
    case_words,
    chips_html,
    facts_html,
    label_words,
    person_words,
    plain_markdown,
    report_html,
    title_html,
    words_html,
)
from explorer.app.shared.viewer import film_viewer
from explorer.app.shell import name_tab, settings
from explorer.app.sign_in import record_case
from explorer.cases.anatomy import FilmAnatomy
from index_builder.cases.case import SECTION_ORDER, Case
from index_builder.disclaimer import DISCLAIMER
from index_builder.errors import CxrError

_OUTLINE_HELP = (
    "Drawn by a small network trained on outlined films of adults. It can be wrong, most of all on lateral films, "
    f"children and lungs that are white. {DISCLAIMER}"
)
_NEIGHBOURS = 6
_EXAMPLES = 6
_EXAMPLE_WIDTH = 164
#: Narrower, a card beside another would break its words.
_CARD_WIDTH = 420


def case_page(shelved: Shelved) -> None:
    """Draw the case the address names, or say what could be meant."""
    casebook = shelved.casebook
    asked = current_address().parameter("case")
    outcome = session_outcome(shelved)
    if asked is None:
        _choose(shelved, "Open a case", "Pick one, or search first and open a case from the results.")
        if outcome is not None and outcome.result.neighbours:
            link(shelved, "search", "Back to the search results", icon=":material/arrow_back:")
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
    name_tab(asked, "Case")
    case = casebook.case(asked)
    _head(shelved, case, outcome)
    with st.container(key="cxr-sides-case"):
        left, right = st.columns([0.6, 0.4], gap="medium")
    with left:
        _films(shelved, case)
    with right:
        _record(shelved, case, outcome)
    _neighbours(shelved, case)


def _choose(shelved: Shelved, title: str, text: str) -> None:
    st.title(title, anchor=False)
    st.text(text)
    casebook = shelved.casebook
    with st.container(horizontal=True, gap="small"):
        for case_id in casebook.case_ids[:_EXAMPLES]:
            case = casebook.case(case_id)
            with st.container(width=_EXAMPLE_WIDTH, gap="xxsmall"):
                film_link(shelved, case_id, f"example-{case_id}")
                name_link(shelved, case_id, f"example-{case_id}")
                draw_html(chips_html((), case.labels[:2], case.unknown))
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
        go(shelved, "case", case=chosen)


def _head(shelved: Shelved, case: Case, outcome: Outcome | None) -> None:
    ids = [] if outcome is None else [neighbour.case_id for neighbour in outcome.result.neighbours]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="cxr-case-head"):
        draw_html(title_html(case.case_id), width="content")
        if case.synthetic:
            st.badge("Synthetic film", icon=":material/draw:", color="orange")
        with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="xsmall"):
            if outcome is not None and case.case_id in ids:
                place = ids.index(case.case_id)
                st.caption(f"{place + 1} of {len(ids)} for {plain_markdown(_short(query_in_words(outcome.query)))}")
                _step(shelved, "Previous", ":material/chevron_left:", ids[place - 1] if place else None)
                _step(shelved, "Next", ":material/chevron_right:", ids[place + 1] if place + 1 < len(ids) else None)
            link(shelved, "explain", "Explain", icon=EXPLAIN_ICON, case=case.case_id)
            link(shelved, "map", "Show on map", icon=":material/bubble_chart:", case=case.case_id)
    facts = (films_words([film.view for film in case.films]), person_words(case.profile), f"{case.split} split")
    told = " · ".join(fact for fact in facts if fact)
    draw_html(f'<p class="cxr-muted cxr-facts-line">{escape(told)}</p>', chips_html((), case.labels, case.unknown))


def _step(shelved: Shelved, label: str, icon: str, case_id: str | None) -> None:
    if case_id is None:
        dead_link("case", label, icon=icon)
    else:
        link(shelved, "case", label, icon=icon, case=case_id)


def _films(shelved: Shelved, case: Case) -> None:
    if not case.films:
        st.info(_no_film_words(shelved, case), icon=":material/hide_image:")
        return
    film = case.films[film_choice([film.view for film in case.films], f"{shelved.name}-{case.case_id}")]
    view = f", {film.view} view" if film.view else ""
    alt = f"Chest film of case {case.case_id}{view}; labelled: {case_words(case.labels, case.unknown)}"
    try:
        with st.spinner("Loading the film …"):
            image = film_png(shelved, film.reference, settings().display_side)
        caption = "Shown at display size, at most 1,024 pixels a side, in 8 bits."
    except CxrError as error:
        thumbnail = shelved.casebook.case_films.small_copy(case.case_id, film.reference)
        if thumbnail is None:
            st.warning(f"This film cannot be reached: {plain_markdown(str(error))}", icon=":material/broken_image:")
            return
        image = thumbnail
        caption = f"Only the small copy kept in the casebook (256 pixels) is shown: {plain_markdown(str(error))}"
        st.warning(
            "The source of this casebook cannot be reached, so you see the small copy kept in it.",
            icon=":material/photo_size_select_small:",
        )
    place = st.container()
    anatomy = _anatomy(shelved, case, film.reference, film.view)
    with place:
        lines = None if anatomy is None else anatomy.lines
        film_viewer(image, alt=alt, synthetic=case.synthetic, key=f"viewer-{shelved.name}", lines=lines)
    st.caption(caption)


def _anatomy(shelved: Shelved, case: Case, reference: str, view: str | None) -> FilmAnatomy | None:
    """Outlines and measures of the film on show, once they are asked for."""
    key = f"outline-{shelved.name}"
    wanted = st.toggle("Outline lungs, heart and clavicles", key=key, persist_state="session", help=_OUTLINE_HELP)
    if not wanted:
        return None
    try:
        with st.spinner("Outlining …"):
            found = anatomy_of(shelved, case.case_id, reference, view)
    except CxrError as error:
        st.warning(f"No outline: {plain_markdown(str(error))}", icon=":material/broken_image:")
        return None
    for words in found.hints:
        st.info(plain_markdown(words), icon=":material/screen_rotation:")
    if not found.lines:
        st.caption("Neither lungs nor heart were found on this film.")
    st.caption(plain_markdown(found.ratio_words))
    return found


def _no_film_words(shelved: Shelved, case: Case) -> str:
    if any(film.case_id == case.case_id for film in shelved.casebook.manifest.unreadable):
        return "The film of this case could not be read when this casebook was built. Only its report is available."
    return "This case has no film, only a report."


def _record(shelved: Shelved, case: Case, outcome: Outcome | None) -> None:
    # A link and no button: a jump by the server leaves a second entry in the browser's history, which Back meets.
    with st.container(key="cxr-find-like", width="content"):
        link(shelved, "search", "Find cases like this", icon=":material/manage_search:", like=case.case_id)
    phrases: tuple[str, ...] = ()
    if outcome is not None:
        phrases = next((hit.shared_phrases for hit in outcome.result.neighbours if hit.case_id == case.case_id), ())
    ordered = [name for name in SECTION_ORDER if name in case.sections]
    ordered += [name for name in case.sections if name not in ordered]
    report = report_html({name: case.sections[name] for name in ordered}, phrases)
    draw_html(report)
    if not report:
        st.caption("The source publishes no report for this case.")
    draw_html(facts_html("Patient", {field_words(name): _value(value) for name, value in case.profile.items()}))
    draw_html(words_html("Codes as published", "; ".join(code for code in case.codes if code.strip())))
    dataset = shelved.casebook.manifest.dataset
    draw_html(
        facts_html(
            "Origin",
            {
                "Dataset": dataset.title,
                "Split": case.split,
                "Views": ", ".join(view_words(film.view) if film.view else "unknown" for film in case.films)
                or "no film",
                "Synthetic": "yes: computer-drawn, not an X-ray" if case.synthetic else "no",
                "Labels": dataset.label_definition,
                "Not known": ", ".join(map(label_words, case.unknown)),
            },
        )
    )


def _neighbours(shelved: Shelved, case: Case) -> None:
    with st.container(key="cxr-case-neighbours"):
        st.header("Nearest cases", anchor=False)
        try:
            result = neighbours_of(shelved, case.case_id, _NEIGHBOURS)
        except CxrError as error:
            st.caption(plain_markdown(str(error)))
            return
        if not result.neighbours:
            st.caption("No other case can be compared with this one.")
            return
        with st.grid(2, min_column_width=_CARD_WIDTH):
            for neighbour in result.neighbours:
                neighbour_card(shelved, neighbour, place="case", space=result.space, compared=case.case_id)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:38].rstrip() + " …"
