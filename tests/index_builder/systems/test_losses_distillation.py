"""Distillation: values by hand, who takes gradients, which cases are used."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from index_builder.systems.losses.distillation import (
    class_text_distillation,
    class_text_targets,
    feature_distillation,
    weak_strong,
)


def test_feature_distillation_has_the_value_of_its_formula() -> None:
    student, teacher = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[4.0, 3.0], [0.0, 2.0]])
    assert feature_distillation(student, teacher).item() == pytest.approx((2 + 1 - 24 / 25) / 2)


def test_equal_student_and_teacher_have_nothing_to_learn() -> None:
    vectors = torch.randn(4, 5, requires_grad=True)
    loss = feature_distillation(vectors, vectors)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(vectors.grad, torch.zeros(4, 5), atol=1e-6, rtol=0)


def test_teachers_take_no_gradient() -> None:
    student, teacher = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    loss = feature_distillation(student, teacher)
    loss = loss + class_text_distillation(student, torch.tensor([0, 1, 2, 3]), teacher, 0.1)
    loss = loss + weak_strong(teacher, student, 1.0)[0]
    loss.backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.any()


def test_class_targets_are_the_softmax_of_cosines_between_class_means() -> None:
    means = torch.tensor([[2.0, 0.0], [0.6, 0.8], [0.0, 0.0]])  # the last class has no text
    found = class_text_targets(torch.tensor([1, 0, 1]), means, 0.5)
    first, second = (torch.tensor(row).softmax(0) for row in ([1.2, 2.0, 0.0], [2.0, 1.2, 0.0]))
    torch.testing.assert_close(found, torch.stack([first, second, first]))


def test_class_distillation_is_zero_at_the_class_mean_and_leaves_out_unknown_classes() -> None:
    torch.manual_seed(0)
    means = torch.randn(3, 5)
    labels = torch.tensor([2, -1, 0])
    student = torch.stack([4 * means[2], torch.full((5,), math.nan), means[0]]).requires_grad_()
    loss = class_text_distillation(student, labels, means, 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert student.grad is not None
    assert not student.grad[1].any()
    astray = class_text_distillation(means[[1]], labels[:1], means, 0.1)
    targets, found = class_text_targets(labels[:1], means, 0.1)[0], class_text_targets(torch.tensor([1]), means, 0.1)[0]
    torch.testing.assert_close(astray, (targets * (targets / found).log()).sum())


def test_weak_views_that_are_certain_label_their_strong_view() -> None:
    weak = torch.tensor([[math.log(9), 0.0], [0.0, math.log(4)], [0.0, 0.0]])  # u = 0.1, 0.2, 0.5
    strong = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [9.0, 0.0]])
    for theta, loss, share in (
        (0.05, 0.0, 0.0),
        (0.15, math.log(2) / 3, 1 / 3),
        (0.3, (math.log(2) + math.log(4)) / 3, 2 / 3),
    ):
        found, used = weak_strong(weak, strong, theta)
        assert found.item() == pytest.approx(loss)
        assert used.item() == pytest.approx(share)
    assert weak_strong(weak, strong, 1.0)[1].item() == 1


def test_only_used_strong_views_take_a_gradient() -> None:
    weak, strong = torch.tensor([[5.0, 0.0], [0.1, 0.0]]), torch.zeros(2, 2, requires_grad=True)
    weak_strong(weak, strong, 0.1)[0].backward()
    assert strong.grad is not None
    torch.testing.assert_close(strong.grad, torch.tensor([[-0.25, 0.25], [0.0, 0.0]]))


@pytest.mark.parametrize("cases", [0, 2])
def test_nothing_to_distil_is_an_exact_zero_with_gradient(cases: int) -> None:
    student = torch.randn(cases, 3, requires_grad=True)
    none = student[:0]
    loss = feature_distillation(none, none)
    loss = loss + class_text_distillation(student, torch.full((cases,), -1), torch.randn(4, 3), 0.1)
    unused, share = weak_strong(torch.zeros(cases, 3), student, 0.1)
    (loss + unused).backward()
    assert (loss + unused).item() == 0
    assert share.item() == 0
    assert student.grad is not None
    assert torch.equal(student.grad, torch.zeros(cases, 3))


def test_gradients_of_distillation() -> None:
    torch.manual_seed(1)
    student, teacher = torch.randn(3, 4, dtype=torch.double, requires_grad=True), torch.randn(3, 4, dtype=torch.double)
    labels = torch.tensor([0, -1, 2])
    assert torch.autograd.gradcheck(lambda x: feature_distillation(x, teacher), student)
    assert torch.autograd.gradcheck(lambda x: class_text_distillation(x, labels, teacher, 0.3), student)
    assert torch.autograd.gradcheck(lambda x: weak_strong(teacher, x, 0.6)[0], student)


@given(st.permutations(range(5)))
def test_order_of_cases_does_not_matter_to_distillation(order: list[int]) -> None:
    generator = torch.Generator().manual_seed(2)
    student, teacher = (torch.randn(5, 4, generator=generator) for _ in range(2))
    labels, means = torch.tensor([0, 1, -1, 2, 1]), torch.randn(3, 4, generator=generator)
    for loss in (
        feature_distillation,
        lambda s, t: weak_strong(t, s, 0.5)[0],
        lambda s, t: weak_strong(t, s, 0.5)[1],
    ):
        torch.testing.assert_close(loss(student[order], teacher[order]), loss(student, teacher))
    torch.testing.assert_close(
        class_text_distillation(student[order], labels[order], means, 0.1),
        class_text_distillation(student, labels, means, 0.1),
    )
