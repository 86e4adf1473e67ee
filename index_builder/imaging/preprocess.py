"""Film pixels to network input, thumbnail and display image. Everything here is deterministic."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from index_builder.errors import ImagingError

#: Rows and columns whose values spread less than this, in a film of full contrast, are a uniform border. JPEG
#: noise stays below; the half step keeps 8-bit films away from the edge, so that rounding decides nothing.
_BORDER_SPREAD = 4.5 / 255
#: Contrast is measured on about this many samples along the shorter side.
_CONTRAST_SAMPLES = 128
#: A border is trimmed only while at least this share of each side remains.
_MIN_REMAINING = 0.25
#: Percentiles that the network input maps to 0 and 1; markers and dead pixels stay outside.
_CONTRAST_PERCENTILES = (0.5, 99.5)
#: A spread below this (six steps of a 16-bit film) is a constant film, not faint contrast.
_CONSTANT_SPREAD = 1e-4

_THUMBNAIL_QUALITY = 85


@dataclass(frozen=True, slots=True)
class InputGeometry:
    """Where the film lies in the square network input; maps a heat map back onto the film.

    Attributes:
        crop: (top, left, bottom, right) in film pixels: the film less its uniform borders.
        paste: (top, left, bottom, right) in input pixels: where that crop was put; the rest is padding.
    """

    crop: tuple[int, int, int, int]
    paste: tuple[int, int, int, int]


def input_geometry(pixels: np.ndarray, size: int) -> InputGeometry:
    """Geometry of `model_input(pixels, size)`.

    Args:
        pixels: float32 [H, W], 0..1.
        size: Side of the square input in pixels.
    """
    top, left, bottom, right = crop = _without_borders(_checked(pixels))
    rows, columns = bottom - top, right - left
    scale = size / max(rows, columns)
    height = min(size, max(1, round(rows * scale)))
    width = min(size, max(1, round(columns * scale)))
    y, x = (size - height) // 2, (size - width) // 2
    return InputGeometry(crop=crop, paste=(y, x, y + height, x + width))


def model_input(pixels: np.ndarray, size: int) -> np.ndarray:
    """The one preprocessing of training, casebook building and queries.

    Uniform borders (letterbox, collimator blades) are trimmed, the rest is resized with its aspect kept
    (triangle filter widened by the reduction, so it does not alias and cannot overshoot), centred on black,
    and its 0.5th and 99.5th percentiles become 0 and 1: the same film at another exposure, window width or
    bit depth gives nearly the same input. A constant film gives zeros.

    Args:
        pixels: float32 [H, W], 0..1, as in `Film.pixels`.
        size: Side of the square input in pixels.

    Returns:
        float32 [size, size], 0..1, C-contiguous.

    Raises:
        ImagingError: `pixels` is not a non-empty finite [H, W] array, or `size` is below 1.
    """
    if size < 1:
        raise ImagingError(f"Input size {size}: must be at least 1 pixel.")
    geometry = input_geometry(pixels, size)
    top, left, bottom, right = geometry.crop
    y0, x0, y1, x1 = geometry.paste
    film = np.ascontiguousarray(pixels[top:bottom, left:right], dtype=np.float32)
    # fromarray, not a new image and paste: Pillow resizes float32 ("F") images without rounding.
    resized = np.asarray(Image.fromarray(film).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR))
    if not np.isfinite(resized).all():
        raise ImagingError("The film holds NaN or infinite pixels. Decode it with decode_film.")
    low, high = np.percentile(resized, _CONTRAST_PERCENTILES)
    canvas = np.zeros((size, size), dtype=np.float32)
    if high - low > _CONSTANT_SPREAD:
        canvas[y0:y1, x0:x1] = np.clip((resized - np.float32(low)) / np.float32(high - low), 0, 1)
    return canvas


def thumbnail_jpeg(pixels: np.ndarray, size: int = 256) -> bytes:
    """Grey JPEG, aspect kept, longest side `size` pixels; contrast as in `display_png`.

    The same pixels give the same bytes (for one version of Pillow).
    """
    if size < 1:
        raise ImagingError(f"Thumbnail size {size}: must be at least 1 pixel.")
    image = _grey_image(pixels, longest=size)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY, optimize=True)
    return buffer.getvalue()


def display_png(pixels: np.ndarray, max_side: int | None) -> bytes:
    """8-bit grey PNG for the case page, reduced (never enlarged) to a longest side of `max_side` pixels.

    A film that uses less than half of 0..1 (typically a DICOM file without a window) would be too dark or
    flat to read, so its 0.1st to 99.9th percentiles are spread over the range; any other is shown as decoded.
    """
    if max_side is not None and max_side < 1:
        raise ImagingError(f"Largest side {max_side}: must be at least 1 pixel.")
    longest = max(_checked(pixels).shape)
    if max_side is not None:
        longest = min(longest, max_side)
    buffer = io.BytesIO()
    _grey_image(pixels, longest=longest).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _checked(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim != 2 or pixels.size == 0:
        raise ImagingError(f"Pixels of shape {pixels.shape}: a film is a non-empty [H, W] array.")
    return pixels


def _without_borders(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) less uniform rows and columns at the edges."""
    rows, columns = pixels.shape
    stride = max(1, min(rows, columns) // _CONTRAST_SAMPLES)
    low, high = np.percentile(pixels[::stride, ::stride], _CONTRAST_PERCENTILES)
    if not high - low > _CONSTANT_SPREAD:
        return 0, 0, rows, columns
    # In octaves of the contrast, not in proportion: nearly equal films then get exactly the same tolerance.
    tolerance = _BORDER_SPREAD * 2.0 ** np.ceil(np.log2(high - low))

    def uniform(line: np.ndarray) -> bool:
        return float(line.max() - line.min()) <= tolerance

    top, bottom, left, right = 0, rows, 0, columns
    while bottom - top > 1 and uniform(pixels[top]):
        top += 1
    while bottom - top > 1 and uniform(pixels[bottom - 1]):
        bottom -= 1
    if bottom - top < _MIN_REMAINING * rows:
        return 0, 0, rows, columns
    while right - left > 1 and uniform(pixels[top:bottom, left]):
        left += 1
    while right - left > 1 and uniform(pixels[top:bottom, right - 1]):
        right -= 1
    if right - left < _MIN_REMAINING * columns:
        return 0, 0, rows, columns
    return top, left, bottom, right


def _grey_image(pixels: np.ndarray, longest: int) -> Image.Image:
    rows, columns = _checked(pixels).shape
    scale = longest / max(rows, columns)
    film = np.ascontiguousarray(pixels, dtype=np.float32)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    if size != (columns, rows):
        film = np.asarray(Image.fromarray(film).resize(size, Image.Resampling.LANCZOS))
    low, high = np.percentile(film, (0.1, 99.9))
    if _CONSTANT_SPREAD < high - low < 0.5:
        film = (film - np.float32(low)) / np.float32(high - low)
    return Image.fromarray((np.clip(film, 0, 1) * 255 + 0.5).astype(np.uint8))
