"""Findings of ribs and spine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from index_builder.datasets.phantom.draw import polygons, ribbon
from index_builder.datasets.phantom.scene import Mask, Scene
from index_builder.datasets.phantom.spec import Finding

Rng = np.random.Generator


def rib_fracture(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A gap and a step in one to three ribs, with callus around it."""
    mask = scene.blank()
    ribs = [rib for rib in scene.anatomy.ribs if rib.side == side and 3 <= rib.number <= 9]
    first = int(rng.integers(0, len(ribs) - 2))
    for rib in ribs[first : first + 1 + round(2 * finding.severity)]:
        line = rib.posterior
        k = int(rng.integers(len(line) // 2, len(line) - 4))
        x, y = line[k]
        along = line[k + 1] - line[k - 1]
        along = along / np.hypot(*along)
        across = np.array([-along[1], along[0]])
        half = rib.half_width
        gap = np.stack([line[k] - across * half * 1.3, line[k] + across * half * 1.3 + along * half * 0.5])
        cut = ndimage.gaussian_filter(scene.stroke([(gap, 0.0045, 1.0)]), 0.0008 * scene.size, truncate=2)
        scene.bone *= 1 - np.float32(0.9) * np.clip(cut, 0, 1)
        rows, cols, dx, dy = scene.radius(x, y, 2.2 * half)
        r2 = (dx * dx + dy * dy) / (1.25 * half) ** 2
        callus = np.exp(-r2) * (r2 > 0.12)
        scene.metal[rows, cols] += np.float32(0.16 + 0.10 * finding.severity) * callus
        mask[rows, cols] |= r2 < 1.4
    return mask


def scoliosis(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Drawn by the anatomy; the mask is the spine from apex to the film's lower edge."""
    spine = scene.anatomy.spine
    part = spine[spine[:, 1] > scene.anatomy.top]
    return polygons(scene.size, [(ribbon(part, scene.anatomy.width * 0.115), 1.0)]) > 0.5


def osteophytes(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Bony beaks at the corners of vertebral bodies, and sclerosis along the end plates."""
    anatomy = scene.anatomy
    shapes = []
    for _ in range(2 + round(4 * finding.severity)):
        level = int(rng.integers(4, 11))
        y = anatomy.top + anatomy.spacing * (level - 0.6)
        half = anatomy.width * 0.105
        grow = (0.010 + 0.012 * finding.severity) * rng.uniform(0.7, 1.2)
        sign = 1.0 if rng.random() < 0.5 else -1.0
        x = anatomy.midline(y) + sign * half
        for up in (-1.0, 1.0):
            tip = (x + sign * grow, y + up * 0.004)
            beak = np.array(
                [
                    (x - sign * 0.006, y + up * 0.020),
                    (x + sign * 0.002, y + up * 0.016),
                    tip,
                    (x - sign * 0.006, y + up * 0.003),
                ]
            )
            shapes.append((beak, 1.0))
        plate = np.array(
            [(x - sign * 1.6 * half, y - 0.003), (x, y - 0.003), (x, y + 0.003), (x - sign * 1.6 * half, y + 0.003)]
        )
        shapes.append((plate, 0.5))
    drawn = polygons(scene.size, shapes)
    scene.metal += np.float32(0.30 + 0.25 * finding.severity) * drawn
    return drawn > 0.25


Drawing = Callable[[Scene, Finding, int, Rng], Mask]
LATERAL: dict[str, Drawing] = {"rib fracture": rib_fracture}
CENTRAL: dict[str, Drawing] = {"scoliosis": scoliosis, "osteophytes": osteophytes}
