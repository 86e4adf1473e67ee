"""What to search with and how: film, text or profile, examples, filters, options."""

from __future__ import annotations

from html import escape

import streamlit as st

from explorer.app.glossary import term_link
from explorer.app.library import Shelved, reads_profiles, text_vectors_exist
from explorer.app.query_address import (
    MODE_KEY,
    MOST_NEIGHBOURS,
    compared_spaces,
    current_options,
    modes_of,
    space_key,
)
from explorer.app.search.examples import example_films, example_profiles, example_texts
from explorer.app.search.facets import facet_panel, facets_button
from explorer.app.search.profile_form import profile_form
from explorer.app.search.suggestions import suggestions
from explorer.app.session import (
    EXACT_KEY,
    MOST_FILMS,
    TEXT_KEY,
    WEIGHT_KEY,
    QueryFilm,
    clear_query,
    current_query,
    liked_case,
    lost,
    query_films,
    remove_film,
    search_like,
    search_profile,
    search_text,
    stage_film,
    text_changed,
    typed_text,
)
from explorer.app.shared.case_links import film_link, name_link
from explorer.app.shared.draw import draw_html
from explorer.app.shared.film_choice import view_words
from explorer.app.shared.filter_panel import filter_panel
from explorer.app.shared.markup import case_words, chips_html, film_html, plain_markdown, space_title
from explorer.app.shared.viewer import film_viewer
from explorer.app.shell import settings
from explorer.search.query import SearchOptions
from index_builder.cases.profile import profile_sentence
from index_builder.imaging import display_png
from index_builder.reranking.ranking import LABEL_OVERLAP

#: Modes as a reader chooses them.
_MODES = {"hybrid": "Words and meaning", "dense": "Meaning only", "lexical": "Words only"}
#: Of a small film beside its words, in pixels.
_FILM_WIDTH = 132


def query_panel(shelved: Shelved) -> SearchOptions:
    """Draw the query side of the search page and give the options chosen; the query itself is the session's."""
    with st.container(key="cxr-query", gap="small"):
        _like(shelved)
        _films()
        if reads_profiles(shelved.casebook):
            profile_form(shelved)
        else:
            _text(shelved)
        query = current_query(shelved)
        if query is not None and query.pixels is not None and (query.text or query.profile):
            st.slider(
                f"Image/{'profile' if query.profile else 'text'} weight",
                0.0,
                1.0,
                step=0.05,
                key=WEIGHT_KEY,
                persist_state="session",
                help=f"{term_link('Image/text weight', 'Weight')} of the film. "
                "0 leaves the film out, 1 searches with the film alone.",
            )
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button("Search", type="primary", icon=":material/search:", key="search-button")
            if query is not None:
                st.button(
                    "Start over",
                    type="tertiary",
                    icon=":material/restart_alt:",
                    on_click=clear_query,
                    args=(shelved,),
                )
                facets_button()
    _examples(shelved)
    filter_panel(shelved)
    _options(shelved)
    if query is not None:
        facet_panel(shelved)
    return current_options(shelved)


def _like(shelved: Shelved) -> None:
    case_id = liked_case(shelved)
    if case_id is None:
        return
    with st.container(horizontal=True, wrap=False, gap="small", key="cxr-like"):
        film_link(shelved, case_id, "like", width=_FILM_WIDTH)
        with st.container(gap="xsmall"):
            draw_html('<span class="cxr-muted">Searching with case</span>')
            name_link(shelved, case_id, "like")
            case = shelved.casebook.case(case_id)
            draw_html(chips_html((), case.labels, case.unknown))


def _films() -> None:
    films = query_films()
    for number, film in enumerate(films):
        _staged_film(film, number, several=len(films) > 1)
    if not films:
        _uploader("Chest film", "The film")
    elif len(films) < MOST_FILMS:
        with st.expander("Add the other view of this study", icon=":material/add_photo_alternate:", key="second-film"):
            _uploader("Second film", "The frontal and lateral films are searched together. It")
    if (missing := lost()) is not None:
        st.info(
            f"This link was made with a {missing} that links cannot include. Add it again to see the same results.",
            icon=":material/link_off:",
        )
    if message := st.session_state.get("film_error"):
        st.error(f"This film cannot be used: {plain_markdown(message)}", icon=":material/broken_image:")


def _staged_film(film: QueryFilm, number: int, *, several: bool) -> None:
    notes = "".join(f"<li>{escape(note)}</li>" for note in film.notes)
    view = f", {escape(view_words(film.view))} view" if film.view else ""
    name, end = (f"Your film {number + 1}", f"-{number + 1}" if number else "") if several else ("Your film", "")
    alt = f"{f'Film {number + 1}' if several else 'The film'} you search with, as the app sees it"
    st.html(
        '<div class="cxr-like">'
        f"{film_html(film.preview, alt)}"
        f'<div><span class="cxr-muted">{name}, as the app sees it</span>'
        f"<span><strong>{escape(film.source_format.upper())}</strong>{view}, "
        f"{film.pixels.shape[1]} × {film.pixels.shape[0]} pixels</span>"
        f"{f'<ul class=cxr-notes>{notes}</ul>' if notes else ''}</div></div>"
    )
    if film.text_seen:
        st.warning(
            "There seems to be text in this picture, perhaps a name. It is not stored, but a picture that you save or "
            "show contains it.",
            icon=":material/badge:",
        )
    with st.container(horizontal=True, gap="small"):
        if st.button("View film", icon=":material/zoom_in:", key=f"view-film{end}", type="tertiary"):
            _view_film(film)
        st.button(
            "Remove film",
            icon=":material/close:",
            key=f"remove-film{end}",
            type="tertiary",
            on_click=remove_film,
            args=(number,),
        )


