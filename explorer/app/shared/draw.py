"""HTML on the page, where there is any."""

from __future__ import annotations

from typing import Literal

import streamlit as st


def draw_html(*parts: str, width: Literal["stretch", "content"] = "stretch") -> None:
    """Draw HTML, and nothing at all where every part is empty; `st.html` refuses an empty text.

    Args:
        parts: Drawn one after the other, as one element.
        width: Width of the element: that of its place, or no wider than what it holds.
    """
    body = "".join(parts)
    if body:
        st.html(body, width=width)
