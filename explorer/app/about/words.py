"""The glossary at the end of the About page: what tooltips link to."""

from __future__ import annotations

from itertools import groupby

import streamlit as st

from explorer.app.glossary import glossary


def draw_glossary() -> None:
    """Draw every term with its explanation, each under the anchor that links name."""
    st.header("Glossary", anchor=False)
    st.caption("The terms that these pages and their downloads use, in plain English.")
    with st.container(key="cxr-glossary", gap="xsmall"):
        for group, terms in groupby(glossary(), lambda term: term.group):
            st.caption(group)
            for term in terms:
                st.subheader(term.title, anchor=term.anchor)
                st.markdown(term.text)
