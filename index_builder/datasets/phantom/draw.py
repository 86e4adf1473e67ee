"""Drawing on a film: anti-aliased polygons and strokes, blurs and noise. Points are x, y in film widths (0..1)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

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


def soft_polygons(size: int, shapes: Iterable[tuple[Points, float]]) -> Field:
    """Draw as `polygons` does, on half the grid: for shapes whose edges are blurred anyway."""
    return resized(polygons(size // 2, shapes), size)


def strokes(size: int, lines: Iterable[tuple[Points, float, float]]) -> Field:
    """Polylines (points, width in film widths, value 0..1), later ones over earlier ones; [size, size] float32."""
    fine = size * SUPERSAMPLING
    image = Image.new("L", (fine, fine))
    pen = ImageDraw.Draw(image)
    for points, width, value in lines:
        joint = "curve" if width * fine > 5 and len(points) > 4 else None
        pen.line((points * fine).ravel().tolist(), int(255 * value), max(1, int(width * fine + 0.5)), joint)
    return _reduced(image)


def brightest(
    size: int, lines: Points, widths: Points, values: Points, shapes: Iterable[tuple[Points, float]]
) -> Field:
    """Many lines and some polygons, the brightest on top wherever they cross; [size, size] float32.

    Args:
        size: Pixels on a side.
        lines: [L, N, 2].
        widths: [L], film widths.
        values: [L], 0..1.
        shapes: Polygons with their values.
    """
    fine = size * SUPERSAMPLING
    image = Image.new("L", (fine, fine))
    pen = ImageDraw.Draw(image)
    paths = (lines * fine).reshape(len(lines), -1).tolist()
    thickness = np.maximum(1, widths * fine + 0.5).astype(int).tolist()
    inks = (255 * values).astype(int).tolist()
    items = list(zip(inks, thickness, paths, strict=True))
    items += [(int(255 * value), 0, (points * fine).ravel().tolist()) for points, value in shapes]
    for ink, width, path in sorted(items, key=itemgetter(0)):
        if width:
            pen.line(path, ink, width)
        else:
            pen.polygon(path, ink)
    return _reduced(image)


def _reduced(image: Image.Image) -> Field:
    return np.multiply(np.asarray(image.reduce(SUPERSAMPLING)), np.float32(1 / 255), dtype=np.float32)


def resized(field: Field, size: int) -> Field:
    """Bilinear enlargement or box-averaged reduction to [size, size]."""
    if field.shape[0] == size:
        return field
    image = Image.fromarray(field)
    method = Image.Resampling.BILINEAR if size > field.shape[0] else Image.Resampling.BOX
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


def texture(rng: np.random.Generator, size: int) -> Field:
    """A random piece, turned and mirrored, of a sheet of parenchymal texture; [size, size] float32, read-only."""
    sheet = _texture_sheet(size)
    row, column = (int(offset) for offset in rng.integers(0, size // 2, 2))
    piece = sheet[row : row + size, column : column + size]
    down, right, turned = rng.integers(0, 2, 3).tolist()
    piece = piece[:: 1 - 2 * down, :: 1 - 2 * right]
    return piece.T if turned else piece


@lru_cache(maxsize=4)
def _texture_sheet(size: int) -> Field:
    """Sheet of one and a half films: grains of 3 and 7 pixels at 512, zero mean, deviation about 0.4."""
    rng = np.random.default_rng(512)
    whole = size * 3 // 2
    cells = (max(8, min(whole, 170 * 3 // 2)), max(8, min(whole, 73 * 3 // 2)))
    sheet = np.float32(0.6) * noise(rng, whole, cells[0]) + np.float32(0.5) * noise(rng, whole, cells[1])
    sheet.setflags(write=False)
    return sheet


def noise(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Smooth noise with `cells` grains across the film, zero mean, about unit variance; [size, size] float32."""
    return resized(white_noise(rng, cells), size)


def white_noise(rng: np.random.Generator, size: int) -> Field:
    """Noise of zero mean and unit variance, nearly normal (the sum of four random bytes); [size, size] float32.

    Three times as fast as drawing from the normal distribution.
    """
    words = np.frombuffer(rng.bytes(4 * size * size), np.uint32).reshape(size, size)
    pairs = (words & np.uint32(0x00FF00FF)) + ((words >> np.uint32(8)) & np.uint32(0x00FF00FF))
    total = ((pairs & np.uint32(0xFFFF)) + (pairs >> np.uint32(16))).astype(np.float32)
    total -= np.float32(510)
    total *= np.float32(1 / math.sqrt(4 * (256**2 - 1) / 12))
    return total


