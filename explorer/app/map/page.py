"""The map page: every case a point, films on hover, the current query among its neighbours, chosen cases below."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import streamlit as st

from explorer.app.library import Shelved
from explorer.app.links import current_address, go
from explorer.app.map.canvas import Drawn, chosen_rows, map_canvas
from explorer.app.map.controls import MAP_WORDS, MapChoice, map_controls
from explorer.app.map.lookups import Panel, agreement, coloured, places, places_beside
from explorer.app.map.selection import selection_panel
from explorer.app.map.trust import kept_words, trust_panel, trust_words
from explorer.app.query_address import session_outcome
from explorer.app.session import Outcome, query_in_words
from explorer.app.shared.draw import draw_html
from explorer.app.shared.markup import case_words, plain_markdown, space_title, space_words, title_html
from explorer.app.shell import settings
from explorer.cases.labelled import labels_of
from explorer.maps.colouring import PREDICTED, Colouring, shapes
from explorer.maps.points import MapPoints, PlacedQuery, map_points, place_query
from explorer.maps.refit import RefittedMap, refit
from index_builder.maps.placing import PLACING_NEIGHBOURS

_TABLE_ROWS = 2_000
#: Above this many cases laying out anew takes longer than anyone waits.
_REFIT_LIMIT = 20_000


def map_page(shelved: Shelved) -> None:
    """Draw the map page."""
    casebook, outcome = shelved.casebook, session_outcome(shelved)
    draw_html(title_html("Map"))
    choice = map_controls(shelved, settings(), None if outcome is None else outcome.result)
    if not choice.among.any():
        st.info("No case meets all filters. Remove one.", icon=":material/filter_alt_off:")
        return
    refitted = _refitted(shelved, choice)
    panels = _panels(shelved, choice, refitted)
    points = map_points([panel.positions for panel in panels], _colours(shelved, choice), choice.among)
    if not len(points.rows):
        st.info("No case has a place on both maps: the two casebooks share none.", icon=":material/compare:")
        return
    queries = tuple(_placed(shelved, panel, points, outcome) for panel in panels)
    found = () if outcome is None else outcome.result.neighbours
    map_canvas(
        shelved,
        Drawn(
            key=_key(shelved, choice, refitted),
            points=points,
            titles=_titles(panels),
            labels=_labels(panels, points),
            colour=choice.colour,
            shapes=None if choice.shape is None else shapes(casebook, choice.shape),
            queries=queries,
            neighbours=tuple((casebook.row(one.case_id), one.rank) for one in found),
            sought=_sought(shelved, points),
        ),
    )
    chosen = chosen_rows(shelved)
    if len(chosen := chosen[np.isin(chosen, points.rows)]):
        selection_panel(shelved, chosen, points.rows, choice.space, choice.name)
    _captions(shelved, choice, panels, points, outcome, queries[0], refitted)
    trust_panel(shelved, choice.space, None if refitted is None else (choice.name, refitted.record))
    _table(shelved, points)


def _panels(shelved: Shelved, choice: MapChoice, refitted: RefittedMap | None) -> list[Panel]:
    own = places(shelved, choice.space, choice.name) if refitted is None else refitted.positions
    panels = [Panel(shelved, choice.space, own)]
    if choice.other is not None:
        panels.append(Panel(*choice.other, places_beside(shelved, *choice.other, choice.name)))
    return panels


def _refitted(shelved: Shelved, choice: MapChoice) -> RefittedMap | None:
    """The map of the filtered cases alone, once it has been asked for."""
    if not choice.filters:
        return None
    count = int(choice.among.sum())
    key = (shelved.stamp, choice.space, choice.name, hashlib.sha256(np.packbits(choice.among).tobytes()).hexdigest())
    kept = st.session_state.get(f"map-refit-{shelved.name}")
    found: RefittedMap | None = kept[1] if kept is not None and kept[0] == key else None
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="cxr-map-refit"):
        st.caption(f"{count:,} of {len(shelved.casebook):,} cases meet the filters.")
        if found is not None:
            if st.button("Back to the map of all cases", icon=":material/undo:", key=f"map-unfit-{shelved.name}"):
                st.session_state.pop(f"map-refit-{shelved.name}")
                st.rerun()
        elif count > _REFIT_LIMIT:
            st.caption(f"More than {_REFIT_LIMIT:,} cases are too many to recompute the map here: build a subset.")
        elif st.button(
            "Recompute the map for these cases", icon=":material/scatter_plot:", key=f"map-refit-{shelved.name}-ask"
        ):
            bar = st.progress(0.0, "Recomputing the map …")

            def advance(done: int, total: int) -> None:
                bar.progress(min(1.0, done / total), "Recomputing the map …")

            found = refit(
                shelved.casebook,
                choice.space,
                choice.name,
                np.flatnonzero(choice.among),
                advance,
            )
            st.session_state[f"map-refit-{shelved.name}"] = (key, found)
            st.rerun()
    return found


def _placed(shelved: Shelved, panel: Panel, points: MapPoints, outcome: Outcome | None) -> PlacedQuery | None:
    """The query on a map. On another casebook's only a case has a place, its own: vectors of two systems differ."""
    if outcome is None:
        return None
    case_id = outcome.query.case_id
    if panel.shelved != shelved and (case_id is None or shelved.casebook.row(case_id) not in points.rows):
        return None
    return place_query(shelved.casebook, panel.space, panel.positions, points.rows, outcome.query, outcome.result)


