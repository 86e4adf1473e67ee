"""Drawing on a film: anti-aliased polygons and strokes, blurs and noise. Points are x, y in film widths (0..1)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.interpolate import CubicSpline

Field = NDArray[np.float32]
Points = NDArray[np.float64]

#: Shapes are drawn this many times finer than the film and averaged, which smooths their edges.
SUPERSAMPLING = 2


def polygons(size: int, shapes: Iterable[tuple[Points, float]]) -> Field:
    """Filled polygons with value 0..1, later ones over earlier ones; [size, size] float32."""
    fine = size * SUPERSAMPLING
    image = Image.new("L", (fine, fine))
    pen = ImageDraw.Draw(image)
    for points, value in shapes:
        pen.polygon((points * fine).ravel().tolist(), fill=round(255 * value))
    return _reduced(image)


def strokes(size: int, lines: Iterable[tuple[Points, float, float]]) -> Field:
    """Polylines (points, width in film widths, value 0..1), later ones over earlier ones; [size, size] float32."""
    fine = size * SUPERSAMPLING
    image = Image.new("L", (fine, fine))
    pen = ImageDraw.Draw(image)
    for points, width, value in lines:
        joint = "curve" if width * fine > 4 else None
        pen.line((points * fine).ravel().tolist(), fill=int(255 * value), width=max(1, int(width * fine + 0.5)), joint=joint)
    return _reduced(image)


def _reduced(image: Image.Image) -> Field:
    return np.asarray(image.reduce(SUPERSAMPLING), np.float32) * np.float32(1 / 255)


def resized(field: Field, size: int) -> Field:
    """Bilinear or bicubic resampling to [size, size]."""
    if field.shape[0] == size:
        return field
    image = Image.fromarray(field)
    method = Image.Resampling.BICUBIC if size > field.shape[0] else Image.Resampling.BOX
    return np.asarray(image.resize((size, size), method))


def blur(field: Field, sigma: float) -> Field:
    """Gaussian blur, sigma in film widths; wide blurs are computed on a coarser grid."""
    size = field.shape[0]
    pixels = sigma * size
    factor = 1
    while pixels / factor > 3 and size % (factor * 2) == 0 and size // factor > 32:
        factor *= 2
    coarse = resized(field, size // factor)
    return resized(ndimage.gaussian_filter(coarse, pixels / factor, mode="nearest", truncate=2.5), size)


def noise(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Smooth noise with `cells` grains across the film, zero mean, about unit variance; [size, size] float32."""
    return resized(rng.standard_normal((cells, cells), dtype=np.float32), size)


def curve(points: Iterable[tuple[float, float]], count: int = 40, *, closed: bool = False) -> Points:
    """Cubic spline through points; [count, 2]."""
    knots = np.array(list(points), float)
    if closed:
        knots = np.vstack([knots, knots[:1]])
    distance = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T) + 1e-9)])
    spline = CubicSpline(distance, knots, bc_type="periodic" if closed else "not-a-knot" if len(knots) > 3 else "natural")
    return spline(np.linspace(0, distance[-1], count, endpoint=not closed))


def normals(line: Points) -> Points:
    """Unit normals of a polyline; [N, 2]."""
    tangent = np.empty_like(line)
    tangent[1:-1] = line[2:] - line[:-2]
    tangent[0], tangent[-1] = line[1] - line[0], line[-1] - line[-2]
    tangent /= np.sqrt((tangent * tangent).sum(1, keepdims=True)) + 1e-9
    return tangent[:, ::-1] * (-1.0, 1.0)


def ribbon(line: Points, half_width: NDArray[np.float64] | float, shift: float = 0.0, normal: Points | None = None) -> Points:
    """Polygon around a line: the line moved by ±half_width along its normal, and by `shift` as a whole."""
    across = normals(line) if normal is None else normal
    half = np.asarray(half_width, float)
    half = half[:, None] if half.ndim else half
    return np.concatenate([line + across * (half + shift), (line - across * (half - shift))[::-1]])


def ellipse(x: float, y: float, a: float, b: float, angle: float = 0.0, count: int = 32) -> Points:
    """Polygon of an ellipse with half axes a (along x before turning) and b; angle in radians."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    px, py = a * np.cos(t), b * np.sin(t)
    return np.stack([x + px * np.cos(angle) - py * np.sin(angle), y + px * np.sin(angle) + py * np.cos(angle)], 1)


def window(size: int, x: float, y: float, radius: float) -> tuple[slice, slice, Field, Field]:
    """Pixels within `radius` of a point: row and column slices, and dx, dy in film widths.

    The window may be empty when the point lies off the film.
    """
    x0, x1 = (int(np.clip(np.floor((x + s * radius) * size), 0, size)) for s in (-1, 1))
    y0, y1 = (int(np.clip(np.floor((y + s * radius) * size), 0, size)) for s in (-1, 1))
    dx = ((np.arange(x0, x1, dtype=np.float32) + 0.5) / size - x)[None, :]
    dy = ((np.arange(y0, y1, dtype=np.float32) + 0.5) / size - y)[:, None]
    return slice(y0, y1), slice(x0, x1), dx.astype(np.float32), dy.astype(np.float32)
