"""Attribution maps laid over films: geometry, shared scale, colours.

A map is made on the network's square input. Here it goes back to where its film lies on that input, never stretched,
and is coloured on a scale that several films can share.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from index_builder.imaging import InputGeometry, display_png

#: Uniform to the eye and told apart with any colour vision; both are dark where a map is near 0.
SEQUENTIAL, DIVERGING = "inferno", "managua_r"
#: The colours end here: a few extreme pixels must not darken all the others.
_LIMIT_PERCENTILE = 99.9


@dataclass(frozen=True, slots=True)
class FilmMap:
    """A map and its place on the film it explains.

    Attributes:
        values: [h, w] float32 at the resolution of the network input, without its padding.
        box: (top, left, bottom, right) in film pixels that `values` covers; trimmed borders lie outside.
        shape: (rows, columns) of the film.
    """

    values: NDArray[np.float32]
    box: tuple[int, int, int, int]
    shape: tuple[int, int]

    def on_film(self, rows: int, columns: int) -> NDArray[np.float32]:
        """The map for a film drawn with `rows` x `columns` pixels, [rows, columns], NaN where the network saw nothing.

        Values are interpolated between the centres of pixels.
        """
        top, left, bottom, right = self.box
        per_row, per_column = self.values.shape[0] / (bottom - top), self.values.shape[1] / (right - left)
        down, across = self.shape[0] / rows, self.shape[1] / columns
        affine = (across * per_column, 0, -left * per_column, 0, down * per_row, -top * per_row)
        drawn = Image.fromarray(np.ascontiguousarray(self.values)).transform(
            (columns, rows), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR, fillcolor=float("nan")
        )
        return np.asarray(drawn, np.float32)


def film_map(values: NDArray[np.float32], geometry: InputGeometry, shape: tuple[int, int]) -> FilmMap:
    """Lay a map of the network input over its film.

    Args:
        values: [S, S] float32, a weight per pixel of the input.
        geometry: `input_geometry` of the film.
        shape: (rows, columns) of the film.
    """
    top, left, bottom, right = geometry.paste
    return FilmMap(np.asarray(values[top:bottom, left:right], np.float32), geometry.crop, shape)


@dataclass(frozen=True, slots=True)
class Scale:
    """The colour scale of a map.

    Attributes:
        limit: Value of the last colour; larger ones have it too.
        signed: Whether colours run from -limit to limit or from 0.
    """

    limit: float
    signed: bool

    def shares(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values as shares of the limit, -1..1; NaN stays."""
        return np.clip(values / np.float32(self.limit), -1 if self.signed else 0, 1)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Places on the colour bar as shares of the limit, and what they mean, lowest first."""
        ends = {-1.0: " against", 1.0: " for"} if self.signed else {}
        shares = (-1.0, -0.5, 0.0, 0.5, 1.0) if self.signed else (0.0, 0.5, 1.0)
        return tuple((share, number_words(share * self.limit) + ends.get(share, "")) for share in shares)


def number_words(value: float) -> str:
    """A number to two digits, e.g. "−0.015", "320", "7e−07"."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        told = np.format_float_positional(float(f"{value:.2g}"), trim="-")
    else:
        told = f"{value:.1e}"
    return told.replace("-", "−")


def shared_scale(maps: Sequence[FilmMap]) -> Scale:
    """One scale for maps of one method, so that equal colours mean equal values on all of them."""
    values = np.concatenate([one.values.ravel() for one in maps])
    limit = float(np.percentile(np.abs(values), _LIMIT_PERCENTILE)) or float(np.abs(values).max())
    return Scale(limit or 1.0, bool(values.min() < 0))


def colour_table(signed: bool) -> NDArray[np.uint8]:
    """256 colours [256, 3], from 0 to the limit, or from -limit to limit for signed maps."""
    from matplotlib import colormaps  # here, because the first page needs no colours

    colours = colormaps[DIVERGING if signed else SEQUENTIAL](np.arange(256))
    return np.asarray(colours[:, :3] * 255 + 0.5, np.uint8)


def blend(
    grey: NDArray[np.uint8], shares: NDArray[np.float32], *, signed: bool, opacity: float, threshold: float
) -> NDArray[np.uint8]:
    """Lay a map over a film. `app/explain/overlay.js` draws the same.

    Opacity grows with the share, so that a weak value hides little of the film.

    Args:
        grey: [H, W] the film as drawn.
        shares: [H, W] of `Scale.shares`, NaN where there is no map.
        signed: Whether shares run from -1.
        opacity: Opacity of the strongest values, 0..1.
        threshold: Values of a smaller share, whatever their sign, are left out, 0..1.

    Returns:
        [H, W, 3].
    """
    strength = np.nan_to_num(np.abs(shares))
    alpha = opacity * strength * (strength >= max(threshold, 1e-6))
    level = np.nan_to_num((shares + 1) / 2 if signed else shares)
    colours = colour_table(signed)[np.rint(255 * level).astype(np.uint8)]
    mixed = grey[..., None] * (1 - alpha[..., None]) + colours * alpha[..., None]
    return np.rint(mixed).astype(np.uint8)


def display_grey(pixels: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """A film [H, W] as it is shown elsewhere, longest side at most `side` pixels, [rows, columns]."""
    with Image.open(io.BytesIO(display_png(pixels, side))) as image:
        return np.asarray(image)
