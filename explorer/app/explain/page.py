"""The Explain page: which regions and words speak for a finding, or make two cases similar."""

from __future__ import annotations

import json
from functools import partial
from html import escape

import pandas as pd
import streamlit as st

from explorer.app.explain.answers import answer_for, study_of
from explorer.app.explain.controls import explain_controls
from explorer.app.explain.methods import methods_side_by_side
from explorer.app.explain.overlay import View, film_overlay
from explorer.app.explain.tinted import tinted_html
from explorer.app.library import Shelved, is_warm
from explorer.app.links import current_address, go, link
from explorer.app.query_address import session_outcome
from explorer.app.session import current_query, query_in_words
from explorer.app.shared.downloads import export_button
from explorer.app.shared.draw import draw_html
from explorer.app.shared.errors import telling_errors
from explorer.app.shared.film_choice import film_choice
from explorer.app.shared.markup import chips_html, plain_markdown, title_html
from explorer.app.shell import name_tab
from explorer.app.sign_in import record_case
from explorer.explanation.explain import Answer
from explorer.explanation.picture import Panel, figure_png, panels_of
from explorer.explanation.study import Study
from explorer.explanation.words import (
    DISCLAIMER,
    METHOD_WORDS,
    legend,
    place_lines,
    question_words,
    score_words,
    unit_words,
    warning_words,
)
from explorer.search.query import Query


def explain_page(shelved: Shelved) -> None:
    """Draw the page for the case the address names, else for the session's query."""
    asked = current_address().parameter("case")
    if asked is not None and asked not in shelved.casebook:
        _choose(shelved, "No such case here", f"Casebook {shelved.name} has no case “{asked[:120]}”. Take another:")
        return
    if asked is not None:
        record_case(shelved.name, asked)
        name_tab(asked, "Explain")
    query = current_query(shelved) if asked is None else Query(case_id=asked)
    if query is None:
        _choose(shelved, "Explain a query or a case", "Search first, and your query is explained here. Or take a case:")
        return
    film = film_choice(_views(shelved, query), f"{shelved.name}-{asked}")
    with st.spinner("Preparing the film …" if is_warm(shelved) else "Loading the system that reads films (once) …"):
        study = study_of(shelved, query, film)
    _head(shelved, study, query)
    controls = explain_controls(shelved, study, None if study.case_id is not None else session_outcome(shelved))
    answer = answer_for(shelved, study, controls.question, controls.method, controls.layer)
    if answer is not None:
        _answer(shelved, answer)
    methods_side_by_side(shelved, study, controls)


def _views(shelved: Shelved, query: Query) -> tuple[str | None, ...]:
    """Views of the films that can be explained."""
    if query.case_id is not None:
        return tuple(film.view for film in shelved.casebook.case(query.case_id).films)
    return tuple(view for _, view in query.films)


def _choose(shelved: Shelved, title: str, text: str) -> None:
    st.title(title, anchor=False)
    st.text(text)
    casebook = shelved.casebook
    chosen = st.selectbox(
        "Case",
        casebook.case_ids[:5000],
        index=None,
        placeholder="Case id",
        key=f"explain-case-{shelved.name}",
        width=360,
        accept_new_options=len(casebook) > 5000,
    )
    if chosen is not None:
        go(shelved, "explain", case=chosen)


def _head(shelved: Shelved, study: Study, query: Query) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="cxr-explain-head"):
        draw_html(title_html(f"Explain {study.case_id or 'your query'}"), width="content")
        if study.synthetic:
            st.badge("Synthetic film", icon=":material/draw:", color="orange")
        with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="xsmall"):
            if study.case_id is None:
                link(shelved, "search", "Back to the search", icon=":material/arrow_back:")
            else:
                link(shelved, "case", "Open case", icon=":material/open_in_full:", case=study.case_id)
    if study.case_id is not None:
        case = shelved.casebook.case(study.case_id)
        draw_html(chips_html((), case.labels, case.unknown))
    else:
        st.caption(plain_markdown(_capital(query_in_words(query))))
        if len(study.films) > 1:
            st.caption("One film is explained at a time; the search compares both together.")
        if query.image_weight != 0.5:
            st.caption(
                "This explains film and text as the system joins them. "
                "The weight set for the search does not count here."
            )
    for words in warning_words(study):
        st.warning(plain_markdown(words), icon=":material/warning:")
    if study.note:
        st.warning(plain_markdown(study.note), icon=":material/photo_size_select_small:")


