"""Films cut and reduced as a published encoder's own library does it, to the pixel.

An encoder that is used as it was published must see what it saw there: eight-bit grey, no border trimmed, no contrast
spread. The three libraries round differently, so each film goes through the one its encoder came with.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from index_builder.errors import ImagingError
from index_builder.imaging.preprocess import InputGeometry, input_geometry, model_input

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


class Framing(BaseModel):
    """The way a film becomes a square.

    Attributes:
        library: Whose functions do it. scikit-image cuts the middle square before it reduces, as torchxrayvision has
            it; the others reduce first and cut then.
        edge: What the film's shorter side becomes; with `stretched`, both sides.
        stretched: Whether the film's proportions are given up.
        interpolation: Interpolation of the reduction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    library: Literal["torchvision", "pillow", "scikit-image"]
    edge: int = Field(ge=1)
    stretched: bool = False
    interpolation: Interpolation = "bicubic"


def encoder_input(pixels: NDArray[np.float32], size: int, framing: Framing | None) -> NDArray[np.float32]:
    """A film [H, W] as an encoder reads it, [size, size] float32 in 0..1; without a framing as `model_input` has it."""
    return model_input(pixels, size) if framing is None else framed(pixels, size, framing)


def encoder_geometry(pixels: NDArray[np.float32], size: int, framing: Framing | None) -> InputGeometry:
    """Where the film lies in what `encoder_input` gives."""
    return input_geometry(pixels, size) if framing is None else framed_geometry(pixels, size, framing)


def framed(pixels: NDArray[np.float32], size: int, framing: Framing) -> NDArray[np.float32]:
    """A film [H, W] in 0..1 as the encoder's library gives it, [size, size] float32 in 0..1, before normalisation.

    Raises:
        ImagingError: `pixels` is no film.
    """
    if pixels.ndim != 2 or pixels.size == 0 or not np.isfinite(pixels).all():
        raise ImagingError(f"Pixels of shape {pixels.shape}: a film is a non-empty, finite [H, W] array.")
    grey = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    if framing.library == "scikit-image":
        return _by_scikit_image(grey, size)
    height, width = _reduced(pixels.shape, framing)
    if framing.library == "pillow":
        reduced = np.asarray(Image.fromarray(grey).resize((width, height), _PILLOW[framing.interpolation]))
    else:
        reduced = _by_torchvision(grey, height, width, framing.interpolation)
    top, left = _corner(height, width, size, framing)
    return np.ascontiguousarray(reduced[top : top + size, left : left + size], np.float32) / np.float32(255)


def framed_geometry(pixels: NDArray[np.float32], size: int, framing: Framing) -> InputGeometry:
    """Where the film lies in what `framed` gives: all of it, or its middle."""
    rows, columns = pixels.shape
    whole = (0, 0, size, size)
    if framing.library == "scikit-image":
        side = min(rows, columns)
        top, left = rows // 2 - side // 2, columns // 2 - side // 2
        return InputGeometry(crop=(top, left, top + side, left + side), paste=whole)
    height, width = _reduced(pixels.shape, framing)
    top, left = _corner(height, width, size, framing)
    down, across = rows / height, columns / width
    crop = (round(top * down), round(left * across), round((top + size) * down), round((left + size) * across))
    return InputGeometry(crop=(crop[0], crop[1], max(crop[2], crop[0] + 1), max(crop[3], crop[1] + 1)), paste=whole)


_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def _reduced(shape: tuple[int, ...], framing: Framing) -> tuple[int, int]:
    rows, columns = shape
    edge = framing.edge
    if framing.stretched:
        return edge, edge
    if rows <= columns:
        return edge, int(edge * columns / rows)
    return int(edge * rows / columns), edge


def _corner(height: int, width: int, size: int, framing: Framing) -> tuple[int, int]:
    spare = (height - size) / 2, (width - size) / 2
    if framing.library == "torchvision":  # as transformers cuts
        return int(spare[0]), int(spare[1])
    return round(spare[0]), round(spare[1])  # as torchvision itself does on images of Pillow


def _by_torchvision(grey: NDArray[np.uint8], height: int, width: int, name: Interpolation) -> NDArray[np.uint8]:
    import torch

    from index_builder import vision_compat  # noqa: F401  must precede torchvision

    from torchvision.transforms.v2 import functional, InterpolationMode  # isort: skip

    # Three channels: a single one goes through other code, which rounds in another way.
    colour = torch.from_numpy(grey).expand(3, -1, -1).contiguous()
    resized = functional.resize(colour, [height, width], interpolation=InterpolationMode(name), antialias=True)
    return resized[0].numpy()


def _by_scikit_image(grey: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    from skimage.transform import resize

    rows, columns = grey.shape
    side = min(rows, columns)
    top, left = rows // 2 - side // 2, columns // 2 - side // 2
    # On torchxrayvision's own scale: what lies outside the film counts as 0, mid-grey, when it is blurred.
    scaled = (2 * (grey.astype(np.float32) / np.float32(255)) - 1) * np.float32(1024)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        square = scaled[None, top : top + side, left : left + side]
        found = resize(square, (1, size, size), mode="constant", preserve_range=True)[0]
    return np.asarray((found + 1024) / 2048, np.float32)
