"""Soft tissue: how many centimetres of water the beam crosses, and how much of it is aerated lung."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from index_builder.datasets.phantom.anatomy import LEFT, RIGHT, SIGN, Anatomy
from index_builder.datasets.phantom.draw import Field, blur, curve, ellipse, polygons, resized, ribbon
from index_builder.datasets.phantom.spec import ChestSpec, stream

#: Grid on which smooth thicknesses are computed.
COARSE = 96
_COORDINATE = (np.arange(COARSE, dtype=np.float32) + np.float32(0.5)) / np.float32(COARSE)


@dataclass(frozen=True, slots=True)
class Body:
    """Thicknesses along the beam.

    Attributes:
        tissue: [S/2, S/2] float32, centimetres of water if the chest held no air.
        lungs: Two [S, S] float32 coverages, 0 to 1.
        heart: [S, S] float32 coverage, 0 to 1.
        gas: [S/2, S/2] float32, centimetres by which airways and bowel gas lessen `tissue`.
        lung_depth: [S, S] float32, centimetres by which aerated lung lessens `tissue`.
        recess: [S/2, S/2] float32, the same behind liver and stomach.
    """

    tissue: Field
    lungs: tuple[Field, Field]
    heart: Field
    gas: Field
    lung_depth: Field
    recess: Field


def build_body(spec: ChestSpec, anatomy: Anatomy, seed: int, size: int) -> Body:
    """Soft tissue of one chest; findings of shape are already in the anatomy."""
    rng = stream(seed, "body")
    depth = (21.0 if spec.sex == "M" else 19.5) + 4.0 * spec.habitus + rng.normal(0, 0.8)
    tissue = _tissue(spec, anatomy, rng, depth, size)
    both = polygons(size, [(outline, 1.0) for outline in anatomy.lungs])
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    split = np.interp(axis, anatomy.spine[:, 1], anatomy.spine[:, 0]).astype(np.float32)
    right = np.where(axis[None, :] < split[:, None], both, np.float32(0))
    lungs = (right, both - right)
    core = polygons(size // 2, [(anatomy.heart, 1.0)])
    lung_depth, recess = _lung_depth(anatomy, both, core, depth, size)
    gas = _gas(anatomy, rng, size)
    return Body(tissue=tissue, lungs=lungs, heart=resized(core, size), gas=gas, lung_depth=lung_depth, recess=recess)


def _tissue(spec: ChestSpec, anatomy: Anatomy, rng: np.random.Generator, depth: float, size: int) -> Field:
    top, width = anatomy.top, anatomy.width
    height = anatomy.resting_dome - top
    centre = anatomy.midline(top)
    wall = 0.062 + 0.035 * (spec.habitus + 1) + rng.uniform(0, 0.04)
    neck = width * rng.uniform(0.30, 0.38) * (1 + 0.12 * spec.habitus)
    arm_gap = rng.uniform(0.0, 0.10)
    shoulder = width * rng.uniform(1.36, 1.48)
    shapes = []
    trunk = []
    for side in (RIGHT, LEFT):
        s = SIGN[side]
        flank = [anatomy.lateral(side, y) + s * wall for y in (top + 0.55 * height, top + 0.80 * height, top + height)]
        half = [
            (centre + s * neck * 1.04, -0.25),
            (centre + s * neck, top - 0.12),
            (centre + s * neck * 1.06, top - 0.075),
            (centre + s * neck * 1.45, top - 0.040),
            (centre + s * width * 0.95, top - 0.015),
            (centre + s * shoulder, top + 0.030),
            (centre + s * (shoulder + 0.10), top + 0.10),
            (centre + s * (shoulder + 0.12), top + 0.26 * height),
            (flank[0] + s * 0.045, top + 0.44 * height),
            (flank[0] + s * 0.006, top + 0.58 * height),
            (flank[1], top + 0.80 * height),
            (flank[2], top + height),
            (flank[2] - s * 0.004 + s * 0.03 * max(spec.habitus, 0), 1.3),
        ]
        trunk.append(curve(half, 60))
        arm = curve(
            [
                (centre + s * (shoulder - 0.02), top + 0.09),
                (centre + s * (shoulder + 0.075 + 0.3 * arm_gap), top + 0.35 * height),
                (centre + s * (shoulder + 0.09 + arm_gap), top + 0.9 * height),
                (centre + s * (shoulder + 0.11 + 1.6 * arm_gap), 1.25),
            ],
            30,
        )
        shapes.append((ribbon(arm, 0.075 + 0.012 * spec.habitus), 1.0))
    shapes.append((np.concatenate([trunk[RIGHT], trunk[LEFT][::-1]]), 1.0))
    outline = polygons(size // 2, shapes)
    inside = resized(outline, COARSE) > 0.5
    distance = ndimage.distance_transform_edt(inside).astype(np.float32) / COARSE
    distance = ndimage.gaussian_filter(distance, 1.6)
    rim = 1 - np.clip(distance / (0.075 + 0.02 * spec.habitus), 0, 1)
    profile = np.sqrt(np.clip(1 - rim * rim, 0, 1))
    x, y = _COORDINATE[None, :], _COORDINATE[:, None]
    trunkness = 1 / (1 + np.exp(-(y - (top + 0.03)) / 0.035))
    outward = np.clip((np.abs(x - centre) - width * 1.05) / (0.30 * width), 0, 1)
    thick = depth * (0.52 + 0.48 * trunkness) * (1 - 0.22 * outward) * profile
    abdomen = 1 / (1 + np.exp(-(y - anatomy.resting_dome - 0.03) / 0.05))
    thick = thick * (1 + 0.05 * abdomen)
    if spec.sex == "F":
        thick = thick + _breasts(spec, anatomy, rng, x, y)
    elif spec.habitus > -0.5:
        thick = thick + _breasts(spec, anatomy, rng, x, y, 0.35)
    smooth = ndimage.gaussian_filter(thick.astype(np.float32), 0.9)
    fat = rng.standard_normal((24, 24), dtype=np.float32)
    smooth = smooth * (1 + 0.012 * resized(fat, COARSE))
    return np.maximum(resized(smooth, size // 2), 0) * outline


def _breasts(
    spec: ChestSpec, anatomy: Anatomy, rng: np.random.Generator, x: Field, y: Field, share: float = 1.0
) -> Field:
    """Extra centimetres of two breasts (or pectoral folds), with the sharper edge below."""
    height = anatomy.resting_dome - anatomy.top
    amount = share * (2.0 + 1.8 * (spec.habitus + 0.4)) * rng.uniform(0.5, 1.15)
    level = rng.uniform(0.66, 0.98) if share == 1 else rng.uniform(0.50, 0.62)
    total = np.zeros((COARSE, COARSE), np.float32)
    for side in (RIGHT, LEFT):
        cx = anatomy.midline(0.5) + SIGN[side] * anatomy.width * (0.60 + 0.06 * spec.habitus)
        cy = anatomy.top + height * (level - 0.22) + rng.normal(0, 0.008)
        a, b = anatomy.width * (0.50 + 0.08 * spec.habitus), height * 0.30
        r2 = ((x - cx) / a) ** 2 + (np.where(y > cy, 1.0, 0.62) * (y - cy) / b) ** 2
        total += max(amount, 0.3) * np.sqrt(np.clip(1 - r2, 0, 1)).astype(np.float32)
    return total


def _lung_depth(anatomy: Anatomy, both: Field, core: Field, depth: float, size: int) -> tuple[Field, Field]:
    """Centimetres of aerated lung (rounded at the chest wall, thin around the heart), and of lung below the domes."""
    centimetres = (depth - 4.5) * 0.76
    inside = resized(both, COARSE) > 0.5
    distance = ndimage.distance_transform_edt(inside).astype(np.float32) / COARSE
    rim = 1 - np.clip(distance / 0.13, 0, 1)
    profile = np.sqrt(np.clip(1 - rim**2.2, 0, 1))
    y = _COORDINATE[:, None]
    apex = np.clip((y - anatomy.top) / 0.22, 0, 1)
    profile = (0.25 + 0.75 * profile) * (0.60 + 0.40 * apex)
    # Large vessels and bronchi, too close to be told apart, make the lung denser around the hila.
    for hilum_x, hilum_y in anatomy.hila:
        near = ((_COORDINATE - hilum_x) / 0.085) ** 2
        profile = profile * (
            1 - 0.20 * np.exp(-near[None, :] - (((_COORDINATE - hilum_y - 0.03) / 0.12) ** 2)[:, None])
        )
    # The posterior recess reaches below the domes, behind liver and stomach.
    recess = np.roll(inside.astype(np.float32), round(0.065 * COARSE), 0)
    recess[: round(0.065 * COARSE)] = 0
    smooth_recess = ndimage.gaussian_filter(recess * ~inside, 2.0) * (y > min(anatomy.dome) - 0.02)
    half = size // 2  # heart and vessels move while exposed: their borders need no finer grid
    deep = resized(ndimage.gaussian_filter(profile.astype(np.float32), 0.8), half)
    arch = [(ribbon(anatomy.aorta, anatomy.arch[2] * 0.82), 0.50)]
    solid = polygons(half, arch + [(shape, 0.92) for shape in anatomy.great_vessels])
    solid = blur(np.maximum(solid, core * (0.30 + 0.55 * blur(core, 0.04))), 0.003)
    inner = resized(deep * (1 - solid), size) * both
    inner *= np.float32(centimetres)
    below = resized(smooth_recess.astype(np.float32), half) * (1 - resized(both, half))
    return inner, np.float32(0.16 * centimetres) * below


def _gas(anatomy: Anatomy, rng: np.random.Generator, size: int) -> Field:
    """Trachea, main bronchi, stomach bubble and bowel gas in centimetres of missing tissue."""
    top, width = anatomy.top, anatomy.width
    height = anatomy.resting_dome - top
    carina_y = top + height * rng.uniform(0.33, 0.38)
    x = anatomy.midline(carina_y)
    bend = rng.normal(0.0, 0.004)
    tube = curve(
        [
            (anatomy.midline(0) + bend, -0.05),
            (x + bend, top * 0.6),
            (x - 0.008, top + 0.2 * height),
            (x - 0.006, carina_y),
        ]
    )
    half = width * 0.048
    shapes = [(ribbon(tube, half), 1.0)]
    for side, drop in ((RIGHT, 0.15), (LEFT, 0.115)):
        hx = anatomy.hila[side][0]
        end = (x + 0.85 * (hx - x), carina_y + drop * height)
        shapes.append(
            (
                ribbon(
                    curve([(x - 0.006, carina_y - 0.012), ((x + end[0]) / 2, carina_y + 0.05 * height), end], 16),
                    half * 0.66,
                ),
                0.7,
            )
        )
    airway = [(shape, 0.53 * value) for shape, value in shapes]
    bubbles = []
    fill = rng.random()
    sx = anatomy.midline(0.9) + width * rng.uniform(0.36, 0.55)
    a, b = width * rng.uniform(0.12, 0.26), width * rng.uniform(0.07, 0.15)
    sy = anatomy.dome[LEFT] + b + rng.uniform(0.028, 0.045)
    if fill < 0.62:
        bubble = ellipse(sx, sy, a, b, rng.normal(0, 0.12), 48)
        if fill < 0.3:  # standing: a fluid level cuts the bubble
            bubble[:, 1] = np.minimum(bubble[:, 1], sy + 0.25 * b)
        bubbles.append((bubble, 0.9))
    for _ in range(rng.integers(0, 9)):
        bx = anatomy.midline(0.9) + width * rng.uniform(0.0, 0.85)
        by = anatomy.dome[LEFT] + rng.uniform(0.11, 0.28)
        bubbles.append(
            (
                ellipse(bx, by, width * rng.uniform(0.02, 0.07), width * rng.uniform(0.02, 0.07), rng.uniform(0, 3)),
                rng.uniform(0.2, 0.5),
            )
        )
    return blur(polygons(size // 2, airway + bubbles), 0.0035) * np.float32(4.5)
