"""Error display: a sentence, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from explorer.app.shared.markup import plain_markdown
from index_builder.errors import CxrError

_LOG = logging.getLogger(__name__)


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
    """Show an error that a user can fix."""
    st.error(_sentence(str(error)), icon=":material/error:")


def _sentence(message: str) -> str:
    """A message with a capital first letter, shown as text and not as Markdown."""
    return plain_markdown(message[:1].upper() + message[1:])
