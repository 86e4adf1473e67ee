"""The films of an opened casebook's cases, one by one: which are laterals, what is like one, their small copies."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from index_builder.casebook.films import FilmTable, read_films
from index_builder.casebook.layout import Layout
from index_builder.casebook.thumbnails import ThumbnailReader
from index_builder.cases.case import LATERAL
from index_builder.stores.base import VectorStore

if TYPE_CHECKING:
    from explorer.casebook import Casebook


class CaseFilms:
    """Films by themselves; one instance serves many threads.

    Where no case has several films, and in a casebook older than the table of films, a case's film is its primary one.
    """

    def __init__(self, casebook: Casebook) -> None:
        self._casebook = casebook
        self._layout = Layout(casebook.folder)
        self._lock = Lock()
        self._laterals: VectorStore | None = None

    @cached_property
    def table(self) -> FilmTable | None:
        """Each film by itself; None where a case has one at most, or the casebook is older.

        Raises:
            CasebookError: A file is damaged.
        """
        record = self._casebook.manifest.each_film
        return None if record is None else read_films(self._casebook.folder, record.count)

    @cached_property
    def has_lateral(self) -> NDArray[np.bool_]:
        """Which cases have a film that is known to be a lateral and can be searched for, [N]."""
        if self.table is None:
            laterals = pc.fill_null(pc.equal(self._casebook.field("view"), LATERAL), False)
            return np.asarray(laterals.to_numpy(), bool) & self._casebook.has_vector("image")
        found = np.zeros(len(self._casebook), bool)
        found[self.table.rows[self.table.is_lateral]] = True
        return found

    @property
    def laterals(self) -> VectorStore | None:
        """Index of the lateral films by themselves; None where there is no table of films, or no lateral.

        Raises:
            CasebookError: It is missing, damaged or not reachable.
        """
        manifest = self._casebook.manifest
        if manifest.each_film is None or manifest.each_film.laterals is None:
            return None
        with self._lock:
            if self._laterals is None:
                from index_builder.casebook.indexes import open_store

                record = manifest.each_film.laterals
                self._laterals = open_store(self._casebook.folder, manifest.store, "laterals", record)
            return self._laterals

    def small_copy(self, case_id: str, reference: str) -> bytes | None:
        """JPEG of a film of a case, longest side 256 px; None where the casebook has none of it."""
        case = self._casebook.case(case_id)
        place = [film.reference for film in case.films].index(reference)
        if place == 0:
            return self._casebook.thumbnail(case_id)
        if self.table is None:
            return None
        return self._thumbnails[int(np.searchsorted(self.table.rows, self._casebook.row(case_id))) + place]

    @cached_property
    def _thumbnails(self) -> ThumbnailReader:
        return ThumbnailReader(self._layout.film_thumbnails)
