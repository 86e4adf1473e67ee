"""Files that take their place whole: a reader meets the old content or the new, never half of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path, writer: str = "") -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place once the block ends; after an error it is gone.

    Args:
        path: What there shall be.
        writer: Tells this writer from others who may write the same file at the same time.
    """
    part = path.with_name(f".{path.name}{writer}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text in one step, as UTF-8."""
    with whole(path) as part:
        part.write_text(text, "utf-8")