def _sought(shelved: Shelved, points: MapPoints) -> int | None:
    """Row of the case the address names, if it has a place on this map."""
    asked = current_address().parameter("case")
    if asked is None:
        return None
    if asked not in shelved.casebook:
        st.warning(f"Casebook {shelved.name} has no case “{plain_markdown(asked[:120])}”.", icon=":material/link_off:")
        return None
    row = shelved.casebook.row(asked)
    if row not in points.rows:
        st.info(f"Case {plain_markdown(asked)} has no place on this map; try another.", icon=":material/bubble_chart:")
        return None
    return row


def _key(shelved: Shelved, choice: MapChoice, refitted: RefittedMap | None) -> str:
    """Names the canvas: another map is another canvas, another colour is not."""
    beside = "" if choice.other is None else f"-{choice.other[0].name}-{choice.other[1]}"
    filters = hashlib.sha256(" ".join(map(str, choice.filters)).encode()).hexdigest()[:8] if choice.filters else ""
    return f"map-{shelved.name}-{choice.space}-{choice.name}{beside}{filters}{'-anew' if refitted else ''}"


def _titles(panels: list[Panel]) -> tuple[str, ...]:
    if len(panels) == 1:
        return ("",)
    words = [space_title(panel.space, panel.shelved.casebook.manifest.system.reads) for panel in panels]
    if panels[0].shelved == panels[1].shelved:
        return tuple(words)
    return tuple(f"{panel.shelved.name} · {word}" for panel, word in zip(panels, words, strict=True))


def _labels(panels: list[Panel], points: MapPoints) -> tuple[str, ...]:
    label = f"Map of {len(points.rows)} cases. Arrow keys go from case to case, Enter opens one, Space chooses it."
    return (label, f"Second map: {label}")[: len(panels)]


def _captions(
    shelved: Shelved,
    choice: MapChoice,
    panels: list[Panel],
    points: MapPoints,
    outcome: Outcome | None,
    query: PlacedQuery | None,
    refitted: RefittedMap | None,
) -> None:
    casebook = shelved.casebook
    method = "the plane of largest variance" if choice.name == "pca" else MAP_WORDS[choice.name]
    words = space_words(choice.space, casebook.manifest.system.reads)
    record = casebook.maps.spaces[choice.space].maps[choice.name] if refitted is None else refitted.record
    turn = " Drag to turn it." if choice.name == "umap3d" else ""
    st.caption(
        f"{len(points.rows):,} cases laid out by {method} of their {words} vectors. Near means alike; far apart on the "
        f"map says little. Hover over a point to see its film, click to open the case.{turn} {trust_words(record)}"
    )
    if choice.colour in PREDICTED:
        st.caption(
            "The system learnt from the cases of the train split, so it is right more often there than on new cases."
        )
    for beside in panels[1:]:
        whose = "" if beside.shelved == shelved else f" Colours are those of {plain_markdown(shelved.name)}."
        st.caption(kept_words(agreement(shelved, choice.space, beside.shelved, beside.space)) + whose)
    if outcome is None:
        st.caption("Search first, and your query is shown here among its neighbours.")
        return
    asked = plain_markdown(query_in_words(outcome.query))
    if query is None:
        st.caption(f"Neither {asked} nor its neighbours have a place on this map.")
    elif query.exact:
        st.caption(f"★ {asked}, at its own place; the numbers are its neighbours by rank.")
    else:
        st.caption(
            f"★ {asked}, placed at the mean of its {PLACING_NEIGHBOURS} nearest cases' positions, weighted by "
            "similarity; the numbers are the neighbours by rank. They were found by full vectors, not on the map."
        )


@st.fragment
def _table(shelved: Shelved, points: MapPoints) -> None:
    panel = st.expander(
        "The same cases as a table", icon=":material/table_rows:", key=f"map-rows-{shelved.name}", on_change="rerun"
    )
    if not panel.open:
        return
    casebook, rows = shelved.casebook, points.rows[:_TABLE_ROWS]
    ids = [casebook.case_ids[row] for row in rows]
    table = pd.DataFrame(
        {
            "Case": ids,
            "Findings": [case_words(*labels) for labels in labels_of(casebook, rows)],
            "View": casebook.column("view")[rows],
            "Split": casebook.column("split")[rows],
        }
    )
    with panel:
        chosen = st.dataframe(
            table, hide_index=True, on_select="rerun", selection_mode="single-row", key=f"map-table-{shelved.name}"
        )
        if len(points.rows) > _TABLE_ROWS:
            st.caption(f"The first {_TABLE_ROWS:,} of {len(points.rows):,} cases.")
    selected = chosen["selection"]["rows"]
    if selected:
        go(shelved, "case", case=ids[selected[0]])


def _colours(shelved: Shelved, choice: MapChoice) -> Colouring:
    if choice.colour not in PREDICTED:
        return coloured(shelved, choice.space, choice.colour)
    with st.spinner("Predicting the casebook's cases …", show_time=False):
        return coloured(shelved, choice.space, choice.colour)
