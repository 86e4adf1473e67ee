"""The session of one user: the film and text searched with, the last result. Never shared, never stored."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from explorer.app.library import Shelved, reads_profiles, search_casebook
from explorer.app.settings import AppSettings
from explorer.search.query import Query, SearchOptions
from explorer.search.result import SearchResult
from index_builder.cases.case import ProfileValue
from index_builder.cases.profile import profile_sentence
from index_builder.errors import ImagingError
from index_builder.film_check.check import Turn, righted
from index_builder.imaging import decode_film, display_png
from index_builder.imaging.dicom import BURNED_IN_NOTE

#: Films and long texts that a session keeps, for Back; a query has up to two films.
_KEPT = 4
#: Longest side in pixels of the preview beside the results.
_PREVIEW_SIDE = 512

#: A frontal film and a lateral of one study.
MOST_FILMS = 2

TEXT_KEY = "query_text"
WEIGHT_KEY = "image_weight"
#: Whether a text is searched for as typed.
EXACT_KEY = "exact_words"
#: Whether a lateral film is compared with all films.
ALL_FILMS_KEY = "all_films"
#: What the form calls a field of the profile that is left out.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class QueryFilm:
    """An uploaded film, reduced; neither its file name nor any header value is kept.

    Attributes:
        pixels: [H, W] float32 in 0..1.
        preview: PNG for the page.
        digest: SHA-256 of the pixels, tells films apart.
        notes: What the decoder did.
        source_format: "dicom", "png" or "jpeg".
        view: From the DICOM header, where given.
        text_seen: Whether text seems to be burned into the picture, as header or pixels say.
    """

    pixels: NDArray[np.float32]
    preview: bytes
    digest: str
    notes: tuple[str, ...]
    source_format: str
    view: str | None
    text_seen: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last search of this session.

    Attributes:
        key: Everything the result depends on.
        shelved: The casebook searched.
        query: What was searched with.
        options: How.
        result: What was found.
    """

    key: Hashable
    shelved: Shelved
    query: Query
    options: SearchOptions
    result: SearchResult


def stage_film(data: bytes, settings: AppSettings) -> None:
    """Decode an uploaded film and add it to the query's; a bad one leaves a message instead."""
    from index_builder.imaging.burned_in import find_text  # here: scipy is not needed for the first page

    st.session_state["film_error"] = None
    try:
        film = decode_film(data, name="This file", limits=settings.film_limits)
    except ImagingError as error:
        st.session_state["film_error"] = str(error).removeprefix("This file: ")
        return
    pixels = reduced(film.pixels, settings.query_side)
    text_seen = BURNED_IN_NOTE in film.notes or bool(find_text(film.pixels))
    staged = QueryFilm(
        pixels=pixels,
        preview=display_png(pixels, _PREVIEW_SIDE),
        digest=hashlib.sha256(pixels.tobytes()).hexdigest(),
        notes=film.notes,
        source_format=film.source_format,
        view=film.view,
        text_seen=text_seen,
    )
    before = query_films()
    if any(one.digest == staged.digest for one in before):
        st.session_state["film_error"] = "it is already in the search. Give the other view of the study."
        return
    _search_with((*before, staged))
    st.session_state["like"] = None


def turn_film(turn: Turn, number: int = 0) -> None:
    """Undo what the check of films found: go on with a film of the query upright, or inverted back."""
    films = list(query_films())
    if number >= len(films):
        return
    film = films[number]
    pixels = righted(film.pixels, turn)
    note = "inverted" if turn == "inverted" else f"{turn}: set upright"
    films[number] = replace(
        film,
        pixels=pixels,
        preview=display_png(pixels, _PREVIEW_SIDE),
        digest=hashlib.sha256(pixels.tobytes()).hexdigest(),
        notes=(*film.notes, f"{note}, as you asked"),
    )
    _search_with(films)


def remove_film(number: int) -> None:
    """Forget an uploaded film; the other one of the query stays."""
    films = list(query_films())
    if number < len(films):
        films.pop(number)
    _set_films_aside()
    st.session_state["films"] = {}
    _search_with(films)


def find_films(fingerprints: Sequence[str]) -> bool:
    """Search with the films of this session whose digests begin so; False where the session lacks one."""
    films = cast("dict[str, QueryFilm]", st.session_state.get("films", {}))
    found = [
        next((film for digest, film in films.items() if fingerprint and digest.startswith(fingerprint)), None)
        for fingerprint in fingerprints[:MOST_FILMS]
    ]
    there = [film for film in found if film is not None]
    st.session_state["film"], st.session_state["second_film"] = (*there, None, None)[:MOST_FILMS]
    return len(there) == len(found)


def keep_text(fingerprint: str, text: str) -> None:
    """Keep a text that is too long for an address, so that Back finds it; the session's last few are kept."""
    texts = {name: kept for name, kept in st.session_state.get("texts", {}).items() if name != fingerprint}
    st.session_state["texts"] = dict([*texts.items(), (fingerprint, text)][-_KEPT:])


def find_text(fingerprint: str) -> str | None:
    """A text kept by `keep_text`."""
    return cast("dict[str, str]", st.session_state.get("texts", {})).get(fingerprint)


def lost() -> str | None:
    """What the link to this page was made with and could not carry: "film", "text" or None."""
    return cast("str | None", st.session_state.get("lost"))


def _search_with(films: Sequence[QueryFilm]) -> None:
    """Search with these films; the session's last few are kept, so that Back finds them."""
    own = {film.digest: film for film in films[:MOST_FILMS]}
    kept = {digest: film for digest, film in st.session_state.get("films", {}).items() if digest not in own}
    st.session_state["films"] = dict([*kept.items(), *own.items()][-_KEPT:])
    st.session_state["film"], st.session_state["second_film"] = (*own.values(), None, None)[:MOST_FILMS]
    st.session_state["lost"] = None