def _uploader(label: str, subject: str) -> None:
    limit = settings().upload_mib
    turn = int(st.session_state.get("upload_turn", 0))
    uploaded = st.file_uploader(
        label,
        key=f"upload-{turn}",
        max_upload_size=limit,
        help=f"DICOM, PNG or JPEG, up to {limit} MB; the content decides, not the file extension. "
        f"{subject} stays in the memory of this session: it is not stored, and its name and header are dropped.",
    )
    if uploaded is not None:
        with st.spinner("Reading the film …"):
            stage_film(uploaded.getvalue(), settings())
        # A new key makes a new, empty field, and Streamlit lets go of the uploaded bytes.
        st.session_state["upload_turn"] = turn + 1
        st.rerun()


@st.dialog("The film you search with", width="large")
def _view_film(film: QueryFilm) -> None:
    """The viewer of the Case page over the Search page."""
    film_viewer(
        display_png(film.pixels, settings().display_side),
        alt="The film you search with, to look at closely",
        synthetic=False,
        key="viewer-query",
    )


def _text(shelved: Shelved) -> None:
    st.text_area(
        "Report or description",
        key=TEXT_KEY,
        height=92,
        max_chars=settings().text_characters,
        placeholder="e.g. enlarged heart with small left pleural effusion",
        on_change=text_changed,
        persist_state="session",
    )
    suggestions(shelved)
    if typed_text() and not text_vectors_exist(shelved.casebook):
        st.caption("This casebook has films only: the text is compared with what is seen on them.")


def _examples(shelved: Shelved) -> None:
    casebook, asked = shelved.casebook, current_query(shelved) is not None
    with st.expander(
        "Examples",
        icon=":material/lightbulb:",
        expanded=not asked,
        key="cxr-examples-folded" if asked else "cxr-examples-open",
    ):
        with st.container(key="cxr-examples", horizontal=True, gap="xsmall"):
            if reads_profiles(casebook):
                for number, profile in enumerate(example_profiles(casebook)):
                    said = profile_sentence(profile)
                    st.button(
                        plain_markdown(said),
                        key=f"example-profile-{number}",
                        on_click=search_profile,
                        args=(shelved, profile),
                    )
            else:
                for text in example_texts(casebook):
                    st.button(plain_markdown(text), key=f"example-text-{text}", on_click=search_text, args=(text,))
        films = example_films(casebook)
        if not films:
            return
        with st.container(horizontal=True, gap="xsmall", wrap=False):
            for case_id in films:
                case = casebook.case(case_id)
                with st.container(gap="xsmall"):
                    st.html(
                        film_html(
                            casebook.thumbnail(case_id),
                            f"Example film: {case_words(case.labels, case.unknown)}",
                            synthetic=case.synthetic,
                        )
                    )
                    st.button(
                        "Use",
                        key=f"example-film-{case_id}",
                        help=plain_markdown(f"Search with this case: {case_words(case.labels, case.unknown)}"),
                        on_click=search_like,
                        args=(shelved, case_id),
                        width="stretch",
                    )


def _options(shelved: Shelved) -> None:
    casebook = shelved.casebook
    reads = casebook.manifest.system.reads
    spaces = compared_spaces(shelved)
    with st.expander("Options", icon=":material/tune:", key="options"):
        st.slider("Neighbours", 1, MOST_NEIGHBOURS, key="k", persist_state="session")
        if len(spaces) > 1:
            st.segmented_control(
                "Compare",
                spaces,
                required=True,
                format_func=lambda name: "Auto" if name == "auto" else space_title(name, reads),
                key=space_key(shelved),
                persist_state="session",
                help=f"The {term_link('Space', 'space')} that is searched. "
                f"Auto compares films with films, {reads}s with {reads}s, and both with both.",
            )
        st.slider(
            "Reorder by shared findings",
            0.0,
            1.0,
            step=0.1,
            key="rerank",
            persist_state="session",
            help=f"{term_link('Rerank (reorder by shared findings)', 'Reorders')} the nearest cases. "
            "0 orders by similarity alone, 1 "
            + (
                "by overlap of findings alone."
                if casebook.ranking is LABEL_OVERLAP
                else "as the system learnt to mix similarity, shared findings and findings that go together."
            ),
        )
        if len(modes := modes_of(shelved)) > 1:
            st.segmented_control(
                "Find reports by",
                modes,
                required=True,
                format_func=_MODES.__getitem__,
                key=MODE_KEY,
                persist_state="session",
                help=f"Words and meaning: by the {term_link('Fact', 'findings that reports state')}, by their words, "
                f"and by how near the system places text and case ({term_link('Embedding (vector)', 'vectors')}). "
                "Meaning only: by vectors. Words only: by words. Films are always compared by vectors.",
            )
            st.toggle(
                "Exact words",
                key=EXACT_KEY,
                persist_state="session",
                help="Search for a text as it is typed, without correcting misspelt words.",
            )
        st.toggle("One case per patient", key="one_per_patient", persist_state="session")
        st.toggle("Hide copies", key="hide_duplicates", persist_state="session")
