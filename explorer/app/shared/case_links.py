"""A case's film and id as links to the case; links of the app itself, which keep the session and its uploaded film."""

from __future__ import annotations

import streamlit as st

from explorer.app.library import Shelved
from explorer.app.links import link
from explorer.app.shared.draw import draw_html
from explorer.app.shared.markup import film_html, plain_markdown


def film_link(
    shelved: Shelved, case_id: str, place: str, *, alt: str = "", width: int | None = None, film: int = 0
) -> None:
    """Draw a small film of a case; the whole of it leads to that film of the case.

    Args:
        shelved: The casebook the case is of.
        case_id: The case.
        place: Tells the films of one page apart.
        alt: What the film shows, for those who cannot see it.
        width: In pixels; None: that of its place.
        film: Which of its films; 0: the primary one.
    """
    casebook = shelved.casebook
    # assets/style.css lays the link over the film.
    with st.container(key=f"cxr-film-link-{place}", width=width or "stretch", gap=None):
        case = casebook.case(case_id)
        small = casebook.case_films.small_copy(case_id, case.films[film].reference) if case.films else None
        draw_html(film_html(small, alt or f"Chest film of case {case_id}", synthetic=case.synthetic))
        shown = {"shown": str(film + 1)} if film else {}
        link(shelved, "case", plain_markdown(f"Film of {case_id}: open the case"), icon="", case=case_id, **shown)


def name_link(shelved: Shelved, case_id: str, place: str) -> None:
    """Draw the id of a case, which leads to it. `place` tells the ids of one page apart."""
    with st.container(key=f"cxr-name-link-{place}", width="content", gap=None):
        link(shelved, "case", plain_markdown(case_id), icon="", case=case_id)
