"""Entry points: bytes or a path in, `Film` out. Its first bytes say what a file is, never its name."""

from __future__ import annotations

from pathlib import Path

from index_builder.errors import ImagingError
from index_builder.imaging.film import Film, Limits
from index_builder.imaging.raster import JPEG_MAGIC, PNG_MAGIC, decode_jpeg, decode_png

_DEFAULT_LIMITS = Limits()


def decode_film(data: bytes, *, name: str, limits: Limits = _DEFAULT_LIMITS) -> Film:
    """Decode one film. Deterministic and thread-safe.

    Args:
        data: The whole file: DICOM (with or without preamble), PNG or JPEG.
        name: What messages call the file; its ending is not looked at.
        limits: Checked before any pixel is decoded.

    Raises:
        ImagingError: Not a film, damaged, unsupported or over a limit; names the file and the remedy, and
            never quotes a value of the DICOM header that could identify a person.
    """
    limits.check_bytes(len(data), name)
    if data.startswith(PNG_MAGIC):
        return decode_png(data, name, limits)
    if data.startswith(JPEG_MAGIC):
        return decode_jpeg(data, name, limits)
    from index_builder.imaging.dicom import decode_dicom, looks_like_dicom  # here: others need not wait for pydicom

    if looks_like_dicom(data):
        return decode_dicom(data, name, limits)
    raise ImagingError(f"{name}: the content is neither DICOM, PNG nor JPEG. Export the film in one of these formats.")


def read_film(path: Path, *, name: str | None = None, limits: Limits = _DEFAULT_LIMITS) -> Film:
    """Read and decode one file. Raises as `decode_film` and `read_bytes`.

    Args:
        path: The file.
        name: What messages call it, e.g. its path in a dataset's folder, where thousands of files may have one name;
            None: `path` as it is given.
        limits: As of `decode_film`.
    """
    name = str(path) if name is None else name
    return decode_film(read_bytes(path, name, limits), name=name, limits=limits)


def read_bytes(path: Path, name: str, limits: Limits = _DEFAULT_LIMITS) -> bytes:
    """The content of a film's file; its size is checked before it is read.

    Raises:
        ImagingError: The file cannot be read, is empty or over the limit.
    """
    try:
        limits.check_bytes(path.stat().st_size, name)
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImagingError(f"{name}: cannot be read ({reason}). Check that it is a readable file.") from error
