"""Addresses: every link of the app is made here, and the address of a page is read and written here alone.

The address is the state of a page. A page that is opened by a link, a reload or the browser's Back shows what its
address names and nothing else; what the reader then changes is written into the address. Only an uploaded film and a
very long text have no place there: the address holds a fingerprint of them, by which the session that has them finds
them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import TypeVar

import streamlit as st
from streamlit.navigation.page import Page
from streamlit.runtime.scriptrunner import get_script_run_ctx

from explorer.app.library import Shelved
from explorer.search.filters.expression import number_words
from index_builder.resources import resource

Option = TypeVar("Option")
#: Values of an address by parameter.
Parameters = dict[str, list[str]]

EXPLAIN_ICON = ":material/network_intelligence:"
#: Title and icon of each page by its short name, which is also its path; the first is the start page.
PAGES = {
    "search": ("Search", ":material/search:"),
    "case": ("Case", ":material/radiology:"),
    "explain": ("Explain", EXPLAIN_ICON),
    "map": ("Map", ":material/bubble_chart:"),
    "evaluation": ("Evaluation", ":material/monitoring:"),
    "about": ("About", ":material/info:"),
}
#: Pages that show the session's query, so that their address holds it.
QUERY_PAGES = ("search", "case", "explain", "map")
#: Pages that are found again as they were left.
_REMEMBERED_PAGES = ("map", "evaluation")
#: Parameters that say what is searched with. A link that searches with a case replaces them all.
_QUERY_NAMES = ("q", "report", "film", "like", "weight")
PROFILE_PREFIX = "profile."

_RUN, _WRITTEN, _ARRIVING = "address", "address-written", "address-arriving"
#: Addresses that a page has just written and the browser may still send.
_RECENT = 3


@dataclass(slots=True)
class Address:
    """The address of the page in this run.

    Attributes:
        page: Short name of the page.
        asked: What the browser's address says.
        arrived: Whether the page was opened by this address; False where the reader works on a page that wrote it.
        written: What the address is to say after this run.
        unfit: Parameters that mean nothing here, as "name=value".
        settled: Widgets and parts that an arrival has set already, in a run that the reader cut short.
    """

    page: str
    asked: Parameters
    arrived: bool
    written: Parameters = field(default_factory=dict)
    unfit: list[str] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)

    def arrives(self, what: str) -> bool:
        """Whether the address decides what a widget, or another part of the page, is: not what the reader did since."""
        return self.arrived and what not in self.settled

    def parameter(self, name: str) -> str | None:
        """A parameter that only links set, such as the case; it stays in the address as it is."""
        values = self.asked.get(name)
        if not values:
            return None
        self.written[name] = values[-1:]
        return values[-1]

    def choice(
        self,
        name: str,
        key: str,
        options: Sequence[Option],
        default: Option,
        *,
        carried: Option | None = None,
        spelled: Mapping[Option, str] | None = None,
    ) -> Option:
        """Set what the widget of `key` shows before it is drawn, and keep it in the address unless it is the default.

        Args:
            name: The parameter.
            key: Key of a widget that is drawn afterwards without a value of its own.
            options: What can be chosen.
            default: What an address without the parameter means.
            carried: What the widget shows where it is new and no link opened the page; the default otherwise.
            spelled: How options are written in the address, where not as they are.
        """

        def spell(option: Option) -> str:
            return str(option) if spelled is None else spelled[option]

        if self.arrives(key):
            value = default
            if name in self.asked:
                named = next((one for one in options if spell(one) == self.asked[name][-1]), None)
                if named is None:
                    self._does_not_fit(name)
                else:
                    value = named
        else:
            value = st.session_state.get(key, default if carried is None else carried)
            value = value if value in options else default
        self._settle(key, value)
        if value != default:
            self.written[name] = [spell(value)]
        return value

    def choices(self, name: str, key: str, options: Sequence[str]) -> list[str]:
        """Set a widget in which several options are chosen, or none, as `choice` does."""
        if self.arrives(key):
            values = [one for one in options if one in self.asked.get(name, ())]
            if len(values) < len(self.asked.get(name, ())):
                self._does_not_fit(name)
        else:
            values = [one for one in st.session_state.get(key, ()) if one in options]
        self._settle(key, values)
        if values:
            self.written[name] = values
        return values

    def number(self, name: str, key: str, low: float, high: float, default: float) -> float:
        """Set a number between two ends as `choice` does; whole where the default is a whole number."""
        value: float = default
        if not self.arrives(key):
            value = st.session_state.get(key, default)
        elif name in self.asked:
            try:
                value = type(default)(self.asked[name][-1])
            except ValueError:
                self._does_not_fit(name)
            if not low <= value <= high:
                self._does_not_fit(name)
                value = default
        self._settle(key, value)
        if value != default:
            self.written[name] = [number_words(value)]
        return value

    def optional_number(self, name: str, key: str, most: float, *, whole: bool) -> None:
        """Set a number that may be left out as `choice` does; in size it is below `most`."""
        value: float | None = None
        if not self.arrives(key):
            value = st.session_state.get(key)
        elif name in self.asked:
            try:
                value = float(self.asked[name][-1])
            except ValueError:
                value = nan
            # A comparison that holds, rather than one that does not: NaN fails both.
            if not (abs(value) < most and (not whole or value.is_integer())):
                self._does_not_fit(name)
                value = None
            elif whole:
                value = int(value)
        self._settle(key, value)
        if value is not None:
            self.written[name] = [number_words(value)]

    def flag(self, name: str, key: str) -> bool:
        """Set a switch that is off by default as `choice` does."""
        return self.choice(name, key, (False, True), False, spelled={False: "no", True: "yes"})

    def text(self, name: str, key: str, most: int) -> str:
        """Set a text of at most `most` characters as `choice` does; longer ones are cut, with a notice."""
        if self.arrives(key):
            value = self.asked.get(name, [""])[-1]
            if len(value) > most:
                self._does_not_fit(name)
                value = value[:most]
        else:
            value = str(st.session_state.get(key) or "")
        self._settle(key, value)
        if value.strip():
            self.written[name] = [value]
        return value

    def stay_as_asked(self) -> None:
        """Leave the address as it is, where it cannot be followed; in place of `keep`.

        A link out of here may lead to an address that this page wrote before, and is still followed.
        """
        st.session_state.pop(_ARRIVING, None)
        self.written = dict(self.asked)
        st.query_params.from_dict(self.written)
        st.session_state[_WRITTEN] = (self.page, (self.written,))

    def refuse(self, name: str, value: str) -> None:
        """Tell the reader that a value of the address means nothing here."""
        self.unfit.append(f"{name}={value[:80]}")

    def keep(self) -> None:
        """Write the address. Called once, when the page is drawn, unless the address cannot be followed."""
        st.session_state.pop(_ARRIVING, None)
        if self.written == self.asked:
            # A link to the page it stands on leaves the browser's address as it was: the browser is told again.
            self.written = self.asked
        if self.arrived or self.written is not self.asked:
            st.query_params.from_dict(self.written)
        page, recent = st.session_state.get(_WRITTEN, ("", ()))
        before = recent if page == self.page else (self.asked,)
        if before[0] != self.written:
            before = (self.written, *before)
        st.session_state[_WRITTEN] = (self.page, before[:_RECENT])
        if self.page in _REMEMBERED_PAGES and "casebook" in self.written:
            st.session_state[_memory_key(self.page, self.written["casebook"][-1])] = self.written

    def _settle(self, key: str, value: object) -> None:
        seed(key, value)
        self.settled.add(key)

    def _does_not_fit(self, name: str) -> None:
        self.refuse(name, self.asked[name][-1])


def open_address(page: str) -> Address:
    """Read the address of a page at the beginning of a run."""
    asked = {name: st.query_params.get_all(name) for name in st.query_params}
    context = get_script_run_ctx()
    went_back = context is not None and context.is_history_navigation
    written_page, recent = st.session_state.get(_WRITTEN, ("", ()))
    # A browser may ask for a run before it has heard of the address that the last run wrote. It then sends the one
    # before, which is no reason to undo what the reader has just done.
    arrived = went_back or page != written_page or asked not in recent
    # A reader who presses something while the first run still works, on a cold start for many seconds, cuts it short
    # before it wrote the address. What it had set by then is the reader's now; the rest is still the address's.
    opened, settled = st.session_state.get(_ARRIVING, (None, set()))
    if not arrived or went_back or opened != (page, asked):
        settled = set()
    if arrived:
        st.session_state[_ARRIVING] = ((page, asked), settled)
    st.session_state[_RUN] = address = Address(page, asked, arrived, settled=settled)
    return address


def current_address() -> Address:
    """The address of this run."""
    return st.session_state[_RUN]


def seed(key: str, value: object) -> None:
    """Set what a widget shows, only where it shows something else: setting it again forgets what is being typed."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def page_of(name: str) -> Page:
    """A page by its short name."""
    title, icon = PAGES[name]
    return st.Page(
        resource("pages", f"{name}.py"), title=title, icon=icon, url_path=name, default=name == next(iter(PAGES))
    )