def _set_films_aside() -> None:
    st.session_state["film"] = st.session_state["second_film"] = None
    st.session_state["film_error"] = None


def search_text(text: str) -> None:
    """Search with a text alone, as if it had been typed."""
    _set_films_aside()
    st.session_state["like"] = None
    st.session_state[TEXT_KEY] = text


def search_profile(shelved: Shelved, profile: Mapping[str, ProfileValue]) -> None:
    """Search with a patient profile alone, as if the form had been filled in."""
    _set_films_aside()
    st.session_state["like"] = None
    _fill_profile(shelved, profile)


def search_like(shelved: Shelved, case_id: str) -> None:
    """Search with a case of a casebook instead of a film and text."""
    _set_films_aside()
    st.session_state[TEXT_KEY] = ""
    _fill_profile(shelved, {})
    like_case(shelved, case_id)


def like_case(shelved: Shelved, case_id: str | None) -> None:
    """Search with a case of a casebook, or no longer with one."""
    st.session_state["like"] = None if case_id is None else (shelved.name, case_id)


def clear_query(shelved: Shelved) -> None:
    """Start over, and forget what was uploaded."""
    _set_films_aside()
    st.session_state["films"] = {}
    st.session_state["texts"] = {}
    st.session_state["lost"] = None
    st.session_state["like"] = None
    st.session_state[TEXT_KEY] = ""
    _fill_profile(shelved, {})
    st.session_state["outcome"] = None


def text_changed() -> None:
    """A typed text takes the place of a case searched with."""
    if typed_text():
        st.session_state["like"] = None


def profile_changed() -> None:
    """A profile takes the place of a case searched with."""
    st.session_state["like"] = None


def query_films() -> tuple[QueryFilm, ...]:
    """The films searched with, one or two of one study; none before one was given."""
    several = (st.session_state.get("film"), st.session_state.get("second_film"))
    return tuple(cast("QueryFilm", film) for film in several if film is not None)


def typed_text() -> str:
    """The text searched with, possibly empty."""
    return str(st.session_state.get(TEXT_KEY) or "").strip()


def profile_key(shelved: Shelved, field: str) -> str:
    """Where the session keeps a field of the profile searched with."""
    return f"profile:{shelved.name}:{field}"


def given_profile(shelved: Shelved) -> dict[str, ProfileValue]:
    """The profile searched with, known fields only; empty where the casebook's system does not read profiles."""
    profile = {}
    for field in shelved.casebook.searched_fields:
        value = st.session_state.get(profile_key(shelved, field.name))
        if field.kind == "flag":
            value = {"yes": True, "no": False}.get(str(value))
        if value is not None and value != "":
            profile[field.name] = value
    return profile


def _fill_profile(shelved: Shelved, profile: Mapping[str, ProfileValue]) -> None:
    for field in shelved.casebook.searched_fields:
        value = profile.get(field.name)
        if field.kind == "flag":
            value = UNKNOWN if value is None else "yes" if value else "no"
        st.session_state[profile_key(shelved, field.name)] = value


def liked_case(shelved: Shelved) -> str | None:
    """The case searched with, if it is one of this casebook."""
    like = st.session_state.get("like")
    return like[1] if like and like[0] == shelved.name and like[1] in shelved.casebook else None


def current_query(shelved: Shelved) -> Query | None:
    """What the session searches with; None before anything was given."""
    if (case_id := liked_case(shelved)) is not None:
        return Query(case_id=case_id)
    films, profile = query_films(), given_profile(shelved)
    text = "" if reads_profiles(shelved.casebook) else typed_text()
    if not films and not text and not profile:
        return None
    weight = float(st.session_state.get(WEIGHT_KEY, 0.5)) if films and (text or profile) else 0.5
    (pixels, view), (second, second_view) = ([(film.pixels, film.view) for film in films] + [(None, None)] * 2)[:2]
    return Query(
        pixels=pixels,
        text=text or None,
        image_weight=weight,
        profile=profile or None,
        view=view,
        correct=not st.session_state.get(EXACT_KEY, False),
        second=second,
        second_view=second_view,
    )


def run_query(shelved: Shelved, query: Query, options: SearchOptions) -> Outcome:
    """Search, or give the last result again if nothing changed. Raises `QueryError`."""
    key = (
        shelved.name,
        shelved.stamp,
        tuple(film.digest for film in query_films()) if query.films else (),
        query.text,
        tuple((query.profile or {}).items()),
        query.case_id,
        query.image_weight,
        query.correct,
        options,
    )
    last: Outcome | None = st.session_state.get("outcome")
    if last is not None and last.key == key:
        return last
    outcome = Outcome(key, shelved, query, options, search_casebook(shelved, query, options))
    st.session_state["outcome"] = outcome
    return outcome


def query_in_words(query: Query) -> str:
    """What was searched with, e.g. "your film and “large heart”"."""
    if query.case_id is not None:
        return f"case {query.case_id}"
    text = profile_sentence(query.profile) if query.profile else (query.text or "").strip()
    if len(text) > 80:
        text = text[:77].rsplit(" ", 1)[0].rstrip(",;") + " …"
    quoted = f"“{text}”" if text else ""
    film = ("", "your film", "your two films")[len(query.films)]
    return " and ".join(part for part in (film, quoted) if part)


def reduced(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Pixels [H, W] with the longest side at most `side`, aspect kept."""
    rows, columns = pixels.shape
    scale = side / max(rows, columns)
    if scale >= 1:
        return np.ascontiguousarray(pixels, np.float32)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    # Triangle filter, as in `model_input`: the reduced film gives nearly the same network input.
    image = Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float32)
