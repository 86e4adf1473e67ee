"""The casebook that a link leads into."""

from __future__ import annotations

import logging

import streamlit as st

from explorer.app.library import Shelved
from explorer.app.links import Address
from index_builder.errors import CxrError

_LOG = logging.getLogger(__name__)
#: Parameters that name a case; a link whose casebook lacks it may lead to another one that has it.
_CASE = "case"


def follow(address: Address, shelf: dict[str, Shelved]) -> bool:
    """Switch to the casebook that an address leads into.

    Returns:
        Whether there is one. Where the address names a casebook that is not open, nothing may be shown in its stead.
    """
    asked = address.asked.get("casebook", [None])[-1]
    chosen = st.session_state.get("casebook")
    if not address.arrives("casebook"):
        if chosen in shelf and asked is not None and chosen != asked:
            # The reader switched: what the address says of the casebook before is no longer asked for.
            address.asked = {}
        return chosen in shelf
    if asked is not None and asked not in shelf:
        st.session_state["casebook"] = None
        return False
    name = asked or (chosen if chosen in shelf else next(iter(shelf)))
    case_id = address.asked.get(_CASE, [None])[-1]
    if case_id is not None and not _has(shelf[name], case_id):
        others = [other for other in shelf.values() if other.name != name and _has(other, case_id)]
        if others:
            if asked is not None:
                st.toast(f"Casebook {name} has no case {case_id}: opened in {others[0].name}.", icon=":material/info:")
            name = others[0].name
    st.session_state["casebook"] = name
    address.settled.add("casebook")
    return True


def _has(shelved: Shelved, case_id: str) -> bool:
    try:
        return case_id in shelved.casebook
    except CxrError as error:
        _LOG.error("%s", error)
        return False
