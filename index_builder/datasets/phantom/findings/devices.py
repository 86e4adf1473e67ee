"""Lines, tubes, wires and implants: curves and shapes of metal or contrast-marked plastic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from index_builder.datasets.phantom.anatomy import LEFT, RIGHT
from index_builder.datasets.phantom.draw import Points, curve, ellipse, polygons
from index_builder.datasets.phantom.scene import Mask, Scene, side_sign
from index_builder.datasets.phantom.spec import Finding

Rng = np.random.Generator
Lines = list[tuple[Points, float, float]]


def _put(scene: Scene, lines: Lines, strength: float) -> Mask:
    drawn = scene.stroke(lines)
    scene.metal += np.float32(strength) * drawn
    return drawn > 0.2


def central_line(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A catheter from the neck, the subclavian vein or a port to the superior vena cava."""
    a = scene.anatomy
    s = side_sign(side) * a.width
    height = min(a.dome) - a.top
    centre = a.midline(a.top)
    tip = (centre - 0.13 * a.width + rng.normal(0, 0.004), a.top + height * rng.uniform(0.40, 0.52))
    junction = (centre - 0.10 * a.width + 0.06 * s, a.top + 0.17 * height)
    route = rng.random()
    lines: Lines = []
    if route < 0.35:
        start = [(centre + 0.24 * s, -0.01), (centre + 0.20 * s, a.top - 0.02)]
    elif route < 0.7:
        start = [
            (centre + 1.25 * s, a.top + 0.30 * height),
            (centre + 0.95 * s, a.top + 0.06),
            (centre + 0.45 * s, a.top + 0.055),
        ]
    else:
        px, py = centre + 0.75 * s, a.top + height * rng.uniform(0.20, 0.32)
        start = [(px, py), (centre + 0.62 * s, a.top + 0.03), (centre + 0.38 * s, a.top + 0.04)]
        lines.append((np.vstack([ellipse(px, py, 0.022, 0.022), ellipse(px, py, 0.022, 0.022)[:1]]), 0.006, 0.9))
        lines.append((np.vstack([ellipse(px, py, 0.010, 0.010), ellipse(px, py, 0.010, 0.010)[:1]]), 0.010, 0.8))
    lines.append((curve([*start, junction, (centre - 0.15 * a.width, a.top + 0.30 * height), tip], 60), 0.0055, 1.0))
    return _put(scene, lines, 0.42)


