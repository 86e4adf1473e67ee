"""The loss that tells attention where findings lie: exact values, what it reads and what it leaves alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from index_builder.systems.losses.regions import region_loss

#: Patches of a grid of two by two whose logits, prior included, are -1, 0, 1 and 2.
SCORES = torch.tensor([[[-1.0, 0.0, 1.0, 2.0]]]) + math.log(99)


def focal_of(logit: float, *, inside: bool) -> float:
    probability = 1 / (1 + math.exp(-logit))
    of_truth = probability if inside else 1 - probability
    return -((1 - of_truth) ** 2) * math.log(of_truth)


def test_a_finding_weighs_one_and_every_other_patch_its_share() -> None:
    regions = torch.tensor([[[[1.0, 0.0], [0.6, 0.3]]]])  # two patches inside, one merely touched, one outside
    expected = (focal_of(-1, inside=True) + focal_of(1, inside=True)) / 2 + 0.15 * focal_of(0, inside=False)
    assert float(region_loss(SCORES, regions)) == pytest.approx(expected, rel=1e-5)


def test_an_absent_finding_is_nowhere() -> None:
    expected = 0.15 * sum(focal_of(logit, inside=False) for logit in (-1, 0, 1, 2))
    assert float(region_loss(SCORES, torch.zeros(1, 1, 4, 4))) == pytest.approx(expected, rel=1e-5)


def test_finer_cells_are_brought_to_the_patches() -> None:
    coarse = torch.tensor([[[[1.0, 0.0], [0.6, 0.3]]]])
    fine = functional.interpolate(coarse, (28, 28))
    torch.testing.assert_close(region_loss(SCORES, fine), region_loss(SCORES, coarse))


def test_unknown_regions_and_labels_without_a_query_have_no_part() -> None:
    known = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    scores = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    regions = torch.cat([known, torch.rand(3, 5, 4, 4)], 1)
    torch.testing.assert_close(region_loss(scores, regions), region_loss(scores, known))
    regions[1, 0] = torch.nan
    loss = region_loss(scores, regions)
    loss.backward()
    assert torch.isfinite(loss)
    assert scores.grad is not None
    assert not scores.grad[1, 0].any()
    assert scores.grad[1, 1].any()
    nothing = region_loss(scores, torch.full((3, 2, 4, 4), torch.nan))
    assert float(nothing.detach()) == 0
    nothing.backward()


def test_scores_learn_to_point() -> None:
    regions = torch.zeros(1, 1, 28, 28)
    regions[..., 4:8, 20:24] = 1
    scores = torch.zeros(1, 1, 49, requires_grad=True)
    optimiser = torch.optim.Adam([scores], lr=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        region_loss(scores, regions).backward()
        optimiser.step()
    assert int(scores.detach().argmax()) == 1 * 7 + 5


def test_half_precision_is_raised() -> None:
    regions = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    scores = torch.randn(2, 1, 4, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert region_loss(scores, regions).dtype == torch.float32
