"""A patient profile to search with, as a form made of the casebook's own profile fields."""

from __future__ import annotations

from html import escape

import streamlit as st

from explorer.app.library import Shelved
from explorer.app.session import UNKNOWN, given_profile, profile_changed, profile_key
from explorer.app.shared.filter_panel import field_words
from explorer.app.shared.markup import plain_markdown
from explorer.cases.profile_fields import ProfileField
from index_builder.cases.profile import profile_sentence


def profile_form(shelved: Shelved) -> None:
    """Draw the form and, beneath it, the sentence that will be searched; the profile itself is the session's."""
    fields = shelved.casebook.searched_fields
    st.caption("Patient profile: leave out what is not known")
    entered = [field for field in fields if field.kind != "flag"]
    for first in range(0, len(entered), 2):
        for column, field in zip(st.columns(2, gap="small"), entered[first : first + 2], strict=False):
            with column:
                _entry(shelved, field)
    with st.container(horizontal=True, gap="small"):
        for field in fields:
            if field.kind == "flag":
                key = profile_key(shelved, field.name)
                st.session_state.setdefault(key, UNKNOWN)
                st.segmented_control(
                    plain_markdown(field_words(field.name)),
                    [UNKNOWN, "no", "yes"],
                    required=True,
                    key=key,
                    on_change=profile_changed,
                    persist_state="session",
                )
    if sentence := profile_sentence(given_profile(shelved)):
        st.html(f'<p class="cxr-sentence"><span class="cxr-muted">Searched as</span> {escape(sentence)}</p>')


def _entry(shelved: Shelved, field: ProfileField) -> None:
    title, key = plain_markdown(field_words(field.name)), profile_key(shelved, field.name)
    if field.kind == "number":
        st.number_input(
            title,
            value=None,
            step=1 if field.whole else None,
            placeholder=UNKNOWN,
            key=key,
            on_change=profile_changed,
            persist_state="session",
        )
    elif field.kind == "choice":
        st.selectbox(
            title,
            field.values,
            index=None,
            placeholder=UNKNOWN,
            key=key,
            on_change=profile_changed,
            persist_state="session",
        )
    else:
        st.text_input(
            title, placeholder=UNKNOWN, key=key, on_change=profile_changed, persist_state="session", max_chars=200
        )
