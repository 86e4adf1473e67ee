"""The map of a casebook: every case a point, films on hover, the current query among its neighbours."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from explorer.casebook import Casebook
from explorer.figures import MAIN_FINDING, MapPoints, MapQuery, colour_fields, map_points, place_query
from explorer.widgets.filter_panel import field_words
from explorer.widgets.library import Shelved
from explorer.widgets.markup import data_url, label_words, person_words, plain_markdown, space_title, space_words
from explorer.widgets.session import last_outcome, query_in_words
from explorer.widgets.shell import link_parameters, page_of, telling_errors
from index_builder.casebook import Space

_HERE = Path(__file__).parent
_MAP = st.components.v2.component(
    "cxr_map",
    html=(_HERE / "map.html").read_text("utf-8"),
    css=(_HERE / "map.css").read_text("utf-8"),
    js=(_HERE / "map.js").read_text("utf-8"),
)
#: Points around the pointer whose films are sent along, so that the next hover need not wait.
_AROUND = 12
_TABLE_ROWS = 2_000


def map_page(shelved: Shelved) -> None:
    """Draw the map page."""
    casebook = shelved.casebook
    outcome = last_outcome(shelved)
    spaces = list(casebook.spaces)
    if "text" not in spaces:
        spaces = [space for space in spaces if space == "image"] or spaces
    preferred = outcome.result.space if outcome is not None and outcome.result.space in spaces else spaces[0]
    fields = colour_fields(casebook)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="cxr-map-controls"):
        colour = (
            st.selectbox(
                "Colour by",
                fields,
                format_func=_field_title,
                key=f"map-colour-{shelved.name}",
                persist_state="session",
                width=260,
            )
            if fields
            else "split"
        )
        space: Space = preferred
        if len(spaces) > 1:
            key = f"map-space-{shelved.name}-{'-' if outcome is None else outcome.result.space}"
            space = (
                st.segmented_control(
                    "Map of",
                    spaces,
                    default=preferred,
                    required=True,
                    format_func=lambda name: space_title(name, casebook.manifest.system.reads),
                    key=key,
                )
                or preferred
            )
    points = map_points(casebook, space, colour)
    query = None if outcome is None else place_query(casebook, points, outcome.query, outcome.result)
    sought = _sought(shelved, points)
    _map_fragment(shelved, space, colour, points, query, sought)
    _caption(shelved, space, points, query)
    _table(shelved, points)


def _sought(shelved: Shelved, points: MapPoints) -> int | None:
    """The point of the case the address names, if it has one on this map."""
    asked = st.query_params.get("case")
    if asked is None:
        return None
    if asked not in shelved.casebook:
        st.warning(f"Casebook {shelved.name} has no case “{plain_markdown(asked[:120])}”.", icon=":material/link_off:")
        return None
    found = np.flatnonzero(points.rows == shelved.casebook.row(asked))
    if len(found) == 0:
        st.info(f"Case {plain_markdown(asked)} has no place on this map; try another.", icon=":material/bubble_chart:")
        return None
    return int(found[0])


@st.fragment
def _map_fragment(
    shelved: Shelved, space: Space, colour: str, points: MapPoints, query: MapQuery | None, sought: int | None
) -> None:
    with telling_errors():
        key = f"map-{shelved.name}-{space}"
        state: Any = st.session_state.get(key)
        hovered = state.get("hover") if state is not None else None
        picked = set() if query is None else {number for number, _ in query.neighbours}
        if sought is not None:
            picked.add(sought)
        if isinstance(hovered, int) and 0 <= hovered < len(points.rows):
            distance = ((points.positions - points.positions[hovered]) ** 2).sum(1)
            picked |= set(np.argsort(distance, kind="stable")[:_AROUND].tolist())
        positions, categories = points.positions.tobytes(), points.categories.tobytes()
        identity = f"{shelved.name}{shelved.stamp}{space}"
        data = {
            "map": identity,
            "key": hashlib.sha256(identity.encode() + colour.encode() + categories).hexdigest(),
            "positions": base64.b64encode(positions).decode("ascii"),
            "categories": base64.b64encode(categories).decode("ascii"),
            "legend": [
                {"name": entry.name, "light": entry.light, "dark": entry.dark, "count": entry.count}
                for entry in points.legend
            ],
            "cards": {str(number): _card(shelved.casebook, int(points.rows[number])) for number in sorted(picked)},
            "query": None
            if query is None
            else {"position": list(query.position), "neighbours": [list(pair) for pair in query.neighbours]},
            "sought": sought,
            "label": f"Map of {len(points.rows)} cases. Arrow keys go from case to case, Enter opens one.",
        }
        result = _MAP(data=data, key=key, on_hover_change=lambda: None, on_open_change=lambda: None)
        opened = result.open
    if isinstance(opened, int) and 0 <= opened < len(points.rows):
        case_id = shelved.casebook.case_ids[int(points.rows[opened])]
        st.switch_page(page_of("case"), query_params=link_parameters(shelved, case_id))


def _card(casebook: Casebook, row: int) -> dict[str, Any]:
    case = casebook.case(casebook.case_ids[row])
    thumbnail = casebook.thumbnail(case.case_id)
    facts = " · ".join(part for part in (f"{case.view} view" if case.view else "", person_words(case.profile)) if part)
    labels = ", ".join(label_words(label) for label in case.labels) or "no finding labelled"
    lines = [labels, facts, f"{case.split} split"]
    if thumbnail is None:
        report = " ".join(case.report.split())
        lines.insert(0, report[:140] + (" …" if len(report) > 140 else ""))
    return {
        "title": case.case_id,
        "lines": [line for line in lines if line],
        "image": None if thumbnail is None else data_url(thumbnail),
        "synthetic": case.synthetic and thumbnail is not None,
    }


def _caption(shelved: Shelved, space: Space, points: MapPoints, query: MapQuery | None) -> None:
    method = "UMAP" if points.method == "umap" else "the plane of largest variance"
    words = space_words(space, shelved.casebook.manifest.system.reads)
    # A casebook of films alone has one map under two names.
    st.caption(
        f"{len(points.rows):,} cases laid out by {method} of their {words} vectors. Near means alike; far "
        "apart on the map says little. Rest on a point to see its film, click to open the case, press a colour below "
        "the map to hide it."
    )
    outcome = last_outcome(shelved)
    if outcome is None:
        st.caption("Search first, and your query is shown here among its neighbours.")
        return
    words = plain_markdown(query_in_words(outcome.query))
    if query is None:
        st.caption(f"Neither {words} nor its neighbours have a place on this map.")
    elif query.exact:
        st.caption(f"★ {words}, at its own place; the numbers are its neighbours by rank.")
    else:
        st.caption(
            f"★ {words}, placed at the mean of its {len(query.neighbours)} neighbours' positions, the more similar "
            "counting more; the numbers are the neighbours by rank. They were found by full vectors, not on the map."
        )


def _table(shelved: Shelved, points: MapPoints) -> None:
    casebook = shelved.casebook
    with st.expander("The same cases as a table", icon=":material/table_rows:"):
        rows = points.rows[:_TABLE_ROWS]
        ids = [casebook.case_ids[row] for row in rows]
        table = pd.DataFrame(
            {
                "Case": ids,
                "Findings": [", ".join(label_words(label) for label in casebook.labels[row]) for row in rows],
                "View": casebook.column("view")[rows],
                "Split": casebook.column("split")[rows],
            }
        )
        chosen = st.dataframe(
            table, hide_index=True, on_select="rerun", selection_mode="single-row", key=f"map-table-{shelved.name}"
        )
        if len(points.rows) > _TABLE_ROWS:
            st.caption(f"The first {_TABLE_ROWS:,} of {len(points.rows):,} cases.")
    selected = chosen["selection"]["rows"]
    if selected:
        st.switch_page(page_of("case"), query_params=link_parameters(shelved, ids[selected[0]]))


def _field_title(field: str) -> str:
    if field == MAIN_FINDING:
        return "Main finding"
    return f"Finding: {label_words(field.removeprefix('label:'))}" if field.startswith("label:") else field_words(field)
