"""The film viewer: zoom, move, window and level, invert, in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from explorer.app.shared.markup import data_url
from explorer.cases.anatomy import LINES
from index_builder.anatomy import Structure

_HERE = Path(__file__).parent
_VIEWER = st.components.v2.component(
    "cxr_viewer",
    html=(_HERE / "viewer.html").read_text("utf-8"),
    css=(_HERE / "viewer.css").read_text("utf-8"),
    js=(_HERE / "viewer.js").read_text("utf-8"),
)


def film_viewer(
    image: bytes, *, alt: str, synthetic: bool, key: str, lines: Mapping[Structure, NDArray[np.float32]] | None = None
) -> None:
    """Draw a film to look at closely.

    Args:
        image: Grey PNG or JPEG.
        alt: What it shows, for those who cannot see it.
        synthetic: Mark it as drawn.
        key: Key of the widget.
        lines: Outlines to draw over it, of `FilmAnatomy.lines`.
    """
    drawn = [
        {"name": name, "points": np.round(line, 4).tolist(), "colour": LINES[name][0], "broken": LINES[name][1]}
        for name, line in (lines or {}).items()
    ]
    _VIEWER(data={"image": data_url(image), "alt": alt, "synthetic": synthetic, "lines": drawn}, key=key)
