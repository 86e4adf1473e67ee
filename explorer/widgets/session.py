"""What one user's session remembers: the film and text searched with, the last result. Never shared, never stored."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from explorer.search import Query, SearchOptions, SearchResult
from explorer.settings import AppSettings
from explorer.widgets.library import Shelved, reads_profiles, search_casebook
from index_builder.datasets.base import ProfileValue
from index_builder.errors import ImagingError
from index_builder.film_check.check import Turn, righted
from index_builder.imaging import decode_film, display_png
from index_builder.imaging.dicom import BURNED_IN_NOTE
from index_builder.systems.profile import profile_sentence

#: Longest side in pixels of the preview beside the results.
_PREVIEW_SIDE = 512

TEXT_KEY = "query_text"
WEIGHT_KEY = "image_weight"
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
    """Decode an uploaded film and make it the query's; a bad one leaves a message instead."""
    from index_builder.film_check.burned_in import find_text  # here: scipy is not needed for the first page

    st.session_state["film_error"] = None
    try:
        film = decode_film(data, name="This file", limits=settings.film_limits)
    except ImagingError as error:
        st.session_state["film_error"] = str(error).removeprefix("This file: ")
        return
    pixels = reduced(film.pixels, settings.query_side)
    text_seen = BURNED_IN_NOTE in film.notes or bool(find_text(film.pixels))
    st.session_state["film"] = QueryFilm(
        pixels=pixels,
        preview=display_png(pixels, _PREVIEW_SIDE),
        digest=hashlib.sha256(pixels.tobytes()).hexdigest(),
        notes=film.notes,
        source_format=film.source_format,
        view=film.view,
        text_seen=text_seen,
    )
    st.session_state["like"] = None


def turn_film(turn: Turn) -> None:
    """Undo what the check of films found: go on with the film upright, or inverted back."""
    film = query_film()
    if film is None:
        return
    pixels = righted(film.pixels, turn)
    note = "inverted" if turn == "inverted" else f"{turn}: set upright"
    st.session_state["film"] = replace(
        film,
        pixels=pixels,
        preview=display_png(pixels, _PREVIEW_SIDE),
        digest=hashlib.sha256(pixels.tobytes()).hexdigest(),
        notes=(*film.notes, f"{note}, as you asked"),
    )


def remove_film() -> None:
    """Forget the uploaded film."""
    st.session_state["film"] = None
    st.session_state["film_error"] = None


def search_text(text: str) -> None:
    """Search with a text alone, as if it had been typed."""
    remove_film()
    st.session_state["like"] = None
    st.session_state[TEXT_KEY] = text


def search_profile(shelved: Shelved, profile: Mapping[str, ProfileValue]) -> None:
    """Search with a patient profile alone, as if the form had been filled in."""
    remove_film()
    st.session_state["like"] = None
    _fill_profile(shelved, profile)


def search_like(shelved: Shelved, case_id: str) -> None:
    """Search with a case of a casebook instead of a film and text."""
    clear_query(shelved)
    st.session_state["like"] = (shelved.name, case_id)


def clear_query(shelved: Shelved) -> None:
    """Start over."""
    remove_film()
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


def query_film() -> QueryFilm | None:
    """The film searched with."""
    return cast("QueryFilm | None", st.session_state.get("film"))


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
    film, profile = query_film(), given_profile(shelved)
    text = "" if reads_profiles(shelved.casebook) else typed_text()
    if film is None and not text and not profile:
        return None
    weight = float(st.session_state.get(WEIGHT_KEY, 0.5)) if film is not None and (text or profile) else 0.5
    return Query(
        pixels=None if film is None else film.pixels,
        text=text or None,
        image_weight=weight,
        profile=profile or None,
        view=None if film is None else film.view,
    )


def run_query(shelved: Shelved, query: Query, options: SearchOptions) -> Outcome:
    """Search, or give the last result again if nothing changed. Raises `QueryError`."""
    film = query_film()
    key = (
        shelved.name,
        shelved.stamp,
        None if query.pixels is None or film is None else film.digest,
        query.text,
        tuple((query.profile or {}).items()),
        query.case_id,
        query.image_weight,
        options,
    )
    last: Outcome | None = st.session_state.get("outcome")
    if last is not None and last.key == key:
        return last
    outcome = Outcome(key, shelved, query, options, search_casebook(shelved, query, options))
    st.session_state["outcome"] = outcome
    return outcome


def last_outcome(shelved: Shelved) -> Outcome | None:
    """The last search, if it was in this very casebook."""
    last: Outcome | None = st.session_state.get("outcome")
    return last if last is not None and last.shelved == shelved else None


def query_in_words(query: Query) -> str:
    """What was searched with, e.g. "your film and “large heart”"."""
    if query.case_id is not None:
        return f"case {query.case_id}"
    text = profile_sentence(query.profile) if query.profile else (query.text or "").strip()
    if len(text) > 80:
        text = text[:77].rsplit(" ", 1)[0].rstrip(",;") + " …"
    quoted = f"“{text}”" if text else ""
    film = "your film" if query.pixels is not None else ""
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
