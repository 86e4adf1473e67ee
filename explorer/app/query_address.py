"""The session's query and options as part of an address."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Literal

import streamlit as st

from explorer.app.library import Shelved, is_warm, reads_profiles
from explorer.app.links import PROFILE_PREFIX, Address, Parameters, remember_query, seed
from explorer.app.session import (
    ALL_FILMS_KEY,
    EXACT_KEY,
    TEXT_KEY,
    UNKNOWN,
    WEIGHT_KEY,
    Outcome,
    current_query,
    find_films,
    find_text,
    keep_text,
    like_case,
    liked_case,
    profile_key,
    query_films,
    run_query,
    typed_text,
)
from explorer.app.shared.filter_panel import chosen_filters, set_filters
from explorer.app.shared.markup import plain_markdown
from explorer.cases.profile_fields import ProfileField
from explorer.prediction.assessment import RISK
from explorer.search.filters.expression import parse_filter
from explorer.search.profiles import MAX_NUMBER
from explorer.search.query import MODES, Mode, SearchOptions
from index_builder.calibration.conformal import COVERAGE
from index_builder.cases.space import SPACES, Space
from index_builder.errors import CxrError, QueryError

COVERAGES = (0.8, 0.9, 0.95)
RISKS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3)

#: A longer text does not go into an address: servers and mail programs cut long ones.
MAX_TEXT = 1_500
#: Where the session keeps how a text finds cases.
MODE_KEY = "mode"
#: Neighbours that a page shows at most, and unless the reader asks for another number.
MOST_NEIGHBOURS = 50
_NEIGHBOURS = 5
#: Hexadecimal digits that name a film or a long text in an address.
_FINGERPRINT = 12


def open_query(shelved: Shelved, address: Address, text_characters: int) -> None:
    """Set the session's query and options as the address says, or write the session's into it.

    Args:
        shelved: The casebook.
        address: Address of a page that shows the query.
        text_characters: Longest text that can be searched with.
    """
    before = len(address.written)
    if address.arrives("query"):
        st.session_state["lost"] = None
    _film(address)
    _like(shelved, address)
    if reads_profiles(shelved.casebook):
        for field in shelved.casebook.searched_fields:
            _profile_field(shelved, address, field)
    else:
        _text(address, text_characters)
    if address.arrives("query"):
        _refuse_other_kinds(shelved, address)
    address.number("weight", WEIGHT_KEY, 0.0, 1.0, 0.5)
    address.number("k", "k", 1, MOST_NEIGHBOURS, _NEIGHBOURS)
    if len(spaces := compared_spaces(shelved)) > 1:
        address.choice("compare", space_key(shelved), spaces, "auto")
    address.number("rerank", "rerank", 0.0, 1.0, 0.0)
    address.choice("mode", MODE_KEY, modes_of(shelved), "hybrid")
    address.flag("exact_words", EXACT_KEY)
    address.flag("all_films", ALL_FILMS_KEY)
    address.flag("one_per_patient", "one_per_patient")
    address.flag("hide_duplicates", "hide_duplicates")
    address.choice("coverage", "coverage", COVERAGES, COVERAGE)
    address.choice("risk", "risk", RISKS, RISK)
    _filters(shelved, address)
    address.settled.add("query")
    names = list(address.written)[before:]
    query: Parameters = {name: address.written[name] for name in names}
    remember_query(shelved, query)


def current_options(shelved: Shelved) -> SearchOptions:
    """How the session searches: set by `open_query`, changed by the option widgets."""
    state = st.session_state
    space = state.get(space_key(shelved), "auto")
    chosen: Space | None = next((one for one in SPACES if one == space), None)
    mode: Mode = next((one for one in modes_of(shelved) if one == state.get(MODE_KEY)), "hybrid")
    return SearchOptions(
        int(state["k"]),
        chosen,
        chosen_filters(shelved),
        float(state["rerank"]),
        bool(state["one_per_patient"]),
        bool(state["hide_duplicates"]),
        mode,
        bool(state[ALL_FILMS_KEY]),
    )


def session_outcome(shelved: Shelved) -> Outcome | None:
    """What the session's query finds; None where there is no query, or none that can be answered here."""
    query = current_query(shelved)
    if query is None:
        return None
    try:
        with st.spinner(waiting_words(shelved)):
            return run_query(shelved, query, current_options(shelved))
    except CxrError as error:
        st.caption(plain_markdown(f"The search cannot be repeated: {error}"))
        return None


