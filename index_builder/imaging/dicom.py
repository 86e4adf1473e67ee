"""DICOM films: header checks, one decoded frame, grey scale."""

from __future__ import annotations

import struct
from dataclasses import dataclass
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
from index_builder.imaging.dicom_header import (
    BoundedReader,
    Header,
    frame_bytes,
    frame_count,
    looks_like_dicom,
    read_header,
)
from index_builder.imaging.film import Film, Limits
from index_builder.imaging.grayscale import VOI_FUNCTIONS, GreyScale, tone_curve
from index_builder.imaging.raster import LUMINANCE_NOTE, MAX_JPEG_SCANS, luminance

__all__ = ["decode_dicom", "looks_like_dicom"]

_NATIVE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
_JPEG_2000 = frozenset({JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K})
#: Encapsulated syntax -> the one plug-in that decodes it, so that a further installed one changes nothing.
_PLUGINS = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pylibjpeg",
    JPEGLossless: "pylibjpeg",
    JPEGLosslessSV1: "pylibjpeg",
    JPEGLSLossless: "pylibjpeg",
    JPEGLSNearLossless: "pylibjpeg",
    RLELossless: "pylibjpeg",
    **dict.fromkeys(_JPEG_2000, "pylibjpeg"),
}

#: Rows of a colour film that are converted at a time.
_BAND_ROWS = 256
#: A person may be named in the picture itself (PS3.3, C.7.6.1.1.5).
BURNED_IN_NOTE = "its header says that text is burned into the picture"

#: The most tiles the standard allows (ISO/IEC 15444-1, A.4.2).
_MAX_TILES = 65535

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})

_FILM_MODALITIES = frozenset({"CR", "DX", "DR", "RG", "RF", "PX", "XR"})
#: Others that may be named in a note; anything else could be text that strayed into the element.
_OTHER_MODALITIES = frozenset(
    {"CT", "MR", "US", "NM", "PT", "MG", "XA", "OT", "SC", "SEG", "IO", "XC", "ES", "RTIMAGE", "RTDOSE", "HC"}
)

_VIEWS = {"PA": "PA", "AP": "AP", "LL": "LATERAL", "RL": "LATERAL", "LAT": "LATERAL", "LATERAL": "LATERAL"}


@dataclass(frozen=True, slots=True)
class _Format:
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


def decode_dicom(data: bytes, name: str, limits: Limits) -> Film:
    """Decode a DICOM film: the first frame, through modality and VOI transform, polarity and padding.

    Grey values of up to 16 bits, native, deflated, RLE, JPEG (8-bit, 12-bit, lossless), JPEG-LS, JPEG 2000
    and HTJ2K. Colour films become ITU-R BT.601 luminance. Rows and columns are taken as stored.

    Raises:
        ImagingError: See `decode_film`.
    """
    header = read_header(data, name, limits)
    # Size and frame count first: the message a bomb gets should be about its size.
    bytes_per_frame = frame_bytes(header, limits)
    form = _checked_format(header, bytes_per_frame)
    notes: list[str] = []
    if form.frames > 1:
        notes.append(f"first of {form.frames} frames")
    _note_source(header, notes)
    # In place and band by band: a film of the largest size accepted must not take a gigabyte.
    stored = _decode_frame(header, form)
    stored &= stored.dtype.type(2**form.stored - 1)
    if form.photometric in _COLOUR:
        notes.append(LUMINANCE_NOTE)
        pixels = np.empty(stored.shape[:2], np.float32)
        for top in range(0, len(stored), _BAND_ROWS):
            band = stored[top : top + _BAND_ROWS].astype(np.float32)
            pixels[top : top + _BAND_ROWS] = luminance(band / np.float32(2**form.stored - 1))
    else:
        pixels = tone_curve(_grey_scale(header, form, notes), name, notes)[stored]
    return Film(pixels, _VIEWS.get(header.text("ViewPosition").upper()), "dicom", tuple(notes))


def _checked_format(header: Header, bytes_per_frame: int) -> _Format:
    """The frame's format, once everything that describes it makes sense together."""
    name = header.name
    if not header.has("PixelData"):
        if header.has("FloatPixelData") or header.has("DoubleFloatPixelData"):
            raise _unsupported(name, "floating point pixels")
        raise ImagingError(f"{name}: no film in this DICOM file (PixelData is missing). Choose an image object.")
    if header.transfer_syntax not in _NATIVE and header.transfer_syntax not in _PLUGINS:
        raise _unsupported(name, "the transfer syntax")
    photometric = header.text("PhotometricInterpretation").upper()
    if photometric not in _GREY and photometric not in _COLOUR:
        raise _unsupported(name, "the photometric interpretation")
    samples = header.short("SamplesPerPixel", 1)
    if samples != (3 if photometric in _COLOUR else 1):
        raise _unsupported(name, f"{samples} samples per pixel with {photometric}")
    allocated = header.short("BitsAllocated")
    if allocated not in {8, 16}:
        raise _unsupported(name, f"a pixel of {allocated} bits")
    stored = header.short("BitsStored", allocated)
    high_bit = header.short("HighBit", stored - 1)
    if not (1 <= stored <= allocated and stored - 1 <= high_bit < allocated):
        raise _unsupported(name, f"{stored} bits stored up to bit {high_bit} of {allocated}")
    planar = header.short("PlanarConfiguration", 0)
    if planar not in {0, 1}:
        raise _unsupported(name, f"planar configuration {planar}")
    return _Format(
        rows=header.short("Rows"),
        columns=header.short("Columns"),
        samples=samples,
        photometric=photometric,
        planar=planar,
        allocated=allocated,
        stored=stored,
        # A codestream holds values, not the bits of a word, so only uncompressed words need shifting.
        shift=high_bit + 1 - stored if header.transfer_syntax in {*_NATIVE, RLELossless} else 0,
        frames=frame_count(header),
        frame_bytes=bytes_per_frame,
    )


