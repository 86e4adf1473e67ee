"""PNG and JPEG films, those JPEGs included that only medicine uses."""

from __future__ import annotations

import io
import struct

import libjpeg
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from index_builder.errors import ImagingError
from index_builder.imaging.codestream import (
    MAX_JPEG_SCANS,
    SCAN_MARKER,
    Codestream,
    read_codestream,
    with_sound_scan_header,
)
from index_builder.imaging.film import IGNORED, Film, Limits
from index_builder.imaging.quiet import third_parties_silenced

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"

LUMINANCE_NOTE = "colour converted to luminance (ITU-R BT.601)"

_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_png(data: bytes, name: str, limits: Limits) -> Film:
    """PNG of 1, 2, 4, 8 or 16 bits, grey, palette or colour, with or without alpha.

    Grey maps linearly, 0 to 0 and the largest code (255, 65535) to 1; gamma and colour profiles are ignored,
    since film collections publish display values. Colour becomes ITU-R BT.601 luminance at 8 bits.
    Transparent parts are laid on black. An EXIF orientation is applied. Of an animated PNG the default image
    is used.
    """
    # Signature 8, chunk length 4, "IHDR" 4, then width, height, bit depth and colour type.
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise _damaged(name, "PNG")
    columns, rows, depth, colour_type = struct.unpack(">IIBB", data[16:26])
    limits.check_size(rows, columns, name)
    notes: list[str] = []
    try:
        # The class, not Image.open: its size check is a process-wide setting, ours came first.
        with third_parties_silenced():
            image = PngImageFile(io.BytesIO(data))
        with image:
            image.load()
            if getattr(image, "n_frames", 1) > 1:
                notes.append("animated PNG: its default image used")
            if depth == 16 and colour_type != 0:
                notes.append("16-bit colour or alpha reduced to 8 bits")
            upright = _upright(image, notes)
            pixels = _grey(_on_black(upright, notes), notes)
    except Exception as error:
        raise _damaged(name, "PNG") from error
    return Film(pixels, None, "png", tuple(notes))


def decode_jpeg(data: bytes, name: str, limits: Limits) -> Film:
    """JPEG of any kind; orientation and colour as for PNG.

    8-bit ones, grey, YCbCr, RGB or CMYK, baseline or progressive, are Pillow's. 12-bit, lossless and JPEG-LS are
    read in grey, the largest code as 1. What else calls itself JPEG is refused by its name.
    """
    if data.count(SCAN_MARKER) > MAX_JPEG_SCANS:
        raise ImagingError(f"{name}: more than {MAX_JPEG_SCANS} scans in one JPEG. Save it again as a plain JPEG.")
    try:
        stream = read_codestream(data)
    except (ValueError, struct.error):
        raise _damaged(name, "JPEG") from None
    limits.check_size(stream.rows, stream.columns, name)
    if stream.kind != "JPEG":
        return _decode_medical_jpeg(data, stream, name)
    notes: list[str] = []
    try:
        with third_parties_silenced():
            image = JpegImageFile(io.BytesIO(data))
        with image:
            limits.check_size(image.height, image.width, name)
            image.load()
            pixels = _grey(_upright(image, notes), notes)
    except ImagingError:
        raise
    except Exception as error:
        raise _damaged(name, "JPEG") from error
    return Film(pixels, None, "jpeg", tuple(notes))


def _decode_medical_jpeg(data: bytes, stream: Codestream, name: str) -> Film:
    if stream.syntax is None or stream.samples != 1 or stream.precision > 16:
        kind = stream.kind if stream.samples == 1 else f"{stream.kind} in colour"
        raise ImagingError(f"{name}: {kind} is not supported. Save the film as PNG or as an 8-bit JPEG.")
    notes = [f"{stream.kind}, {stream.precision} bits"]
    try:
        sound = with_sound_scan_header(data)
        if sound is not data:
            notes.append(f"{IGNORED}scan header, which no {stream.kind} can have")
        array = libjpeg.decode(sound)
        if array.shape != (stream.rows, stream.columns):
            raise ValueError("decoder and header differ in size")
    except Exception as error:
        raise _damaged(name, stream.kind) from error
    pixels = array.astype(np.float32) / np.float32(2**stream.precision - 1)
    return Film(np.minimum(pixels, 1), None, "jpeg", tuple(notes))


def luminance(colour: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 luminance of float32 [H, W, 3] RGB as float32 [H, W]."""
    return colour @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def _damaged(name: str, kind: str) -> ImagingError:
    return ImagingError(f"{name}: the {kind} data is damaged or cut short. Export or copy the file again.")


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    if "exif" not in image.info:
        return image
    try:
        with third_parties_silenced():
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, struct.error):
        notes.append("EXIF data unreadable: orientation as stored")
        return image
    if orientation not in _TRANSPOSITIONS:
        return image
    notes.append(f"turned upright by EXIF orientation {orientation}")
    return image.transpose(_TRANSPOSITIONS[orientation])


def _on_black(image: Image.Image, notes: list[str]) -> Image.Image:
    if not image.has_transparency_data:
        return image
    if image.mode.startswith("I"):
        notes.append("transparent grey value shown as it is")
        return image
    colour = image.convert("RGBA")
    if colour.getchannel("A").getextrema() == (255, 255):
        return image.convert("L" if image.mode == "LA" else "RGB")
    notes.append("transparent parts laid on black")
    black = Image.new("RGBA", colour.size, (0, 0, 0, 255))
    flat = Image.alpha_composite(black, colour)
    return flat.getchannel("R") if image.mode in {"LA", "L", "1"} else flat.convert("RGB")


def _grey(image: Image.Image, notes: list[str]) -> np.ndarray:
    """float32 [H, W] 0..1 of an image of any mode that PNG and JPEG know."""
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.float32) / np.float32(65535)
    if image.mode not in {"L", "1"}:
        image = image.convert("RGB")
        red, green, blue = image.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            image = red
        else:
            notes.append(LUMINANCE_NOTE)
    # Pillow's "L" is BT.601 in fixed point, rounded to 8 bits.
    return np.asarray(image.convert("L")).astype(np.float32) / np.float32(255)
