"""Physics from centimetres of tissue to a film: attenuation, scatter, quantum noise, detector and display.

Attenuation adds up in log space (Beer and Lambert); scatter is a wide blur of the transmitted intensity with a
scatter-to-primary ratio that depends on the grid; photon noise has the square root of the intensity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from index_builder.datasets.phantom.draw import Field, blur, polygons, resized, soft_polygons, white_noise
from index_builder.datasets.phantom.spec import ChestSpec, stream

#: Effective attenuation of water and additional attenuation of bone per centimetre at about 110 kVp.
WATER, BONE = 0.17, 0.30


@dataclass(frozen=True, slots=True)
class Exposure:
    """How one film was exposed and displayed.

    Attributes:
        scatter: Scattered over primary intensity behind the mean patient.
        noise: Standard deviation of the noise where intensity is 1.
        equalise: Share of the coarse contrast removed, as film processing does.
        sharpen: Share of fine contrast added.
        low: Log attenuation shown black.
        high: Log attenuation shown white.
        gamma: Gamma of the display curve.
        fog: Black level.
        white: White level.
    """

    scatter: float
    noise: float
    equalise: float
    sharpen: float
    low: float
    high: float
    gamma: float
    fog: float
    white: float


def draw_exposure(spec: ChestSpec, seed: int, number: int = 0) -> Exposure:
    """Settings of the machine; findings do not change them."""
    rng = stream(seed, f"exposure/{number}")
    portable = spec.view == "AP"
    return Exposure(
        scatter=rng.uniform(0.7, 1.3) if portable else rng.uniform(0.15, 0.6),
        noise=rng.uniform(0.0022, 0.0055) * (1.4 if portable else 1.0) * (1 + 0.3 * max(spec.habitus, 0)),
        equalise=float(rng.choice([0.15, 0.3, 0.5])) + rng.uniform(-0.05, 0.1),
        sharpen=rng.uniform(0.0, 0.7),
        low=rng.uniform(0.30, 0.85) + 0.12 * spec.habitus,
        high=rng.uniform(3.0, 3.5) + 0.25 * spec.habitus,
        gamma=rng.uniform(0.75, 1.35),
        fog=rng.uniform(0.0, 0.06),
        white=rng.uniform(0.80, 0.96) if portable else rng.uniform(0.88, 1.0),
    )


def expose(attenuation: Field, spec: ChestSpec, seed: int, number: int = 0) -> Field:
    """Log exposure map to film pixels.

    Args:
        attenuation: [S, S] float32, log attenuation of the primary beam, 0 in free air.
        spec: The patient and view.
        seed: The chest's seed.
        number: Which exposure of it.

    Returns:
        [S, S] float32, 0 (black) to 1 (white).
    """
    size = attenuation.shape[0]
    setting = draw_exposure(spec, seed, number)
    rng = stream(seed, f"noise/{number}")
    primary = np.exp(-attenuation)
    # Scatter comes from irradiated tissue, so free air (primary near 1) must not dominate it.
    coarse = np.minimum(resized(primary, size // 8), 0.35)
    coarse = ndimage.gaussian_filter(coarse, size / 8 * 0.07, mode="nearest", truncate=2.5)
    total = primary
    total += resized(np.float32(setting.scatter * 0.35) * coarse + np.float32(0.004), size)
    density = white_noise(rng, size)
    density *= np.float32(setting.noise)
    density /= np.sqrt(total)
    density -= np.log(total, out=total)
    density = _detector(density)
    middle = (setting.low + setting.high) / 2 - 0.1
    quarter = resized(density, size // 4)
    wide = blur(np.maximum(quarter, setting.low - 0.4), 0.09)
    # One smooth correction: dynamic range compression, and unsharp masking with a blur on a quarter of the grid.
    smooth = np.float32(setting.equalise) * (middle - wide) - np.float32(setting.sharpen) * blur(quarter, 0.006)
    density *= np.float32(1 + setting.sharpen)
    density += resized(smooth.astype(np.float32), size)
    # Shoulder and toe of a film's curve.
    span = setting.high - setting.low
    density -= np.float32(setting.low + 0.52 * span)
    density *= np.float32(-4.4 / span)
    shown = np.exp(np.clip(density, -8, 8, out=density), out=density)
    shown += 1
    np.reciprocal(shown, out=shown)
    shown -= np.float32(0.05)
    shown *= np.float32(1 / 0.90)
    np.clip(shown, 0, 1, out=shown)
    np.power(shown, np.float32(setting.gamma), out=shown)
    shown *= np.float32(setting.white - setting.fog)
    shown += np.float32(setting.fog)
    return np.minimum(shown, 1, out=shown)


def _detector(density: Field) -> Field:
    """Spread of each pixel's signal to its neighbours (about a Gaussian of 0.55 pixels)."""
    core, edge = np.float32(0.723), np.float32(0.1385)
    across = density * core
    across[:, 1:] += edge * density[:, :-1]
    across[:, :-1] += edge * density[:, 1:]
    down = across * core
    down[1:] += edge * across[:-1]
    down[:-1] += edge * across[1:]
    # What would have come from beyond the film's edge.
    down[[0, -1]] += edge * across[[0, -1]]
    down[:, [0, -1]] *= np.float32(1 / (1 - 0.1385))
    return down


_LETTERS = {
    "L": [(0.0, 0.0), (0.24, 0.0), (0.24, 0.78), (0.7, 0.78), (0.7, 1.0), (0.0, 1.0)],
    "R": [
        *((0.0, 0.0), (0.5, 0.0), (0.7, 0.14), (0.7, 0.42), (0.5, 0.56), (0.76, 1.0)),
        *((0.5, 1.0), (0.28, 0.58), (0.22, 0.58), (0.22, 1.0), (0.0, 1.0)),
    ],
}


def annotate(film: Field, seed: int, number: int = 0) -> Field:
    """Side marker and collimation edge, as printed on many films."""
    rng = stream(seed, f"marker/{number}")
    size = film.shape[0]
    letter = "L" if rng.random() < 0.8 else "R"
    tall = rng.uniform(0.022, 0.045)
    x = rng.uniform(0.88, 0.93) if letter == "L" else rng.uniform(0.04, 0.09)
    y = rng.uniform(0.03, 0.16)
    angle = rng.normal(0, 0.12)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    strength = rng.uniform(0.75, 1.0)
    bordered = rng.random()
    edges = rng.uniform(-0.06, 0.045, 4)
    skew = rng.normal(0, 0.006, 4)
    if rng.random() < 0.92:
        glyph = np.array(_LETTERS[letter]) * tall @ turn + [x, y]
        shapes = [(glyph, 1.0)]
        if letter == "R":
            hole = np.array([(0.22, 0.16), (0.44, 0.16), (0.5, 0.28), (0.44, 0.4), (0.22, 0.4)])
            shapes.append((hole * tall @ turn + [x, y], 0.0))
        film = np.maximum(film, polygons(size, shapes) * np.float32(strength))
    if bordered < 0.45:
        e = np.clip(edges, -0.02, 0.05)
        corners = (
            (e[0] + skew[0], e[1] + skew[1]),
            (1 - e[2] - skew[1], e[1] + skew[2]),
            (1 - e[2] + skew[3], 1 - e[3] - skew[0]),
            (e[0] - skew[2], 1 - e[3] + skew[3]),
        )
        field = np.array(corners)
        film = film * soft_polygons(size, [(field, 1.0)])
    return film
