"""DICOM films: header checks, one decoded frame, grey scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from index_builder.errors import ImagingError
from index_builder.imaging.dicom_frame import NATIVE, STREAMS, Format, decode_frame, unsupported
from index_builder.imaging.dicom_header import (
    PALETTE,
    Header,
    frame_bytes,
    frame_count,
    looks_like_dicom,
    read_header,
)
from index_builder.imaging.film import IGNORED, Film, Limits
from index_builder.imaging.grayscale import VOI_FUNCTIONS, GreyScale, tone_curve, usable_window
from index_builder.imaging.lookup_table import read_table
from index_builder.imaging.raster import LUMINANCE_NOTE, luminance
from index_builder.imaging.stored_values import BAND_ROWS

__all__ = ["decode_dicom", "looks_like_dicom"]

#: A person may be named in the picture itself (PS3.3, C.7.6.1.1.5).
BURNED_IN_NOTE = "its header says that text is burned into the picture"

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_PALETTE = "PALETTE COLOR"
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})

_FILM_MODALITIES = frozenset({"CR", "DX", "DR", "RG", "RF", "PX", "XR"})
#: Others that may be named in a note; anything else could be text that strayed into the element.
_OTHER_MODALITIES = frozenset(
    {"CT", "MR", "US", "NM", "PT", "MG", "XA", "OT", "SC", "SEG", "IO", "XC", "ES", "RTIMAGE", "RTDOSE", "HC"}
)

_VIEWS = {"PA": "PA", "AP": "AP", "LL": "LATERAL", "RL": "LATERAL", "LAT": "LATERAL", "LATERAL": "LATERAL"}


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
    notes = list(header.remarks)
    form = _checked_format(header, bytes_per_frame, notes)
    if not header.number("NumberOfFrames", 1) >= 1:  # neither is NaN
        notes.append(f"{IGNORED}NumberOfFrames, which is no count")
    if form.frames > 1:
        notes.append(f"first of {form.frames} frames")
    _note_source(header, notes)
    # In place and band by band: a film of the largest size accepted must not take a gigabyte.
    stored, form = decode_frame(header, form, notes)
    outside = _padding_outside(stored, header, form)
    # A codestream of eight bits or fewer comes in bytes, whatever the header says is stored.
    stored &= stored.dtype.type(min(2**form.stored - 1, np.iinfo(stored.dtype).max))
    if form.photometric in _COLOUR:
        notes.append(LUMINANCE_NOTE)
        pixels = _banded(stored, lambda band: luminance(band.astype(np.float32) / np.float32(2**form.stored - 1)))
    elif form.photometric == _PALETTE:
        notes.append(LUMINANCE_NOTE)
        curve = _palette(header, form)
        pixels = _banded(stored, lambda band: np.take(curve, band, mode="clip"))
    else:
        scale = _grey_scale(header, form, notes)
        if outside is not None:
            # Any value of the film itself will do: it must only not widen the range.
            stored[outside] = stored[~outside][0]
        curve = tone_curve(scale, stored, form.stored, notes)
        pixels = _banded(stored, lambda band: np.take(curve, band, mode="clip"))
        if outside is not None:
            pixels[outside] = 0.0
            notes.append("pixel padding shown black")
    return Film(pixels, _VIEWS.get(header.text("ViewPosition").upper()), "dicom", tuple(notes))


def _palette(header: Header, form: Format) -> np.ndarray:
    """float32 [2**stored]: luminance of each entry of a palette. Raises `ImagingError` where there is no sound one."""
    values = np.arange(2**form.stored)
    colour = np.empty((len(values), len(PALETTE)), np.float32)
    for channel, name in enumerate(PALETTE):
        descriptor, content = (header.raw(f"{name}PaletteColorLookupTable{part}") for part in ("Descriptor", "Data"))
        try:
            table = read_table(descriptor, content, header.little_endian, signed_input=False)
        except ValueError:
            raise unsupported(header.name, "the photometric interpretation PALETTE COLOR without its palette") from None
        colour[:, channel] = table(values) / (2.0**table.bits - 1)
    return luminance(colour)


def _banded(stored: np.ndarray, convert: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """float32 [H, W] of a frame, converted some rows at a time."""
    pixels = np.empty(stored.shape[:2], np.float32)
    for top in range(0, len(stored), BAND_ROWS):
        pixels[top : top + BAND_ROWS] = convert(stored[top : top + BAND_ROWS])
    return pixels


def _padding_outside(stored: np.ndarray, header: Header, form: Format) -> np.ndarray | None:
    """Padding written as a word that no value of BitsStored can be, bool [H, W]; None where there is none.

    Scanners do that, and unused bits are cut off before a value is looked up.
    """
    word = header.short("PixelPaddingValue", 0)
    fits = word >> form.stored == 0 or (header.short("PixelRepresentation", 0) == 1 and _negative(word, form.stored))
    if fits or form.shift or form.photometric in _COLOUR or stored.dtype != np.uint16:
        return None
    outside = stored == word
    return outside if outside.any() and not outside.all() else None


def _negative(word: int, bits: int) -> bool:
    """Whether a 16-bit word is a negative number that fits into `bits`."""
    return word >> (bits - 1) == 0xFFFF >> (bits - 1)


def _checked_format(header: Header, bytes_per_frame: int, notes: list[str]) -> Format:
    """The frame's format, once everything that describes it makes sense together."""
    name = header.name
    if not header.has("PixelData"):
        if header.has("FloatPixelData") or header.has("DoubleFloatPixelData"):
            raise unsupported(name, "floating point pixels")
        raise ImagingError(f"{name}: no film in this DICOM file (PixelData is missing). Choose an image object.")
    if header.transfer_syntax not in NATIVE and header.transfer_syntax not in STREAMS:
        raise unsupported(name, "the transfer syntax")
    photometric = header.text("PhotometricInterpretation").upper()
    if photometric not in {*_GREY, *_COLOUR, _PALETTE}:
        raise unsupported(name, "the photometric interpretation")
    samples = header.short("SamplesPerPixel", 1)
    if samples != (3 if photometric in _COLOUR else 1):
        raise unsupported(name, f"{samples} samples per pixel with {photometric}")
    allocated = header.short("BitsAllocated")
    if allocated not in {8, 16}:
        raise unsupported(name, f"a pixel of {allocated} bits")
    stored = header.short("BitsStored", allocated)
    if not 1 <= stored <= allocated:
        raise unsupported(name, f"{stored} bits stored of {allocated}")
    high_bit = header.short("HighBit", stored - 1)
    if not stored - 1 <= high_bit < allocated:
        notes.append(f"{IGNORED}HighBit, which does not fit BitsStored")
        high_bit = stored - 1
    planar = header.short("PlanarConfiguration", 0)
    if samples > 1 and planar not in {0, 1}:
        raise unsupported(name, f"planar configuration {planar}")
    return Format(
        rows=header.short("Rows"),
        columns=header.short("Columns"),
        samples=samples,
        photometric=photometric,
        planar=planar,
        allocated=allocated,
        stored=stored,
        shift=high_bit + 1 - stored,
        frames=frame_count(header),
        frame_bytes=bytes_per_frame,
    )


