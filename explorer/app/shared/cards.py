"""The card of a neighbour, the same on the search and the case page."""

from __future__ import annotations

from html import escape

import streamlit as st

from explorer.app.library import Shelved, text_vectors_exist
from explorer.app.links import EXPLAIN_ICON, link
from explorer.app.session import search_like
from explorer.app.shared.case_links import film_link, name_link
from explorer.app.shared.draw import draw_html
from explorer.app.shared.film_choice import films_words, view_words
from explorer.app.shared.markup import (
    chips_html,
    closeness_html,
    denials_html,
    excerpt_html,
    found_html,
    person_words,
    space_words,
)
from explorer.search.result import Neighbour


def neighbour_card(
    shelved: Shelved, neighbour: Neighbour, *, place: str, space: str, compared: str | None = None
) -> None:
    """Draw one neighbour: film, why it matched, what it has, and where to go from it.

    Args:
        shelved: The casebook it is of.
        neighbour: What was found.
        place: Tells cards of different lists on one page apart.
        space: The space searched.
        compared: The case it is a neighbour of; None for the session's query.
    """
    case = shelved.casebook.case(neighbour.case_id)
    facts = [films_words(neighbour.views), person_words(case.profile), f"{neighbour.split} split"]
    films = [film.reference for film in case.films]
    matched = films.index(neighbour.film) if neighbour.film in films else 0
    view = case.films[matched].view if films else None
    alt = f"Chest film of case {neighbour.case_id}" + (f", {view_words(view)} view" if view else "")
    # Phrases are marked in the text they were found in.
    read, other = (neighbour.profile, neighbour.report) if neighbour.profile else (neighbour.report, "")
    excerpts = [excerpt_html(read, neighbour.shared_phrases), excerpt_html(other, ())]
    texts = "".join(f'<p class="cxr-excerpt">{excerpt}</p>' for excerpt in excerpts if excerpt)
    chips = chips_html(
        neighbour.shared_labels,
        neighbour.other_labels,
        neighbour.unknown_labels,
        denied=neighbour.denied_labels,
        matched=neighbour.matched_facts,
    )
    reads = shelved.casebook.manifest.system.reads
    # The searched space's own similarity is the score; a joint vector of a film alone is the film's.
    # Where no case has a report, a joint vector is the film's over again under a name that promises more.
    shown = shelved.casebook.spaces if text_vectors_exist(shelved.casebook) else ("image",)
    parts = [
        f"{space_words(name, reads)} {value:.2f}"
        for name, value in neighbour.similarity.items()
        if name != space and name in shown and abs(value - neighbour.score) > 0.0005
    ]
    with (
        st.container(key=f"cxr-card-{place}-{neighbour.rank}", border=True),
        st.container(horizontal=True, wrap=False, gap="small"),
    ):
        with st.container(key=f"cxr-thumb-{place}-{neighbour.rank}", width=148):
            film_link(shelved, neighbour.case_id, f"{place}-{neighbour.rank}", alt=alt, film=matched)
        with st.container(gap="xsmall"):
            with st.container(key=f"cxr-card-head-{place}-{neighbour.rank}", horizontal=True, gap="xsmall"):
                draw_html(f'<span class="cxr-rank">{neighbour.rank}</span>', width="content")
                name_link(shelved, neighbour.case_id, f"{place}-{neighbour.rank}")
            draw_html(
                f'<article class="cxr-card" aria-label="Neighbour {neighbour.rank}: case {escape(neighbour.case_id)}">'
                f'<div class="cxr-card-line"><span class="cxr-muted cxr-card-facts">'
                f"{escape(' · '.join(fact for fact in facts if fact))}</span>"
                f'<span class="cxr-score">{closeness_html(neighbour, parts)}</span>'
                f"{found_html(neighbour)}</div>{chips}{texts}{denials_html(neighbour.denied_labels)}</article>"
            )
            _actions(shelved, neighbour.case_id, f"{place}-{neighbour.rank}", compared)


def _actions(shelved: Shelved, case_id: str, place: str, compared: str | None) -> None:
    with st.container(key=f"cxr-actions-{place}", horizontal=True, vertical_alignment="center", gap="small"):
        link(shelved, "case", "Open case", icon=":material/open_in_full:", case=case_id)
        link(
            shelved,
            "explain",
            "Explain",
            icon=EXPLAIN_ICON,
            tip="Which regions and words make it similar",
            **({} if compared is None else {"case": compared}),
            **{"with": case_id, "what": "similarity"},
        )
        if compared is not None:
            link(shelved, "search", "More like this", icon=":material/manage_search:", like=case_id)
        else:
            # On its own page a search changes in place: the film and text set aside are found again by Back.
            st.button(
                "More like this",
                key=f"like-{place}-{case_id}",
                icon=":material/manage_search:",
                type="tertiary",
                on_click=search_like,
                args=(shelved, case_id),
            )
