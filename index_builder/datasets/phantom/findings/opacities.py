"""Findings inside the lung: nodules, opacities, lines, networks, small rounded opacities, oedema."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from index_builder.datasets.phantom.anatomy import LEFT, RIGHT
from index_builder.datasets.phantom.draw import curve, noise
from index_builder.datasets.phantom.scene import ZONES, Mask, Scene, side_sign
from index_builder.datasets.phantom.spec import Finding

Rng = np.random.Generator

#: Small opacities drawn at profusion 1, 2 and 3 (severity 1/3, 2/3, 1).
PROFUSION = (0.0, 170.0, 520.0, 1300.0)


def _round(
    scene: Scene, side: int, x: float, y: float, radius: float, centimetres: float, lobed: float, rng: Rng
) -> Mask:
    rows, cols, dx, dy = scene.radius(x, y, 1.5 * radius)
    phase = rng.uniform(0, 6.28, 3)
    turn = np.arctan2(dy, dx)
    edge = 1 + lobed * (
        np.sin(2 * turn + phase[0]) + 0.7 * np.sin(3 * turn + phase[1]) + 0.5 * np.sin(5 * turn + phase[2])
    )
    r = np.sqrt(dx * dx + dy * dy) / (radius * edge)
    height = np.sqrt(np.clip(1 - r * r, 0, 1)).astype(np.float32) * scene.lung(side)[rows, cols]
    scene.add_water(rows, cols, centimetres * height)
    mask = scene.blank()
    mask[rows, cols] = height > 0.25
    return mask


def nodule(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A round density of 6 to 30 mm; several when scattered or diffuse."""
    count = int(rng.integers(4, 9)) if finding.site in ("diffuse", "scattered") else 1
    mask = scene.blank()
    for _ in range(count):
        x, y = scene.spot(rng, side, finding.site)
        radius = (0.010 + 0.020 * finding.severity) * rng.uniform(0.85, 1.1)
        mask |= _round(scene, side, x, y, radius, 85 * radius, 0.03, rng)
    return mask


