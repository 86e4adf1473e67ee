"""Bones: ribs, spine, clavicles, scapulae and humeri as thickness of bone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from index_builder.datasets.phantom.anatomy import LEFT, RIGHT, SIGN, Anatomy
from index_builder.datasets.phantom.draw import Field, Points, curve, ellipse, polygons, ribbon
from index_builder.datasets.phantom.spec import ChestSpec, stream

Shape = tuple[Points, float]

#: Outline of a vertebral body, half width and half height 1: flat end plates, waisted sides.
_VERTEBRA = (
    *((-1.0, -1.0), (-0.6, -0.94), (0.6, -0.94), (1.0, -1.0), (0.9, -0.4), (0.87, 0.0), (0.9, 0.4)),
    *((1.0, 1.0), (0.6, 0.94), (-0.6, 0.94), (-1.0, 1.0), (-0.9, 0.4), (-0.87, 0.0), (-0.9, -0.4)),
)


def _along(at: list[float], relative: list[float], count: int) -> NDArray[np.float64]:
    """Relative widths along a bone of `count` points."""
    return np.interp(np.linspace(0, 1, count), at, relative)


def draw_ribs(anatomy: Anatomy, size: int) -> Field:
    """All ribs, 0 to about 2 where two cross; [size, size] float32."""
    half = np.array([rib.half_width for rib in anatomy.ribs])[:, None]
    # The groove under a rib makes its lower cortex the brighter one: marrow lies nearer the upper edge.
    shift = half * np.array([0.10 if rib.side == RIGHT else -0.10 for rib in anatomy.ribs])[:, None]
    line = np.stack([rib.posterior for rib in anatomy.ribs])
    wide = half * _along([0, 0.12, 0.5, 1], [0.75, 0.95, 1.0, 0.92], line.shape[1])
    back = [(ribbon(line, wide * part, shift * off), value) for part, off, value in _BACK]
    line = np.stack([rib.anterior for rib in anatomy.ribs])
    wide = half * _along([0, 0.3, 0.9, 1], [0.92, 1.0, 1.18, 1.0], line.shape[1])
    front = [(ribbon(line, wide * part, shift * off), value) for part, off, value in _FRONT]
    # Back halves of neighbours do not overlap, nor do front halves: level by level is as good as rib by rib.
    return polygons(size, _single(back)) + polygons(size, _single(front))


#: Levels of a rib from outside in: share of its half width, shift towards its upper edge, brightness.
_BACK = ((1.0, 0.0, 0.66), (0.84, 0.0, 0.86), (0.62, 1.0, 0.68), (0.40, 1.0, 0.60))
_FRONT = ((1.0, 0.0, 0.42), (0.82, 0.0, 0.56), (0.60, 0.0, 0.42))


def _single(batches: Iterable[tuple[Points, float]]) -> Iterator[Shape]:
    return ((points, value) for batch, value in batches for points in batch)


def draw_spine(spec: ChestSpec, anatomy: Anatomy, seed: int, size: int) -> Field:
    """Vertebral bodies with end plates, pedicles and spinous processes, 0 to 1; [size, size] float32."""
    rng = stream(seed, "spine")
    shapes: list[Shape] = []
    y = anatomy.top - 4.6 * anatomy.spacing
    number = -5
    while y < 1.03:
        pitch = anatomy.spacing * (0.80 if number < 0 else 0.97 + 0.018 * number)
        x = anatomy.midline(y + pitch / 2)
        lean = np.arctan2(anatomy.midline(y + pitch) - anatomy.midline(y), pitch)
        half = anatomy.width * (0.082 if number < 0 else 0.094 + 0.0022 * number)
        tall = pitch * 0.42
        body = np.array(_VERTEBRA)
        turn = np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]])
        middle = np.array([x, y + pitch / 2])

        def at(points: Points, turn: Points = turn, middle: Points = middle) -> Points:
            return points @ turn.T * np.array([-1.0, 1.0]) + middle

        shapes += [(at(body * [half, tall]), 0.74), (at(body * [half * 0.93, tall * 0.84]), 0.60)]
        for s in (-1, 1):
            pedicle = ellipse(s * half * 0.62, -tall * 0.25, half * 0.17, tall * 0.32, 0, 14)
            shapes += [(at(pedicle), 0.82), (at(pedicle * [1, 0.6]), 0.66)]
        shapes.append((at(ellipse(rng.normal(0, 0.0015), tall * 0.55, half * 0.12, tall * 0.42, 0, 14)), 0.78))
        y += pitch
        number += 1
    return polygons(size, shapes)


def draw_girdle(spec: ChestSpec, anatomy: Anatomy, seed: int, size: int) -> Field:
    """Clavicles, scapulae and humeri, 0 to about 2; [size, size] float32."""
    rng = stream(seed, "girdle")
    scale = anatomy.width / 0.34
    height = anatomy.resting_dome - anatomy.top
    portable = spec.view == "AP"
    clavicles: list[Shape] = []
    scapulae: list[Shape] = []
    arms: list[Shape] = []
    lift = rng.normal(-0.012 if portable else 0.0, 0.012)
    for side in (RIGHT, LEFT):
        s = SIGN[side] * scale
        x = anatomy.midline(anatomy.top + 0.1)
        y = anatomy.top
        end = y - 0.010 + lift + rng.normal(0, 0.006)
        sternal = y + 0.088 + lift + rng.normal(0, 0.004)
        line = curve(
            [
                (x + s * 0.038, sternal),
                (x + s * 0.11, sternal - 0.020),
                (x + s * 0.20, (sternal + end) / 2 - 0.004),
                (x + s * 0.30, end - 0.004),
                (x + s * 0.375, end + 0.006),
            ]
        )
        half = 0.0125 * scale * _along([0, 0.15, 0.5, 0.85, 1], [1.45, 1.1, 0.85, 0.95, 1.15], 40)
        clavicles += [
            (ribbon(line, half), 0.75),
            (ribbon(line, half * 0.82), 0.95),
            (ribbon(line, half * 0.55), 0.62),
        ]
        # PA: shoulders rolled forward carry the scapulae off the lungs; AP: they overlie the upper outer zones.
        off = (-0.030 if portable else 0.010) * scale + rng.normal(0, 0.008)
        g = np.array([x + s * 0.415, y + 0.105 + lift])
        inferior = np.array([anatomy.lateral(side, y + 0.52 * height) + SIGN[side] * (off + 0.016), y + 0.50 * height])
        medial_x = anatomy.lateral(side, y + 0.25 * height) + SIGN[side] * off * 0.8
        blade = curve(
            [
                (medial_x, y + 0.10),
                (medial_x + s * 0.002, y + 0.26 * height),
                (inferior[0] - s * 0.012, inferior[1] - 0.03),
                (inferior[0], inferior[1]),
                (inferior[0] + s * 0.022, inferior[1] - 0.03),
                (g[0] - s * 0.034, g[1] + 0.075),
                (g[0] - s * 0.012, g[1] + 0.02),
                (g[0] - s * 0.022, g[1] - 0.03),
                (x + s * 0.31, y + 0.045),
            ],
            60,
            closed=True,
        )
        scapulae += [(blade, 0.42), (g + (blade - g) * np.array([0.965, 0.97]), 0.27)]
        border = curve(
            [(g[0] - s * 0.014, g[1] + 0.03), (g[0] - s * 0.034, g[1] + 0.085), (inferior[0], inferior[1] - 0.01)]
        )
        scapulae.append((ribbon(border, 0.0055 * scale), 0.62))
        ridge = curve([(medial_x + s * 0.01, y + 0.135), (x + s * 0.34, y + 0.045), (x + s * 0.43, y + 0.010 + lift)])
        scapulae += [(ribbon(ridge, 0.008 * scale), 0.55), (ribbon(ridge, 0.005 * scale), 0.42)]
        coracoid = ellipse(x + s * 0.375, y + 0.060 + lift, 0.020 * scale, 0.011, -0.5 * SIGN[side])
        scapulae += [(coracoid, 0.62), (g + ellipse(0, 0, 0.010, 0.036), 0.66)]
        head = ellipse(x + s * 0.457, y + 0.098 + lift, 0.045 * scale, 0.046)
        bone = curve(
            [
                (x + s * 0.462, y + 0.115 + lift),
                (x + s * 0.495, y + 0.24 + lift),
                (x + s * 0.53, y + 0.52),
                (x + s * 0.55, y + 0.9),
            ]
        )
        wide = 0.021 * scale * _along([0, 0.25, 1], [1.5, 1.0, 0.9], 40)
        arms += [
            (ribbon(bone, wide), 0.95),
            (ribbon(bone, wide * 0.62), 0.60),
            (head, 0.85),
            (ellipse(x + s * 0.457, y + 0.100 + lift, 0.040 * scale, 0.041), 0.68),
        ]
    return polygons(size, clavicles + arms) * np.float32(0.95) + polygons(size, scapulae)
