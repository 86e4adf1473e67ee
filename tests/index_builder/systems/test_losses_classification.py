"""Label losses: values by hand and by other libraries, unknown labels, gradients."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from index_builder import vision_compat  # noqa: F401  must precede torchvision
from index_builder.systems.losses.classification import focal, masked_bce, mixed, weighted_cross_entropy


def batch(seed: int, cases: int = 6, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(cases, classes, generator=generator)
    labels = (torch.rand(cases, classes, generator=generator) < 0.3).float()
    return logits, labels, torch.rand(cases, classes, generator=generator) < 0.7


def test_bce_and_focal_have_the_values_of_their_formulas() -> None:
    logits = torch.tensor([[math.log(3), 0.0]])  # probabilities 3/4 and 1/2
    labels, known = torch.tensor([[0.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool)
    bce = (math.log(4) + math.log(2)) / 2
    focal_2 = (0.75**2 * math.log(4) + 0.5**2 * math.log(2)) / 2
    assert masked_bce(logits, labels, known).item() == pytest.approx(bce)
    assert focal(logits, labels, known, 2.0).item() == pytest.approx(focal_2)
    assert mixed(logits, labels, known, 2.0, 0.25).item() == pytest.approx(0.75 * bce + 0.25 * focal_2)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]))
def test_focal_agrees_with_torchvision(seed: int, gamma: float) -> None:
    logits, labels, known = batch(seed)
    known[0, 0] = True
    peer = importlib.import_module("torchvision.ops").sigmoid_focal_loss(logits, labels, alpha=-1, gamma=gamma)
    torch.testing.assert_close(focal(logits, labels, known, gamma), peer[known].mean(), rtol=1e-4, atol=1e-6)


def test_focal_of_gamma_zero_is_cross_entropy() -> None:
    logits, labels, known = batch(1)
    torch.testing.assert_close(focal(logits, labels, known, 0.0), masked_bce(logits, labels, known))


def test_unknown_labels_count_for_nothing_whatever_they_hold() -> None:
    logits, labels, known = batch(2)
    spoilt_logits, spoilt_labels = logits.clone(), labels.clone()
    spoilt_logits[~known], spoilt_labels[~known] = math.inf, math.nan
    spoilt_logits.requires_grad_()
    loss = mixed(spoilt_logits, spoilt_labels, known, 2.0, 0.5)
    torch.testing.assert_close(loss, mixed(logits, labels, known, 2.0, 0.5))
    loss.backward()
    assert spoilt_logits.grad is not None
    assert torch.equal(spoilt_logits.grad != 0, known)


@pytest.mark.parametrize("cases", [0, 1, 3])
def test_nothing_known_is_an_exact_zero_with_gradient(cases: int) -> None:
    logits = torch.randn(cases, 4, requires_grad=True)
    nothing = torch.zeros(cases, 4, dtype=torch.bool)
    loss = mixed(logits, torch.ones(cases, 4), nothing, 2.0, 0.5)
    loss = loss + weighted_cross_entropy(logits, torch.full((cases,), -1), torch.ones(4), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros(cases, 4))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_certain_predictions_stay_finite(gamma: float) -> None:
    logits = torch.tensor([[1000.0, -1000.0, 1000.0, -1000.0]], requires_grad=True)
    labels = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    loss = mixed(logits, labels, torch.ones(1, 4, dtype=torch.bool), gamma, 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(500)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradients_of_label_losses(gamma: float) -> None:
    logits, labels, known = batch(3, 2, 3)
    assert torch.autograd.gradcheck(
        lambda x: mixed(x, labels.double(), known, gamma, 0.4), logits.double().requires_grad_()
    )


def test_weighted_cross_entropy_has_the_value_of_its_formula() -> None:
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [5.0, -5.0]])
    target = torch.tensor([0, 1, -1])
    found = weighted_cross_entropy(logits, target, torch.tensor([1.0, 3.0]), 0.0)
    assert found.item() == pytest.approx((math.log(4 / 3) + 3 * math.log(2)) / 4)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 1.0]))
def test_weighted_cross_entropy_agrees_with_torch(seed: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, weights = torch.randn(5, 4, generator=generator), 0.1 + torch.rand(4, generator=generator)
    target = torch.randint(-1, 4, (5,), generator=generator)
    target[0] = 2
    peer = functional.cross_entropy(logits, target, weights, ignore_index=-1, label_smoothing=smoothing)
    torch.testing.assert_close(weighted_cross_entropy(logits, target, weights, smoothing), peer)


def test_a_class_of_weight_zero_is_left_out() -> None:
    logits, target = torch.randn(3, 3, requires_grad=True), torch.tensor([2, 0, 2])
    weights = torch.tensor([1.0, 1.0, 0.0])
    found = weighted_cross_entropy(logits, target, weights, 0.1)
    torch.testing.assert_close(found, weighted_cross_entropy(logits[1:2], target[1:2], weights, 0.1))
    assert weighted_cross_entropy(logits[:1], target[:1], weights, 0.1).item() == 0


def test_gradients_of_weighted_cross_entropy() -> None:
    target, weights = torch.tensor([1, -1, 0]), torch.tensor([0.5, 2.0])
    logits = torch.randn(3, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: weighted_cross_entropy(x, target, weights, 0.1), logits)


@given(st.permutations(range(6)))
def test_order_of_cases_does_not_matter(order: list[int]) -> None:
    logits, labels, known = batch(4)
    target, weights = torch.tensor([0, 1, 2, 3, -1, 0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(
        mixed(logits[order], labels[order], known[order], 2.0, 0.5), mixed(logits, labels, known, 2.0, 0.5)
    )
    torch.testing.assert_close(
        weighted_cross_entropy(logits[order], target[order], weights, 0.1),
        weighted_cross_entropy(logits, target, weights, 0.1),
    )
