"""Token alignment: values from a plain loop, masks, weights, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from index_builder.systems.losses.token_alignment import token_alignment


def tokens(
    seed: int, cases: int = 3, patches: int = 4, words: int = 3, width: int = 5
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(cases, patches, width, generator=generator)
    text = torch.randn(cases, words, width, generator=generator)
    return (
        image,
        torch.ones(cases, patches, dtype=torch.bool),
        text,
        torch.ones(cases, words, dtype=torch.bool),
    )


def one_modality_by_loop(own: Tensor, other: Tensor, weights: list[float], temperature: float) -> float:
    """Contrast of tokens `own` [T, d] of one pair with what they see of `other` [S, d], token by token."""
    seen = [((one @ other.T / math.sqrt(len(one))).softmax(0)[:, None] * other).sum(0) for one in own]
    score = [[float(torch.cosine_similarity(t, v, dim=0)) / temperature for v in seen] for t in own]
    total = 0.0
    for i, weight in enumerate(weights):
        row = math.log(sum(math.exp(value) for value in score[i]))
        column = math.log(sum(math.exp(line[i]) for line in score))
        total += weight * ((row - score[i][i]) + (column - score[i][i])) / 2
    return total / sum(weights)


def test_value_is_that_of_the_formula() -> None:
    image, image_mask, text, text_mask = tokens(0, cases=2)
    expected = [
        (one_modality_by_loop(t, v, [1] * 3, 0.3) + one_modality_by_loop(v, t, [1] * 4, 0.3)) / 2
        for v, t in zip(image, text, strict=True)
    ]
    found = token_alignment(image, image_mask, text, text_mask, 0.3)
    assert found.item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_tokens_count_by_their_weights() -> None:
    image, image_mask, text, text_mask = tokens(1, cases=1)
    image_weights, text_weights = torch.tensor([[0.1, 0.4, 0.0, 0.2]]), torch.tensor([[3.0, 1.0, 0.5]])
    expected = (
        one_modality_by_loop(text[0], image[0], text_weights[0].tolist(), 0.5)
        + one_modality_by_loop(image[0], text[0], image_weights[0].tolist(), 0.5)
    ) / 2
    found = token_alignment(image, image_mask, text, text_mask, 0.5, image_weights, text_weights)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    even = token_alignment(image, image_mask, text, text_mask, 0.5, torch.full((1, 4), 7.0), torch.full((1, 3), 0.2))
    torch.testing.assert_close(even, token_alignment(image, image_mask, text, text_mask, 0.5))


def test_no_gradient_flows_into_weights() -> None:
    image, image_mask, text, text_mask = tokens(2)
    weights = torch.rand(3, 4, requires_grad=True)
    image.requires_grad_()
    token_alignment(image, image_mask, text, text_mask, 0.5, weights).backward()
    assert weights.grad is None
    assert image.grad is not None
    assert image.grad.any()


@pytest.mark.parametrize("rubbish", [0.0, 1e4, math.inf, math.nan])
def test_masked_tokens_are_as_if_cut_off(rubbish: float) -> None:
    image, image_mask, text, text_mask = tokens(3)
    padded_image = torch.cat([image, torch.full((3, 2, 5), rubbish)], 1).requires_grad_()
    padded_text = torch.cat([torch.full((3, 1, 5), rubbish), text], 1).requires_grad_()
    no = torch.zeros(3, 2, dtype=torch.bool)
    weights = torch.rand(3, 4)
    found = token_alignment(
        padded_image,
        torch.cat([image_mask, no], 1),
        padded_text,
        torch.cat([no[:, :1], text_mask], 1),
        0.1,
        torch.cat([weights, torch.full((3, 2), rubbish)], 1),
    )
    torch.testing.assert_close(found, token_alignment(image, image_mask, text, text_mask, 0.1, weights))
    found.backward()
    assert padded_image.grad is not None
    assert padded_text.grad is not None
    assert not padded_image.grad[:, 4:].any()
    assert not padded_text.grad[:, 0].any()
    assert padded_image.grad[:, :4].isfinite().all()
    assert padded_image.grad[:, :4].any()


def test_cases_missing_a_modality_are_left_out() -> None:
    image, image_mask, text, text_mask = tokens(4)
    whole = token_alignment(image[:1], image_mask[:1], text[:1], text_mask[:1], 0.2)
    image_mask[1], text_mask[2] = False, False
    image[1], text[2] = 0, 0
    image.requires_grad_()
    found = token_alignment(image, image_mask, text, text_mask, 0.2)
    torch.testing.assert_close(found, whole)
    found.backward()
    assert image.grad is not None
    assert image.grad[0].any()
    assert not image.grad[1:].any()


@pytest.mark.parametrize("cases", [0, 1, 3])
def test_no_pair_at_all_is_an_exact_zero_with_gradient(cases: int) -> None:
    image, image_mask, text, text_mask = tokens(5, cases)
    image.requires_grad_()
    text.requires_grad_()
    loss = token_alignment(image, image_mask, text, torch.zeros_like(text_mask), 0.1)
    loss.backward()
    assert loss.item() == 0
    for one in (image, text):
        assert one.grad is not None
        assert torch.equal(one.grad, torch.zeros_like(one))


def test_one_token_each_has_nothing_to_contrast() -> None:
    assert token_alignment(*tokens(6, patches=1, words=1), 0.1).item() == pytest.approx(0, abs=1e-6)


def test_words_that_see_their_own_patch_score_better_than_words_that_see_all_alike() -> None:
    own = 4 * torch.eye(4)[None]
    mask = torch.ones(1, 4, dtype=torch.bool)
    blurred = own.mean(1, keepdim=True).expand(1, 4, 4)
    assert token_alignment(own, mask, own, mask, 0.1) < 0.1
    assert token_alignment(own, mask, blurred, mask, 0.1) > 1


@given(st.permutations(range(3)), st.permutations(range(4)), st.permutations(range(3)))
def test_order_of_cases_and_of_tokens_does_not_matter(cases: list[int], patches: list[int], words: list[int]) -> None:
    image, image_mask, text, text_mask = tokens(7)
    image_mask[0, 1], text_mask[2, 0] = False, False
    weights = torch.linspace(0.1, 1, 12).reshape(3, 4)
    moved = token_alignment(
        image[cases][:, patches],
        image_mask[cases][:, patches],
        text[cases][:, words],
        text_mask[cases][:, words],
        0.2,
        weights[cases][:, patches],
    )
    torch.testing.assert_close(moved, token_alignment(image, image_mask, text, text_mask, 0.2, weights))


def test_gradients_of_token_alignment() -> None:
    image, image_mask, text, text_mask = tokens(8, cases=2, patches=3, words=2, width=3)
    image_mask[0, 2] = False
    inputs = (image.double().requires_grad_(), text.double().requires_grad_())
    assert torch.autograd.gradcheck(lambda v, t: token_alignment(v, image_mask, t, text_mask, 0.5), inputs)
