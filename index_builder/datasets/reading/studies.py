"""Studies of several films: rows of a table, one for each film, to cases with one primary film."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from index_builder.datasets.reading.cases import FilmOutsideError, TablePass
from index_builder.datasets.reading.film_names import FilmFinder
from index_builder.datasets.reading.label_cells import State
from index_builder.datasets.reading.rows import Row
from index_builder.errors import DatasetError, ImagingError

_VIEW_RANK = {"PA": 0, "AP": 1, None: 2, "LATERAL": 3}


@dataclass(frozen=True, slots=True)
class StudyFilm:
    """A film that is there: its row, its reference for `load_film`, and its view."""

    row: Row
    reference: str
    view: str | None


def frontal_first(films: Iterable[StudyFilm]) -> list[StudyFilm]:
    """PA before AP, then films of unknown view, then lateral ones; among equals the order of the table."""
    return sorted(films, key=lambda film: _VIEW_RANK[film.view])


def present_film(finder: FilmFinder, names: Iterable[str], row: Row, column: str, run: TablePass) -> str | None:
    """Reference of the first name of a film that is there; None, noted, where none is or one leads out of the folder.

    Args:
        finder: Film finder of the dataset's folder.
        names: The film's path as published, and what else a copy may call it.
        row: Where the film is listed.
        column: Likewise.
        run: Takes the note: a missing film is a warning, since most copies hold a part of such a collection.
    """
    missing = ""
    for name in names:
        try:
            return finder.find(name)
        except FilmOutsideError as error:
            run.error("film outside root", str(error), row, column)
            return None
        except ImagingError as error:
            missing = missing or str(error)
    run.warning("missing film", f"{missing} Left out.", row, column)
    return None


def has_ids(row: Row, columns: Iterable[str], run: TablePass) -> bool:
    """Whether a row has all its ids; each empty one is noted as an error."""
    empty = [column for column in columns if not row.text(column)]
    for column in empty:
        run.error("case id", "empty. Restore the published table.", row, column)
    return not empty


def labels_of(states: Mapping[str, State]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sorted names of the labels that are present, and of those that nobody decided."""
    present = tuple(sorted(name for name, state in states.items() if state == "present"))
    return present, tuple(sorted(name for name, state in states.items() if state == "unknown"))


def existing_folder(root: Path, holds: str) -> Path:
    """The folder as given. Raises `DatasetError`, saying what it should hold, where there is none."""
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder. Give the folder that holds {holds}.")
    return root


def find_one(root: Path, *patterns: str) -> Path:
    """The one file below a folder that fits a pattern, of the first pattern that any fits.

    Raises:
        DatasetError: None, or several.
    """
    for pattern in patterns:
        found = sorted(root.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found)
            raise DatasetError(f"{root}: one {pattern} is needed, found: {names}. Keep exactly one there.")
    raise DatasetError(f"{root}: no {' or '.join(patterns)}. Give the folder that holds it, as published.")
