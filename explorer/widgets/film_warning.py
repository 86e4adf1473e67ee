"""What is wrong with the query's film, said before any result is shown."""

from __future__ import annotations

import streamlit as st

from explorer.film_report import FilmReport
from explorer.widgets.markup import plain_markdown
from explorer.widgets.session import query_film, turn_film

_ACCEPTED = "film_accepted"


def stands_in_the_way(report: FilmReport | None) -> bool:
    """Whether results are kept back until they are asked for."""
    film = query_film()
    return bool(report and report.flags and film and st.session_state.get(_ACCEPTED) != film.digest)


def film_warning(report: FilmReport) -> None:
    """Say what is wrong, and offer to mend it or to go on all the same."""
    film = query_film()
    with st.container(key="cxr-film-warning", border=True, gap="small"):
        st.subheader("Look at this film first")
        _told(report)
        if report.percentile is not None:
            nearer = f"{report.percentile:.0%}".replace("%", " %")
            st.caption(
                f"Compared with the films of this casebook by what the image encoder sees: {nearer} of them are nearer "
                "to their nearest five than this film is."
            )
        with st.container(horizontal=True, gap="small"):
            if report.turn is not None:
                st.button(
                    "Use it inverted" if report.turn == "inverted" else "Turn it upright",
                    type="primary",
                    icon=":material/invert_colors:" if report.turn == "inverted" else ":material/rotate_right:",
                    key="turn-film",
                    on_click=turn_film,
                    args=(report.turn,),
                )
            st.button(
                "Show the nearest cases all the same",
                icon=":material/visibility:",
                key="accept-film",
                on_click=_accept,
                args=(film.digest if film else "",),
            )


def film_notice(report: FilmReport | None) -> None:
    """The same above results that are shown on request."""
    if report and report.flags:
        _told(report)


def _told(report: FilmReport) -> None:
    for flag in report.flags:
        st.warning(plain_markdown(flag.words), icon=":material/warning:")


def _accept(digest: str) -> None:
    st.session_state[_ACCEPTED] = digest
