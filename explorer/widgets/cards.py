"""The card of a neighbour, the same on the search and the case page."""

from __future__ import annotations

from html import escape

import streamlit as st

from explorer.search import Neighbour
from explorer.widgets.library import Shelved, text_vectors_exist
from explorer.widgets.markup import (
    chips_html,
    closeness_words,
    excerpt_html,
    film_html,
    person_words,
    space_words,
)
from explorer.widgets.session import search_like
from explorer.widgets.shell import EXPLAIN_ICON, link_parameters, page_of


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
    facts = [f"{neighbour.view} view" if neighbour.view else "", person_words(case.profile), f"{neighbour.split} split"]
    alt = f"Chest film of case {neighbour.case_id}" + (f", {neighbour.view} view" if neighbour.view else "")
    weak = " cxr-weak" if closeness_words(neighbour.closeness) == "no close match" else ""
    # Phrases are marked in the text they were found in.
    read, other = (neighbour.profile, neighbour.report) if neighbour.profile else (neighbour.report, "")
    excerpts = [excerpt_html(read, neighbour.shared_phrases), excerpt_html(other, ())]
    texts = "".join(f'<p class="cxr-excerpt">{excerpt}</p>' for excerpt in excerpts if excerpt)
    reads = shelved.casebook.manifest.system.reads
    # The searched space's own similarity is the score; a joint vector of a film alone is the film's.
    # Where no case has a report, a joint vector is the film's over again under a name that promises more.
    shown = shelved.casebook.spaces if text_vectors_exist(shelved.casebook) else ("image",)
    parts = [
        f"{space_words(name, reads)} {value:.2f}"
        for name, value in neighbour.similarity.items()
        if name != space and name in shown and abs(value - neighbour.score) > 0.0005
    ]
    by_modality = f'<span class="cxr-muted"> · {escape(" · ".join(parts))}</span>' if parts else ""
    with (
        st.container(key=f"cxr-card-{place}-{neighbour.rank}", border=True),
        st.container(horizontal=True, wrap=False, gap="small"),
    ):
        with st.container(key=f"cxr-thumb-{place}-{neighbour.rank}", width=148):
            st.html(film_html(shelved.casebook.thumbnail(neighbour.case_id), alt, synthetic=neighbour.synthetic))
        with st.container(gap="xsmall"):
            st.html(
                f'<article class="cxr-card" aria-label="Neighbour {neighbour.rank}: case {escape(neighbour.case_id)}">'
                f'<div class="cxr-card-head"><span class="cxr-rank">{neighbour.rank}</span>'
                f'<span class="cxr-case-id">{escape(neighbour.case_id)}</span>'
                f'<span class="cxr-muted">{escape(" · ".join(fact for fact in facts if fact))}</span></div>'
                f'<div class="cxr-score{weak}"><span class="cxr-score-value" title="Cosine similarity">'
                f"{neighbour.score:.2f}</span> {escape(closeness_words(neighbour.closeness))}{by_modality}</div>"
                f"{chips_html(neighbour.shared_labels, neighbour.other_labels)}{texts}</article>"
            )
            _actions(shelved, neighbour.case_id, f"{place}-{neighbour.rank}", compared)


def _actions(shelved: Shelved, case_id: str, place: str, compared: str | None) -> None:
    with st.container(key=f"cxr-actions-{place}", horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link(
            page_of("case"),
            label="Open case",
            icon=":material/open_in_full:",
            query_params=link_parameters(shelved, case_id),
        )
        st.page_link(
            page_of("explain"),
            label="Explain",
            icon=EXPLAIN_ICON,
            query_params=link_parameters(shelved, compared, **{"with": case_id}),
            help="Which regions and words make it similar",
        )
        if st.button(
            "More like this",
            key=f"like-{place}-{case_id}",
            icon=":material/manage_search:",
            type="tertiary",
            on_click=search_like,
            args=(shelved, case_id),
        ):
            st.switch_page(page_of("search"), query_params=link_parameters(shelved))