def _decode_frame(header: Header, form: _Format) -> np.ndarray:
    """uint8 or uint16 [H, W], or [H, W, 3] RGB: the first frame's bit patterns, shifted down to bit 0."""
    content, syntax = header.raw("PixelData"), header.transfer_syntax
    if syntax in _NATIVE:
        if len(content) < form.frame_bytes:
            raise ImagingError(
                f"{header.name}: {len(content):,} bytes of pixel data where {form.frame_bytes:,} are needed; "
                "the file is cut short. Export or copy it again."
            )
        # Even length: big-endian bytes come in pairs, and the last pair of an odd frame ends in padding.
        content = content[: form.frame_bytes + form.frame_bytes % 2]
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
        # Bit patterns are wanted: mask and tone curve deal with unused bits and sign.
        "bits_stored": form.allocated,
        "pixel_representation": 0,
        "correct_unused_bits": False,
    }
    try:
        if syntax not in _NATIVE:
            tables = header.raw("ExtendedOffsetTable"), header.raw("ExtendedOffsetTableLengths")
            offsets = tables if all(tables) else None
            frame = get_frame(BoundedReader(content), 0, number_of_frames=form.frames, extended_offsets=offsets)
            _check_codestream(frame, syntax, form)
            content = encapsulate([frame], has_bot=False)
            options["decoding_plugin"] = _PLUGINS[UID(syntax)]
        array, _ = get_decoder(syntax).as_array(content, index=0, **options)
    except BaseException as error:
        # A panic of the RLE decoder, which is written in Rust, is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ImagingError(
            f"{header.name}: the pixel data is damaged or does not match the header. Export the film again."
        ) from error
    return array >> form.shift if form.shift or not array.flags.writeable else array


def _check_codestream(frame: bytes, syntax: str, form: _Format) -> None:
    """Compare a codestream's own image size with the checked one before a decoder believes it."""
    if syntax == RLELossless:
        return  # It has no size of its own; the decoder stops at the header's.
    if syntax in _JPEG_2000:
        at = frame.index(b"\xff\x4f\xff\x51")
        width, height, x, y, tile_width, tile_height = struct.unpack_from(">6I", frame, at + 8)
        found = (height - y, width - x, struct.unpack_from(">H", frame, at + 40)[0])
        tiles = -(-width // max(tile_width, 1)) * -(-height // max(tile_height, 1))
        if tiles > _MAX_TILES:
            raise ValueError(f"{tiles} JPEG 2000 tiles")
    else:
        if frame.count(b"\xff\xda") > MAX_JPEG_SCANS:
            raise ValueError(f"more than {MAX_JPEG_SCANS} JPEG scans")
        found = _jpeg_size(frame)
    if found != (form.rows, form.columns, form.samples):
        raise ValueError("codestream and header differ in size")


def _jpeg_size(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns and components of the first frame header of a JPEG or JPEG-LS stream."""
    at = 2
    while frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if (0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}) or marker == 0xF7:
            rows, columns, components = struct.unpack_from(">HHB", frame, at + 5)
            return rows, columns, components
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    raise ValueError("JPEG marker")


def _grey_scale(header: Header, form: _Format, notes: list[str]) -> GreyScale:
    signed = header.short("PixelRepresentation", 0) == 1
    padding = None
    if header.has("PixelPaddingValue"):
        value = header.short("PixelPaddingValue", signed=signed)
        limit = header.short("PixelPaddingRangeLimit", value, signed=signed)
        padding = (min(value, limit), max(value, limit))
    centres, widths = header.numbers("WindowCenter"), header.numbers("WindowWidth")
    if min(len(centres), len(widths)) > 1:
        notes.append(f"first of {min(len(centres), len(widths))} windows")
    function = header.text("VOILUTFunction").upper() or "LINEAR"
    if function not in VOI_FUNCTIONS:
        notes.append("unknown VOI LUT function read as LINEAR")
        function = "LINEAR"
    return GreyScale(
        bits_stored=form.stored,
        signed=signed,
        inverted=form.photometric == "MONOCHROME1",
        slope=next(iter(header.numbers("RescaleSlope")), 1.0),
        intercept=next(iter(header.numbers("RescaleIntercept")), 0.0),
        modality_lut=header.modality_lut,
        voi_lut=header.voi_lut,
        window=(centres[0], widths[0]) if centres and widths else None,
        voi_function=function,
        padding=padding,
        presentation_inverse=header.text("PresentationLUTShape").upper() == "INVERSE",
    )


def _note_source(header: Header, notes: list[str]) -> None:
    modality = header.text("Modality").upper()
    if modality not in _FILM_MODALITIES:
        shown = modality if modality in _OTHER_MODALITIES else "absent or unknown"
        notes.append(f"modality is {shown}, not a plain radiograph (CR, DX)")
    if header.text("BurnedInAnnotation").upper() == "YES":
        notes.append(BURNED_IN_NOTE)
    orientation = header.text("PatientOrientation").upper()
    view = _VIEWS.get(header.text("ViewPosition").upper())
    if view in {"PA", "AP"} and orientation.startswith("R\\"):
        notes.append("stored mirrored (patient orientation R): left as stored")


def _unsupported(name: str, what: str) -> ImagingError:
    return ImagingError(f"{name}: {what} is not supported. Export the film as 8 to 16 bit MONOCHROME2 or as PNG.")
