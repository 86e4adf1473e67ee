"""Where a casebook is written before it takes its place: a hidden sibling, so that what stands there stays intact."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index_builder.casebook.layout import Layout
from index_builder.errors import CasebookError


def check_target(out: Path, replace: bool) -> None:
    """Refuse a folder that a casebook may not be written to.

    Raises:
        CasebookError: Something else lies there, or a casebook that may not be replaced.
    """
    _restore_interrupted_swap(out)
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not Layout(out).manifest.is_file()):
        raise CasebookError(f"{out}: exists and is not a casebook. Choose another --out.")
    if not replace and Layout(out).manifest.is_file():
        raise CasebookError(f"{out}: a casebook is there already. Add --replace, or choose another --out.")


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """The hidden sibling a casebook is built in, locked against a second build. It is not cleared before or after.

    Raises:
        CasebookError: Another build is at work there, or it cannot be written to.
    """
    folder = out.with_name(f".{out.name}.building")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise CasebookError(f"{out.parent}: cannot write there ({error.strerror}). Choose another --out.") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CasebookError(
                f"{out}: another build is running there. Wait for it, or choose another --out."
            ) from None
        try:
            yield folder
        except OSError as error:
            raise CasebookError(
                f"{error.filename or folder}: {error.strerror or error}. Free the space or fix the rights, then run "
                "the same command again: it continues from the finished shards."
            ) from error
    finally:
        os.close(lock)


def take_place(folder: Path, out: Path) -> None:
    """Rename the finished folder to its place; an older casebook there goes only after that."""
    _sync_tree(folder)
    old = _superseded(out)
    if out.exists():
        out.rename(old)
    folder.rename(out)
    if old.exists():
        shutil.rmtree(old)


def _superseded(out: Path) -> Path:
    return out.with_name(f".{out.name}.superseded")


def _restore_interrupted_swap(out: Path) -> None:
    """Undo a swap that died between its two renames, or finish one that died before clearing up."""
    old = _superseded(out)
    if old.exists():
        if out.exists():
            shutil.rmtree(old)
        else:
            old.rename(out)


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
