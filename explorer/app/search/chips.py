"""The query as it was understood, a chip for each thing it asks for: looked at, changed, taken out."""

from __future__ import annotations

from functools import partial
from html import escape

import streamlit as st

from explorer.app.library import Shelved
from explorer.app.session import EXACT_KEY, TEXT_KEY, Outcome
from explorer.app.shared.draw import draw_html
from explorer.app.shared.filter_panel import change_filters, chosen_filters, field_words
from explorer.app.shared.markup import label_words, plain_markdown
from explorer.search.filters.expression import Filter
from explorer.search.reading.understanding import fact_words
from index_builder.facts.fact import Fact
from index_builder.facts.rewrite import Part, part_of, rewritten, with_part
from index_builder.facts.understand import Understood

#: Chips of a long text that are drawn, and its other words that are named.
_CHIPS, _WORDS = 6, 6
_STATUS = {"present": "states it", "absent": "denies it", "uncertain": "suspects it"}
_SIDES = {"left": "left", "right": "right", "both": "both sides"}
_PARTS: tuple[tuple[Part, str, str], ...] = (
    ("status", "The report", ""),
    ("side", "Side", "any side"),
    ("site", "Site", "anywhere"),
    ("degree", "Degree", "any degree"),
)


def query_chips(shelved: Shelved, outcome: Outcome) -> None:
    """Draw what is searched for above the results: facts of the text, filters, and how its words were read."""
    understood = outcome.result.understood if outcome.result.mode == "hybrid" else None
    filters = chosen_filters(shelved)
    exact = bool(st.session_state.get(EXACT_KEY)) and outcome.query.typed != ""
    corrected = outcome.result.understood is not None and bool(outcome.result.understood.corrections)
    if not (filters or exact or corrected or (understood is not None and understood.facts)):
        return
    with st.container(key="cxr-query-chips", horizontal=True, vertical_alignment="center", gap="xsmall"):
        if understood is not None and understood.facts:
            _facts(shelved, understood)
        for number, one in enumerate(filters):
            st.button(
                plain_markdown(filter_words(one)),
                icon=":material/close:",
                icon_position="right",
                key=f"cxr-chip-filter-{number}",
                help="Remove this filter",
                on_click=_take_away,
                args=(shelved, one),
            )
        if corrected:
            st.button("Search exactly as typed", key="cxr-chip-as-typed", on_click=_read_exactly, args=(True,))
        elif exact:
            st.button(
                "Exactly as typed",
                icon=":material/close:",
                icon_position="right",
                key="cxr-chip-corrected",
                help="Correct misspelt words again",
                on_click=_read_exactly,
                args=(False,),
            )


def filter_words(one: Filter) -> str:
    """A filter as a reader says it: "without Normal", "age 40 to 59", "finding nodule · right upper lobe"."""
    values = [label_words(value).replace("@", " · ").replace("#", " · ") for value in one.values]
    name = "" if one.field == "label" else f"{field_words(one.field).lower()} "
    if one.operator == "between":
        return f"{name}{values[0]} to {values[1]}"
    if one.operator == "none":
        return f"without {' or '.join(values)}"
    if one.operator in ("any", "all"):
        return name + (" or " if one.operator == "any" else " and ").join(values)
    sign = {"contains": "with"}.get(one.operator, one.operator)
    return f"{name}{sign} {values[0]}"


def _facts(shelved: Shelved, understood: Understood) -> None:
    for number, fact in enumerate(understood.facts[:_CHIPS]):
        with st.container(
            key=f"cxr-fact-{fact.status}-{number}", horizontal=True, wrap=False, width="content", gap=None
        ):
            _chip(shelved, understood, fact, number)
    rest = len(understood.facts) - _CHIPS
    more = [f"and {rest} more"] if rest > 0 else []
    if understood.rest:
        named = understood.rest[:_WORDS]
        further = "" if len(named) == len(understood.rest) else " …"
        more.append(f"by words: {', '.join(named)}{further}")
    if more:
        draw_html(f'<span class="cxr-muted cxr-small">{escape("; ".join(more))}</span>', width="content")


def _chip(shelved: Shelved, understood: Understood, fact: Fact, number: int) -> None:
    said = fact_words(fact)
    with st.popover(plain_markdown(said), key=f"cxr-fact-change-{number}", help="Change the side, site or degree"):
        choices = {part: _choices(shelved, fact, part) for part, _, _ in _PARTS}
        for part, title, nothing in _PARTS:
            if len(choices[part]) < 2:
                continue
            key = f"fact-{number}-{part}-{said}"
            st.selectbox(
                title,
                choices[part],
                format_func=partial(_value_words, nothing),
                key=key,
                on_change=_change,
                args=(understood, fact, part, key),
            )
        if all(len(several) < 2 for several in choices.values()):
            st.caption("None of this can be changed here: edit the text.")
    st.button(
        plain_markdown(f"Search without: {said}"),
        icon=":material/close:",
        key=f"cxr-fact-remove-{number}",
        type="tertiary",
        disabled=rewritten(understood, fact, None) is None,
        on_click=_replace,
        args=(understood, fact, None),
    )


def _value_words(nothing: str, value: str) -> str:
    return _STATUS.get(value) or _SIDES.get(value) or value or nothing


def _choices(shelved: Shelved, fact: Fact, part: Part) -> list[str]:
    """Values of a part of a fact that words can say, the present one first; "" stands for none."""
    own, reports = part_of(fact, part) or "", shelved.casebook.reports
    if fact.finding == "normal" or (fact.finding == "" and part == "status"):
        return [own]
    if part in ("side", "status"):
        values = [*(_SIDES if part == "side" else _STATUS)]
    else:
        values = [] if reports is None else reports.stated.values(part)
    offered = values if part == "status" else ["", *values]
    return [own, *(one for one in offered if one != own and with_part(fact, part, one or None) is not None)]


def _change(understood: Understood, fact: Fact, part: Part, key: str) -> None:
    new = with_part(fact, part, st.session_state[key] or None)
    if new is not None:
        _replace(understood, fact, new)


def _replace(understood: Understood, fact: Fact, new: Fact | None) -> None:
    text = rewritten(understood, fact, new)
    if text is None:
        st.toast("This change would alter more of the text than that: please edit it yourself.", icon=":material/edit:")
    else:
        st.session_state[TEXT_KEY] = text


def _read_exactly(exact: bool) -> None:
    st.session_state[EXACT_KEY] = exact


def _take_away(shelved: Shelved, filter_: Filter) -> None:
    kept = [one for one in chosen_filters(shelved) if one != filter_]
    change_filters(shelved, kept)
