"""Open casebooks, shared by all users of the server: loaded once, replaced when rebuilt."""

from __future__ import annotations

import gc
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from time import sleep

import numpy as np
import streamlit as st
from PIL import Image

from explorer.casebook import Casebook
from explorer.cases.anatomy import FilmAnatomy, film_anatomy
from explorer.search.query import Query, SearchOptions
from explorer.search.result import SearchResult
from index_builder.casebook.layout import Layout
from index_builder.errors import CxrError, QueryError
from index_builder.imaging import display_png

_LOG = logging.getLogger(__name__)

#: Seconds that loading a system in the background leaves to the first page, which would wait for the interpreter.
_FIRST_PAGE = 3.0


@dataclass(frozen=True, slots=True)
class Shelved:
    """A casebook on the shelf.

    Attributes:
        name: What the switch and links call it; unique among the casebooks of this server.
        folder: Where it lies.
        stamp: Changes when the folder's manifest is rewritten.
    """

    name: str
    folder: Path
    stamp: str

    @property
    def casebook(self) -> Casebook:
        """The opened casebook. Raises `CasebookError`."""
        return _open(str(self.folder), self.stamp)


def shelve(folders: Sequence[Path]) -> dict[str, Shelved]:
    """Casebooks by name: the folder's, with its parent's in front where two share one."""
    names = [folder.name for folder in folders]
    shelf: dict[str, Shelved] = {}
    for folder in folders:
        name = folder.name if names.count(folder.name) == 1 else f"{folder.parent.name}-{folder.name}"
        while name in shelf:
            name += "-"
        shelf[name] = Shelved(name, folder, _stamp(folder))
    return shelf


def search_casebook(shelved: Shelved, query: Query, options: SearchOptions) -> SearchResult:
    """Search. Raises `QueryError`."""
    from explorer.search.search import search_cases  # it loads torch, which no first page waits for

    return search_cases(shelved.casebook, query, options)


def neighbours_of(shelved: Shelved, case_id: str, k: int) -> SearchResult:
    """The cases nearest to a case, without its copies. Cached: a case is no user's own."""
    return _neighbours_of(str(shelved.folder), shelved.stamp, case_id, k)


def warm_up(shelved: Shelved) -> None:
    """Load the system of a casebook in the background, once, so that the first query need not wait for it."""
    _warm_up(str(shelved.folder), shelved.stamp)


def is_warm(shelved: Shelved) -> bool:
    """Whether a query would be answered without loading the system first."""
    return not _warm_up(str(shelved.folder), shelved.stamp).is_alive()


def film_png(shelved: Shelved, reference: str, max_side: int) -> bytes:
    """A film of the casebook as PNG of at most `max_side`. Raises `CxrError` when its source cannot be reached."""
    return _film_png(str(shelved.folder), shelved.stamp, reference, max_side)


def anatomy_of(shelved: Shelved, case_id: str, reference: str, view: str | None) -> FilmAnatomy:
    """Outlines of a film of the casebook, on its small copy where its source cannot be reached. Cached.

    Raises:
        CxrError: There is no copy either.
    """
    return _anatomy_of(str(shelved.folder), shelved.stamp, case_id, reference, view)


def text_vectors_exist(casebook: Casebook) -> bool:
    """Whether the casebook holds reports to compare a text with, rather than films alone."""
    return "text" in casebook.spaces


def reads_profiles(casebook: Casebook) -> bool:
    """Whether the casebook's system takes patient profiles for texts."""
    return casebook.manifest.system.reads == "profile"


def _stamp(folder: Path) -> str:
    try:
        state = Layout(folder).manifest.stat()
    except OSError:
        return "missing"
    return f"{state.st_mtime_ns}-{state.st_size}"


@st.cache_resource(max_entries=16, show_spinner="Opening the casebook …")
def _open(folder: str, stamp: str) -> Casebook:
    return Casebook.open(folder)


@st.cache_resource(max_entries=16, show_spinner=False)
def _warm_up(folder: str, stamp: str) -> Thread:
    casebook = _open(folder, stamp)

    def load() -> None:
        sleep(_FIRST_PAGE)
        from explorer.search.search import search_cases

        try:
            search_cases(casebook, Query(text="no acute abnormality"), k=1)
        except CxrError as error:
            # The first query meets the same error and shows it to whoever asked.
            _LOG.error("%s", error)
        # Streamlit collects garbage after every run, which is slow over all that libraries load and will not let go.
        gc.collect()
        gc.freeze()

    thread = Thread(target=load, name=f"warm-up {casebook.name}", daemon=True)
    thread.start()
    return thread


@st.cache_data(max_entries=512, ttl=3600, show_spinner=False)
def _neighbours_of(folder: str, stamp: str, case_id: str, k: int) -> SearchResult:
    from explorer.search.search import search_cases

    options = SearchOptions(k=k, hide_duplicates=True)
    casebook = _open(folder, stamp)
    query = Query(case_id=case_id)
    try:
        return search_cases(casebook, query, options)
    except QueryError:
        # A case of one modality has no joint vector in some systems: its own modality answers then.
        held = [space for space in casebook.spaces if casebook.has_vector(space)[casebook.row(case_id)]]
        if not held:
            raise
        return search_cases(casebook, query, replace(options, space=held[0]))


@st.cache_data(max_entries=48, ttl=3600, show_spinner=False)
def _film_png(folder: str, stamp: str, reference: str, max_side: int) -> bytes:
    return display_png(_open(folder, stamp).film(reference).pixels, max_side)


@st.cache_data(max_entries=256, ttl=3600, show_spinner=False)
def _anatomy_of(folder: str, stamp: str, case_id: str, reference: str, view: str | None) -> FilmAnatomy:
    casebook = _open(folder, stamp)
    try:
        pixels = casebook.film(reference).pixels
    except CxrError:
        thumbnail = casebook.thumbnail(case_id) if reference == casebook.case(case_id).image else None
        if thumbnail is None:
            raise
        with Image.open(io.BytesIO(thumbnail)) as image:
            pixels = np.asarray(image.convert("L"), np.float32) / 255
    return film_anatomy(pixels, view)
