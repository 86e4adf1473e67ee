"""Films found by walking a folder, for collections without a table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from index_builder.errors import DatasetError

FILM_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")

_DICOM_MAGIC_AT, _DICOM_MAGIC = 128, b"DICM"


@dataclass(frozen=True, slots=True)
class FilmTree:
    """Files below a root folder, as sorted POSIX paths relative to it.

    Attributes:
        films: PNG, JPEG and DICOM files by their name; without an extension, those that begin as DICOM files do.
        passed_over: Everything else, and what systems leave behind: hidden files (`.DS_Store`, `._film.jpeg`),
            `__MACOSX`, `Thumbs.db`.
    """

    films: tuple[str, ...]
    passed_over: tuple[str, ...]


def film_tree(root: Path) -> FilmTree:
    """Walk a folder. Reads names, and the first bytes of files without an extension.

    Links to folders are followed directly below `root` and nowhere deeper.
    """
    films: list[str] = []
    passed_over: list[str] = []
    for path in _files(root):
        reference = path.relative_to(root).as_posix()
        (films if _is_film(path, reference) else passed_over).append(reference)
    return FilmTree(tuple(sorted(films)), tuple(sorted(passed_over)))


def linked_folders(root: Path) -> list[Path]:
    """Folders directly below a root that are links to elsewhere, as large image folders often are."""
    return sorted(path for path in map(root.joinpath, next(walk(root))[1]) if path.is_symlink())


def walk(top: str | os.PathLike[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk as `os.walk` does, but refuse a folder that it may not read: its films would be missing without a word.

    Raises:
        DatasetError: A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DatasetError(
            f"{error.filename}: the folder cannot be read ({error.strerror}). Make it readable, or give a folder "
            "without it."
        ) from error

    return os.walk(os.fspath(top), onerror=refuse)


def _files(root: Path) -> Iterator[Path]:
    for top in (root, *linked_folders(root)):
        for folder, _, names in walk(top):
            for name in names:
                yield Path(folder, name)


def _is_film(path: Path, reference: str) -> bool:
    if any(part.startswith((".", "__MACOSX")) for part in reference.split("/")):
        return False
    suffix = path.suffix.lower()
    return suffix in FILM_SUFFIXES or (not suffix and _begins_as_dicom(path))


def _begins_as_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_DICOM_MAGIC_AT + len(_DICOM_MAGIC))[_DICOM_MAGIC_AT:] == _DICOM_MAGIC
    except OSError:  # not ours to read, so nothing that could be shown
        return False