def page_name(page: Page) -> str:
    """The short name of a page."""
    return page.url_path or next(iter(PAGES))


def remember_query(shelved: Shelved, parameters: Mapping[str, list[str]]) -> None:
    """Keep the session's query as links are to carry it."""
    st.session_state[_memory_key("query", shelved.name)] = dict(parameters)


def link_parameters(shelved: Shelved, page: str, **own: str) -> Parameters:
    """The parameters of a link: casebook, query where the page shows one, and the page's own.

    Args:
        shelved: The casebook it leads into.
        page: Short name of the page it leads to.
        own: Parameters of that page, such as `case`.
    """
    parameters: Parameters = {"casebook": [shelved.name]}
    if page in QUERY_PAGES:
        query = st.session_state.get(_memory_key("query", shelved.name), {})
        replaced = _query_names(query) if "like" in own else ()
        parameters |= {name: values for name, values in query.items() if name not in replaced}
    return parameters | {name: [value] for name, value in own.items()}


def link(
    shelved: Shelved, page: str, label: str, *, icon: str | None = None, tip: str | None = None, **own: str
) -> None:
    """Draw a link to a page of a casebook; `own` are parameters of that page."""
    parameters = link_parameters(shelved, page, **own)
    st.page_link(page_of(page), label=label, icon=icon, help=tip, query_params=parameters)


def dead_link(page: str, label: str, *, icon: str | None = None) -> None:
    """Draw a link that leads nowhere for now."""
    st.page_link(page_of(page), label=label, icon=icon, disabled=True)


def page_links(shelved: Shelved) -> None:
    """Draw a link to every page, each as it was left."""
    for name, (title, icon) in PAGES.items():
        remembered = st.session_state.get(_memory_key(name, shelved.name), {})
        parameters = remembered | link_parameters(shelved, name)
        st.page_link(page_of(name), label=title, icon=icon, query_params=parameters)


def go(shelved: Shelved, page: str, **own: str) -> None:
    """Go to a page of a casebook at once."""
    st.switch_page(page_of(page), query_params=link_parameters(shelved, page, **own))


def _query_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in _QUERY_NAMES or name.startswith(PROFILE_PREFIX))


def _memory_key(page: str, casebook: str) -> str:
    return f"address-of-{page}:{casebook}"
