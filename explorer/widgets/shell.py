"""What every page shares: look, sidebar, casebook switch, and how errors are told."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from streamlit.navigation.page import Page

from explorer.settings import AppSettings
from explorer.widgets.library import Shelved, shelve, warm_up
from explorer.widgets.markup import plain_markdown
from explorer.widgets.sign_in import admitted, sign_out_panel
from index_builder.errors import CxrError
from index_builder.resources import resource

_LOG = logging.getLogger(__name__)

DISCLAIMER = "For education and research, not for diagnosis."

EXPLAIN_ICON = ":material/network_intelligence:"

_PAGES = {
    "search": ("Search", ":material/search:"),
    "case": ("Case", ":material/radiology:"),
    "explain": ("Explain", EXPLAIN_ICON),
    "map": ("Map", ":material/bubble_chart:"),
    "evaluation": ("Evaluation", ":material/monitoring:"),
    "about": ("About", ":material/info:"),
}


def run_app() -> None:
    """Draw the shell and run the page the address names."""
    st.set_page_config(
        page_title="CXR Explorer",
        page_icon=resource("assets", "favicon.svg").read_text("utf-8"),
        layout="wide",
        menu_items={"About": f"**CXR Explorer** — find chest X-ray cases by film or report.\n\n{DISCLAIMER}"},
    )
    st.html(resource("assets", "style.css"))
    st.logo(resource("assets", "logo.svg").read_text("utf-8"), size="medium")
    inside = False
    with telling_errors():
        inside = admitted()
    page = st.navigation([page_of(name) for name in _PAGES], position="sidebar" if inside else "hidden")
    if not inside:
        st.html(f'<footer class="cxr-disclaimer">{DISCLAIMER}</footer>')
        return
    with telling_errors():
        _sidebar()
        page.run()
    _footer()


def page_of(name: str) -> Page:
    """A page by its short name, for navigation and links."""
    title, icon = _PAGES[name]
    return st.Page(
        resource("pages", f"{name}.py"), title=title, icon=icon, url_path=name, default=name == next(iter(_PAGES))
    )


def link_parameters(shelved: Shelved, case_id: str | None = None, **others: str) -> dict[str, str]:
    """Query parameters of a link into a casebook."""
    return {"casebook": shelved.name} | ({} if case_id is None else {"case": case_id}) | others


def settings() -> AppSettings:
    """Settings of this server. Raises `CasebookError` when it was started without a casebook."""
    return AppSettings.from_args(sys.argv[1:])


def active_casebook() -> Shelved:
    """The casebook chosen in the sidebar."""
    shelf = shelve(settings().casebooks)
    chosen = st.session_state.get("casebook")
    return shelf[chosen] if chosen in shelf else next(iter(shelf.values()))


@contextmanager
def telling_errors() -> Iterator[None]:
    """Show what goes wrong inside as a sentence, never as a traceback."""
    try:
        yield
    except CxrError as error:
        st.error(_sentence(str(error)), icon=":material/error:")
    except Exception:
        # The outermost frame of a page: what escapes to here is a bug, for the log in full, for the reader in brief.
        _LOG.exception("a page failed")
        st.error(
            "Something went wrong on our side, not yours. Your query is kept: reload the page to try again. "
            "The details are in the server's log.",
            icon=":material/error:",
        )


def show_error(error: CxrError) -> None:
    """Show an error a user can mend."""
    st.error(_sentence(str(error)), icon=":material/error:")


def _footer() -> None:
    """The disclaimer again, for screens that hide the sidebar."""
    note = DISCLAIMER
    with telling_errors():
        if active_casebook().casebook.manifest.dataset.synthetic:
            note += " The films of this casebook are synthetic: drawn by a program, not exposed."
    st.html(f'<footer class="cxr-disclaimer">{note}</footer>')


def _sidebar() -> None:
    shelf = shelve(settings().casebooks)
    asked = st.query_params.get("casebook")
    with st.sidebar:
        if len(shelf) > 1:
            st.selectbox("Casebook", list(shelf), key="casebook", bind="query-params")
        if asked is not None and asked not in shelf:
            st.warning(
                f"The link names casebook “{plain_markdown(asked[:80])}”, which is not open here.",
                icon=":material/link_off:",
            )
        shelved = active_casebook()
        manifest = shelved.casebook.manifest
        with st.container(key="cxr-casebook", gap="xsmall"):
            if len(shelf) == 1:
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
        sign_out_panel()
        st.html(f'<p class="cxr-disclaimer">{DISCLAIMER}</p>')
    if len(shelf) == 1 and asked == shelved.name:
        # Without a switch nothing is bound to the parameter; it says nothing new.
        st.session_state.setdefault("casebook", shelved.name)
    warm_up(shelved)


def _sentence(message: str) -> str:
    """A message with a capital first letter, shown as text and not as Markdown."""
    return plain_markdown(message[:1].upper() + message[1:])
