"""Which film of a study is looked at, and what films are called."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from explorer.app.links import current_address
from explorer.app.shared.markup import plain_markdown


def film_choice(views: Sequence[str | None], place: str) -> int:
    """Draw the choice among the films of a study, where there are several, and give the number of the one chosen.

    The address carries it as `shown`, counted from 1.

    Args:
        views: Views of the films, None where unknown.
        place: Tells the choices of different studies apart.
    """
    if len(views) < 2:
        return 0
    numbers, key = tuple(range(1, len(views) + 1)), f"film-shown-{place}"
    chosen = current_address().choice("shown", key, tuple(map(str, numbers)), "1")
    st.segmented_control(
        "Film",
        list(map(str, numbers)),
        required=True,
        format_func=lambda number: plain_markdown(film_name(views, int(number) - 1)),
        key=key,
        label_visibility="collapsed",
        persist_state="session",
    )
    return int(chosen) - 1


def film_name(views: Sequence[str | None], number: int) -> str:
    """What a film of a study is called, e.g. "Film 2 (lateral)"."""
    view = views[number]
    return f"Film {number + 1}" + (f" ({view_words(view)})" if view else "")


def films_words(views: Sequence[str | None]) -> str:
    """The films of a study in words: "PA view", "PA and lateral views", "3 films"; empty where nothing is known."""
    if len(views) < 2 or None in views:
        known = f"{view_words(views[0])} view" if len(views) == 1 and views[0] else ""
        return f"{len(views)} films" if len(views) > 1 else known
    words = [view_words(view) for view in views if view]
    return f"{', '.join(words[:-1])} and {words[-1]} views"


def view_words(view: str) -> str:
    """A view as it is written: "PA", "AP" or "lateral"."""
    return view.lower() if view == "LATERAL" else view
