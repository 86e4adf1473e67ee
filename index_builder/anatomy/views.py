"""Other films of the same chest, with the outlines that belong to them: what the network learns from.

They are turned, enlarged, cut, exposed, blurred and clouded further than the films of one collection are, because the
network has to hold on films of others. A film is mirrored as often as not, so that the side of the heart is seen and
not assumed; its sides then are those of the picture. Now and then it is turned a quarter or on its head, and nothing is
outlined: the network finds a chest only where it stands upright.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from index_builder.anatomy.structures import MIRRORED

_DEGREES = 15.0
_ZOOM = 0.22
_STRETCH = 0.1
_SHIFT = 0.12
_TURNED_SHARE = 0.08
_ERASED_SHARE = 0.25
_BLURRED_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Views:
    """Films and outlines of a step.

    Attributes:
        films: [B, 1, S, S] float32 in 0..1.
        masks: [B, 5, S, S] float32 in 0..1.
        known: [B, 5] bool, see `OutlinedFilm.known`.
        hull: [B] bool, see `OutlinedFilm.hull`.
    """

    films: Tensor
    masks: Tensor
    known: Tensor
    hull: Tensor


def view_of(films: Tensor, masks: Tensor, known: Tensor, hull: Tensor, size: int, generator: torch.Generator) -> Views:
    """Draw one view of each film.

    Args:
        films: [B, K, K] float32 in 0..1.
        masks: [B, 5, K, K] bool.
        known: [B, 5] bool.
        hull: [B] bool.
        size: Side of the network's input.
        generator: Decides everything.
    """
    count = len(films)
    mirrored = torch.rand(count, generator=generator) < 0.5
    turned = torch.rand(count, generator=generator) < _TURNED_SHARE
    quarters = torch.randint(1, 4, (count,), generator=generator) * turned
    grid = _grid(mirrored, quarters, size, generator)
    both = torch.cat([films[:, None], masks.float()], 1)
    moved = functional.grid_sample(both, grid, align_corners=False)
    order = torch.tensor(MIRRORED)
    outlines = torch.where(mirrored[:, None, None, None], moved[:, 1:][:, order], moved[:, 1:])
    seen = torch.where(mirrored[:, None], known[:, order], known)
    outlines[turned] = 0
    exposed = _expose(_cloud(moved[:, :1], generator), generator)
    return Views(exposed, outlines, seen | turned[:, None], hull & ~turned)


def _grid(mirrored: Tensor, quarters: Tensor, size: int, generator: torch.Generator) -> Tensor:
    count = len(mirrored)
    angle = _within(count, _DEGREES, generator) * torch.pi / 180 + quarters * torch.pi / 2
    scale = 1 + _within(count, _ZOOM, generator)
    wide, tall = scale * (1 + _within(count, _STRETCH, generator)), scale * (1 + _within(count, _STRETCH, generator))
    wide = torch.where(mirrored, -wide, wide)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    x, y = _within(count, 2 * _SHIFT, generator), _within(count, 2 * _SHIFT, generator)
    motion = torch.stack(
        [torch.stack([cosine / wide, -sine / wide, x], 1), torch.stack([sine / tall, cosine / tall, y], 1)], 1
    )
    return functional.affine_grid(motion, [count, 1, size, size], align_corners=False)


def _cloud(films: Tensor, generator: torch.Generator) -> Tensor:
    """Lay up to three soft clouds over each film, brighter or darker, as consolidation or a bulla would be."""
    count, size = len(films), films.shape[-1]
    axis = torch.linspace(-1, 1, size)
    out = films.clone()
    for _ in range(3):
        strength = _within(count, 0.35, generator) + 0.1
        strength = strength * (torch.rand(count, generator=generator) < 0.35)
        x, y = _within(count, 0.8, generator), _within(count, 0.8, generator)
        wide, tall = (0.08 + 0.4 * torch.rand(count, generator=generator) for _ in range(2))
        across = torch.exp(-(((axis - x[:, None]) / wide[:, None]) ** 2))
        down = torch.exp(-(((axis - y[:, None]) / tall[:, None]) ** 2))
        out += (strength[:, None, None] * down[:, :, None] * across[:, None, :])[:, None] * (films > 0)
    return out.clamp(0, 1)


def _expose(films: Tensor, generator: torch.Generator) -> Tensor:
    count, size = len(films), films.shape[-1]
    axis = torch.linspace(-1, 1, size)
    tilt = (
        _per_film(_within(count, 0.15, generator)) * axis + _per_film(_within(count, 0.15, generator)) * axis[:, None]
    )
    gain = _per_film(1 + _within(count, 0.35, generator))
    offset = _per_film(_within(count, 0.12, generator))
    inside = films > 0
    out = ((films - 0.5) * gain + 0.5 + offset + tilt).clamp(0, 1)
    out = out ** _per_film(2 ** _within(count, 0.9, generator))
    coarse = 1 + int(torch.randint(1, 4, (1,), generator=generator))
    small = functional.interpolate(out, scale_factor=1 / coarse, mode="area")
    blurred = functional.interpolate(small, size=(size, size), mode="bilinear")
    chosen = torch.rand(count, generator=generator) < _BLURRED_SHARE
    out = torch.where(_per_film(chosen), blurred, out)
    noise = _per_film(0.06 * torch.rand(count, generator=generator))
    out = out + noise * torch.randn(out.shape, generator=generator)
    out = torch.where(inside, out.clamp(0, 1), films)
    for number in torch.nonzero(torch.rand(count, generator=generator) < _ERASED_SHARE).flatten().tolist():
        tall, wide = (int(edge) for edge in torch.randint(size // 24, size // 4, (2,), generator=generator))
        top, left = (int(torch.randint(0, size - edge, (1,), generator=generator)) for edge in (tall, wide))
        out[number, :, top : top + tall, left : left + wide] = float(torch.rand(1, generator=generator))
    return out


def _within(count: int, width: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(count, generator=generator) - 1) * width


def _per_film(values: Tensor) -> Tensor:
    return values[:, None, None, None]
