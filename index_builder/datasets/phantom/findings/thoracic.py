"""Findings of pleura, diaphragm, heart, aorta and mediastinum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from index_builder.datasets.phantom.anatomy import LATERAL as LATERAL_POINTS
from index_builder.datasets.phantom.anatomy import LEFT, RIGHT
from index_builder.datasets.phantom.draw import Field, ellipse, polygons, resized, ribbon
from index_builder.datasets.phantom.scene import Mask, Scene, side_sign
from index_builder.datasets.phantom.spec import Finding

Rng = np.random.Generator


def _grid(size: int) -> tuple[Field, Field]:
    axis = (np.arange(size, dtype=np.float32) + 0.5) / np.float32(size)
    return axis[None, :], axis[:, None]


def _fluid(scene: Scene, side: int, level: float, meniscus: float) -> Mask:
    """Fill the pleural space below a level that climbs towards the chest wall (film widths)."""
    x, y = _grid(scene.size)
    lung = scene.lung(side)
    inner = scene.anatomy.medial(side, scene.anatomy.dome[side])
    outer = scene.anatomy.lateral(side, scene.anatomy.dome[side])
    u = np.clip((x - inner) / (outer - inner), 0, 1)
    # Concave upwards: highest at the chest wall, a little higher again beside the heart.
    surface = level + meniscus * (1 - u**2.6) - 0.35 * meniscus * (1 - u) ** 4
    share = np.clip((y - surface) / (0.018 + 0.03 * (1 - u)) + 0.5, 0, 1)
    # The recess behind the dome fills as well, outside the outline that is seen as lung.
    on_side = side_sign(side) * (x - scene.anatomy.midline(0.5)) > 0
    share = (share * share * (3 - 2 * share) * on_side).astype(np.float32)
    scene.air *= 1 - np.float32(0.94) * share
    scene.tissue += resized(scene.body.recess, scene.size) * share
    scene.vessels *= 1 - np.float32(0.95) * share
    return (share * lung) > 0.5


def effusion(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Pleural fluid: a blunted angle when small, a white lower half with a meniscus when large."""
    angle = float(scene.anatomy.lungs[side][:, 1].max())
    level = angle - 0.050 - 0.36 * finding.severity**1.25
    return _fluid(scene, side, level, 0.055 + 0.075 * finding.severity)


