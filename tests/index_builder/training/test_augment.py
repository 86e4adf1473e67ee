"""Views of a film: in range, decided by the generator, and the strong ones stronger."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from index_builder.training.augment import moved, strong_view, weak_view

View = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]


def films() -> Tensor:
    """Six films with a bright square at the upper left, black and white margins included."""
    drawn = torch.rand(6, 48, 48, generator=torch.Generator().manual_seed(0)) * 0.4
    drawn[:, 6:20, 6:20] = 1.0
    drawn[:, 40:] = 0.0
    return drawn


@pytest.mark.parametrize("view", [weak_view, strong_view])
@pytest.mark.parametrize("seed", range(5))
def test_a_view_keeps_shape_and_range_and_depends_on_the_generator_alone(view: View, seed: int) -> None:
    given = films()
    before = given.clone()
    seen, _ = view(given, torch.Generator().manual_seed(seed))
    assert seen.shape == given.shape
    assert seen.dtype == torch.float32
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 1
    torch.testing.assert_close(given, before, atol=0, rtol=0)
    torch.manual_seed(99)
    torch.testing.assert_close(view(films(), torch.Generator().manual_seed(seed))[0], seen, atol=0, rtol=0)
    assert not torch.equal(view(films(), torch.Generator().manual_seed(seed + 100))[0], seen)


@pytest.mark.parametrize("view", [weak_view, strong_view])
def test_a_film_is_never_mirrored(view: View) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        seen, _ = view(films(), generator)
        assert (seen[:, :24, :24].mean((1, 2)) > seen[:, :24, 24:].mean((1, 2))).all()


def test_a_strong_view_differs_more_than_a_weak_one() -> None:
    given = films()
    far = (strong_view(given, torch.Generator().manual_seed(1))[0] - given).abs().mean((1, 2))
    near = (weak_view(given, torch.Generator().manual_seed(1))[0] - given).abs().mean((1, 2))
    assert far.mean() > near.mean()


def test_each_film_of_a_batch_is_moved_by_itself() -> None:
    same = films()[:1].expand(4, -1, -1)
    seen, _ = weak_view(same, torch.Generator().manual_seed(2))
    assert all(not torch.equal(seen[0], one) for one in seen[1:])


@pytest.mark.parametrize("edge", [48, 24])
def test_a_map_of_any_size_moves_with_its_film(edge: int) -> None:
    square = torch.zeros(8, 48, 48)
    square[:, 20:32, 8:20] = 1
    seen, motion = weak_view(square, torch.Generator().manual_seed(3))
    assert motion.shape == (8, 2, 3)
    there = moved(torch.nn.functional.adaptive_avg_pool2d(square, edge), motion) > 0.9
    big = torch.nn.functional.interpolate(there[None].float(), (48, 48))[0] > 0
    assert not torch.equal(big, square > 0)
    assert seen[big].mean() > 0.8
    assert seen[~big].mean() < 0.3
