"""The button that copies the address of the page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_BUTTON = st.components.v2.component(
    "cxr_copy_link",
    html='<button type="button">Copy link</button><span role="status"></span>',
    css=(_HERE / "copy_link.css").read_text("utf-8"),
    js=(_HERE / "copy_link.js").read_text("utf-8"),
)


def copy_link(left_out: str | None) -> None:
    """Draw the button.

    Args:
        left_out: What of the page a link cannot carry, in words.
    """
    with st.container(key="cxr-copy-link", horizontal=True, vertical_alignment="center", gap="small"):
        _BUTTON(data={}, key="copy-link")
        if left_out is not None:
            st.caption(f"The link does not include {left_out}: whoever opens it must add it again.")
