"""Contrast of vectors: values by hand, what is and is not a negative, gradients, precision."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from index_builder.systems.encoding import normalise
from index_builder.systems.losses.contrast import label_contrast, symmetric_info_nce

CLASSES = torch.tensor([0, 1, 0, 2, 1, 0])
SAME = CLASSES[:, None] == CLASSES


def pairs(seed: int, cases: int = 6, width: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return normalise(torch.randn(cases, width, generator=generator)), normalise(
        torch.randn(cases, width, generator=generator)
    )


def test_info_nce_has_the_value_of_its_formula() -> None:
    a, b = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # Scores a·bᵀ/0.5: [[2, 1.2], [0, 1.6]].
    rows = math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(0 - 1.6))
    columns = math.log(1 + math.exp(0 - 2)) + math.log(1 + math.exp(1.2 - 1.6))
    assert symmetric_info_nce(a, b, 0.5).item() == pytest.approx((rows + columns) / 4)


@given(st.integers(0, 10_000))
def test_info_nce_is_clips_loss_and_symmetric(seed: int) -> None:
    a, b = pairs(seed)
    logits, own = a @ b.T / 0.07, torch.arange(6)
    clip = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(symmetric_info_nce(a, b, 0.07), clip)
    torch.testing.assert_close(symmetric_info_nce(b, a, 0.07, SAME), symmetric_info_nce(a, b, 0.07, SAME))


def test_pairs_of_one_class_are_left_out_of_the_denominator() -> None:
    a, b = pairs(0, 3)
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    s = (a @ b.T / 0.1).double().exp()
    rows = [s[0, 0] / (s[0, 0] + s[0, 2]), s[1, 1] / (s[1, 1] + s[1, 2]), s[2, 2] / s[2].sum()]
    columns = [s[0, 0] / (s[0, 0] + s[2, 0]), s[1, 1] / (s[1, 1] + s[2, 1]), s[2, 2] / s[:, 2].sum()]
    expected = -sum(share.log() for share in (*rows, *columns)) / 6
    assert symmetric_info_nce(a, b, 0.1, same).item() == pytest.approx(float(expected), rel=1e-4)
    hollow = same & ~torch.eye(3, dtype=torch.bool)
    assert torch.equal(symmetric_info_nce(a, b, 0.1, hollow), symmetric_info_nce(a, b, 0.1, same))


@given(st.integers(0, 10_000))
def test_cases_of_one_class_do_not_push_each_other(seed: int) -> None:
    a = pairs(seed, 6, 6)[0].requires_grad_()
    symmetric_info_nce(a, torch.eye(6), 0.1, SAME).backward()
    # With b the unit axes, column j of the gradient is the push of case i away from case j.
    assert a.grad is not None
    own = torch.eye(6, dtype=torch.bool)
    assert not a.grad[SAME & ~own].any()
    assert (a.grad[~SAME] > 0).all()
    assert (a.grad[own] < 0).all()


def test_a_batch_of_one_class_or_one_case_or_none_is_an_exact_zero_with_gradient() -> None:
    for cases, same in ((4, torch.ones(4, 4, dtype=torch.bool)), (1, None), (0, None)):
        a, b = pairs(1, cases)
        a.requires_grad_()
        loss = symmetric_info_nce(a, b, 0.07, same)
        loss.backward()
        assert loss.item() == 0
        assert a.grad is not None
        assert not a.grad.any()


def test_temperature_can_be_learnt_and_gradients_are_right() -> None:
    a, b = (one[:4].double().requires_grad_() for one in pairs(2))
    temperature = torch.tensor(0.3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, y, t: symmetric_info_nce(x, y, t, SAME[:4, :4]), (a, b, temperature))


@given(st.permutations(range(6)))
def test_order_of_cases_does_not_matter_to_contrast(order: list[int]) -> None:
    a, b = pairs(3)
    torch.testing.assert_close(
        symmetric_info_nce(a[order], b[order], 0.1, SAME[order][:, order]), symmetric_info_nce(a, b, 0.1, SAME)
    )
    labels, group, case = functional.one_hot(CLASSES).float(), torch.tensor([0, 0, 0, 0, 1, 1]), torch.arange(6)
    known = torch.ones_like(labels, dtype=torch.bool)
    torch.testing.assert_close(
        label_contrast(a[order], labels[order], known[order], group[order], case[order], 0.1),
        label_contrast(a, labels, known, group, case, 0.1),
    )


def test_mixed_precision_does_not_blur_the_loss() -> None:
    a, b = pairs(4, 6, 64)
    exact = symmetric_info_nce(a, b, 0.02, SAME)
    with torch.autocast("cpu", torch.bfloat16):
        found = symmetric_info_nce(a, b=b, temperature=0.02, same=SAME)
    assert torch.equal(found, exact)
    assert symmetric_info_nce(a.bfloat16(), b.bfloat16(), 0.02).dtype == torch.float32


def test_label_contrast_has_the_value_of_its_formula() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    labels = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    group, case = torch.zeros(3, dtype=torch.long), torch.tensor([0, 1, 1])
    known = torch.ones_like(labels, dtype=torch.bool)
    # Overlap squared: 0-1 (1/2)² = 1/4; 1-2 are one case and count 1; 0-2 share nothing.
    s01, s02, s12 = 0.6 / 0.5, 0.0, 0.8 / 0.5
    first = -(s01 - math.log(math.exp(s01) + math.exp(s02)))
    norm = math.log(math.exp(s01) + math.exp(s12))
    second = -(0.25 * (s01 - norm) + s12 - norm) / 1.25
    third = -(s12 - math.log(math.exp(s02) + math.exp(s12)))
    found = label_contrast(vectors, labels, known, group, case, 0.5)
    assert found.item() == pytest.approx((first + second + third) / 3, rel=1e-5)


@pytest.mark.parametrize("cases", [0, 1, 4])
def test_label_contrast_without_positives_is_an_exact_zero_with_gradient(cases: int) -> None:
    vectors = pairs(5, cases)[0].requires_grad_()
    number = torch.arange(cases)
    labels = torch.ones(cases, 3)
    loss = label_contrast(vectors, labels, labels.bool(), number, number, 0.1)  # every case a dataset of its own
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_gradients_of_label_contrast() -> None:
    vectors = pairs(6, 5)[0].double().requires_grad_()
    labels = torch.tensor([[1, 1], [1, 0], [0, 0], [0, 1], [1, 1]], dtype=torch.double)
    group, case = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 1, 1, 2, 3])
    known = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)) < 0.7
    assert torch.autograd.gradcheck(lambda x: label_contrast(x, labels, known, group, case, 0.3), vectors)


def test_label_contrast_neither_draws_nor_pushes_by_an_unknown_label() -> None:
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    known = torch.tensor([[True, True], [True, True], [False, True], [True, True]])
    group, case = torch.zeros(4, dtype=torch.long), torch.arange(4)
    vectors = pairs(7, 4)[0]

    def gradient(told: torch.Tensor) -> torch.Tensor:
        moved = vectors.clone().requires_grad_()
        label_contrast(moved, labels, told, group, case, 0.3).backward()
        assert moved.grad is not None
        return moved.grad

    # Whether case 2 has the first label is unknown: to cases 0 and 1 it is no negative, and it has no positive.
    without = vectors[[0, 1, 3]].clone()
    expected = label_contrast(without, labels[[0, 1, 3]], known[[0, 1, 3]], group[:3], case[:3], 0.3)
    torch.testing.assert_close(label_contrast(vectors, labels, known, group, case, 0.3), expected)
    assert not gradient(known)[2].any()
    assert gradient(torch.ones_like(known))[2].any()
    # What an unknown entry holds is not read.
    guessed = labels.clone()
    guessed[2, 0] = 1
    torch.testing.assert_close(label_contrast(vectors, guessed, known, group, case, 0.3), expected)