def mass(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A lobulated density of over 30 mm."""
    x, y = scene.spot(rng, side, finding.site)
    radius = 0.045 + 0.045 * finding.severity
    return _round(scene, side, x, y, radius, 95 * radius, 0.06, rng)


def granuloma(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A small dense calcified nodule; several when scattered."""
    count = int(rng.integers(4, 10)) if finding.site in ("diffuse", "scattered") else 1
    mask = scene.blank()
    for _ in range(count):
        x, y = scene.spot(rng, side, finding.site)
        radius = (0.0055 + 0.006 * finding.severity) * rng.uniform(0.8, 1.15)
        rows, cols, dx, dy = scene.radius(x, y, 2 * radius)
        disc = np.clip(1.5 * (1 - np.sqrt(dx * dx + dy * dy) / radius), 0, 1)
        scene.metal[rows, cols] += np.float32(rng.uniform(0.35, 0.6)) * disc
        mask[rows, cols] |= disc > 0.2
    return mask


def _patches(scene: Scene, finding: Finding, side: int, rng: Rng, spread: float, density: float, rough: float) -> Mask:
    mask = scene.blank()
    many = finding.site in ("diffuse", "scattered")
    count = int(rng.integers(5, 9)) if many else int(rng.integers(1, 4))
    x, y = scene.spot(rng, side, finding.site)
    for k in range(count):
        if many:
            x, y = scene.spot(rng, side, finding.site)
        jitter = rng.normal(0, 0.35 * spread, 2) if k else (0.0, 0.0)
        a, b = spread * rng.uniform(0.75, 1.25, 2) * (0.75 if many or k else 1.0)
        rows, cols, height = scene.blob(rng, x + jitter[0], y + jitter[1], a, b, rng.uniform(0, 3), rough)
        height = height * scene.lung(side)[rows, cols]
        scene.fill(rows, cols, np.clip(density * height, 0, 0.97))
        mask[rows, cols] |= height > 0.35
    return mask


def consolidation(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Air spaces filled: dense, with an uneven edge and dark air bronchograms."""
    mask = _patches(scene, finding, side, rng, 0.048 + 0.055 * finding.severity, 0.36 + 0.40 * finding.severity, 0.30)
    ys, xs = np.nonzero(mask)
    if len(ys) and finding.severity > 0.4:
        x, y = xs.mean() / scene.size, ys.mean() / scene.size
        hx, hy = scene.anatomy.hila[side]
        for _ in range(3):
            end = (x + rng.normal(0, 0.03), y + rng.normal(0, 0.03))
            path = curve([((hx + 2 * x) / 3, (hy + 2 * y) / 3), ((x + end[0]) / 2, (y + end[1]) / 2 + 0.006), end], 12)
            scene.extra_air += np.float32(1.2) * scene.stroke([(path, 0.005, 1.0)]) * mask
    return mask


def opacity(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """An ill-defined density, fainter than consolidation."""
    return _patches(scene, finding, side, rng, 0.040 + 0.050 * finding.severity, 0.20 + 0.30 * finding.severity, 0.32)


def _lines(scene: Scene, side: int, lines: list[tuple[float, float, float, float, float]], share: float) -> Mask:
    """Curved streaks (x, y, length, angle, width) that replace a share of the lung's air."""
    paths = []
    for x, y, length, angle, width in lines:
        c, s = np.cos(angle) * length / 2, np.sin(angle) * length / 2
        paths.append((curve([(x - c, y - s), (x + 0.12 * s, y - 0.12 * c), (x + c, y + s)], 14), width, 1.0))
    drawn = ndimage.gaussian_filter(scene.stroke(paths), 0.0014 * scene.size, truncate=2) * scene.lung(side)
    whole = slice(None)
    scene.fill(whole, whole, np.clip(share * drawn, 0, 0.9))
    return drawn > 0.3


def atelectasis(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Platelike bands, mostly horizontal, over a dome that stands a little high."""
    site = finding.site or "base"
    lines = []
    for _ in range(2 + round(2.5 * finding.severity)):
        x, y = scene.spot(rng, side, site)
        tilt = rng.normal(0.22, 0.22) * side_sign(side)
        lines.append((x, y, rng.uniform(0.06, 0.12) + 0.06 * finding.severity, tilt, rng.uniform(0.005, 0.011)))
    mask = _lines(scene, side, lines, 0.30 + 0.25 * finding.severity)
    if finding.severity > 0.6:
        mask |= _patches(scene, Finding("opacity", site, finding.side, 0.4), side, rng, 0.05, 0.4, 0.3)
    return mask


def scar(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Thin irregular streaks."""
    lines = []
    x, y = scene.spot(rng, side, finding.site)
    for _ in range(3 + round(3 * finding.severity)):
        dx, dy = rng.normal(0, 0.018, 2)
        lines.append((x + dx, y + dy, rng.uniform(0.03, 0.075), rng.uniform(-0.9, 0.9), rng.uniform(0.003, 0.006)))
    return _lines(scene, side, lines, 0.30 + 0.25 * finding.severity)


def reticulation(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A network of fine lines, denser at the bases and the periphery unless a site is named."""
    size = scene.size
    field = noise(rng, size, size // 6)
    net = np.exp(-((field / 0.16) ** 2)) + 0.7 * np.exp(-((noise(rng, size, size // 10) / 0.14) ** 2))
    y = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None]
    x = ((np.arange(size, dtype=np.float32) + 0.5) / size)[None, :]
    if finding.site in ("", "diffuse", "scattered", "peripheral"):
        u = np.abs(x - scene.anatomy.hila[side][0]) / scene.anatomy.width
        v = (y - scene.anatomy.top) / (scene.anatomy.dome[side] - scene.anatomy.top)
        weight = np.clip(0.30 + 0.55 * v + 0.35 * u, 0, 1)
    else:
        u0, u1, v0, v1 = ZONES[finding.site]
        cx, cy = scene.anatomy.place(side, (u0 + u1) / 2, (v0 + v1) / 2)
        weight = np.exp(-(((x - cx) / 0.10) ** 2) - ((y - cy) / 0.10) ** 2)
    weight = (weight * scene.lung(side)).astype(np.float32)
    whole = slice(None)
    scene.fill(whole, whole, np.clip((0.07 + 0.20 * finding.severity) * weight * net, 0, 0.8))
    return weight > 0.4


def small_opacities(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Small rounded opacities of 2 to 4 mm, more in the upper zones, their number given by the profusion."""
    size = scene.size
    count = round(float(np.interp(3 * finding.severity, (0, 1, 2, 3), PROFUSION)) / 2)
    most = round(PROFUSION[-1] / 2)
    # All places are drawn whatever the profusion: more of it adds opacities and moves none.
    u, v = rng.uniform(0.03, 0.95, most)[:count], 0.03 + 0.92 * rng.beta(1.5, 2.1, most)[:count]
    weight = rng.uniform(0.55, 1.25, most)[:count]
    sigma = rng.uniform(0.0027, 0.0040) * size
    x, y = scene.anatomy.places(side, u, v)
    outline = np.clip(scene.anatomy.lungs[side], 0, 1) * size
    left, top = (int(edge) for edge in outline.min(0))
    right, bottom = (int(edge) + 1 for edge in outline.max(0))
    rows, cols = slice(top, bottom), slice(left, right)
    tall, wide = bottom - top, right - left
    column = np.clip((x * size).astype(int) - left, 0, wide - 1)
    row = np.clip((y * size).astype(int) - top, 0, tall - 1)
    dots = np.bincount(row * wide + column, weight, tall * wide).reshape(tall, wide).astype(np.float32)
    dots = ndimage.gaussian_filter(dots, sigma, truncate=2.5) * np.float32(2 * np.pi * sigma**2)
    dots *= scene.lung(side)[rows, cols]
    scene.add_water(rows, cols, np.float32(2.3) * np.minimum(dots, 2.0))
    mask = scene.blank()
    mask[rows, cols] = dots > 0.3
    return mask


def _perihilar(scene: Scene, side: int, wide: float, tall: float) -> np.ndarray:
    hx, hy = scene.anatomy.hila[side]
    x = (np.arange(scene.size, dtype=np.float32) + 0.5) / scene.size
    across = np.exp(-(((x - hx - 0.03 * side_sign(side)) / wide) ** 2))
    down = np.exp(-(((x - hy - 0.04) / tall) ** 2))
    return down[:, None] * across[None, :] * scene.lung(side)


def oedema(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Perihilar haze in the shape of a wing, and short septal lines at the bases."""
    haze = _perihilar(scene, side, 0.09 + 0.05 * finding.severity, 0.15 + 0.06 * finding.severity)
    cloud = np.clip(1 + 0.35 * noise(rng, scene.size, 22), 0.2, 2)
    whole = slice(None)
    scene.fill(whole, whole, np.clip((0.20 + 0.45 * finding.severity) * haze * cloud, 0, 0.92).astype(np.float32))
    lines = []
    for _ in range(round(4 + 8 * finding.severity)):
        x, y = scene.anatomy.place(side, rng.uniform(0.88, 0.97), rng.uniform(0.72, 0.98))
        lines.append((x, y, rng.uniform(0.018, 0.032), rng.normal(0, 0.12), 0.0022))
    septal = _lines(scene, side, lines, 0.25)
    return (haze > 0.3) | septal


def congestion(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Wider vessels (drawn with the vessels) in a faint perihilar haze."""
    haze = _perihilar(scene, side, 0.10, 0.17)
    whole = slice(None)
    cloud = np.clip(1 + 0.25 * noise(rng, scene.size, 22), 0.2, 2)
    scene.fill(whole, whole, ((0.06 + 0.20 * finding.severity) * haze * cloud).astype(np.float32))
    return haze > 0.3


def prominent_markings(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Thicker vessels, drawn with the vessels; the mask is where they are thick."""
    return _perihilar(scene, side, 0.12, 0.20) > 0.3


def inflation(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Darker lungs; their longer shape and flat domes come with the anatomy."""
    both = scene.lung(RIGHT) + scene.lung(LEFT)
    strength = 0.14 if finding.name == "emphysema" else 0.07
    scene.air *= 1 + np.float32(strength * finding.severity) * both
    if finding.name == "emphysema":
        for lung_side in (RIGHT, LEFT):
            for _ in range(round(7 * finding.severity)):
                x, y = scene.anatomy.place(lung_side, rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.45))
                rows, cols, height = scene.blob(rng, x, y, 0.03, 0.035, 0.0, 0.2)
                height = height * scene.lung(lung_side)[rows, cols]
                scene.extra_air[rows, cols] += np.float32(0.9) * height
                scene.vessels[rows, cols] *= 1 - 0.8 * height
    return both > 0.5


LATERAL: dict[str, Callable[[Scene, Finding, int, Rng], Mask]] = {
    "nodule": nodule,
    "mass": mass,
    "granuloma": granuloma,
    "consolidation": consolidation,
    "opacity": opacity,
    "atelectasis": atelectasis,
    "scar": scar,
    "reticulation": reticulation,
    "small opacities": small_opacities,
    "oedema": oedema,
    "congestion": congestion,
    "prominent markings": prominent_markings,
}
CENTRAL: dict[str, Callable[[Scene, Finding, int, Rng], Mask]] = {
    "emphysema": inflation,
    "hyperinflation": inflation,
}