def endotracheal_tube(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A tube in the trachea, seen by its two walls and a radio-opaque stripe."""
    a = scene.anatomy
    height = min(a.dome) - a.top
    end = a.top + height * rng.uniform(0.17, 0.26)
    x0, x1 = a.midline(0), a.midline(end) - 0.004
    lines: Lines = []
    for off, width, value in ((-0.0085, 0.003, 0.6), (0.0085, 0.003, 0.6), (0.003, 0.004, 1.0)):
        lines.append((np.array([(x0 + off, -0.02), ((x0 + x1) / 2 + off, end / 2), (x1 + off, end)]), width, value))
    return _put(scene, lines, 0.55)


def gastric_tube(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A tube down the oesophagus, curling into the stomach."""
    a = scene.anatomy
    y = a.dome[LEFT]
    x = a.midline(y)
    gullet = [(a.midline(0) + 0.006, -0.02), (a.midline(0.2) + 0.008, 0.2), (x + 0.012, y - 0.06)]
    stomach = [(x + 0.03, y + 0.03), (x + 0.10, y + 0.085), (x + 0.17, y + 0.10 + rng.uniform(0, 0.03))]
    path = curve([*gullet, *stomach], 70)
    return _put(scene, [(path, 0.0060, 0.8), (path[-10:], 0.0075, 1.0)], 0.50)


def chest_tube(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A wide drain from the side of the chest towards the apex."""
    a = scene.anatomy
    s = side_sign(side)
    entry = a.top + (a.dome[side] - a.top) * rng.uniform(0.62, 0.80)
    inside = a.place(side, 0.72, rng.uniform(0.36, 0.46))
    tip = a.place(side, rng.uniform(0.35, 0.55), rng.uniform(0.10, 0.2))
    x = a.lateral(side, entry)
    path = curve([(x + 0.16 * s, entry + 0.03), (x + 0.01 * s, entry), inside, tip], 50)
    return _put(scene, [(path, 0.014, 0.35), (path, 0.0045, 1.0)], 0.50)


def pacemaker(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A generator below the clavicle and one or two leads to the right heart."""
    a = scene.anatomy
    s = side_sign(side) * a.width
    height = min(a.dome) - a.top
    centre = a.midline(a.top)
    px, py = centre + s * rng.uniform(0.72, 0.85), a.top + height * rng.uniform(0.16, 0.26)
    box = ellipse(px, py, 0.050, 0.040, rng.normal(0, 0.3), 40)
    box = (box - [px, py]) * 0.95 + [px, py]
    case = polygons(scene.size, [(box, 0.85), ((box - [px, py]) * 0.8 + [px, py], 1.0)])
    scene.metal += np.float32(1.7) * case
    bottom = float(max(a.dome)) - 0.02
    vein = [
        (px - 0.3 * s * 0.3, py - 0.045),
        (centre + 0.38 * s, a.top + 0.055),
        (centre - 0.10 * a.width, a.top + 0.2 * height),
    ]
    cava = (centre - 0.17 * a.width, a.top + 0.45 * height)
    right_ventricle = curve(
        [*vein, cava, (centre - 0.12 * a.width, bottom - 0.06), (centre + 0.28 * a.width, bottom - 0.02)], 70
    )
    lines: Lines = [(right_ventricle, 0.0050, 1.0), (right_ventricle[-6:], 0.009, 1.0)]
    if rng.random() < 0.65:
        atrium = curve(
            [*vein, cava, (centre - 0.16 * a.width, bottom - 0.17), (centre - 0.24 * a.width, bottom - 0.20)], 60
        )
        lines += [(atrium, 0.0050, 1.0), (atrium[-4:], 0.008, 1.0)]
    return _put(scene, lines, 0.75) | (case > 0.5)


def sternal_wires(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """A column of twisted loops over the sternum."""
    a = scene.anatomy
    height = min(a.dome) - a.top
    lines: Lines = []
    for k in range(int(rng.integers(5, 8))):
        y = a.top + height * (0.20 + 0.10 * k)
        x = a.midline(y) + rng.normal(0.004, 0.003)
        loop = ellipse(x, y, 0.017, 0.009 + rng.normal(0, 0.001), rng.normal(0, 0.25), 24)
        lines.append((np.vstack([loop, loop[:1]]), 0.0032, 1.0))
        lines.append((np.array([(x, y), (x + 0.006, y + 0.008)]), 0.0050, 1.0))
    return _put(scene, lines, 1.3)


def clips(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Short bright surgical clips; where depends on the site."""
    a = scene.anatomy
    lines: Lines = []
    if finding.site == "mediastinum":
        x, y = a.midline(0.4) + 0.05, a.hila[LEFT][1] + 0.05
    elif finding.site == "":
        x, y = a.midline(0.9) + 0.16 * side_sign(side), a.dome[RIGHT] + 0.10
    else:
        x, y = scene.spot(rng, side, finding.site)
    for _ in range(int(rng.integers(4, 9))):
        dx, dy = rng.normal(0, 0.018), rng.normal(0, 0.022)
        angle = rng.uniform(0, 3.14)
        c, s = 0.007 * np.cos(angle), 0.007 * np.sin(angle)
        px, py = x + dx, float(np.clip(y + dy, 0.02, 0.97))
        lines.append((np.array([(px - c, py - s), (px + c, py + s)]), 0.0042, 1.0))
    return _put(scene, lines, 1.5)


def spinal_hardware(scene: Scene, finding: Finding, side: int, rng: Rng) -> Mask:
    """Two rods with pedicle screws."""
    a = scene.anatomy
    first = a.top + a.spacing * (rng.uniform(4, 6) if finding.site != "apex" else -1.0)
    lines: Lines = []
    for s in (-1, 1):
        y = first + a.spacing * np.arange(6)
        rod = np.stack([np.array([a.midline(v) for v in y]) + 0.020 * s, y], 1)
        lines.append((rod, 0.0085, 1.0))
        lines += [(np.array([(x - 0.013 * s, v + 0.004), (x + 0.003 * s, v)]), 0.010, 1.0) for x, v in rod]
    return _put(scene, lines, 1.8)


DEVICES: dict[str, Callable[[Scene, Finding, int, Rng], Mask]] = {
    "central line": central_line,
    "endotracheal tube": endotracheal_tube,
    "gastric tube": gastric_tube,
    "chest tube": chest_tube,
    "pacemaker": pacemaker,
    "sternal wires": sternal_wires,
    "clips": clips,
    "spinal hardware": spinal_hardware,
}
