"""Pulmonary vessel trees: branches of falling calibre that fan out from the hila."""

from __future__ import annotations

import numpy as np

from index_builder.datasets.phantom.anatomy import LEFT, RIGHT, SIGN, Anatomy
from index_builder.datasets.phantom.draw import Field, Points, brightest, ellipse
from index_builder.datasets.phantom.spec import ChestSpec, stream

GENERATIONS = 7
#: Half calibre of a segmental vessel, film widths.
CALIBRE = 0.0062


def tree(rng: np.random.Generator, x: float, y: float, sign: float, reach: float) -> tuple[Points, Points]:
    """Centre lines [N, 4, 2] and half calibres [N] of all branches of one lung.

    Args:
        rng: Random numbers.
        x: Hilum.
        y: Hilum.
        sign: -1 when the lung lies towards smaller x.
        reach: Distance from hilum to chest wall.
    """
    angle = np.radians(np.array([-84, -66, -45, -20, 4, 26, 42, 55, 66, 76, 85]) + rng.normal(0, 7, 11))
    count = len(angle)
    start = np.stack([x + rng.normal(0, 0.008, count), y + np.sin(angle) * 0.035 + rng.normal(0, 0.012, count)], 1)
    calibre = CALIBRE * rng.uniform(0.6, 1.1, count) * (0.85 + 0.45 * np.clip(np.sin(angle), 0, 1))
    length = reach * rng.uniform(0.18, 0.30, count) * (1 + 0.30 * np.abs(np.sin(angle)))
    lines: list[Points] = []
    widths: list[Points] = []
    for _ in range(GENERATIONS):
        points = [start]
        turn = rng.normal(0, 0.13, len(angle))
        for k in range(3):
            heading = angle + turn * k + rng.normal(0, 0.07, len(angle))
            points.append(points[-1] + np.stack([sign * np.cos(heading), np.sin(heading)], 1) * length[:, None] / 3)
        lines.append(np.stack(points, 1))
        widths.append(calibre)
        angle = angle + 2 * turn
        fork = np.radians(rng.uniform(10, 34, len(angle)))
        flip = rng.choice([-1.0, 1.0], len(angle))
        start = np.concatenate([points[-1], points[-1 - 1]])
        angle = np.concatenate([angle + 0.35 * flip * fork, angle - 1.4 * flip * fork])
        calibre = np.concatenate([calibre * 0.82, calibre * rng.uniform(0.45, 0.75, len(calibre))])
        length = np.concatenate([length * 0.84, length * rng.uniform(0.55, 0.9, len(length))])
        keep = (calibre > 0.0013) & (np.abs(start[:, 0] - x) < reach * 1.02)
        start, angle, calibre, length = start[keep], angle[keep], calibre[keep], length[keep]
    return np.concatenate(lines), np.concatenate(widths)


def draw_vessels(spec: ChestSpec, anatomy: Anatomy, seed: int, size: int) -> Field:
    """Thickness of blood in the lungs, 0 to about 1; [size, size] float32, not yet cut to the lungs."""
    rng = stream(seed, "vessels")
    full = 1 + 0.9 * spec.severity_of("congestion") + 0.7 * spec.severity_of("oedema")
    full += 0.8 * spec.severity_of("prominent markings")
    full *= 1 - 0.35 * spec.severity_of("emphysema")
    lines, widths = [], []
    hilum = []
    for side in (RIGHT, LEFT):
        x, y = anatomy.hila[side]
        sign = SIGN[side]
        reach = abs(anatomy.lateral(side, y) - x)
        paths, half = tree(rng, x, y, sign, reach)
        lines.append(paths)
        widths.append(half * full)
        for k in range(9):
            a = rng.uniform(0.010, 0.018)
            dx, dy = rng.normal(0, 0.012), rng.normal(0.012, 0.030)
            b, turn = a * rng.uniform(1.2, 2.6), -sign * rng.uniform(0, 0.7)
            for part, height in ((1.15, 0.30), (0.95, 0.48), (0.75, 0.62), (0.5, 0.72)):
                shape = ellipse(x + dx + sign * 0.2 * abs(dy), y + dy, part * a, part * b, turn, 18)
                hilum.append((shape, height * (1.05 + 0.08 * (k % 4))))
        for _ in range(4):  # end-on vessels beside their bronchi
            px, py = anatomy.place(side, rng.uniform(0.22, 0.5), rng.uniform(0.4, 0.68))
            a = rng.uniform(0.0032, 0.0052)
            hilum.append((ellipse(px, py, a, a, 0, 12), 0.8))
    wide = np.concatenate(widths)
    value = np.clip(0.10 + 0.42 * wide / CALIBRE, 0, 1)
    return brightest(size, np.concatenate(lines), 2 * wide, value, hilum)
