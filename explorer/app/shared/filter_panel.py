"""Filters over labels and fields of a casebook: the widgets, and the `Filter` objects they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor

import numpy as np
import streamlit as st

from explorer.app.library import Shelved
from explorer.app.shared.markup import label_words, plain_markdown
from explorer.search.filters.expression import Filter, matching_rows, number_words
from explorer.search.filters.facts import is_fact_field
from index_builder.errors import QueryError
from index_builder.lexical.stated import FACT_FIELDS

#: A text field with more different values than this is searched by words instead of chosen from.
_CHOICES = 60
#: A field with more different values than this is a list rather than a row of buttons.
_PILLS = 5
_OWN_WIDGET = ("age", "sex")
_OWN_FIELDS = ("view", "sex", "age", "split", "report")
#: Of the widget of findings that a report must not state; no field has a sign in its name.
_NOT_STATED = "finding!"
_FACT_TITLES = {"side": "Side", "site": "Site", "degree": "Degree"}
Ends = tuple[float, float]


def filter_panel(shelved: Shelved) -> tuple[Filter, ...]:
    """Draw the filters inside an expander that says how many are set; all must be met."""
    casebook, prefix, controls = shelved.casebook, _prefix(shelved), _controls(shelved)
    filters = chosen_filters(shelved)
    title = f"Filters ({len(filters)} set)" if filters else "Filters"
    with st.expander(title, icon=":material/filter_alt:", key=controls + "panel"):
        _label_widgets(shelved, controls)
        _fact_widgets(shelved, prefix, controls)
        _choice_widget(shelved, prefix, "view", "View")
        _choice_widget(shelved, prefix, "sex", "Sex")
        _range_widget(shelved, prefix, "age", "Age in years")
        _choice_widget(shelved, prefix, "split", "Split")
        if casebook.manifest.reports:
            st.text_input("Report contains", key=prefix + "report", persist_state="session")
        _further_widgets(shelved, prefix, controls)
        if filters:
            st.button("Clear filters", icon=":material/filter_alt_off:", on_click=clear_filters, args=(shelved,))
    return filters


def chosen_filters(shelved: Shelved) -> tuple[Filter, ...]:
    """The filters that the session has set on a casebook, drawn or not."""
    prefix, controls, state = _prefix(shelved), _controls(shelved), st.session_state
    filters: list[Filter] = []
    if wanted := state.get(controls + "labels"):
        together = len(wanted) > 1 and state.get(controls + "operator") == "all"
        filters.append(Filter("label", "all" if together else "any", tuple(wanted)))
    if unwanted := [name for name in state.get(controls + "without") or () if name not in (wanted or ())]:
        filters.append(Filter("label", "none", tuple(unwanted)))
    if unstated := state.get(prefix + _NOT_STATED):
        filters.append(Filter("finding", "none", tuple(unstated)))
    for field in (*_fact_fields(shelved), *_OWN_FIELDS, *(state.get(controls + "fields") or ())):
        value = state.get(prefix + field)
        kind = _kind(shelved, field)
        if kind == "range" and value is not None and tuple(value) != _ends(shelved, field):
            filters.append(Filter(field, "between", (number_words(value[0]), number_words(value[1]))))
        elif kind == "choice" and value:
            together = len(value) > 1 and state.get(_together_key(controls, field)) == "all"
            filters.append(Filter(field, "all" if together else "any", tuple(value)))
        elif kind == "words" and (words := (value or "").strip()):
            filters.append(Filter(field, "contains", (words,)))
    return tuple(filters)


def set_filters(shelved: Shelved, filters: Sequence[Filter], refuse: Callable[[str], None]) -> None:
    """Set the widgets as filters say, and all others to nothing; what no widget can say is refused.

    Args:
        shelved: The casebook.
        filters: All that are to be set.
        refuse: Called with each filter that was left out, as it is written.
    """
    clear_filters(shelved)
    taken: set[tuple[str, bool]] = set()
    for one in filters:
        # A widget holds one condition: a second one on its field would silently take the place of the first. Labels
        # and findings that a case lacks have a widget of their own.
        widget = one.field, one.field in ("label", "finding") and one.operator == "none"
        if widget in taken:
            refuse(str(one))
            continue
        try:
            matching_rows(shelved.casebook, [one])
            fits = _set_filter(shelved, one)
        except QueryError:
            fits = False
        if fits:
            taken.add(widget)
        else:
            refuse(str(one))


def has_filter(shelved: Shelved, field: str) -> bool:
    """Whether the panel filters by a field of `Facets`, which for a field of facts is not one of the patients'."""
    return field in _fact_fields(shelved) if field in FACT_FIELDS else _kind(shelved, field) is not None


def change_filters(shelved: Shelved, filters: Sequence[Filter]) -> None:
    """Set the filters as a reader chose them beside the results; what cannot be set together is reported."""

    def refuse(words: str) -> None:
        st.toast(
            f"{plain_markdown(words)} cannot be set together with the other filters.", icon=":material/filter_alt:"
        )

    set_filters(shelved, filters, refuse)


