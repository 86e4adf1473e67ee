"""The film viewer: zoom, move, window and level, invert, in the browser."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from explorer.widgets.markup import data_url

_HERE = Path(__file__).parent
_VIEWER = st.components.v2.component(
    "cxr_viewer",
    html=(_HERE / "viewer.html").read_text("utf-8"),
    css=(_HERE / "viewer.css").read_text("utf-8"),
    js=(_HERE / "viewer.js").read_text("utf-8"),
)


def film_viewer(image: bytes, *, alt: str, synthetic: bool, key: str) -> None:
    """Draw a film to look at closely.

    Args:
        image: Grey PNG or JPEG.
        alt: What it shows, for those who cannot see it.
        synthetic: Mark it as drawn.
        key: Of the widget.
    """
    _VIEWER(data={"image": data_url(image), "alt": alt, "synthetic": synthetic}, key=key)
