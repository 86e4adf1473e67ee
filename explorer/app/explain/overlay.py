"""Maps over films in the browser: original beside overlay, opacity and threshold without a round trip."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from explorer.app.shared.markup import data_url
from explorer.explanation.overlay import Scale, colour_table
from explorer.explanation.picture import Panel

_HERE = Path(__file__).parent
_OVERLAY = st.components.v2.component(
    "cxr_overlay",
    html=(_HERE / "overlay.html").read_text("utf-8"),
    css=(_HERE / "overlay.css").read_text("utf-8"),
    js=(_HERE / "overlay.js").read_text("utf-8"),
)
_HINT = "Point at a film to read the map there; the ring marks the same place on both."


@dataclass(frozen=True, slots=True)
class View:
    """How a map is laid over its film, each 0..1."""

    opacity: float = 0.8
    threshold: float = 0.15


def film_overlay(panels: Sequence[Panel], scale: Scale, *, laid: str, unit: str, key: str) -> View:
    """Draw films beside their overlays, on one scale; gives what the sliders say once they are let go.

    Args:
        panels: Films with their maps.
        scale: Scale of all of them.
        laid: What the map shows, over each overlay.
        unit: What a value of the map is.
        key: Key of the widget.
    """
    state: Any = st.session_state.get(key)
    view = _view(None if state is None else state.get("view"))
    shown = [_panel(panel, scale, laid) for panel in panels]
    content = {
        "panels": shown,
        "signed": scale.signed,
        "limit": scale.limit,
        "ticks": [list(tick) for tick in scale.ticks()],
        "table": base64.b64encode(colour_table(scale.signed).tobytes()).decode("ascii"),
        "unit": unit,
        "hint": _HINT,
    }
    identity = hashlib.sha256(repr(content).encode()).hexdigest()
    _OVERLAY(
        data=content | {"key": identity, "opacity": view.opacity, "threshold": view.threshold},
        key=key,
        on_view_change=lambda: None,
    )
    return view


def _view(state: Any) -> View:
    """What the browser says, as far as it makes sense."""
    try:
        opacity, threshold = float(state["opacity"]), float(state["threshold"])
    except (TypeError, KeyError, ValueError):
        return View()
    return View(min(1.0, max(0.0, opacity)), min(1.0, max(0.0, threshold)))


def _panel(panel: Panel, scale: Scale, laid: str) -> dict[str, Any]:
    rows, columns = panel.film_map.shape
    top, left, bottom, right = panel.film_map.box
    shares = scale.shares(panel.film_map.values)
    levels = np.rint(shares * 127 + 128 if scale.signed else shares * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(panel.grey).save(buffer, "PNG", compress_level=4)
    return {
        "title": panel.title,
        "laid": laid,
        "alt": panel.title,
        "film": data_url(buffer.getvalue()),
        "rows": rows,
        "columns": columns,
        "box": [top / rows, left / columns, bottom / rows, right / columns],
        "size": list(levels.shape),
        "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
        "synthetic": panel.synthetic,
    }
