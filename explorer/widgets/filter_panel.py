"""Filters over labels and fields of a casebook, as widgets that give `Filter` objects."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
import streamlit as st

from explorer.casebook import Casebook
from explorer.filters import Filter
from explorer.widgets.library import Shelved
from explorer.widgets.markup import label_words, plain_markdown

#: A text field with more different values than this is searched by words instead of chosen from.
_CHOICES = 60
_OWN_WIDGET = ("age", "sex")


def filter_panel(shelved: Shelved) -> tuple[Filter, ...]:
    """Draw the filters inside an expander that says how many are set; all must be met."""
    casebook, prefix = shelved.casebook, f"filter:{shelved.name}:"
    remembered = int(st.session_state.get(prefix + "count", 0))
    title = f"Filters ({remembered} set)" if remembered else "Filters"
    with st.expander(title, icon=":material/filter_alt:", key=prefix + "panel"):
        filters = [
            *_label_filters(casebook, prefix),
            *_choice(casebook, prefix, "view", "View"),
            *_choice(casebook, prefix, "sex", "Sex"),
            *_range(casebook, prefix, "age", "Age in years"),
            *_choice(casebook, prefix, "split", "Split"),
            *_report(casebook, prefix),
            *_further(casebook, prefix),
        ]
        if filters:
            st.button("Clear filters", icon=":material/filter_alt_off:", on_click=clear_filters, args=(shelved,))
    if len(filters) != remembered:
        st.session_state[prefix + "count"] = len(filters)
        st.rerun()
    return tuple(filters)


def clear_filters(shelved: Shelved) -> None:
    """Unset every filter of a casebook."""
    prefix = f"filter:{shelved.name}:"
    for key in [key for key in st.session_state if str(key).startswith(prefix)]:
        empty = _EMPTY.get(type(st.session_state[key]))
        if key == prefix + "count" or empty is None:
            del st.session_state[key]
        else:
            st.session_state[key] = empty()
    st.session_state[prefix + "count"] = 0


_EMPTY: dict[type, Any] = {list: list, str: str}


def _label_filters(casebook: Casebook, prefix: str) -> list[Filter]:
    if not casebook.label_names:
        return []
    wanted = st.multiselect(
        "Has findings",
        casebook.label_names,
        format_func=label_words,
        key=prefix + "labels",
        placeholder="Any findings",
        persist_state="session",
    )
    operator: Literal["any", "all"] = "any"
    if len(wanted) > 1:
        chosen = st.segmented_control(
            "Has",
            ["any", "all"],
            default="any",
            required=True,
            format_func=lambda name: f"{name} of them",
            key=prefix + "operator",
            label_visibility="collapsed",
            persist_state="session",
        )
        operator = cast('Literal["any", "all"]', chosen or "any")
    unwanted = st.multiselect(
        "Without",
        [name for name in casebook.label_names if name not in wanted],
        format_func=label_words,
        key=prefix + "without",
        placeholder="Nothing left out",
        persist_state="session",
    )
    filters = [Filter("label", operator, tuple(wanted))] if wanted else []
    return filters + ([Filter("label", "none", tuple(unwanted))] if unwanted else [])


def _choice(casebook: Casebook, prefix: str, field: str, title: str) -> list[Filter]:
    """A few values to choose any of; nothing where the casebook has only one."""
    if field not in ("view", "split") and field not in casebook.profile_fields:
        return []
    values = [str(value) for value in casebook.distinct(field)]
    if len(values) < 2:
        return []
    if len(values) <= 5:
        chosen = st.pills(
            title,
            values,
            selection_mode="multi",
            format_func=plain_markdown,
            key=prefix + field,
            persist_state="session",
        )
    else:
        chosen = st.multiselect(title, values, key=prefix + field, placeholder="Any", persist_state="session")
    return [Filter(field, "any", tuple(chosen))] if chosen else []


def _range(casebook: Casebook, prefix: str, field: str, title: str) -> list[Filter]:
    """From and to; the whole range is no condition, so that cases without the field stay in."""
    if field not in casebook.profile_fields or not casebook.is_number(field):
        return []
    values = casebook.column(field)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not low < high:
        return []
    whole = bool(np.all(np.isnan(values) | (values == np.round(values))))
    ends: tuple[float, float] = (int(low), int(high)) if whole else (low, high)
    chosen = cast(
        "tuple[float, float]",
        st.slider(title, *ends, ends, key=prefix + field, persist_state="session"),
    )
    if tuple(chosen) == ends:
        return []
    return [Filter(field, "between", (f"{chosen[0]:g}", f"{chosen[1]:g}"))]


def _report(casebook: Casebook, prefix: str) -> list[Filter]:
    if not casebook.manifest.reports:
        return []
    words = st.text_input("Report contains", key=prefix + "report", persist_state="session").strip()
    return [Filter("report", "contains", (words,))] if words else []


def _further(casebook: Casebook, prefix: str) -> list[Filter]:
    fields = [field for field in casebook.profile_fields if field not in _OWN_WIDGET]
    if not fields:
        return []
    chosen = st.multiselect(
        "More fields",
        fields,
        format_func=field_words,
        key=prefix + "fields",
        placeholder="Choose fields to filter by",
        persist_state="session",
    )
    filters: list[Filter] = []
    for field in chosen:
        title = plain_markdown(field_words(field))
        if casebook.is_number(field):
            filters += _range(casebook, prefix, field, title)
        elif len(casebook.distinct(field)) <= _CHOICES:
            filters += _choice(casebook, prefix, field, title)
        else:
            words = st.text_input(f"{title} contains", key=prefix + field, persist_state="session").strip()
            filters += [Filter(field, "contains", (words,))] if words else []
    return filters


def field_words(field: str) -> str:
    """A field's name as a reader writes it."""
    words = field.replace("_", " ").replace(".", " ")
    return words[:1].upper() + words[1:]
