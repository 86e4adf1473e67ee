"""The one way in which the app hands out a file: to those who may have it, made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from explorer.app.access import Visitor, check_may_export
from explorer.app.sign_in import record_export, signed_in
from index_builder.errors import AccessError


def export_button(
    label: str,
    make: Callable[[], bytes | str],
    file_name: str,
    mime: str,
    *,
    key: str | None = None,
    icon: str = ":material/download:",
    prominent: bool = False,
    note: str | None = None,
) -> None:
    """Draw a download; nothing for a visitor who may only look.

    Args:
        label: Label of the button.
        make: Makes the file's content.
        file_name: Which the browser proposes and the audit log names; says nothing of a query.
        mime: Kind of content.
        key: Key of the button.
        icon: Icon of the button.
        prominent: Whether it has a frame.
        note: Help.
    """
    visitor = signed_in()
    try:
        check_may_export(visitor)
    except AccessError:
        return
    st.download_button(
        label,
        data=partial(_made, visitor, make, file_name),
        file_name=file_name,
        mime=mime,
        key=key,
        icon=icon,
        type="secondary" if prominent else "tertiary",
        help=note,
        on_click="ignore",
    )


def _made(visitor: Visitor | None, make: Callable[[], bytes | str], file_name: str) -> bytes | str:
    """Look again when the file is asked for, perhaps hours after the button was drawn."""
    check_may_export(visitor)
    record_export(visitor, file_name)
    return make()