@st.fragment
def _answer(shelved: Shelved, answer: Answer) -> None:
    """Pictures and words; a fragment, so that sliders and downloads leave the rest of the page alone."""
    with telling_errors():
        words = METHOD_WORDS[answer.method]
        draw_html(
            f'<p class="cxr-facts-line"><strong>{escape(_capital(question_words(answer.question)))}</strong> '
            f'<span class="cxr-muted">· {escape(score_words(shelved.casebook, answer))}</span></p>'
        )
        panels = panels_of(answer)
        with st.container(key="cxr-sides-explain"):
            left, right = st.columns([0.64, 0.36], gap="medium") if panels else (None, st.container())
        view = View()
        if left is not None and answer.scale is not None:
            with left:
                view = film_overlay(
                    panels, answer.scale, laid=words.title, unit=unit_words(answer), key=f"overlay-{shelved.name}"
                )
                for line in place_lines(answer):
                    st.caption(plain_markdown(line))
        with right:
            _words(answer)
            draw_html(
                '<section class="cxr-report cxr-says">'
                f"<h2>What {escape(words.title)} shows</h2><p>{escape(words.shows)}</p>"
                f"<h2>What it does not show</h2><p>{escape(words.silent)}</p></section>"
            )
            _downloads(shelved, answer, panels, view)


def _words(answer: Answer) -> None:
    read = [side for side in answer.sides if side.explanation.words]
    if not read:
        return
    several = len(answer.sides) > 1
    body, unread = "", False
    for side in read:
        words, text = side.explanation.words, side.study.text
        body += f"<h2>{escape(side.study.name)}</h2>" if several else ""
        body += tinted_html(text, words, answer.word_limit, signed=answer.signed)
        unread |= any(sign.isalnum() for sign in text[words[-1].end :])
    draw_html(f'<section class="cxr-report" aria-label="Words with their weight">{body}</section>')
    sign = " Solid underline and +: for; dashed and −: against." if answer.signed else ""
    pale = " Faded, slanted text was too long to be read." if unread else ""
    st.caption(f"A stronger tint means a larger weight.{sign}{pale}")
    with st.expander("These words as a table", icon=":material/table_rows:"):
        rows = [(side.study.name, word.text, word.weight) for side in read for word in side.explanation.words]
        table = pd.DataFrame(rows, columns=["Text of", "Word", "Weight"]).sort_values(
            "Weight", key=abs, ascending=False, kind="stable"
        )
        st.dataframe(table if several else table.drop(columns="Text of"), hide_index=True, height=220)


def _downloads(shelved: Shelved, answer: Answer, panels: list[Panel], view: View) -> None:
    name = f"explanation-{shelved.name}-{answer.method}"
    with st.container(horizontal=True, gap="small"):
        if panels and answer.scale is not None:
            export_button(
                "Picture with legend",
                partial(
                    figure_png,
                    panels,
                    answer.scale,
                    legend(shelved.casebook, answer, view.threshold),
                    opacity=view.opacity,
                    threshold=view.threshold,
                ),
                f"{name}.png",
                "image/png",
                prominent=True,
            )
        content = {"disclaimer": DISCLAIMER, "casebook": shelved.name, **answer.as_dict()}
        as_json = partial(json.dumps, content, indent=2, ensure_ascii=False)
        export_button("JSON", as_json, f"{name}.json", "application/json")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
