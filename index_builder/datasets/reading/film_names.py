"""Films by the names that tables give them: as a path, as a name somewhere below the folder, or without an ending."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

from index_builder.datasets.reading.cases import FilmFolder
from index_builder.datasets.reading.film_tree import walk
from index_builder.errors import ImagingError

_FILM_NAME = re.compile(r"(?!\w+://)[^\n]{1,400}\.(?:png|jpe?g|dcm|dicom|tiff?|bmp)", re.IGNORECASE)
#: A folder of one patient: CheXpert's patient00002/, BIDS' sub-01/, MIMIC's p10000032/.
_PATIENT_FOLDER = re.compile(r"(?:patient|person|subject|subj|sub)[-_]?\d+|p\d{8}", re.IGNORECASE)


def looks_like_film(cell: str) -> bool:
    """Whether a cell is a file name of a film: one line, no web address, ending in .png, .jpg, .dcm and the like."""
    return _FILM_NAME.fullmatch(cell) is not None


def patient_in_path(reference: str) -> str | None:
    """Patient that a folder of a film's path names, e.g. "patient00002" of patient00002/study1/view1.jpg; else None."""
    folders = PurePosixPath(reference).parts[:-1]
    return next((folder for folder in folders if _PATIENT_FOLDER.fullmatch(folder)), None)


class FilmFinder:
    """Finds the file that a table means.

    Published tables name films in three ways beside a path below the folder, tried in this order:

    - a path that starts above the folder ("CheXpert-v1.0-small/train/…" in CheXpert-v1.0-small/): its first folders are
      dropped where the folder has none of that name;
    - a name without folders ("a.png", somewhere below the folder), where only one file has it;
    - such a name without its ending ("0a1b2c" of 0a1b2c.dicom), likewise.
    """

    def __init__(self, films: FilmFolder) -> None:
        self._films = films
        self._below: dict[str, str | None] | None = None

    def find(self, cell: str) -> str:
        """Reference of the film that a cell names; tables written on Windows have backslashes.

        Raises:
            FilmOutsideError: It leads out of the folder.
            ImagingError: No such film, or several.
        """
        reference = PurePosixPath(cell.replace("\\", "/")).as_posix()
        try:
            self._films.path(reference)
        except ImagingError:
            found = self._elsewhere(reference)
            if found is None:
                raise
            self._films.path(found)
            return found
        return reference

    def has(self, cell: str) -> bool:
        """Whether a cell names a film that is there."""
        try:
            self.find(cell)
        except ImagingError:
            return False
        return True

    def _elsewhere(self, reference: str) -> str | None:
        parts = PurePosixPath(reference).parts
        if not parts or parts[0] == "/" or ".." in parts:
            return None
        if len(parts) == 1:
            return self._by_name(reference)
        root = self._films.root
        while len(parts) > 1 and not os.path.exists(root / parts[0]):  # noqa: PTH110 - a name too long is no error here
            # A bare name is left only where the folder itself was named: "other/a.png" is not "a.png".
            if len(parts) == 2 and parts[0] != root.absolute().name:
                return None
            parts = parts[1:]
            if os.path.isfile(root / PurePosixPath(*parts)):  # noqa: PTH113 - likewise
                return PurePosixPath(*parts).as_posix()
        return None

    def _by_name(self, name: str) -> str | None:
        if self._below is None:
            self._below = _files_by_name(self._films.root)
        if name not in self._below:
            return None
        found = self._below[name]
        if found is None:
            raise ImagingError(
                f"film {name!r} is there more than once below {self._films.root}. Give its path, not its name alone."
            )
        return found


def _files_by_name(root: os.PathLike[str]) -> dict[str, str | None]:
    """Path of each file below a folder by its name, and of films by their name without its ending; None: several."""
    found: dict[str, str | None] = {}
    for folder, folders, names in walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        prefix = os.path.relpath(folder, root)
        for name in sorted(names):
            path = name if prefix == "." else PurePosixPath(prefix, name).as_posix()
            for key in {name, PurePosixPath(name).stem} if looks_like_film(name) else {name}:
                found[key] = None if key in found else path
    return found