def clear_filters(shelved: Shelved) -> None:
    """Unset every filter of a casebook."""
    casebook, state = shelved.casebook, st.session_state
    prefix, controls = _prefix(shelved), _controls(shelved)
    for field in (*_fact_fields(shelved), *_OWN_FIELDS, *casebook.profile_fields):
        if prefix + field in state:
            state[prefix + field] = _nothing(shelved, field)
    if prefix + _NOT_STATED in state:
        state[prefix + _NOT_STATED] = []
    for field in _fact_fields(shelved):
        state[_together_key(controls, field)] = "any"
    for name in ("labels", "without", "fields"):
        if controls + name in state:
            state[controls + name] = []
    state[controls + "operator"] = "any"


def field_words(field: str) -> str:
    """A field's name as a reader writes it."""
    words = field.replace("_", " ").replace(".", " ")
    return words[:1].upper() + words[1:]


def _prefix(shelved: Shelved) -> str:
    """What the widget of a field is called, before the field's name."""
    return f"filter:{shelved.name}:"


def _controls(shelved: Shelved) -> str:
    """What the other widgets are called: a field may have any name, also one of theirs."""
    return f"filters:{shelved.name}:"


def _together_key(controls: str, field: str) -> str:
    """Where the session keeps whether a report states any or all of the values chosen for a field."""
    return f"{controls}together:{field}"


def _kind(shelved: Shelved, field: str) -> str | None:
    """Which widget a field has: "choice", "range", "words", or none where all cases are the same."""
    casebook = shelved.casebook
    if field in _fact_fields(shelved):
        return "choice"
    if field == "report":
        return "words" if casebook.manifest.reports else None
    if field not in ("view", "split") and field not in casebook.profile_fields:
        return None
    if field in casebook.profile_fields and casebook.is_number(field):
        return "range" if _ends(shelved, field) is not None else None
    values = len(casebook.distinct(field))
    if field in ("view", "split", "sex") or values <= _CHOICES:
        return "choice" if values > 1 else None
    return "words"


def _fact_fields(shelved: Shelved) -> tuple[str, ...]:
    """Fields of what reports state that can be filtered by here."""
    casebook = shelved.casebook
    if casebook.reports is None:
        return ()
    return tuple(one for one in FACT_FIELDS if is_fact_field(casebook, one))


def _stated(shelved: Shelved, field: str, chosen: Sequence[str]) -> list[str]:
    """What can be chosen: all that reports state, and what a link asks for besides, such as nodule@right upper lobe."""
    reports = shelved.casebook.reports
    known = [] if reports is None else reports.stated.values(field)
    return [*known, *(one for one in chosen if one not in known)]


def _ends(shelved: Shelved, field: str) -> Ends | None:
    """Least and largest value; None where they are one. Whole numbers where all values are whole."""
    return _ends_of(shelved, str(shelved.folder), shelved.stamp, field)


@st.cache_data(max_entries=256, show_spinner=False)
def _ends_of(_shelved: Shelved, folder: str, stamp: str, field: str) -> Ends | None:
    values = _shelved.casebook.column(field)
    known = values[~np.isnan(values)]
    if not len(known) or not known.min() < known.max():
        return None
    low, high = float(known.min()), float(known.max())
    return (int(low), int(high)) if bool(np.all(known == np.round(known))) else (low, high)


def _nothing(shelved: Shelved, field: str) -> list[str] | str | Ends | None:
    """What a field's widget shows where nothing is asked for."""
    kind = _kind(shelved, field)
    return _ends(shelved, field) if kind == "range" else "" if kind == "words" else []


def _set_filter(shelved: Shelved, one: Filter) -> bool:
    casebook, state = shelved.casebook, st.session_state
    prefix, controls = _prefix(shelved), _controls(shelved)
    if one.field == "label":
        values = _among(casebook.label_names, one.values)
        own, other = ("without", "labels") if one.operator == "none" else ("labels", "without")
        if values is None or set(values).intersection(state.get(controls + other, ())):
            return False
        state[controls + own] = values
        if one.operator != "none":
            state[controls + "operator"] = one.operator
        return True
    if one.field in _fact_fields(shelved):
        if one.operator in ("any", "all") or (one.operator, one.field) == ("none", "finding"):
            known = {value.casefold(): value for value in _stated(shelved, one.field, ())}
            state[prefix + (_NOT_STATED if one.operator == "none" else one.field)] = list(
                dict.fromkeys(known.get(value.casefold(), value) for value in one.values)
            )
            if one.operator == "all":
                state[_together_key(controls, one.field)] = "all"
            return True
        return False
    kind = _kind(shelved, one.field)
    if kind == "range" and one.operator == "between":
        ends = _ends(shelved, one.field)
        if ends is None:
            return False
        low, high = (float(value or end) for value, end in zip(one.values, ends, strict=True))
        if not ends[0] <= low <= high <= ends[1]:
            return False
        if isinstance(ends[0], int):
            low, high = ceil(low), floor(high)
        if low > high:
            return False
        state[prefix + one.field] = (low, high)
    elif kind == "choice" and one.operator == "any":
        found = _among([str(value) for value in casebook.distinct(one.field)], one.values)
        if found is None:
            return False
        state[prefix + one.field] = found
    elif kind == "words" and one.operator == "contains":
        state[prefix + one.field] = one.values[0]
    else:
        return False
    if one.field not in ("view", "split", "report", *_OWN_WIDGET):
        state[controls + "fields"] = [*state.get(controls + "fields", []), one.field]
    return True


