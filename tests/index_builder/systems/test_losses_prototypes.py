"""Prototype alignment: Sinkhorn's marginals, values by hand, what a case without label or partner does."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from index_builder.systems.losses.prototypes import Prototypes, prototype_alignment, sinkhorn


def scores(seed: int, cases: int = 12, classes: int = 4) -> Tensor:
    return 2 * torch.rand(cases, classes, generator=torch.Generator().manual_seed(seed)) - 1


@pytest.fixture
def prototypes() -> Prototypes:
    torch.manual_seed(0)
    return Prototypes(3, 5)


def test_prototypes_are_unit_vectors_whose_scores_are_cosines(prototypes: Prototypes) -> None:
    with torch.no_grad():
        prototypes.weight.mul_(7)
    vectors = 3 * torch.randn(4, 5)
    torch.testing.assert_close(prototypes.vectors.norm(dim=1), torch.ones(3))
    expected = functional.cosine_similarity(vectors[:, None], prototypes.weight[None], dim=2)
    torch.testing.assert_close(prototypes(vectors), expected)


def test_sinkhorn_of_one_iteration_by_hand() -> None:
    # exp(scores/ε) = [[2, 1], [1, 1]]; columns to sums of 1: [[2/3, 1/2], [1/3, 1/2]]; rows then: 4/7, 3/7; 2/5, 3/5.
    found = sinkhorn(torch.tensor([[math.log(2), 0.0], [0.0, 0.0]]), epsilon=1.0, iterations=1)
    torch.testing.assert_close(found, torch.tensor([[4 / 7, 3 / 7], [2 / 5, 3 / 5]]))


@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.3, 1.0]))
def test_rows_sum_to_one_and_columns_are_balanced(seed: int, epsilon: float) -> None:
    assigned = sinkhorn(scores(seed), epsilon)
    torch.testing.assert_close(assigned.sum(1), torch.ones(12))
    converged = sinkhorn(scores(seed), 0.3, 200)
    torch.testing.assert_close(converged.sum(1), torch.ones(12))
    torch.testing.assert_close(converged.sum(0), torch.full((4,), 3.0), atol=1e-2, rtol=0)


@given(st.integers(0, 10_000))
def test_columns_follow_given_marginals(seed: int) -> None:
    marginals = torch.tensor([50.0, 30.0, 20.0, 0.0])  # counts will do; a class may be absent
    assigned = sinkhorn(scores(seed), 0.3, 200, marginals)
    torch.testing.assert_close(assigned.sum(0), torch.tensor([6.0, 3.6, 2.4, 0.0]), atol=1e-2, rtol=0)
    torch.testing.assert_close(assigned.sum(1), torch.ones(12))


def test_sinkhorn_is_the_optimal_transport_of_its_marginals() -> None:
    found = sinkhorn(scores(1).double(), 0.4, 500)
    # Optimal: log Q - scores/ε splits into a row part and a column part.
    potential = found.log() - scores(1).double() / 0.4
    split = potential.mean(1, keepdim=True) + potential.mean(0, keepdim=True) - potential.mean()
    torch.testing.assert_close(potential, split)


@given(st.permutations(range(12)), st.permutations(range(4)))
def test_sinkhorn_follows_the_order_of_cases_and_classes(cases: list[int], classes: list[int]) -> None:
    marginals = torch.tensor([0.4, 0.3, 0.2, 0.1])
    moved = sinkhorn(scores(2)[cases][:, classes], marginals=marginals[classes])
    torch.testing.assert_close(moved, sinkhorn(scores(2), marginals=marginals)[cases][:, classes], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("cases", [0, 1, 5])
def test_sinkhorn_stays_finite_for_extreme_scores(cases: int) -> None:
    extreme = torch.tensor([[1e4, -1e4, 0.0]]).expand(cases, 3).clone().requires_grad_()
    assigned = sinkhorn(extreme, epsilon=1e-2)
    assert assigned.shape == (cases, 3)
    assert not assigned.requires_grad
    torch.testing.assert_close(assigned.sum(1), torch.ones(cases))


def test_one_case_alone_is_assigned_by_the_marginals() -> None:
    torch.testing.assert_close(
        sinkhorn(scores(3, 1), marginals=torch.tensor([4.0, 3, 2, 1]))[0] * 10, torch.tensor([4.0, 3, 2, 1])
    )


def test_swapped_prediction_and_pull_have_the_values_of_their_formulas(prototypes: Prototypes) -> None:
    torch.manual_seed(1)
    v, t, labels = torch.randn(4, 5), torch.randn(4, 5), torch.tensor([0, 2, -1, 1])
    s_v, s_t = prototypes(v), prototypes(t)
    q_v, q_t = sinkhorn(s_v), sinkhorn(s_t)
    swapped = (functional.cross_entropy(s_v / 0.1, q_t) + functional.cross_entropy(s_t / 0.1, q_v)) / 2
    torch.testing.assert_close(prototype_alignment(v, t, prototypes, None, 0.1), swapped)
    pull = sum(functional.cross_entropy(s / 0.1, labels, ignore_index=-1) for s in (s_v, s_t)) / 2
    torch.testing.assert_close(prototype_alignment(v, t, prototypes, labels, 0.1), swapped + pull)
    marginals = torch.tensor([0.7, 0.2, 0.1])
    rare = prototype_alignment(v, t, prototypes, None, 0.1, marginals)
    q_v, q_t = sinkhorn(s_v, marginals=marginals), sinkhorn(s_t, marginals=marginals)
    peer = (functional.cross_entropy(s_v / 0.1, q_t) + functional.cross_entropy(s_t / 0.1, q_v)) / 2
    torch.testing.assert_close(rare, peer)


def test_no_known_label_pulls_nothing(prototypes: Prototypes) -> None:
    v, t = torch.randn(4, 5), torch.randn(4, 5)
    unknown = prototype_alignment(v, t, prototypes, torch.full((4,), -1), 0.1)
    torch.testing.assert_close(unknown, prototype_alignment(v, t, prototypes, None, 0.1))


@pytest.mark.parametrize("labels", [None, torch.zeros(0, dtype=torch.long)])
def test_no_case_is_an_exact_zero_with_gradient(prototypes: Prototypes, labels: Tensor | None) -> None:
    v = torch.zeros(0, 5, requires_grad=True)
    loss = prototype_alignment(v, torch.zeros(0, 5), prototypes, labels, 0.1)
    loss.backward()
    assert loss.item() == 0
    assert prototypes.weight.grad is not None
    assert not prototypes.weight.grad.any()


def test_one_case_learns_from_its_label(prototypes: Prototypes) -> None:
    v, t = torch.randn(1, 5, requires_grad=True), torch.randn(1, 5, requires_grad=True)
    prototype_alignment(v, t, prototypes, torch.tensor([2]), 0.1).backward()
    for one in (v, t, prototypes.weight):
        assert one.grad is not None
        assert one.grad.isfinite().all()
        assert one.grad.any()


def test_descending_brings_both_modalities_to_the_prototype_of_their_class(prototypes: Prototypes) -> None:
    torch.manual_seed(2)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    v, t = torch.randn(6, 5, requires_grad=True), torch.randn(6, 5, requires_grad=True)
    optimiser = torch.optim.Adam([v, t, *prototypes.parameters()], 0.05)
    for _ in range(150):
        optimiser.zero_grad()
        prototype_alignment(v, t, prototypes, labels, 0.1).backward()
        optimiser.step()
    for one in (v, t):
        assert torch.equal(prototypes(one).argmax(1), labels)
        # Cases of one class are no negatives of each other.
        cosines = functional.cosine_similarity(one[:3, None], one[None, 3:], dim=2)
        assert cosines.diagonal().mean() > cosines[~torch.eye(3, dtype=torch.bool)].mean() + 0.3


@given(st.permutations(range(6)))
def test_order_of_cases_does_not_matter_to_prototypes(order: list[int]) -> None:
    torch.manual_seed(3)
    own, v, t, labels = Prototypes(3, 5), torch.randn(6, 5), torch.randn(6, 5), torch.tensor([0, 1, 2, -1, 0, 1])
    torch.testing.assert_close(
        prototype_alignment(v[order], t[order], own, labels[order], 0.1), prototype_alignment(v, t, own, labels, 0.1)
    )


def test_gradients_of_class_pull_and_prototypes() -> None:
    """Assignments are constants to the gradient; a huge share of one class makes them so to the finite difference."""
    torch.manual_seed(4)
    own = Prototypes(2, 3).double()
    v, t = (torch.randn(3, 3, dtype=torch.double, requires_grad=True) for _ in range(2))
    certain = torch.tensor([1.0, 0.0], dtype=torch.double)
    labels = torch.tensor([0, 1, -1])
    assert torch.autograd.gradcheck(
        lambda v, t, w: torch.func.functional_call(_Alignment(own), {"prototypes.weight": w}, (v, t, labels, certain)),
        (v, t, own.weight),
    )


class _Alignment(torch.nn.Module):
    def __init__(self, prototypes: Prototypes) -> None:
        super().__init__()
        self.prototypes = prototypes

    def forward(self, v: Tensor, t: Tensor, labels: Tensor, marginals: Tensor) -> Tensor:
        return prototype_alignment(v, t, self.prototypes, labels, 0.5, marginals)