def blunted_angle(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Only the costophrenic angle is filled."""
    angle = float(scene.anatomy.lungs[side][:, 1].max())
    return _fluid(scene, side, angle - 0.030 - 0.03 * finding.severity, 0.10)


def pneumothorax(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Air outside a thin pleural line; no vessels there; the lung behind it is denser."""
    outline = scene.anatomy.lungs[side].copy()
    hilum = np.array(scene.anatomy.hila[side])
    top = float(outline[:, 1].min())
    height = scene.anatomy.dome[side] - top
    apical = np.clip(1 - (outline[:, 1] - top) / height, 0, 1)
    inward = 0.05 + 0.42 * finding.severity
    pull = inward * (0.35 + 0.65 * apical)
    pull[LATERAL_POINTS:] *= np.where(outline[LATERAL_POINTS:, 1] > top + 0.5 * height, 0.15, 1.0)
    outline += pull[:, None] * (hilum - outline)
    collapsed = polygons(scene.size, [(outline, 1.0)])
    lung = scene.lung(side)
    free = np.clip(lung - collapsed, 0, 1)
    scene.vessels *= 1 - free
    scene.extra_air += 0.16 * scene.body.lung_depth * free + 0.5 * free
    scene.air *= 1 - np.float32(0.06 + 0.28 * finding.severity) * collapsed * lung
    edge = outline[: LATERAL_POINTS - 1]
    line = scene.stroke([(edge, 0.0030, 1.0)]) * lung
    scene.metal += np.float32(0.15) * line
    return (free > 0.5) | (line > 0.4)


def elevated_diaphragm(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Drawn by the anatomy: what was lung at rest and is abdomen now."""
    resting = polygons(scene.size, [(scene.anatomy.resting_lungs[side], 1.0)])
    return (resting > 0.5) & (scene.lung(side) <= 0.5)


def hypoinflation(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Both domes stand high and the lungs are denser; the mask is the strip of abdomen gained."""
    both = scene.lung(RIGHT) + scene.lung(LEFT)
    scene.air *= 1 - np.float32(0.10 * finding.severity) * both
    return elevated_diaphragm(scene, finding, RIGHT, rng) | elevated_diaphragm(scene, finding, LEFT, rng)


def pleural_thickening(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A dense band inside the chest wall, at the apex (cap) or along the side."""
    edge = scene.anatomy.lungs[side][:LATERAL_POINTS]
    apical = finding.site in ("apex", "upper") or (finding.site == "" and rng.random() < 0.4)
    part = edge[:9] if apical else edge[12:26]
    thick = 0.014 + 0.018 * finding.severity
    ripple = thick * (1 + 0.25 * np.sin(np.linspace(0, 9, len(part)) + rng.uniform(0, 6)))
    band = polygons(scene.size, [(ribbon(part, ripple), 1.0)]) * scene.lung(side)
    band = ndimage.gaussian_filter(band, 0.0012 * scene.size, truncate=2)
    whole = slice(None)
    scene.fill(whole, whole, np.clip((0.45 + 0.35 * finding.severity) * band, 0, 0.9))
    return band > 0.4


def heart(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Drawn by the anatomy; the mask is the heart above the domes."""
    return scene.body.heart > 0.5


def tortuous_aorta(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Drawn by the anatomy: a wide arch and a descending aorta that swings to the left."""
    x, y, radius = scene.anatomy.arch
    shapes = [(ellipse(x, y, radius, radius * 1.08), 1.0), (ribbon(scene.anatomy.aorta, radius * 0.82), 1.0)]
    return polygons(scene.size, shapes) > 0.5


def aortic_calcification(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A thin bright arc in the wall of the aortic knob."""
    x, y, radius = scene.anatomy.arch
    reach = 0.9 + 0.9 * finding.severity
    angles = np.linspace(-reach, reach * 0.8, 24) + rng.normal(-0.2, 0.15)
    arc = np.stack([x + 0.90 * radius * np.cos(angles), y + 0.95 * radius * np.sin(angles)], 1)
    drawn = scene.stroke([(arc, 0.0040 + 0.0025 * finding.severity, 1.0)])
    scene.metal += np.float32(0.35 + 0.35 * finding.severity) * drawn
    return drawn > 0.3


def hilar_enlargement(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A lobulated hilum."""
    mask = scene.blank()
    hx, hy = scene.anatomy.hila[side]
    for _ in range(4):
        x, y = hx + rng.normal(0.008, 0.010) * side_sign(side), hy + rng.normal(0, 0.022)
        radius = (0.022 + 0.020 * finding.severity) * rng.uniform(0.8, 1.15)
        rows, cols, dx, dy = scene.radius(x, y, 1.2 * radius)
        height = np.sqrt(np.clip(1 - (dx * dx + dy * dy) / radius**2, 0, 1)) * scene.lung(side)[rows, cols]
        scene.add_water(rows, cols, 60 * np.float32(radius) * height)
        mask[rows, cols] |= height > 0.3
    return mask


def wide_mediastinum(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Drawn by the anatomy; the mask is the upper mediastinum."""
    return polygons(scene.size, [(scene.anatomy.great_vessels[0], 1.0)]) > 0.5


def node_calcification(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Dense crumbs at the hilum or beside the trachea."""
    hx, hy = scene.anatomy.hila[side]
    if finding.site == "mediastinum":
        hx, hy = scene.anatomy.midline(hy) + 0.05 * side_sign(side), hy - 0.07
    mask = scene.blank()
    for _ in range(int(rng.integers(2, 5))):
        x, y = hx + rng.normal(0.004, 0.010) * side_sign(side), hy + rng.normal(0, 0.016)
        rows, cols, height = scene.blob(rng, x, y, 0.008, 0.007 + 0.003 * finding.severity, 0.0, 0.5)
        scene.metal[rows, cols] += np.float32(0.55) * height
        mask[rows, cols] |= height > 0.35
    return mask


def hiatal_hernia(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A round density behind the heart with gas over a fluid level."""
    radius = 0.050 + 0.050 * finding.severity
    cy = max(scene.anatomy.dome) - 0.45 * radius
    cx = scene.anatomy.midline(cy) + 0.028
    rows, cols, dx, dy = scene.radius(cx, cy, 1.2 * radius)
    r = np.sqrt(dx * dx + dy * dy) / radius
    body = np.sqrt(np.clip(1 - r * r, 0, 1)).astype(np.float32)
    scene.fill(rows, cols, np.clip(1.6 * body, 0, 0.9))
    scene.tissue[rows, cols] += 3.0 * body
    gas = np.sqrt(np.clip(1 - (r / 0.84) ** 2, 0, 1)) * (dy < -0.12 * radius)
    scene.extra_air[rows, cols] += np.float32(4.2) * gas
    mask = scene.blank()
    mask[rows, cols] = body > 0.15
    return mask


Drawing = Callable[[Scene, Finding, int, Rng], Mask]
LATERAL: dict[str, Drawing] = {
    "effusion": effusion,
    "blunted angle": blunted_angle,
    "pneumothorax": pneumothorax,
    "elevated diaphragm": elevated_diaphragm,
    "pleural thickening": pleural_thickening,
    "hilar enlargement": hilar_enlargement,
    "node calcification": node_calcification,
}
CENTRAL: dict[str, Drawing] = {
    "cardiomegaly": heart,
    "pericardial effusion": heart,
    "hypoinflation": hypoinflation,
    "tortuous aorta": tortuous_aorta,
    "aortic calcification": aortic_calcification,
    "wide mediastinum": wide_mediastinum,
    "hiatal hernia": hiatal_hernia,
}
