"""What every page shares: look, sidebar, casebook switch and error display."""

from __future__ import annotations

import sys

import streamlit as st
from streamlit.navigation.page import Page

from explorer.app.arrival import follow
from explorer.app.library import Shelved, shelve, warm_up
from explorer.app.links import PAGES, QUERY_PAGES, Address, link, open_address, page_links, page_name, page_of
from explorer.app.query_address import left_out, open_query
from explorer.app.session import liked_case
from explorer.app.settings import AppSettings
from explorer.app.shared.behaviour import page_behaviour
from explorer.app.shared.copy_link import copy_link
from explorer.app.shared.errors import show_error, telling_errors
from explorer.app.shared.markup import plain_markdown
from explorer.app.sign_in import admitted, sign_out_panel
from index_builder.disclaimer import DISCLAIMER
from index_builder.errors import CxrError
from index_builder.resources import resource

_APP_NAME = "CXR Explorer"


def run_app() -> None:
    """Draw the shell and run the page the address names."""
    st.set_page_config(
        page_title=_APP_NAME,
        page_icon=resource("assets", "favicon.svg").read_text("utf-8"),
        layout="wide",
        menu_items={"About": f"**CXR Explorer** — find chest X-ray cases by film or report.\n\n{DISCLAIMER}"},
    )
    st.html(resource("assets", "style.css"))
    st.html(resource("assets", "print.css"))
    st.logo(resource("assets", "logo.svg").read_text("utf-8"), size="medium")
    inside = False
    with telling_errors():
        inside = admitted()
    page = st.navigation([page_of(name) for name in PAGES], position="hidden")
    if not inside:
        st.html(f'<footer class="cxr-disclaimer">{DISCLAIMER}</footer>')
        return
    name_tab(page.title)
    drawn = None
    with telling_errors():
        drawn = _draw(page)
    _footer(drawn)


def _draw(page: Page) -> Shelved | None:
    """Read the address, draw the sidebar and the page, write the address.

    Returns:
        The casebook of the page; None where none could be shown.
    """
    address = open_address(page_name(page))
    shelf = shelve(settings().casebooks)
    shelved = active_casebook() if follow(address, shelf) else None
    if shelved is None:
        _sidebar(shelf, None)
        _not_open(shelf, address)
        address.stay_as_asked()
        return None
    try:
        _ = shelved.casebook
    except CxrError as error:
        _sidebar(shelf, None)
        show_error(error)
        _offer(shelf, address, without=shelved.name)
        address.stay_as_asked()
        return None
    stamp_key = f"stamp:{shelved.name}"
    if st.session_state.get(stamp_key, shelved.stamp) != shelved.stamp:
        # Rebuilt while open: what widgets hold may mean nothing now, and is read from the address anew.
        address.arrived, address.settled = True, set()
    st.session_state[stamp_key] = shelved.stamp
    address.written["casebook"] = [shelved.name]
    if address.page in QUERY_PAGES:
        open_query(shelved, address, settings().text_characters)
    _sidebar(shelf, shelved)
    # A narrow screen hides the sidebar, and a link in it would leave it open over the page.
    with st.container(key="cxr-pages-narrow", horizontal=True, wrap=False, gap="xsmall"):
        page_links(shelved)
    page_behaviour(_subject(shelved, address))
    with st.container(key="cxr-page"):
        unfit = st.empty()
        with telling_errors():
            page.run()
    if address.unfit:
        unfit.warning(
            "Parts of this link do not apply here and were ignored: "
            + plain_markdown(", ".join(dict.fromkeys(address.unfit))),
            icon=":material/link_off:",
        )
    address.keep()
    copy_link(left_out() if address.page in QUERY_PAGES else None)
    return shelved


def name_tab(*names: str) -> None:
    """Name the browser's tab after what is on the page, the closest name first, e.g. a case and "Case"."""
    st.set_page_config(page_title=" · ".join((*names, _APP_NAME)))


def settings() -> AppSettings:
    """Settings of this server. Raises `CasebookError` when it was started without a casebook."""
    return AppSettings.from_args(sys.argv[1:])


def active_casebook() -> Shelved:
    """The casebook chosen in the sidebar."""
    shelf = shelve(settings().casebooks)
    chosen = st.session_state.get("casebook")
    return shelf[chosen] if chosen in shelf else next(iter(shelf.values()))


def _subject(shelved: Shelved, address: Address) -> str:
    """What the page is about: with another page, case or case searched with, a reader begins at the top."""
    case = address.asked.get("case", [""])[-1]
    return " ".join((address.page, shelved.name, case, liked_case(shelved) or ""))


def _footer(shelved: Shelved | None) -> None:
    """The disclaimer again, for screens that hide the sidebar."""
    note = DISCLAIMER
    with telling_errors():
        if shelved is not None and shelved.casebook.manifest.dataset.synthetic:
            note += " The films of this casebook are synthetic: computer-drawn, not X-rays."
    st.html(f'<footer class="cxr-disclaimer">{note}</footer>')


def _sidebar(shelf: dict[str, Shelved], shelved: Shelved | None) -> None:
    with st.sidebar:
        if shelved is not None:
            with st.container(key="cxr-pages", gap="xsmall"):
                page_links(shelved)
        if len(shelf) > 1:
            index = 0 if shelved is not None else None
            st.selectbox("Casebook", list(shelf), index=index, key="casebook", persist_state="session")
        if shelved is not None:
            _casebook_card(shelved, titled=len(shelf) == 1)
        sign_out_panel()
        st.html(f'<p class="cxr-disclaimer">{DISCLAIMER}</p>')
    if shelved is not None:
        warm_up(shelved)


def _casebook_card(shelved: Shelved, *, titled: bool) -> None:
    manifest = shelved.casebook.manifest
    with st.container(key="cxr-casebook", gap="xsmall"):
        if titled:
            st.caption("Casebook")
        st.markdown(f"**{plain_markdown(manifest.dataset.title)}**")
        if manifest.dataset.synthetic:
            st.badge("Synthetic films", icon=":material/draw:", color="orange")
        counts = [f"{manifest.cases:,} cases"]
        if manifest.films:
            counts.append(f"{manifest.films:,} films")
        if manifest.reports:
            counts.append(f"{manifest.reports:,} reports")
        st.caption(" · ".join(counts))


def _not_open(shelf: dict[str, Shelved], address: Address) -> None:
    """Say that a link leads into a casebook that is not open here, and which are."""
    st.title("This casebook is not open here", anchor=False)
    named = plain_markdown(address.asked["casebook"][-1][:80])
    st.warning(f"The link names casebook “{named}”. Open here:", icon=":material/link_off:")
    _offer(shelf, address)


def _offer(shelf: dict[str, Shelved], address: Address, without: str | None = None) -> None:
    """Draw links to the open casebooks, but one."""
    for other in shelf.values():
        if other.name != without:
            link(other, address.page, plain_markdown(other.name), icon=":material/library_books:")
