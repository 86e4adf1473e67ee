"""Put one film together: anatomy, findings, attenuation, exposure."""

from __future__ import annotations

import numpy as np

from index_builder.datasets.phantom import anatomy as chest
from index_builder.datasets.phantom.body import build_body
from index_builder.datasets.phantom.draw import Field, resized, texture
from index_builder.datasets.phantom.findings.drawing import draw_findings, with_sides
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
    scene = Scene.empty(spec, anatomy, body, seed, size)
    masks = draw_findings(scene)

    film = annotate(expose(_attenuation(scene), spec, seed, exposure), seed, exposure)
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


def _attenuation(scene: Scene) -> Field:
    """Log attenuation of the primary beam, [S, S] float32. Works in place where it can: fresh pages cost most here."""
    anatomy, body, seed, size = scene.anatomy, scene.body, scene.seed, scene.size
    rng = stream(seed, "parenchyma")
    grain = np.float32(0.03) * texture(rng, size)
    grain += 1

    air = body.lung_depth * scene.air
    # Vessels add where lung was: what no longer holds air hides them.
    blood = draw_vessels(scene.spec, anatomy, seed, size)
    blood *= scene.vessels
    blood *= np.float32(2.6 / 6)
    blood *= np.minimum(air, 6)
    air *= grain
    blood -= air
    blood -= scene.extra_air
    blood += scene.tissue
    blood *= np.float32(WATER)
    blood += resized(_smooth_attenuation(scene), size)
    total = np.maximum(blood, 0, out=blood)

    bone = draw_ribs(anatomy, size)
    bone *= grain[::-1]  # trabeculae
    bone *= scene.bone
    bone *= np.float32(0.85 * BONE) * _fade(scene, size)
    total += bone
    total += scene.metal
    return total


def _smooth_attenuation(scene: Scene) -> Field:
    """Soft tissue, gas, spine and shoulder girdle on half the grid: they lie far from the detector or move."""
    spec, anatomy, body, half = scene.spec, scene.anatomy, scene.body, scene.size // 2
    bone = np.float32(0.85) * draw_spine(spec, anatomy, scene.seed, half)
    bone += np.float32(1.05) * draw_girdle(spec, anatomy, scene.seed, half)
    bone *= np.clip(body.tissue, 0, 3) * np.float32(BONE / 3) * _fade(scene, half)
    return np.float32(WATER) * (body.tissue - body.gas - body.recess) + bone


def _fade(scene: Scene, rows: int) -> Field:
    """Factor on bones by row, [rows, 1]: over liver and stomach the beam is mostly scattered."""
    y = (np.arange(rows, dtype=np.float32) / rows)[:, None]
    return (1 - 0.62 / (1 + np.exp(-(y - max(scene.anatomy.dome) - 0.01) / 0.03))).astype(np.float32)