def _grey_scale(header: Header, form: Format, notes: list[str]) -> GreyScale:
    signed = header.short("PixelRepresentation", 0) == 1
    padding = None
    if header.has("PixelPaddingValue"):
        value = header.short("PixelPaddingValue", signed=signed)
        limit = header.short("PixelPaddingRangeLimit", value, signed=signed)
        padding = (min(value, limit), max(value, limit))
    function = header.text("VOILUTFunction").upper() or "LINEAR"
    if function not in VOI_FUNCTIONS:
        notes.append(f"{IGNORED}VOI LUT function, which is unknown: read as LINEAR")
        function = "LINEAR"
    return GreyScale(
        signed=signed,
        inverted=form.photometric == "MONOCHROME1",
        slope=header.number("RescaleSlope", 1),
        intercept=header.number("RescaleIntercept", 0),
        modality_lut=header.modality_lut,
        voi_lut=header.voi_lut,
        window=None if header.voi_lut is not None else _window(header, function, notes),
        voi_function=function,
        padding=padding,
        presentation_inverse=header.text("PresentationLUTShape").upper() == "INVERSE",
    )


def _window(header: Header, function: str, notes: list[str]) -> tuple[float, float] | None:
    """Centre and width of the first window that is sound; None where there is none."""
    centres, widths = header.numbers("WindowCenter"), header.numbers("WindowWidth")
    windows = list(zip(centres, widths, strict=False))
    sound = [window for window in windows if usable_window(*window, function)]
    if len(sound) < max(len(centres), len(widths)):
        notes.append(f"{IGNORED}window without a usable centre and width")
    if len(windows) > 1 and sound:
        notes.append(f"first of {len(windows)} windows" if sound[0] == windows[0] else "first sound window")
    if sound and (header.has_decimal_comma("WindowCenter") or header.has_decimal_comma("WindowWidth")):
        notes.append("window has a decimal comma, read as a point")
    return sound[0] if sound else None


def _note_source(header: Header, notes: list[str]) -> None:
    modality = header.text("Modality").upper()
    if modality not in _FILM_MODALITIES:
        shown = modality if modality in _OTHER_MODALITIES else "absent or unknown"
        notes.append(f"modality is {shown}, not a plain radiograph (CR, DX)")
    if header.text("BurnedInAnnotation").upper() == "YES":
        notes.append(BURNED_IN_NOTE)
    if len(set(header.numbers("PixelAspectRatio"))) > 1:
        notes.append("pixels are not square: shown as stored")
    orientation = header.text("PatientOrientation").upper()
    view = _VIEWS.get(header.text("ViewPosition").upper())
    if view in {"PA", "AP"} and orientation.startswith("R\\"):
        notes.append("stored mirrored (patient orientation R): left as stored")
