"""What is wrong with the query's films, said before any result is shown."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from explorer.app.session import query_films, turn_film
from explorer.app.shared.markup import plain_markdown
from explorer.search.reading.film_report import FilmReport

_ACCEPTED = "film_accepted"


def stands_in_the_way(reports: Sequence[FilmReport]) -> bool:
    """Whether results are kept back until they are asked for."""
    films = query_films()
    return bool(films) and any(report.flags for report in reports) and st.session_state.get(_ACCEPTED) != _digests()


def film_warning(reports: Sequence[FilmReport]) -> None:
    """Say what is wrong, and offer to correct it or to continue anyway."""
    with st.container(key="cxr-film-warning", border=True, gap="small"):
        st.header("Look at this film first" if len(reports) == 1 else "Look at these films first")
        film_notice(reports)
        for number, report in enumerate(reports):
            if report.flags and report.percentile is not None:
                nearer = f"{report.percentile:.0%}".replace("%", " %")
                st.caption(
                    f"{_name(number, reports)}By what the image encoder sees, {nearer} of the films of this "
                    "casebook are "
                    "closer to their five nearest films than this film is."
                )
        with st.container(horizontal=True, gap="small"):
            for number, report in enumerate(reports):
                if report.turn is None:
                    continue
                inverted = report.turn == "inverted"
                which = "it" if len(reports) == 1 else f"film {number + 1}"
                st.button(
                    f"Use {which} inverted" if inverted else f"Turn {which} upright",
                    type="primary",
                    icon=":material/invert_colors:" if inverted else ":material/rotate_right:",
                    key=f"turn-film-{number + 1}" if number else "turn-film",
                    on_click=turn_film,
                    args=(report.turn, number),
                )
            st.button(
                "Show results anyway",
                icon=":material/visibility:",
                key="accept-film",
                on_click=_accept,
                args=(_digests(),),
            )


def film_notice(reports: Sequence[FilmReport]) -> None:
    """The warning again, above results that are shown on request."""
    for number, report in enumerate(reports):
        _told(report, _name(number, reports))


def _told(report: FilmReport, name: str) -> None:
    for flag in report.flags:
        st.warning(plain_markdown(name + flag.words), icon=":material/warning:")
    for words in report.hints:
        st.info(plain_markdown(name + words), icon=":material/screen_rotation:")


def _name(number: int, reports: Sequence[FilmReport]) -> str:
    return f"Film {number + 1}: " if len(reports) > 1 else ""


def _digests() -> tuple[str, ...]:
    return tuple(film.digest for film in query_films())


def _accept(digests: tuple[str, ...]) -> None:
    st.session_state[_ACCEPTED] = digests
