"""The decoded film and the limits a decoder keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from index_builder.errors import ImagingError

if TYPE_CHECKING:
    import numpy as np

MIB = 2**20
#: Notes that begin so tell what of a file was not believed.
IGNORED = "ignored: "


@dataclass(frozen=True, slots=True)
class Film:
    """One radiograph, ready to be looked at or embedded. Holds no patient data.

    Attributes:
        pixels: float32 [H, W], 0..1, bright = dense (bone is white, MONOCHROME2 sense), upright as acquired.
        view: "PA", "AP" or "LATERAL" where the DICOM header says so, else None.
        source_format: "dicom", "png", "jpeg" or "phantom".
        notes: Conversions applied and oddities seen, each a readable phrase in order of application.
    """

    pixels: np.ndarray
    view: str | None
    source_format: str
    notes: tuple[str, ...]

    @property
    def ignored(self) -> tuple[str, ...]:
        """Notes that say what in the file was malformed and was ignored."""
        return tuple(note for note in self.notes if note.startswith(IGNORED))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits beyond which a decoder refuses a film before it touches the pixels.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Rows times columns of one frame.
        max_side: Rows or columns; a strip of millions of rows of one pixel is no film, and work done line by line
            would take minutes.
        max_frames: A chest film is one frame; the first of up to this many is used, with a note.
        max_inflated_bytes: Size of a deflated DICOM file after inflation.
    """

    max_bytes: int = 64 * MIB
    max_pixels: int = 50_000_000
    max_side: int = 20_000
    max_frames: int = 16
    max_inflated_bytes: int = 256 * MIB

    def check_bytes(self, count: int, name: str) -> None:
        """Raise `ImagingError` for an empty file or one of more than `max_bytes`."""
        if count == 0:
            raise ImagingError(f"{name}: the file is empty. Export or copy it again.")
        if count > self.max_bytes:
            raise ImagingError(
                f"{name}: {count:,} bytes, more than the limit of {self.max_bytes:,}. "
                "Export the film at a smaller size or compressed without loss."
            )

    def check_size(self, rows: int, columns: int, name: str) -> None:
        """Raise `ImagingError` for a frame of no pixels or of more than `max_pixels` or `max_side`."""
        if rows < 1 or columns < 1:
            raise ImagingError(f"{name}: a size of {columns} x {rows} pixels. Export the film again.")
        if max(rows, columns) > self.max_side:
            raise ImagingError(
                f"{name}: {columns} x {rows} pixels, more than the limit of {self.max_side:,} a side. "
                "Export the film at a lower resolution."
            )
        if rows * columns > self.max_pixels:
            raise ImagingError(
                f"{name}: {columns} x {rows} pixels, more than the limit of {self.max_pixels:,}. "
                "Export the film at a lower resolution."
            )
