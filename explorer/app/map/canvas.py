"""The canvas that maps are drawn on: what is sent to it, and what it tells."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from explorer.app.library import Shelved
from explorer.app.links import go
from explorer.app.shared.errors import telling_errors
from explorer.app.shared.markup import case_words, data_url, person_words
from explorer.casebook import Casebook
from explorer.charts.palette import ABSENT, REST
from explorer.maps.points import MapPoints, PlacedQuery

_HERE = Path(__file__).parent
_SCRIPTS = ("raster.js", "camera.js", "panel.js", "map.js")
_BYTES = st.components.v2.component("cxr_map_bytes", html="<span></span>", js=(_HERE / "bytes.js").read_text("utf-8"))
_MAP = st.components.v2.component(
    "cxr_map",
    html=(_HERE / "map.html").read_text("utf-8"),
    css=(_HERE / "map.css").read_text("utf-8"),
    js="\n".join((_HERE / name).read_text("utf-8") for name in _SCRIPTS),
)
#: Characters of the digest that names an array; bytes.js knows it too.
_NAME = 32
#: Points around the pointer whose films are sent along, so that the next hover need not wait.
_AROUND = 12


@dataclass(frozen=True, slots=True)
class Drawn:
    """Maps that are on the page.

    Attributes:
        key: Key of the canvas in the session.
        points: The cases.
        titles: Titles of each map; empty where there is one.
        labels: Labels of each map, for screen readers.
        colour: The field that colours them.
        shapes: What each shape stands for, and the shape of each case of the casebook, [N] uint8; None: all are discs.
        queries: The session's query on each map, where it has a place.
        neighbours: (row, rank) of the query's neighbours.
        sought: Row of the case that the page was opened for.
    """

    key: str
    points: MapPoints
    titles: tuple[str, ...]
    labels: tuple[str, ...]
    colour: str
    shapes: tuple[tuple[str, ...], NDArray[np.uint8]] | None
    queries: tuple[PlacedQuery | None, ...]
    neighbours: tuple[tuple[int, int], ...]
    sought: int | None


def chosen_rows(shelved: Shelved) -> NDArray[np.int64]:
    """Rows of the cases chosen on the casebook's map, in order; empty where none are."""
    return st.session_state.get(_chosen_key(shelved), np.empty(0, np.int64))


def map_canvas(shelved: Shelved, drawn: Drawn) -> None:
    """Draw maps. Places and categories go out once; hovering sends no more than films."""
    points = drawn.points
    with st.container(gap=None, key="cxr-map-arrays"):
        places = tuple(_send(f"{drawn.key}-{number}", found) for number, found in enumerate(points.positions))
        forms = np.zeros_like(points.categories) if drawn.shapes is None else drawn.shapes[1][points.rows]
        marks = _send(f"{drawn.key}-marks", np.concatenate([points.categories, forms]))
    st.session_state[_rows_key(shelved)] = points.rows
    _canvas(shelved, drawn, places, marks)


