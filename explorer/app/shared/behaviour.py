"""What the browser does by itself: where a page stands after a jump, and Enter in the search box."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_BEHAVIOUR = st.components.v2.component(
    "cxr_behaviour", html="<span></span>", js=Path(__file__).with_name("behaviour.js").read_text("utf-8")
)


def page_behaviour(subject: str) -> None:
    """Have the browser begin at the top of a page about something else, and go back to where a reader was.

    Args:
        subject: What the page is about; a page about another subject begins at its top.
    """
    _BEHAVIOUR(data={"subject": subject}, key="cxr-behaviour")
