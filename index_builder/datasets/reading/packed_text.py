"""Text files, and text files packed with gzip, as one kind of stream."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import TextIO

from index_builder.errors import DatasetError

GZIP_MAGIC = b"\x1f\x8b"

#: What a packed file may unpack to; it is held in memory. The largest published tables have some 150 MB.
MAX_UNPACKED_BYTES = 2**30


def open_text(path: Path) -> TextIO:
    """Text of a UTF-8 file, unpacked where its name ends in .gz; bytes that are no UTF-8 come as surrogates.

    Raises:
        OSError: Not readable.
        DatasetError: Not packed with gzip, damaged, or it unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    if path.suffix.lower() != ".gz":
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        with gzip.open(path) as stream:
            content = stream.read(MAX_UNPACKED_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path}: not a readable gzip file ({error}). Download it again.") from error
    if len(content) > MAX_UNPACKED_BYTES:
        raise DatasetError(f"{path}: unpacks to more than {MAX_UNPACKED_BYTES:,} bytes; it is not a table of cases.")
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", errors="surrogateescape", newline="")