def curve(points: Iterable[tuple[float, float]], count: int = 40, *, closed: bool = False) -> Points:
    """Smooth curve through points (cubic Hermite with chord-length tangents, as Catmull and Rom); [count, 2]."""
    knots = np.array(list(points), float)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    chord = np.sqrt(((knots[1:] - knots[:-1]) ** 2).sum(1)) + 1e-9
    slope = (knots[1:] - knots[:-1]) / chord[:, None]
    tangent = np.empty_like(knots)
    share = (chord[:-1] / (chord[:-1] + chord[1:]))[:, None]
    tangent[1:-1] = slope[:-1] * (1 - share) + slope[1:] * share
    tangent[0], tangent[-1] = slope[0], slope[-1]
    if closed:
        knots, tangent, chord = knots[1:-1], tangent[1:-1], chord[1:-1]
    at = np.concatenate([[0.0], np.cumsum(chord)])
    t = np.arange(count) * (at[-1] / (count if closed else count - 1))
    k = np.clip(np.searchsorted(at, t, side="right") - 1, 0, len(chord) - 1)
    h = chord[k][:, None]
    u = (t - at[k])[:, None] / h
    u2, u3 = u * u, u * u * u
    start = (2 * u3 - 3 * u2 + 1) * knots[k] + (u3 - 2 * u2 + u) * h * tangent[k]
    return start + (3 * u2 - 2 * u3) * knots[k + 1] + (u3 - u2) * h * tangent[k + 1]


def normals(line: Points) -> Points:
    """Unit normals of polylines; [..., N, 2]."""
    tangent = np.empty_like(line)
    tangent[..., 1:-1, :] = line[..., 2:, :] - line[..., :-2, :]
    tangent[..., 0, :] = line[..., 1, :] - line[..., 0, :]
    tangent[..., -1, :] = line[..., -1, :] - line[..., -2, :]
    tangent /= np.sqrt((tangent * tangent).sum(-1, keepdims=True)) + 1e-9
    return tangent[..., ::-1] * (-1.0, 1.0)


def ribbon(line: Points, half_width: NDArray[np.float64] | float, shift: NDArray[np.float64] | float = 0.0) -> Points:
    """Polygon around a line: moved by ±half_width along its normal, and by `shift` as a whole; [..., 2 N, 2]."""
    across = normals(line)
    half = np.asarray(half_width, float)[..., None]
    off = np.asarray(shift, float)[..., None]
    return np.concatenate([line + across * (half + off), (line - across * (half - off))[..., ::-1, :]], axis=-2)


@lru_cache(maxsize=16)
def _circle(count: int) -> Points:
    t = np.arange(count) * (2 * np.pi / count)
    circle = np.stack([np.cos(t), np.sin(t)], 1)
    circle.setflags(write=False)
    return circle


def ellipse(x: float, y: float, a: float, b: float, angle: float = 0.0, count: int = 32) -> Points:
    """Polygon of an ellipse with half axes a (along x before turning) and b; angle in radians."""
    c, s = math.cos(angle), math.sin(angle)
    return _circle(count) @ np.array([(a * c, a * s), (-b * s, b * c)]) + (x, y)


def window(size: int, x: float, y: float, radius: float) -> tuple[slice, slice, Field, Field]:
    """Pixels within `radius` of a point: row and column slices, and dx, dy in film widths.

    The window may be empty when the point lies off the film.
    """
    x0, x1 = (int(np.clip(np.floor((x + s * radius) * size), 0, size)) for s in (-1, 1))
    y0, y1 = (int(np.clip(np.floor((y + s * radius) * size), 0, size)) for s in (-1, 1))
    dx = ((np.arange(x0, x1, dtype=np.float32) + 0.5) / size - x)[None, :]
    dy = ((np.arange(y0, y1, dtype=np.float32) + 0.5) / size - y)[:, None]
    return slice(y0, y1), slice(x0, x1), dx.astype(np.float32), dy.astype(np.float32)
