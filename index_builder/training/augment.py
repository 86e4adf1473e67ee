"""Views of a film: what else the same chest could have looked like. No mirror image: sides mean something."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

#: (films [B, S, S], generator) -> views [B, S, S] and how they were moved [B, 2, 3], see `moved`
View = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]


def weak_view(films: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Slightly turned, moved and scaled, exposed a little differently.

    Args:
        films: [B, S, S] float32 in 0..1.
        generator: Decides everything.

    Returns:
        [B, S, S] float32 in 0..1, and [B, 2, 3] for `moved`.
    """
    motion = _motion(len(films), generator, degrees=5.0, shift=0.04, zoom=0.06)
    return _expose(moved(films, motion), generator, contrast=0.12, brightness=0.06), motion


def strong_view(films: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turned, moved, scaled and exposed further than `weak_view`, with noise and an erased square (Sohn et al. 2020).

    Args and result as `weak_view`.
    """
    motion = _motion(len(films), generator, degrees=10.0, shift=0.08, zoom=0.12)
    view = _expose(moved(films, motion), generator, contrast=0.3, brightness=0.12)
    noise = torch.randn(view.shape, generator=generator) * 0.03
    return _erase((view + noise).clamp(0, 1), generator, share=0.2), motion


def fixed_views(
    films: Tensor, numbers: Sequence[int], count: int, view: View, generator: torch.Generator, *, salt: int = 0
) -> tuple[Tensor, Tensor]:
    """One of `count` views of each film that are the same whenever it is met.

    Args:
        films: [B, S, S] float32 in 0..1.
        numbers: Number of each film, which decides its views.
        count: Views to choose from.
        view: `weak_view` or `strong_view`.
        generator: Chooses.
        salt: Tells several kinds of views of one film apart.

    Returns:
        As `view`.
    """
    chosen = torch.randint(count, (len(films),), generator=generator).tolist()
    drawn = [
        view(film[None], torch.Generator().manual_seed((number * 64 + salt) * 1_009 + one))
        for film, number, one in zip(films, numbers, chosen, strict=True)
    ]
    if not drawn:
        return films, torch.zeros(0, 2, 3)
    return torch.cat([seen for seen, _ in drawn]), torch.cat([motion for _, motion in drawn])


def moved(maps: Tensor, motion: Tensor) -> Tensor:
    """Maps [B, H, W] of any size, moved as a view moved its film: `motion` [B, 2, 3] is an affine map of the plane."""
    grid = functional.affine_grid(motion, [len(maps), 1, *maps.shape[1:]], align_corners=False)
    return functional.grid_sample(maps[:, None], grid, align_corners=False)[:, 0]


def _uniform(count: int, generator: torch.Generator, width: float) -> Tensor:
    return (2 * torch.rand(count, generator=generator) - 1) * width


def _motion(count: int, generator: torch.Generator, *, degrees: float, shift: float, zoom: float) -> Tensor:
    angle = _uniform(count, generator, degrees) * torch.pi / 180
    scale = 1 + _uniform(count, generator, zoom)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    x, y = _uniform(count, generator, 2 * shift), _uniform(count, generator, 2 * shift)
    return torch.stack([torch.stack([cosine, -sine, x], -1), torch.stack([sine, cosine, y], -1)], 1)


def _expose(films: Tensor, generator: torch.Generator, *, contrast: float, brightness: float) -> Tensor:
    gain = (1 + _uniform(len(films), generator, contrast))[:, None, None]
    offset = _uniform(len(films), generator, brightness)[:, None, None]
    middle = films.mean((1, 2), keepdim=True)
    return ((films - middle) * gain + middle + offset).clamp(0, 1)


def _erase(films: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    size = films.shape[-1]
    edge = int(share * size)
    out = films.clone()
    for film in out:
        top, left = torch.randint(0, size - edge + 1, (2,), generator=generator).tolist()
        film[top : top + edge, left : left + edge] = film.mean()
    return out