@st.fragment
def _canvas(shelved: Shelved, drawn: Drawn, places: tuple[str, ...], marks: str) -> None:
    points = drawn.points
    with telling_errors():
        state: Any = st.session_state.get(drawn.key)
        hovered = state.get("hover") if state is not None else None
        rows = chosen_rows(shelved)
        chosen = np.isin(points.rows, rows) if len(rows) else None
        neighbours = [
            [int(found), rank] for row, rank in drawn.neighbours if (found := _index(points.rows, row)) is not None
        ]
        sought = None if drawn.sought is None else _index(points.rows, drawn.sought)
        data = {
            "map": f"{drawn.key} {shelved.stamp} {points.rows[:1]} {len(points.rows)} {len(places)}",
            "colour": drawn.colour,
            "marks": marks,
            "panels": [
                {
                    "positions": name,
                    "dims": int(found.shape[1]),
                    "title": title,
                    "label": label,
                    "query": None
                    if query is None
                    else {"position": [float(value) for value in query.position], "neighbours": neighbours},
                }
                for name, found, title, label, query in zip(
                    places, points.positions, drawn.titles, drawn.labels, drawn.queries, strict=True
                )
            ],
            "legend": [
                {
                    "name": entry.name,
                    "light": entry.light,
                    "dark": entry.dark,
                    "count": entry.count,
                    "quiet": (entry.light, entry.dark) in (ABSENT, REST),
                }
                for entry in points.legend
            ],
            "shapes": [] if drawn.shapes is None else list(drawn.shapes[0]),
            "selected": None if chosen is None else _bits(chosen),
            "cards": {
                str(number): _card(shelved.casebook, int(points.rows[number]))
                for number in sorted(_wanted(points, hovered, neighbours, sought))
            },
            "sought": sought,
        }
        result = _MAP(
            data=data,
            key=drawn.key,
            on_hover_change=lambda: None,
            on_open_change=lambda: None,
            on_selection_change=lambda: _keep_selection(shelved, drawn.key),
        )
        opened = result.open
    if st.session_state.pop(_changed_key(shelved), False):
        st.rerun()
    if isinstance(opened, int) and 0 <= opened < len(points.rows):
        case_id = shelved.casebook.case_ids[int(points.rows[opened])]
        go(shelved, "case", case=case_id)


def _keep_selection(shelved: Shelved, key: str) -> None:
    """Remember the chosen cases by row, which other maps of the casebook know too."""
    state: Any = st.session_state[key]
    rows = st.session_state[_rows_key(shelved)]
    packed = base64.b64decode(state["selection"]["bits"])
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))[: len(rows)].astype(bool)
    st.session_state[_chosen_key(shelved)] = rows[: len(bits)][bits]
    st.session_state[_changed_key(shelved)] = True


def _send(key: str, array: np.ndarray) -> str:
    """Lay an array out for the canvas under a name that changes with its content; gives the name."""
    content = array.tobytes()
    name = hashlib.sha256(content).hexdigest()[:_NAME]
    _BYTES(data=name.encode("ascii") + content, key=f"{key}-array", height=1)
    return name


def _wanted(points: MapPoints, hovered: object, neighbours: list[list[int]], sought: int | None) -> set[int]:
    """Points whose films are sent: around the pointer, the query's neighbours, the case sought."""
    wanted = {number for number, _ in neighbours}
    if sought is not None:
        wanted.add(sought)
    if isinstance(hovered, int) and 0 <= hovered < len(points.rows):
        for places in points.positions:
            distance = ((places - places[hovered]) ** 2).sum(1)
            count = min(_AROUND, len(distance))
            wanted |= set(np.argpartition(distance, count - 1)[:count].tolist())
    return wanted


def _card(casebook: Casebook, row: int) -> dict[str, Any]:
    case = casebook.case(casebook.case_ids[row])
    thumbnail = casebook.thumbnail(case.case_id)
    facts = " · ".join(part for part in (f"{case.view} view" if case.view else "", person_words(case.profile)) if part)
    lines = [case_words(case.labels, case.unknown), facts, f"{case.split} split"]
    if thumbnail is None:
        report = " ".join(case.report.split())
        lines.insert(0, report[:140] + (" …" if len(report) > 140 else ""))
    return {
        "title": case.case_id,
        "lines": [line for line in lines if line],
        "image": None if thumbnail is None else data_url(thumbnail),
        "synthetic": case.synthetic and thumbnail is not None,
    }


def _index(rows: NDArray[np.int64], row: int) -> int | None:
    """Where a row stands among sorted rows."""
    found = int(np.searchsorted(rows, row))
    return found if found < len(rows) and rows[found] == row else None


def _bits(chosen: NDArray[np.bool_]) -> str:
    return base64.b64encode(np.packbits(chosen).tobytes()).decode("ascii")


def _chosen_key(shelved: Shelved) -> str:
    return f"map-chosen:{shelved.name}:{shelved.stamp}"


def _rows_key(shelved: Shelved) -> str:
    return f"map-rows:{shelved.name}"


def _changed_key(shelved: Shelved) -> str:
    return f"map-changed:{shelved.name}"
