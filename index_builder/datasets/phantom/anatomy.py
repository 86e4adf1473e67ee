"""Geometry of one chest: lungs, spine, ribs, heart and great vessels as curves in film widths.

The patient's right side is on the left of the film. Findings that change a shape (large heart, high dome, bent spine)
are applied here; everything is drawn from one random stream whose length does not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from index_builder.datasets.phantom.draw import Points, curve, ellipse
from index_builder.datasets.phantom.spec import ChestSpec, stream

RIGHT, LEFT = 0, 1
SIGN = (-1.0, 1.0)
#: Points of a lung outline: lateral edge (apex to costophrenic angle), diaphragm, mediastinal edge (upwards).
LATERAL, BASE, MEDIAL = 28, 16, 20
PAIRS = 11
#: Points on the back and the front half of a rib.
BACK, FRONT = 24, 20


@dataclass(frozen=True, slots=True)
class Rib:
    """Centre line of one rib from the spine to its cartilage, split where it turns forward at the chest wall."""

    side: int
    number: int
    posterior: Points
    anterior: Points
    half_width: float


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One chest. Lengths in film widths; pairs are (patient's right, patient's left).

    Attributes:
        lungs: Outlines [64, 2].
        resting_lungs: The same before a finding moved the diaphragm.
        top: y of the higher apex.      dome: y of each dome.      resting_dome: y of the higher dome at rest.
        spacing: distance of two vertebrae.
        spine: Centre line [40, 2], top to bottom.
        heart: Outline.      great_vessels: aortic arch, pulmonary trunk, vena cava.      aorta: descending part.
        ratio: Cardiothoracic ratio.
        width: Half width of the chest.
        arch: x, y, radius of the aortic knob.
        hila: Centres of the hila.
        ribs: All pairs.
    """

    lungs: tuple[Points, Points]
    resting_lungs: tuple[Points, Points]
    top: float
    dome: tuple[float, float]
    resting_dome: float
    spacing: float
    spine: Points
    heart: Points
    great_vessels: tuple[Points, ...]
    aorta: Points
    ratio: float
    width: float
    arch: tuple[float, float, float]
    hila: tuple[tuple[float, float], tuple[float, float]]
    ribs: tuple[Rib, ...]

    def midline(self, y: float) -> float:
        """X of the spine at a height."""
        return float(np.interp(y, self.spine[:, 1], self.spine[:, 0]))

    def lateral(self, side: int, y: float) -> float:
        """X of the chest wall's inner surface at a height."""
        edge = self.lungs[side][:LATERAL]
        return float(np.interp(y, edge[:, 1], edge[:, 0]))

    def medial(self, side: int, y: float) -> float:
        """X of the mediastinal edge of a lung at a height."""
        edge = self.lungs[side][LATERAL + BASE :][::-1]
        return float(np.interp(y, edge[:, 1], edge[:, 0]))

    def places(
        self, side: int, u: NDArray[np.float64], v: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Film positions x, y of lung coordinates: u 0 (mediastinum) to 1 (chest wall), v 0 (apex) to 1 (dome)."""
        y = float(self.lungs[side][:, 1].min()) * (1 - v) + self.dome[side] * v
        outer, inner = self.lungs[side][:LATERAL], self.lungs[side][LATERAL + BASE :][::-1]
        near = np.interp(y, inner[:, 1], inner[:, 0])
        return near + (np.interp(y, outer[:, 1], outer[:, 0]) - near) * u, y

    def place(self, side: int, u: float, v: float) -> tuple[float, float]:
        """Film position of one pair of lung coordinates."""
        x, y = self.places(side, np.array([u]), np.array([v]))
        return float(x[0]), float(y[0])


@lru_cache(maxsize=1)
def lung_shapes() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean [2, 64, 2], components [K, 2, 64, 2] and deviations [K] of the shape model."""
    with np.load(Path(__file__).with_name("lung_shapes.npz"), allow_pickle=False) as shapes:
        return (
            shapes["mean"].astype(float),
            shapes["components"].astype(float),
            shapes["deviation"].astype(float),
        )


def build(spec: ChestSpec, seed: int) -> Anatomy:
    """Draw the geometry of one chest from the seed; findings of `spec` move what they move."""
    rng = stream(seed, "anatomy")
    portable = spec.view == "AP"
    resting = _lungs(spec, rng, portable)
    lungs = _with_findings(spec, resting)
    top = float(min(lung[:, 1].min() for lung in lungs))
    dome = (_dome(lungs[RIGHT]), _dome(lungs[LEFT]))
    # Ribs and spine keep the breath the chest was drawn with: a high dome moves no vertebra.
    resting_dome = min(_dome(resting[RIGHT]), _dome(resting[LEFT]))
    resting_top = float(min(lung[:, 1].min() for lung in resting))
    spacing = (resting_dome - resting_top) / rng.uniform(*((7.8, 8.8) if portable else (8.6, 9.6)))
    centre = float(np.mean([resting[RIGHT][-8:, 0].mean(), resting[LEFT][-8:, 0].mean()]))
    spine = _spine(spec, rng, centre, resting_top)
    edges = [lung[:LATERAL] for lung in resting]
    width = float(np.mean([abs(edge[-4, 0] - centre) for edge in edges]))
    ratio, heart = _heart(spec, rng, centre, width, top, dome)
    arch, vessels, aorta = _great_vessels(spec, rng, centre, top, dome, width)
    hila = tuple(
        (
            centre + SIGN[side] * width * rng.uniform(0.25, 0.31),
            top + (resting_dome - top) * (0.50 if side == RIGHT else 0.46) + rng.normal(0, 0.006),
        )
        for side in (RIGHT, LEFT)
    )
    ribs = _ribs(rng, edges, spine, resting_top, spacing, width)
    return Anatomy(
        lungs=lungs,
        resting_lungs=resting,
        top=top,
        dome=dome,
        resting_dome=resting_dome,
        spacing=spacing,
        spine=spine,
        heart=heart,
        great_vessels=vessels,
        aorta=aorta,
        ratio=ratio,
        width=width,
        arch=arch,
        hila=(hila[0], hila[1]),
        ribs=ribs,
    )


def _dome(lung: Points) -> float:
    return float(lung[LATERAL : LATERAL + BASE, 1].min())


def _lungs(spec: ChestSpec, rng: np.random.Generator, portable: bool) -> tuple[Points, Points]:
    mean, components, deviation = lung_shapes()
    weights = np.clip(rng.standard_normal(len(deviation)), -1.8, 1.8) * deviation
    # The first components are breath and tilt, of which the outlines (bedside films, mostly) have more than usual.
    weights[:3] *= 0.55
    shape = mean + np.tensordot(weights, components, 1)
    shape[..., 0] -= (shape[..., 0].min() + shape[..., 0].max()) / 2
    shape[..., 0] /= np.ptp(shape[..., 0])
    size = rng.uniform(0.62, 0.75) if portable else rng.uniform(0.67, 0.80)
    size *= 1 - 0.05 * max(spec.habitus, 0)
    stretch = rng.uniform(0.92, 1.04) if portable else rng.uniform(1.02, 1.16)
    stretch *= min(1.0, 0.82 / (np.ptp(shape[..., 1]) * size * stretch))
    shape *= size * np.array([1.0, stretch])
    top = rng.uniform(0.06, 0.13) + 0.05 * max(0.0, 0.7 - np.ptp(shape[..., 1])) + (0.03 if portable else 0)
    shape[..., 1] += top - shape[..., 1].min()
    shape[..., 0] += 0.5 + rng.normal(0, 0.018)
    t = np.linspace(0, 1, BASE + 2)[1:-1]
    for side in (RIGHT, LEFT):
        shape[side] = _rounded(shape[side], rng.uniform(0.012, 0.04) * np.sin(np.pi * t) ** 0.8, -SIGN[side] * 0.028)
    turn = rng.normal(0, 0.024)
    middle = np.array([0.5, 0.5])
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    shape = (shape - middle) @ rotation + middle
    return shape[RIGHT], shape[LEFT]


def _rounded(lung: Points, dome: NDArray[np.float64], inward: float) -> Points:
    """Round the apex, raise the dome, and run the lung on behind the mediastinum.

    The outlines stop at the mediastinal edge, which the phantom draws itself from heart and vessels.
    """
    lung = lung.copy()
    smooth = ndimage.gaussian_filter1d(lung, 2.0, axis=0, mode="wrap")
    order = np.arange(len(lung))
    near = np.minimum(order, len(lung) - order)[:, None] / 7
    lung = lung + (smooth - lung) * np.clip(1.4 - near, 0, 1)
    base = lung[LATERAL : LATERAL + BASE, 1]
    base -= dome
    crown = int(np.argmin(base))
    # The inner half of a dome hardly falls before the heart covers it.
    base[crown:] = base[crown] + 0.45 * (base[crown:] - base[crown])
    medial = lung[LATERAL + BASE :]
    medial[:, 1] = np.minimum(medial[:, 1], base[-1] + 0.004)
    away = np.clip((medial[:, 1] - lung[:, 1].min() - 0.05) / 0.12, 0, 1)
    medial[:, 0] += inward * away
    return lung


def _with_findings(spec: ChestSpec, lungs: tuple[Points, Points]) -> tuple[Points, Points]:
    """Raise or flatten the domes: points above the mid-lung stay, the lower ones move with the diaphragm."""
    inflated = spec.severity_of("emphysema", "hyperinflation")
    shallow = spec.severity_of("hypoinflation")
    moved = []
    for side in (RIGHT, LEFT):
        lung = lungs[side].copy()
        top, dome = float(lung[:, 1].min()), _dome(lung)
        raised = max(
            (
                f.severity
                for f in spec.findings
                if f.name == "elevated diaphragm" and f.side in (_NAME[side], "bilateral")
            ),
            default=0.0,
        )
        collapse = max(
            (f.severity for f in spec.findings if f.name == "atelectasis" and f.side in (_NAME[side], "bilateral")),
            default=0.0,
        )
        share = np.clip((lung[:, 1] - top) / (dome - top), 0, 1.3) ** 3
        lift = -0.055 * inflated + 0.06 * shallow + 0.012 * collapse
        lung[:, 1] -= lift * share
        t = np.linspace(0, 1, BASE + 2)[1:-1]
        base = lung[LATERAL : LATERAL + BASE, 1]
        chord = np.interp(t, [0, 1], [base[0], base[-1]])
        if inflated:
            base += 0.75 * inflated * (chord - base)
        if raised:
            base -= (0.035 + 0.09 * raised) * np.sin(np.pi * t) ** 0.7
        moved.append(lung)
    return moved[RIGHT], moved[LEFT]


_NAME = ("right", "left")


def _spine(spec: ChestSpec, rng: np.random.Generator, centre: float, top: float) -> Points:
    y = np.linspace(-0.02, 1.02, 40)
    natural = rng.normal(0, 0.004) * np.sin(np.pi * (y - 0.1)) + rng.normal(0, 0.004) * (y - 0.4)
    bend = 0.0
    phase = rng.uniform(-0.1, 0.1)
    for finding in spec.findings:
        if finding.name == "scoliosis":
            # "Scoliosis to the right" means convex to the patient's right, the left of the film.
            bend += (0.022 + 0.06 * finding.severity) * (1 if finding.side == "left" else -1)
    peak = top + 0.36 + phase
    curve_ = bend * (np.exp(-(((y - peak) / 0.17) ** 2)) - 0.55 * np.exp(-(((y - peak - 0.36) / 0.15) ** 2)))
    return np.stack([centre + natural + curve_, y], 1)


def _heart(
    spec: ChestSpec, rng: np.random.Generator, centre: float, width: float, top: float, dome: tuple[float, float]
) -> tuple[float, Points]:
    ratio = rng.normal(0.435, 0.022) + 0.0005 * (spec.age - 50) + (0.03 if spec.view == "AP" else 0)
    ratio = float(np.clip(ratio, 0.37, 0.495)) - 0.03 * spec.severity_of("emphysema", "hyperinflation")
    severity = spec.severity_of("cardiomegaly")
    if severity:
        ratio = max(ratio, 0.47) + 0.05 + 0.15 * severity
    fluid = spec.severity_of("pericardial effusion")
    if fluid:
        ratio = max(ratio, 0.55 + 0.15 * fluid)
    total = 2 * width * ratio
    right = total * (rng.uniform(0.30, 0.37) + 0.05 * fluid)
    left = total - right
    bottom = float(max(dome)) + 0.012
    height = max(0.20, (bottom - top) * rng.uniform(0.50, 0.56)) * (1 + 0.10 * severity + 0.15 * fluid)
    y = bottom - height
    droop = rng.uniform(0.10, 0.24)
    belly = 0.66 + 0.10 * fluid + rng.normal(0, 0.02)
    x = centre
    outline = curve(
        [
            (x - 0.5 * right - 0.01, y + 0.06 * height),
            (x - 0.90 * right, y + 0.40 * height),
            (x - right, y + 0.62 * height),
            (x - 0.86 * right, y + 0.88 * height),
            (x - 0.45 * right, bottom + 0.02),
            (x + 0.30 * left, bottom + 0.050),
            (x + 0.78 * left, bottom + 0.022),
            (x + left, bottom - droop * height),
            (x + 0.90 * left, y + 0.60 * height),
            (x + belly * left, y + 0.36 * height),
            (x + 0.42 * left, y + 0.10 * height),
            (x + 0.1 * left, y - 0.02 * height),
        ],
        96,
        closed=True,
    )
    return float(ratio), outline


def _great_vessels(
    spec: ChestSpec, rng: np.random.Generator, centre: float, top: float, dome: tuple[float, float], width: float
) -> tuple[tuple[float, float, float], tuple[Points, ...], Points]:
    height = float(max(dome)) - 0.02 - top
    old = np.clip((spec.age - 40) / 40, 0, 1)
    tortuous = spec.severity_of("tortuous aorta")
    wide = spec.severity_of("wide mediastinum")
    radius = width * (0.082 + 0.018 * old + 0.055 * tortuous + rng.normal(0, 0.005))
    x = centre + width * (0.115 + 0.025 * old + 0.07 * tortuous)
    y = top + height * (0.285 + rng.normal(0, 0.012) - 0.03 * tortuous)
    vena = width * (0.185 + rng.normal(0, 0.012) + 0.14 * wide + 0.05 * tortuous)
    side = width * (0.10 + 0.20 * wide)
    column = curve(
        [
            (centre - vena * 0.78, top - 0.01),
            (centre - vena * 0.86, top + 0.12 * height),
            (centre - vena * 1.02, top + 0.28 * height),
            (centre - vena * 1.08, top + 0.46 * height),
            (centre - vena * 0.9, top + 0.66 * height),
            (centre + side, top + 0.66 * height),
            (centre + side * 1.45, top + 0.40 * height),
            (centre + side * 1.40, top + 0.18 * height),
            (centre + side * 1.75, top - 0.01),
        ],
        60,
        closed=True,
    )
    trunk = ellipse(
        centre + width * 0.10, y + 0.150 * height, width * (0.118 + rng.normal(0, 0.012)), 0.11 * height, -0.25
    )
    knob = ellipse(x, y, radius, radius * 1.08)
    sweep = width * 0.16 * tortuous
    aorta = curve(
        [
            (x + 0.25 * radius, y),
            (x + 0.45 * radius + sweep, y + 0.26 * height),
            (x + 0.2 * radius + sweep * 0.7, y + 0.50 * height),
            (centre + 0.05 * width, y + 0.85 * height),
        ],
        30,
    )
    return (x, y, radius), (column, trunk, knob), aorta


def _ribs(
    rng: np.random.Generator, edges: list[Points], spine: Points, top: float, spacing: float, width: float
) -> tuple[Rib, ...]:
    """Ribs as inclined rings seen from the front.

    The back half rises a little, then falls to the chest wall; the front half runs on down towards the sternum and
    ends at the cartilage.
    """
    first = top + spacing * rng.uniform(0.0, 0.25)
    slope = rng.uniform(0.85, 1.12)
    rise = rng.uniform(0.10, 0.30)
    drops = np.array([1.7, 2.5, 3.1, 3.6, 4.0, 4.4, 4.7, 4.9, 5.0, 4.8, 4.4]) * slope
    ends = np.array([0.86, 0.80, 0.79, 0.79, 0.79, 0.77, 0.74, 0.71, 0.66, 0.60, 0.52])
    jitter = rng.normal(0, 0.05, (2, PAIRS))
    back = np.linspace(0.006, 0.5, BACK) * np.pi
    ribs = []
    for side in (RIGHT, LEFT):
        edge = edges[side]
        for k in range(PAIRS):
            y0 = first + spacing * (k + jitter[side, k])
            x0 = float(np.interp(y0, spine[:, 1], spine[:, 0]))
            drop = drops[k] * spacing
            wall = float(np.interp(y0 + 0.5 * drop, edge[:, 1], edge[:, 0]))
            below = max(0.0, y0 + 0.5 * drop - edge[-1, 1])
            reach = abs(wall - x0) + 0.007 - 0.25 * below
            start = 0.075 * width
            theta = np.concatenate([back, np.linspace(0.5, ends[k], FRONT)[1:] * np.pi])
            sine = np.sin(theta)
            x = x0 + SIGN[side] * (start + (reach - start) * sine**0.85)
            fall = (1 - np.cos(theta)) / 2
            y = y0 + drop * fall - rise * spacing * np.sin(2 * np.clip(theta, 0, np.pi / 2)) * (1.3 - 0.15 * k)
            line = np.stack([x, y], 1)
            half = spacing * (0.155 if k else 0.17) * (1 + 0.02 * k if k < 8 else 1.05)
            ribs.append(Rib(side, k + 1, line[: BACK + 1], line[BACK - 2 :], half))
    return tuple(ribs)
