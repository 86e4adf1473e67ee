"""What the cases that can be found have: counts beside the results, each a filter when it is clicked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from explorer.app.library import Shelved
from explorer.app.shared.filter_panel import change_filters, chosen_filters, has_filter
from explorer.app.shared.markup import plain_markdown
from explorer.search.filters.expression import Filter
from explorer.search.filters.facets import Facets, facets
from index_builder.lexical.stated import FACT_FIELDS

#: Fields in their order, their titles, and how many values of each are shown; the panel of filters has them all.
_FIELDS = (
    ("finding", "Finding", 8),
    ("side", "Side", 3),
    ("site", "Site", 6),
    ("degree", "Degree", 4),
    ("view", "View", 4),
    ("age", "Age", 6),
    ("split", "Split", 3),
)
_OPEN = "facets-open"


def facets_button() -> None:
    """Draw the button that shows the counts on a phone, where they would stand between question and answer."""
    open_ = bool(st.session_state.get(_OPEN))
    with st.container(key="cxr-facets-button", width="content"):
        st.button(
            "Hide counts" if open_ else "Narrow down",
            type="tertiary",
            icon=":material/filter_list:",
            key="facets-button",
            on_click=_toggle,
        )


def facet_panel(shelved: Shelved) -> None:
    """Draw the counts of the cases that meet the filters; nothing where no count would narrow them down."""
    filters = chosen_filters(shelved)
    counted = _counted(shelved, str(shelved.folder), shelved.stamp, filters)
    shown = [
        (field, title, values)
        for field, title, most in _FIELDS
        if has_filter(shelved, field) and (values := _offered(counted, field, filters, most))
    ]
    if not shown:
        return
    state = "open" if st.session_state.get(_OPEN) else "folded"
    with st.container(key=f"cxr-facets-{state}", gap="xsmall"):
        st.caption(f"Narrow down · {counted.cases:,} cases" if filters else "Narrow down")
        for field, title, values in shown:
            key = f"facet:{shelved.name}:{field}"
            st.pills(
                title,
                list(values),
                format_func=partial(_value_words, values),
                key=key,
                on_change=_choose,
                args=(shelved, field, key),
            )


@st.cache_data(max_entries=256, show_spinner=False)
def _counted(_shelved: Shelved, folder: str, stamp: str, filters: tuple[Filter, ...]) -> Facets:
    return facets(_shelved.casebook, filters)


def _offered(counted: Facets, field: str, filters: tuple[Filter, ...], most: int) -> dict[str, int]:
    """Values that would leave fewer cases, with how many."""
    own = next((one for one in filters if one.field == field and one.operator != "none"), None)
    if own is not None and (field not in FACT_FIELDS or (own.operator == "any" and len(own.values) > 1)):
        return {}  # "one of two, and a third" is no condition that the panel of filters has
    counts: Mapping[str, int] = getattr(counted, field)
    chosen = () if own is None else own.values
    fewer = [(value, count) for value, count in counts.items() if count < counted.cases and value not in chosen]
    return dict(fewer[:most])


def _value_words(counts: Mapping[str, int], value: str) -> str:
    low, dots, high = value.partition("..")
    if not dots:
        name = plain_markdown(value)
    elif low and high:
        name = f"{low} to {high}"
    else:
        name = f"up to {high}" if high else f"{low} and over"
    return f"{name} ({counts[value]:,})"


def _toggle() -> None:
    st.session_state[_OPEN] = not st.session_state.get(_OPEN)


def _choose(shelved: Shelved, field: str, key: str) -> None:
    value = st.session_state.get(key)
    st.session_state[key] = None
    if value is None:
        return
    st.session_state[_OPEN] = False  # on a phone the answer follows
    filters = chosen_filters(shelved)
    own = next((one for one in filters if one.field == field and one.operator != "none"), None)
    if field == "age":
        low, _, high = value.partition("..")
        new = Filter(field, "between", (low, high))
    elif own is None:
        new = Filter(field, "any", (value,))
    else:
        new = Filter(field, "all", (*own.values, value))
    kept = [one for one in filters if one != own]
    change_filters(shelved, [*kept, new])
