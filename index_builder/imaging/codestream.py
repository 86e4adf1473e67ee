"""What a compressed frame says of itself: JPEG, lossless JPEG, JPEG-LS, JPEG 2000 (ITU-T T.81, T.87, T.800).

A container may call a stream something else, so that the stream's own header chooses the decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

#: Transfer syntaxes of DICOM (PS3.6, table A-1), by value: a PNG or JPEG film need not wait for pydicom.
_BASELINE, _EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
_LOSSLESS_SYNTAX, _JPEG_LS_SYNTAX = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.80"
_JPEG_2000_SYNTAX = "1.2.840.10008.1.2.4.91"

#: A progressive JPEG has about ten scans; each costs a pass over the whole film, so thousands are an attack.
MAX_JPEG_SCANS = 64
SCAN_MARKER = b"\xff\xda"
#: The most tiles the standard allows (ISO/IEC 15444-1, A.4.2).
_MAX_TILES = 65535

_J2K_START = b"\xff\x4f\xff\x51"
_START_OF_SCAN = 0xDA
#: Markers without a segment: TEM, restarts, start and end of image.
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})
#: Frame markers that start a DCT of one pass, Huffman coded; only these have a fixed scan header.
_SEQUENTIAL = frozenset({0xC0, 0xC1})
#: Spectral selection and approximation of a sequential scan, the only legal values (T.81, B.2.3).
_SEQUENTIAL_SCAN = b"\x00\x3f\x00"
_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
_READABLE = frozenset({0xC0, 0xC1, 0xC2, _LOSSLESS, _JPEG_LS})


@dataclass(frozen=True, slots=True)
class Codestream:
    """The header of a compressed frame.

    Attributes:
        kind: What people call it, e.g. "lossless JPEG".
        syntax: DICOM transfer syntax whose decoder takes it; None where none does.
        rows: Height in pixels.
        columns: Width in pixels.
        samples: Components of a pixel.
        precision: Bits of a component.
        signed: Whether components are signed; only JPEG 2000 can say so.
    """

    kind: str
    syntax: str | None
    rows: int
    columns: int
    samples: int
    precision: int
    signed: bool


def read_codestream(frame: bytes) -> Codestream:
    """Read the header of a JPEG family frame. Raises `ValueError` or `struct.error` where there is none."""
    at = frame.find(_J2K_START)
    if at >= 0 and not frame.startswith(b"\xff\xd8"):
        return _jpeg_2000(frame, at)
    if frame.count(SCAN_MARKER) > MAX_JPEG_SCANS:
        raise ValueError(f"more than {MAX_JPEG_SCANS} JPEG scans")
    for marker, at in _segments(frame):
        if (0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}) or marker == _JPEG_LS:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            kind, syntax = _jpeg_kind(marker, precision)
            return Codestream(kind, syntax, rows, columns, samples, precision, signed=False)
    raise ValueError("no JPEG frame header")


def with_sound_scan_header(frame: bytes) -> bytes:
    """The frame with the one legal scan header, where it is a sequential JPEG whose encoder wrote another.

    Other viewers never look at these three bytes; libjpeg of pylibjpeg refuses all but the legal ones.
    """
    sequential = False
    for marker, at in _segments(frame):
        sequential = sequential or marker in _SEQUENTIAL
        if marker == _START_OF_SCAN:
            end = at + 2 + struct.unpack_from(">H", frame, at + 2)[0]
            if sequential and frame[end - 3 : end] != _SEQUENTIAL_SCAN:
                return frame[: end - 3] + _SEQUENTIAL_SCAN + frame[end:]
    return frame


def _segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Marker code and position of each segment up to the first scan. Raises where the chain is broken."""
    at = 2
    while at + 1 < len(frame):
        if frame[at] != 0xFF:
            raise ValueError("no JPEG marker")
        marker = frame[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        yield marker, at
        if marker == _START_OF_SCAN:
            return
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]


def _jpeg_kind(marker: int, precision: int) -> tuple[str, str | None]:
    if marker == _JPEG_LS:
        return "JPEG-LS", _JPEG_LS_SYNTAX
    if marker == _LOSSLESS:
        return "lossless JPEG", _LOSSLESS_SYNTAX
    if marker not in _READABLE:
        return ("hierarchical JPEG" if marker & 0x07 > 3 else "arithmetic-coded JPEG"), None
    if precision == 8:
        return "JPEG", _BASELINE
    return f"{precision}-bit JPEG", _EXTENDED


def _jpeg_2000(frame: bytes, at: int) -> Codestream:
    width, height, x, y, tile_width, tile_height = struct.unpack_from(">6I", frame, at + 8)
    samples, depth = struct.unpack_from(">HB", frame, at + 40)
    tiles = -(-width // max(tile_width, 1)) * -(-height // max(tile_height, 1))
    if tiles > _MAX_TILES:
        raise ValueError(f"{tiles} JPEG 2000 tiles")
    return Codestream("JPEG 2000", _JPEG_2000_SYNTAX, height - y, width - x, samples, (depth & 0x7F) + 1, depth > 0x7F)