def waiting_words(shelved: Shelved) -> str:
    """What a reader waits for until a query is answered."""
    return "Searching …" if is_warm(shelved) else "Loading the system that reads films and texts (once) …"


def compared_spaces(shelved: Shelved) -> tuple[Literal["auto"] | Space, ...]:
    """What cases of a casebook can be compared by; "auto" goes by what was asked with."""
    return ("auto", *(space for space in SPACES if space in shelved.casebook.spaces))


def modes_of(shelved: Shelved) -> tuple[Mode, ...]:
    """How a typed text can find cases of a casebook."""
    return MODES if shelved.casebook.reports is not None and not reads_profiles(shelved.casebook) else ("hybrid",)


def space_key(shelved: Shelved) -> str:
    """Where the session keeps what cases are compared by."""
    return f"space-{shelved.name}"


def left_out() -> str | None:
    """What of the session's query a link cannot carry, in words; None where it carries all."""
    missing = [
        *(("your film", "your two films")[len(films) - 1 : len(films)] if (films := query_films()) else []),
        *(["your text, which is too long"] if len(typed_text()) > MAX_TEXT else []),
    ]
    return " and ".join(missing) or None


def _film(address: Address) -> None:
    if address.arrives("query"):
        asked = [fingerprint for fingerprint in address.asked.get("film", []) if fingerprint]
        if not find_films(asked):
            st.session_state["lost"] = "film"
    if films := query_films():
        address.written["film"] = [film.digest[:_FINGERPRINT] for film in films]


def _like(shelved: Shelved, address: Address) -> None:
    if address.arrives("query"):
        asked = address.asked.get("like", [""])[-1]
        known = asked in shelved.casebook
        like_case(shelved, asked if known else None)
        if asked and not known:
            address.refuse("like", asked)
    if (case_id := liked_case(shelved)) is not None:
        address.written["like"] = [case_id]


def _text(address: Address, most: int) -> None:
    """A text as it is, or the fingerprint of a long one."""
    if address.arrives("query") and "report" in address.asked:
        fingerprint = address.asked["report"][-1]
        text = find_text(fingerprint)
        if text is None:
            st.session_state["lost"] = "text"
        seed(TEXT_KEY, text or "")
    elif address.arrives("query") or len(typed_text()) <= MAX_TEXT:
        address.text("q", TEXT_KEY, most)
    if len(text := typed_text()) > MAX_TEXT:
        fingerprint = hashlib.sha256(text.encode("utf-8")).hexdigest()[:_FINGERPRINT]
        keep_text(fingerprint, text)
        address.written.pop("q", None)
        address.written["report"] = [fingerprint]


def _profile_field(shelved: Shelved, address: Address, field: ProfileField) -> None:
    name, key = PROFILE_PREFIX + field.name, profile_key(shelved, field.name)
    if field.kind == "flag":
        address.choice(name, key, (UNKNOWN, "no", "yes"), UNKNOWN)
    elif field.kind == "choice":
        address.choice(name, key, (None, *field.values), None)
    elif field.kind == "number":
        address.optional_number(name, key, MAX_NUMBER, whole=field.whole)
    else:
        address.text(name, key, 200)


def _refuse_other_kinds(shelved: Shelved, address: Address) -> None:
    """Tell what a link asks with that this casebook cannot be asked with: a text, or fields of a profile."""
    if reads_profiles(shelved.casebook):
        known = {PROFILE_PREFIX + field.name for field in shelved.casebook.searched_fields}
    else:
        known = {"q", "report"}
    for name, values in address.asked.items():
        if (name in ("q", "report") or name.startswith(PROFILE_PREFIX)) and name not in known:
            address.refuse(name, values[-1])


def _filters(shelved: Shelved, address: Address) -> None:
    if address.arrives("query"):
        filters = []
        for expression in address.asked.get("filter", ()):
            try:
                filters.append(parse_filter(expression))
            except QueryError:
                address.refuse("filter", expression)
        set_filters(shelved, filters, partial(address.refuse, "filter"))
    if filters := list(chosen_filters(shelved)):
        address.written["filter"] = [str(one) for one in filters]
