"""The layers that findings are drawn on, before attenuation is added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_builder.datasets.phantom.anatomy import SIGN, Anatomy
from index_builder.datasets.phantom.body import Body
from index_builder.datasets.phantom.draw import Field, Points, resized, strokes, window
from index_builder.datasets.phantom.spec import ChestSpec

Mask = NDArray[np.bool_]

#: (u, v) boxes of the zones of a lung: u 0 mediastinum to 1 chest wall, v 0 apex to 1 dome.
ZONES: dict[str, tuple[float, float, float, float]] = {
    "": (0.25, 0.80, 0.22, 0.88),
    "apex": (0.30, 0.65, 0.07, 0.17),
    "upper": (0.30, 0.78, 0.18, 0.40),
    "middle": (0.25, 0.70, 0.52, 0.72),
    "lingula": (0.40, 0.75, 0.60, 0.80),
    "lower": (0.30, 0.78, 0.66, 0.90),
    "base": (0.30, 0.75, 0.82, 0.95),
    "hilum": (0.10, 0.24, 0.44, 0.56),
    "retrocardiac": (0.05, 0.25, 0.74, 0.90),
    "mediastinum": (0.0, 0.06, 0.35, 0.50),
    "peripheral": (0.80, 0.94, 0.35, 0.90),
    "diffuse": (0.20, 0.85, 0.15, 0.92),
    "scattered": (0.20, 0.85, 0.15, 0.92),
}


@dataclass(slots=True)
class Scene:
    """Layers of one film, all [S, S] float32, changed in place by findings.

    Attributes:
        air: Factor on the aerated lung's depth: 0 where fluid or tissue fills it.
        extra_air: Centimetres of further air (lung that is pure air, gas in a hernia).
        tissue: Further centimetres of water.
        vessels: Factor on the pulmonary vessels.
        bone: Factor on the bones.
        metal: Log attenuation added by calcium or metal.
    """

    spec: ChestSpec
    anatomy: Anatomy
    body: Body
    seed: int
    size: int
    air: Field
    extra_air: Field
    tissue: Field
    vessels: Field
    bone: Field
    metal: Field

    @classmethod
    def empty(cls, spec: ChestSpec, anatomy: Anatomy, body: Body, seed: int, size: int) -> Scene:
        """Layers that change nothing."""
        one, zero = (np.full((size, size), value, np.float32) for value in (1, 0))
        return cls(spec, anatomy, body, seed, size, one, zero, zero.copy(), one.copy(), one.copy(), zero.copy())

    def lung(self, side: int) -> Field:
        """Coverage of one lung, 0 to 1."""
        return self.body.lungs[side]

    def spot(self, rng: np.random.Generator, side: int, site: str) -> tuple[float, float]:
        """A place in a zone of a lung."""
        u0, u1, v0, v1 = ZONES[site]
        return self.anatomy.place(side, rng.uniform(u0, u1), rng.uniform(v0, v1))

    def fill(self, rows: slice, cols: slice, share: Field) -> None:
        """Replace a share (0..1) of the lung's air in a window by tissue, which hides the vessels there as much."""
        self.air[rows, cols] *= 1 - share
        self.vessels[rows, cols] *= 1 - 0.7 * share

    def add_water(self, rows: slice, cols: slice, centimetres: Field) -> None:
        """Put a solid body of given thickness into the lung of a window; it cannot fill more than there is."""
        depth = np.maximum(self.body.lung_depth[rows, cols], 0.8)
        self.fill(rows, cols, np.clip(0.8 * centimetres / depth, 0, 0.95))

    def stroke(self, lines: Sequence[tuple[Points, float, float]]) -> Field:
        """Polylines (points, width, value) on a new layer."""
        return strokes(self.size, lines)

    def radius(self, x: float, y: float, radius: float) -> tuple[slice, slice, Field, Field]:
        """Window around a point: rows, columns, dx, dy."""
        return window(self.size, x, y, radius)

    def blank(self) -> Mask:
        """An empty mask."""
        return np.zeros((self.size, self.size), bool)

    def blob(
        self, rng: np.random.Generator, x: float, y: float, a: float, b: float, angle: float, rough: float
    ) -> tuple[slice, slice, Field]:
        """A soft patch with an uneven edge: rows, columns, height 0..1."""
        rows, cols, dx, dy = self.radius(x, y, 1.7 * max(a, b))
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        r = ((dx * c + dy * s) / a) ** 2 + ((dy * c - dx * s) / b) ** 2
        grid = rng.standard_normal((14, 14), dtype=np.float32)
        fine = rng.standard_normal((34, 34), dtype=np.float32)
        if r.size:
            bumps = _stretched(grid, r.shape) + 0.35 * _stretched(fine, r.shape)
            r = r * np.exp(np.float32(rough) * bumps)
        return rows, cols, np.exp(-(r**1.1)).astype(np.float32)


def _stretched(grid: Field, shape: tuple[int, ...]) -> Field:
    """Smooth noise for a window, cut from a square of its larger side."""
    return resized(grid, max(max(shape), grid.shape[0] + 1))[: shape[0], : shape[1]]


def side_sign(side: int) -> float:
    """-1 for the patient's right (left of the film), +1 for the left."""
    return SIGN[side]
