"""The first frame of a DICOM film, decoded by what its pixel data is, whatever the transfer syntax says."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from index_builder.errors import ImagingError
from index_builder.imaging.codestream import Codestream, read_codestream, with_sound_scan_header
from index_builder.imaging.dicom_header import (
    BoundedReader,
    Header,
)
from index_builder.imaging.film import IGNORED
from index_builder.imaging.quiet import third_parties_silenced

NATIVE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
#: Transfer syntax -> those whose decoders take the streams that it may have. Every other stream is a wrong claim.
STREAMS: dict[str, frozenset[UID]] = {
    JPEGBaseline8Bit: frozenset({JPEGBaseline8Bit}),
    JPEGExtended12Bit: frozenset({JPEGBaseline8Bit, JPEGExtended12Bit}),
    **dict.fromkeys((JPEGLossless, JPEGLosslessSV1), frozenset({JPEGLossless})),
    **dict.fromkeys((JPEGLSLossless, JPEGLSNearLossless), frozenset({JPEGLSLossless})),
    **dict.fromkeys((JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), frozenset({JPEG2000})),
    RLELossless: frozenset({RLELossless}),
}
_OTHER_SYNTAX = f"{IGNORED}transfer syntax, which is not that of the pixel data"


@dataclass(frozen=True, slots=True)
class Format:
    """How one frame is stored, checked: sizes in pixels, depths in bits."""

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    allocated: int
    stored: int
    shift: int
    frames: int
    frame_bytes: int


def decode_frame(header: Header, form: Format, notes: list[str]) -> tuple[np.ndarray, Format]:
    """The first frame, and its format as it turned out.

    Returns:
        uint8 or uint16 [H, W], or [H, W, 3] RGB: bit patterns, shifted down to bit 0; a format with the bits of a
        codestream that holds more than the header says.
    """
    content, syntax = header.raw("PixelData"), UID(header.transfer_syntax)
    stream: Codestream | None = None
    options: dict[str, Any] = {
        "rows": form.rows,
        "columns": form.columns,
        "number_of_frames": 1,
        "samples_per_pixel": form.samples,
        "photometric_interpretation": form.photometric,
        "planar_configuration": form.planar,
        "pixel_keyword": "PixelData",
        "pixel_vr": header.pixel_vr,
        "bits_allocated": form.allocated,
        "pixel_representation": 0,
        "correct_unused_bits": False,
    }
    if not header.encapsulated and syntax not in NATIVE:
        notes.append(_OTHER_SYNTAX)
        syntax = ExplicitVRLittleEndian
    if not header.encapsulated:
        if len(content) < form.frame_bytes:
            raise ImagingError(
                f"{header.name}: {len(content):,} bytes of pixel data where {form.frame_bytes:,} are needed; "
                "the file is cut short. Export or copy it again."
            )
        # Even length: big-endian bytes come in pairs, and the last pair of an odd frame ends in padding.
        content = content[: form.frame_bytes + form.frame_bytes % 2]
    try:
        with third_parties_silenced():
            if header.encapsulated:
                frame = _compressed_frame(header, content, form)
                declared, syntax = syntax, RLELossless
                if not _is_rle(frame):  # which has no size of its own; the decoder stops at the header's
                    stream, syntax = _checked_codestream(frame, form, header.name)
                    frame = _sound(stream, frame, notes)
                    options["bits_allocated"] = 8 if stream.precision <= 8 else 16
                if syntax not in STREAMS.get(declared, ()):
                    notes.append(_OTHER_SYNTAX)
                content = encapsulate([frame], has_bot=False)
                options["decoding_plugin"] = "pillow" if syntax == JPEGBaseline8Bit else "pylibjpeg"
            # Bit patterns are wanted: mask and tone curve deal with unused bits and sign.
            options["bits_stored"] = options["bits_allocated"]
            array, _ = get_decoder(syntax).as_array(content, index=0, **options)
    except BaseException as error:
        # A panic of the RLE decoder, which is written in Rust, is no Exception.
        if isinstance(error, ImagingError) or not (
            isinstance(error, Exception) or type(error).__name__ == "PanicException"
        ):
            raise
        raise ImagingError(
            f"{header.name}: the pixel data is damaged or does not match the header. Export the film again."
        ) from error
    if stream is not None:
        # A codestream holds values, not the bits of a word, so that only words need shifting.
        return _as_declared(array, stream, header, form, notes)
    return (array >> form.shift if form.shift or not array.flags.writeable else array), form


def _compressed_frame(header: Header, content: bytes, form: Format) -> bytes:
    """Bytes of the first frame. Raises of many kinds where the fragments are malformed."""
    tables = header.raw("ExtendedOffsetTable"), header.raw("ExtendedOffsetTableLengths")
    offsets = tables if all(tables) else None
    return get_frame(BoundedReader(content), 0, number_of_frames=form.frames, extended_offsets=offsets)


def _checked_codestream(frame: bytes, form: Format, name: str) -> tuple[Codestream, UID]:
    """A codestream's own header, compared with the checked one and the syntax of its decoder."""
    stream = read_codestream(frame)
    if (stream.rows, stream.columns, stream.samples) != (form.rows, form.columns, form.samples):
        raise ValueError("codestream and header differ in size")
    if stream.syntax is None or stream.precision > 16:
        raise unsupported(name, f"{stream.kind} of {stream.precision} bits")
    return stream, UID(stream.syntax)


def _is_rle(frame: bytes) -> bool:
    """Whether a frame begins as RLE does: a count of segments, the first of them after the header (PS3.5, G.5)."""
    segments, first = struct.unpack_from("<2I", frame)
    return 1 <= segments <= 15 and first == 64


def _sound(stream: Codestream, frame: bytes, notes: list[str]) -> bytes:
    """The stream, mended where its decoder is more particular than the standard's readers are."""
    sound = with_sound_scan_header(frame) if stream.syntax == JPEGExtended12Bit else frame
    if sound is not frame:
        notes.append(f"{IGNORED}scan header, which no {stream.kind} can have")
    return sound


def _as_declared(
    array: np.ndarray, stream: Codestream, header: Header, form: Format, notes: list[str]
) -> tuple[np.ndarray, Format]:
    """Values of a codestream as bit patterns of the header's BitsStored.

    A stream of fewer bits holds numbers of its own width, so that negative ones are widened. JPEG 2000 says
    itself whether it is signed; the others hold the pattern, signed where the header says so. A stream of more
    bits than the header tells of is believed where its values need them.
    """
    bits = stream.precision
    array &= array.dtype.type(2**bits - 1)
    if header.short("PixelRepresentation", 0) == 1 and form.samples == 1:
        if bits < form.stored and (stream.signed or stream.syntax != JPEG2000):
            sign = np.uint16(2 ** (bits - 1))
            array = (array.astype(np.uint16) ^ sign) - sign
    elif bits > form.stored and int(array.max()) >> form.stored:
        notes.append(f"{IGNORED}BitsStored, which is less than the pixel data needs")
        form = replace(form, stored=bits)
    return array, form


def unsupported(name: str, what: str) -> ImagingError:
    return ImagingError(f"{name}: {what} is not supported. Export the film as 8 to 16 bit MONOCHROME2 or as PNG.")