def _among(options: Sequence[str], values: Sequence[str]) -> list[str] | None:
    """The options that values name in any case, each once; None where a value names none."""
    named = {option.casefold(): option for option in options}
    folded = dict.fromkeys(value.casefold() for value in values)
    return [named[value] for value in folded] if folded.keys() <= named.keys() else None


def _label_widgets(shelved: Shelved, controls: str) -> None:
    casebook = shelved.casebook
    if not casebook.label_names:
        return
    wanted = st.multiselect(
        "Has findings",
        casebook.label_names,
        format_func=label_words,
        key=controls + "labels",
        placeholder="Any findings",
        persist_state="session",
    )
    if len(wanted) > 1:
        _any_or_all(controls + "operator")
    st.multiselect(
        "Without",
        [name for name in casebook.label_names if name not in wanted],
        format_func=label_words,
        key=controls + "without",
        placeholder="Nothing left out",
        persist_state="session",
    )


def _fact_widgets(shelved: Shelved, prefix: str, controls: str) -> None:
    """What reports must state: a row for each field, and one for what they must not."""
    fields = _fact_fields(shelved)
    if "finding" in fields:
        for key, title, nothing in (
            ("finding", "Report states", "Anything"),
            (_NOT_STATED, "Report does not state", "Nothing left out"),
        ):
            chosen = st.session_state.get(prefix + key) or ()
            st.multiselect(
                title,
                _stated(shelved, "finding", chosen),
                format_func=fact_value_words,
                key=prefix + key,
                placeholder=nothing,
                persist_state="session",
            )
            if key == "finding":
                _together_widget(prefix, controls, key)
    for field in fields:
        if field == "finding":
            continue
        values = _stated(shelved, field, st.session_state.get(prefix + field) or ())
        title = f"{_FACT_TITLES[field]} of any stated finding"
        if len(values) <= _PILLS + 1:
            st.pills(title, values, selection_mode="multi", key=prefix + field, persist_state="session")
        else:
            st.multiselect(title, values, key=prefix + field, placeholder="Any", persist_state="session")
        _together_widget(prefix, controls, field)


def _together_widget(prefix: str, controls: str, field: str) -> None:
    """Whether any of several chosen values is enough."""
    if len(st.session_state.get(prefix + field) or ()) > 1:
        _any_or_all(_together_key(controls, field))


def _any_or_all(key: str) -> None:
    st.session_state.setdefault(key, "any")
    st.segmented_control(
        "Has",
        ["any", "all"],
        required=True,
        format_func=lambda name: f"{name} of them",
        key=key,
        label_visibility="collapsed",
        persist_state="session",
    )


def fact_value_words(value: str) -> str:
    """A value of the filter `finding` as a reader says it: "nodule · right upper lobe"."""
    return value.replace("@", " · ").replace("#", " · ")


def _choice_widget(shelved: Shelved, prefix: str, field: str, title: str) -> None:
    """A few values to choose any of; nothing where the casebook has only one."""
    if _kind(shelved, field) != "choice":
        return
    values = [str(value) for value in shelved.casebook.distinct(field)]
    if len(values) <= _PILLS:
        st.pills(
            title,
            values,
            selection_mode="multi",
            format_func=plain_markdown,
            key=prefix + field,
            persist_state="session",
        )
    else:
        st.multiselect(title, values, key=prefix + field, placeholder="Any", persist_state="session")


def _range_widget(shelved: Shelved, prefix: str, field: str, title: str) -> None:
    """Two ends of a range; the whole range is no condition, so that cases without the field stay in."""
    if _kind(shelved, field) != "range":
        return
    ends = _ends(shelved, field)
    if ends is None:
        return
    st.session_state.setdefault(prefix + field, ends)
    st.slider(title, *ends, key=prefix + field, persist_state="session")


def _further_widgets(shelved: Shelved, prefix: str, controls: str) -> None:
    fields = [field for field in shelved.casebook.profile_fields if field not in _OWN_WIDGET]
    if not fields:
        return
    chosen = st.multiselect(
        "More fields",
        fields,
        format_func=field_words,
        key=controls + "fields",
        placeholder="Choose fields to filter by",
        persist_state="session",
    )
    for field in chosen:
        title = plain_markdown(field_words(field))
        _range_widget(shelved, prefix, field, title)
        _choice_widget(shelved, prefix, field, title)
        if _kind(shelved, field) == "words":
            st.text_input(f"{title} contains", key=prefix + field, persist_state="session")
