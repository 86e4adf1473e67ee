"""Put one film together: anatomy, findings, attenuation, exposure."""

from __future__ import annotations

import numpy as np

from index_builder.datasets.phantom import anatomy as chest
from index_builder.datasets.phantom.body import build_body
from index_builder.datasets.phantom.draw import noise
from index_builder.datasets.phantom.findings import draw_findings, with_sides
from index_builder.datasets.phantom.physics import BONE, WATER, annotate, expose
from index_builder.datasets.phantom.scene import Scene
from index_builder.datasets.phantom.skeleton import draw_girdle, draw_ribs, draw_spine
from index_builder.datasets.phantom.spec import ChestSpec, PhantomFilm, stream
from index_builder.datasets.phantom.vessels import draw_vessels
from index_builder.errors import DatasetError


def render(spec: ChestSpec, seed: int, size: int = 512, *, exposure: int = 0) -> PhantomFilm:
    """Draw one chest radiograph with its findings and their exact masks.

    The same spec, seed and size give the same bytes; the chest of a seed is the same with and without findings,
    except where a finding changes its shape. Thread-safe: nothing is shared but read-only tables.

    Args:
        spec: Patient, view and findings.
        seed: Any integer from 0.
        size: Pixels on a side, a multiple of 8 from 64 to 2048.
        exposure: Number of the film of this chest: another number is another exposure, marker and noise.

    Raises:
        DatasetError: size or seed is out of range.
    """
    if size % 8 or not 64 <= size <= 2048:
        raise DatasetError(f"A phantom's size must be a multiple of 8 between 64 and 2048, not {size}")
    if seed < 0:
        raise DatasetError(f"A phantom's seed must not be negative, not {seed}")
    spec = with_sides(spec, seed)
    anatomy = chest.build(spec, seed)
    body = build_body(spec, anatomy, seed, size)
    lungs = body.lungs[0] + body.lungs[1]
    scene = Scene.empty(spec, anatomy, body, seed, size)
    masks = draw_findings(scene)

    rng = stream(seed, "parenchyma")
    grain = noise(rng, size, size // 3) * 0.6 + noise(rng, size, size // 7) * 0.5
    blood = draw_vessels(spec, anatomy, seed, size) * lungs * scene.vessels
    # Vessels add where lung was: what no longer holds air hides them.
    air = body.lung_depth * scene.air * (1 + 0.022 * grain) + scene.extra_air
    water = body.tissue + scene.tissue - air - body.gas + np.float32(2.6) * blood * np.clip(air / 6, 0, 1)
    bone = np.float32(0.85) * draw_ribs(anatomy, size)
    bone += np.float32(0.85) * draw_spine(spec, anatomy, seed, size)
    bone += np.float32(0.8) * draw_girdle(spec, anatomy, seed, size)
    bone *= 1 + np.float32(0.05) * grain[::-1]  # trabeculae
    outside = np.clip(body.tissue / 3, 0, 1)
    # Over liver and stomach the beam is mostly scattered: ribs fade there.
    rows = (np.arange(size, dtype=np.float32) / size)[:, None]
    fade = 1 - 0.62 / (1 + np.exp(-(rows - max(anatomy.dome) - 0.01) / 0.03))
    bone = bone * outside * scene.bone * fade
    attenuation = WATER * np.maximum(water, 0) + BONE * bone + scene.metal
    film = annotate(expose(attenuation.astype(np.float32), spec, seed, exposure), seed, exposure)
    return PhantomFilm(
        pixels=np.ascontiguousarray(film, dtype=np.float32),
        masks=masks,
        anatomy={
            "heart": body.heart > 0.5,
            "right lung": body.lungs[0] > 0.5,
            "left lung": body.lungs[1] > 0.5,
        },
        ratio=anatomy.ratio,
    )
