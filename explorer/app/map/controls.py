"""What a map shows and how: a row of choices, the rest folded away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from explorer.app.library import Shelved, shelve
from explorer.app.links import current_address
from explorer.app.settings import AppSettings
from explorer.app.shared.filter_panel import field_words, filter_panel
from explorer.app.shared.markup import label_words, plain_markdown, space_title
from explorer.maps.colouring import LABEL_PREFIX, MAIN_FINDING, colour_fields, shape_fields
from explorer.search.filters.expression import Filter, matching_rows
from explorer.search.result import SearchResult
from index_builder.casebook.manifest import MapName
from index_builder.cases.space import Space
from index_builder.errors import CxrError

MAP_WORDS: dict[MapName, str] = {
    "umap": "UMAP",
    "tsne": "t-SNE",
    "umap3d": "UMAP in 3-D",
    "pca": "Principal plane",
}
_NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class MapChoice:
    """What a reader wants to see.

    Attributes:
        space: Whose vectors.
        name: Which layout.
        colour: One of `colour_fields`.
        shape: One of `shape_fields`, or None.
        other: Casebook and space beside it, or None.
        filters: Filters of the cases to show.
        among: [N] bool, cases that meet them.
    """

    space: Space
    name: MapName
    colour: str
    shape: str | None
    other: tuple[Shelved, Space] | None
    filters: tuple[Filter, ...]
    among: NDArray[np.bool_]


def map_controls(shelved: Shelved, settings: AppSettings, result: SearchResult | None) -> MapChoice:
    """Draw the choices."""
    casebook = shelved.casebook
    spaces = list(casebook.spaces)
    if "text" not in spaces:
        # A casebook of films alone has one map under two names.
        spaces = [space for space in spaces if space == "image"] or spaces
    preferred = result.space if result is not None and result.space in spaces else spaces[0]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="cxr-map-controls"):
        # The fields depend on the space, which is chosen to the right of them.
        colour_place = st.container(width=260)
        space: Space = preferred
        if len(spaces) > 1:
            # Another query brings the map of what it was compared by.
            key = f"map-space-{shelved.name}-{'-' if result is None else result.space}"
            space = current_address().choice("space", key, spaces, preferred)
            st.segmented_control(
                "Map of",
                spaces,
                required=True,
                format_func=lambda name: space_title(name, casebook.manifest.system.reads),
                key=key,
                persist_state="session",
            )
        name = _layout(shelved, space)
    fields, key = colour_fields(casebook, space), f"map-colour-{shelved.name}"
    colour = current_address().choice("colour", key, fields, fields[0])
    colour_place.selectbox(
        "Colour by",
        fields,
        format_func=lambda field: field_title(shelved, field),
        key=key,
        persist_state="session",
    )
    left, right = st.columns(2, gap="small")
    with left:
        filters = filter_panel(shelved)
    with right, st.expander("Shapes and comparing", icon=":material/compare:", key=f"map-more-{shelved.name}"):
        shape = _shape(shelved)
        other = _other(shelved, space, spaces, settings)
    among = matching_rows(casebook, filters)
    return MapChoice(space, name, colour, shape, other, filters, among)


def field_title(shelved: Shelved, field: str) -> str:
    """A field that colours as a reader knows it."""
    if field == MAIN_FINDING:
        return "Stage" if shelved.casebook.staged else "Main finding"
    if field.startswith(LABEL_PREFIX):
        return f"Finding: {label_words(field.removeprefix(LABEL_PREFIX))}"
    return {
        "prediction": "Predicted finding",
        "right or wrong": "Prediction right or wrong",
        "uncertainty": "Uncertainty of the prediction",
    }.get(field, field_words(field))


def _layout(shelved: Shelved, space: Space) -> MapName:
    names = shelved.casebook.map_names(space)
    if len(names) == 1:
        return names[0]
    key = f"map-layout-{shelved.name}-{len(names)}"
    chosen = current_address().choice("layout", key, names, names[0])
    st.segmented_control(
        "Layout", names, required=True, format_func=MAP_WORDS.__getitem__, key=key, persist_state="session"
    )
    return chosen


def _shape(shelved: Shelved) -> str | None:
    fields = shape_fields(shelved.casebook)
    if not fields:
        st.caption("No field of this casebook has two to four values that shapes could stand for.")
        return None
    options, key = [_NOTHING, *fields], f"map-shape-{shelved.name}"
    chosen = current_address().choice("shape", key, options, _NOTHING)
    st.selectbox("Shape by", options, format_func=field_words, key=key, persist_state="session")
    return None if chosen == _NOTHING else chosen


def _other(shelved: Shelved, space: Space, spaces: list[Space], settings: AppSettings) -> tuple[Shelved, Space] | None:
    shelf = shelve(settings.casebooks)
    options = [(shelved.name, one) for one in spaces if one != space]
    for name, other in shelf.items():
        if name == shelved.name:
            continue
        try:
            held = other.casebook.spaces
        except CxrError as error:
            st.caption(plain_markdown(str(error)))
            continue
        options += [(name, one) for one in held if one == space]
    if not options:
        return None

    def words(option: tuple[str, Space] | None) -> str:
        if option is None:
            return "Nothing"
        title = space_title(option[1], shelf[option[0]].casebook.manifest.system.reads)
        return title if option[0] == shelved.name else f"{option[0]}: {title}"

    choices: list[tuple[str, Space] | None] = [None, *options]
    key = f"map-other-{shelved.name}-{space}"
    spelled = {one: "" if one is None else f"{one[1]} of {one[0]}" for one in choices}
    chosen = current_address().choice("beside", key, choices, None, spelled=spelled)
    st.selectbox(
        "Compare with",
        choices,
        format_func=words,
        key=key,
        persist_state="session",
        help="A second map of the same cases, matched by their ids. What is chosen or pointed at on one shows on both.",
    )
    return None if chosen is None else (shelf[chosen[0]], chosen[1])
