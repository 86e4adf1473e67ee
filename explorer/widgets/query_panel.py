"""What to search with and how: film, text or profile, examples, filters, options."""

from __future__ import annotations

from html import escape

import streamlit as st

from explorer.casebook import LABEL_OVERLAP
from explorer.filters import Filter
from explorer.search import SearchOptions
from explorer.widgets.examples import example_films, example_profiles, example_texts
from explorer.widgets.filter_panel import filter_panel
from explorer.widgets.library import Shelved, reads_profiles, text_vectors_exist
from explorer.widgets.markup import chips_html, film_html, label_words, plain_markdown, space_title
from explorer.widgets.profile_form import profile_form
from explorer.widgets.session import (
    TEXT_KEY,
    WEIGHT_KEY,
    clear_query,
    current_query,
    liked_case,
    query_film,
    remove_film,
    search_like,
    search_profile,
    search_text,
    stage_film,
    text_changed,
    typed_text,
)
from explorer.widgets.shell import settings
from index_builder.casebook import SPACES, Space
from index_builder.systems.profile import profile_sentence


def query_panel(shelved: Shelved) -> SearchOptions:
    """Draw the query side of the search page and give the options chosen; the query itself is the session's."""
    with st.container(key="cxr-query", gap="small"):
        _like(shelved)
        _film()
        if reads_profiles(shelved.casebook):
            profile_form(shelved)
        else:
            _text(shelved)
        query = current_query(shelved)
        if query is not None and query.pixels is not None and (query.text or query.profile):
            st.slider(
                f"Weight of the film against the {'profile' if query.profile else 'text'}",
                0.0,
                1.0,
                0.5,
                0.05,
                key=WEIGHT_KEY,
                persist_state="session",
                help="0 leaves the film out, 1 searches with the film alone.",
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
    _examples(shelved)
    filters = filter_panel(shelved)
    return _options(shelved, filters)


def _like(shelved: Shelved) -> None:
    case_id = liked_case(shelved)
    if case_id is None:
        return
    casebook = shelved.casebook
    case = casebook.case(case_id)
    st.html(
        '<div class="cxr-like">'
        f"{film_html(casebook.thumbnail(case_id), f'Chest film of case {case_id}', synthetic=case.synthetic)}"
        f'<div><span class="cxr-muted">Searching with case</span><strong>{escape(case_id)}</strong>'
        f"{chips_html((), case.labels)}</div></div>"
    )


def _film() -> None:
    film = query_film()
    if film is not None:
        notes = "".join(f"<li>{escape(note)}</li>" for note in film.notes)
        view = f", {escape(film.view)} view" if film.view else ""
        st.html(
            '<div class="cxr-like">'
            f"{film_html(film.preview, 'The film you search with, as the app sees it')}"
            f'<div><span class="cxr-muted">Your film, as the app sees it</span>'
            f"<span><strong>{escape(film.source_format.upper())}</strong>{view}, "
            f"{film.pixels.shape[1]} × {film.pixels.shape[0]} pixels</span>"
            f"{f'<ul class=cxr-notes>{notes}</ul>' if notes else ''}</div></div>"
        )
        if film.text_seen:
            st.warning(
                "There seems to be text in this picture, perhaps a name. Nothing of it is stored, but a picture you "
                "save or show has it too.",
                icon=":material/badge:",
            )
        st.button("Remove film", icon=":material/close:", key="remove-film", type="tertiary", on_click=remove_film)
        return
    limit = settings().upload_mib
    turn = int(st.session_state.get("upload_turn", 0))
    uploaded = st.file_uploader(
        "Chest film",
        key=f"upload-{turn}",
        max_upload_size=limit,
        help=f"DICOM, PNG or JPEG, up to {limit} MB; the content decides, not the file's ending. "
        "The film stays in the memory of this session: it is not stored, and its name and header are dropped.",
    )
    if uploaded is not None:
        with st.spinner("Reading the film …"):
            stage_film(uploaded.getvalue(), settings())
        # A new key makes a new, empty field, and Streamlit lets go of the uploaded bytes.
        st.session_state["upload_turn"] = turn + 1
        st.rerun()
    if message := st.session_state.get("film_error"):
        st.error(f"This film could not be read: {plain_markdown(message)}", icon=":material/broken_image:")


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
    if typed_text() and not text_vectors_exist(shelved.casebook):
        st.caption("This casebook has films only: the text is compared with what is seen on them.")


def _examples(shelved: Shelved) -> None:
    casebook = shelved.casebook
    with st.expander(
        "Examples",
        icon=":material/lightbulb:",
        expanded=current_query(shelved) is None,
        key="examples-open" if current_query(shelved) is None else "examples",
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
                labels = [label_words(label) for label in casebook.labels[casebook.row(case_id)]]
                with st.container(gap="xsmall"):
                    st.html(
                        film_html(
                            casebook.thumbnail(case_id),
                            f"Example film: {', '.join(labels) or 'no finding labelled'}",
                            synthetic=casebook.case(case_id).synthetic,
                        )
                    )
                    st.button(
                        "Use",
                        key=f"example-film-{case_id}",
                        help=plain_markdown(f"Search with this case: {', '.join(labels) or 'no finding labelled'}"),
                        on_click=search_like,
                        args=(shelved, case_id),
                        width="stretch",
                    )


def _options(shelved: Shelved, filters: tuple[Filter, ...]) -> SearchOptions:
    casebook = shelved.casebook
    reads = casebook.manifest.system.reads
    held: tuple[Space, ...] = tuple(space for space in SPACES if space in casebook.spaces)
    with st.expander("Options", icon=":material/tune:", key="options"):
        k = st.slider("Neighbours", 1, 50, 5, key="k", persist_state="session")
        space = "auto"
        if len(held) > 1:
            space = (
                st.segmented_control(
                    "Compare",
                    ["auto", *held],
                    default="auto",
                    required=True,
                    format_func=lambda name: "Auto" if name == "auto" else space_title(name, reads),
                    key=f"space-{shelved.name}",
                    persist_state="session",
                    help=f"Auto compares films with films, {reads}s with {reads}s, and both with both.",
                )
                or "auto"
            )
        rerank = st.slider(
            "Reorder by shared findings",
            0.0,
            1.0,
            0.0,
            0.1,
            key="rerank",
            persist_state="session",
            help="0 orders by similarity alone, 1 "
            + (
                "by overlap of findings alone."
                if casebook.ranking is LABEL_OVERLAP
                else "as the system learnt to mix similarity, shared findings and findings that go together."
            ),
        )
        one_per_patient = st.toggle("One case per patient", key="one_per_patient", persist_state="session")
        hide_duplicates = st.toggle("Hide copies", key="hide_duplicates", persist_state="session")
    chosen: Space | None = None if space == "auto" else space  # type: ignore[assignment]  # one of `held`
    return SearchOptions(int(k), chosen, filters, float(rerank), one_per_patient, hide_duplicates)
