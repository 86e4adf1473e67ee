"""Attributions of a system whose every weight is known, against what they must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explanation_samples import GRID, PATCH, film, linear, weights_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from index_builder.explanation import Explanation, FindingTarget, Inputs, Method, SimilarityTarget, explain
from index_builder.explanation.maps import pixel_map
from index_builder.explanation.words import merge
from index_builder.systems.backbones.encoders import WordPiece

BRIGHT = FindingTarget("Bright")
TEXT = "Small effusion, no left."


def by_word(found: Explanation) -> dict[str, float]:
    return {word.text: word.weight for word in found.words}


def test_integrated_gradients_give_each_pixel_its_weight_times_its_change() -> None:
    system, pixels = linear(), film()
    found = explain(system, Inputs(pixels), BRIGHT, "integrated-gradients", steps=4)
    blurred = ndimage.gaussian_filter(pixels, 32 / 28)
    exact = weights_of(system) * (pixels - blurred)
    np.testing.assert_allclose(found.image, ndimage.gaussian_filter(exact, 32 / 56), atol=1e-5)
    assert found.score == pytest.approx(float((weights_of(system) * pixels).sum()), rel=1e-5)
    assert found.image is not None
    assert found.image.sum() == pytest.approx(exact.sum(), abs=1e-3)
    assert found.residual == pytest.approx(0, abs=1e-3)
    against = explain(system, Inputs(pixels), FindingTarget("Dark"), "integrated-gradients", steps=4)
    np.testing.assert_allclose(against.image, -found.image, atol=1e-5)


def exact_words() -> dict[str, float]:
    """What the pieces of each word add to the score, less what masked pieces would add."""
    system = linear()
    pieces = system.word_pieces([TEXT])[0]
    with torch.no_grad():
        tokens, _ = system.text_encoder([TEXT])
        values = ((tokens[0] - system.text_encoder.embeddings.weight[1]) @ system.tone).tolist()
    words = {"Small": 0.0, "effusion": 0.0, ",": 0.0, "no": 0.0, "left": 0.0, ".": 0.0}
    for piece, value in zip(pieces, values, strict=True):
        if not piece.special:
            word = next(one for one in words if TEXT.index(one) <= piece.start < TEXT.index(one) + len(one))
            words[word] += value
    return words


def test_integrated_gradients_sum_pieces_to_whole_words_and_leave_special_tokens_out() -> None:
    found = explain(linear(), Inputs(None, TEXT), BRIGHT, "integrated-gradients", steps=4)
    assert by_word(found) == pytest.approx(exact_words(), abs=1e-5)
    assert [TEXT[word.start : word.end] for word in found.words] == [word.text for word in found.words]
    assert found.image is None
    assert found.residual == pytest.approx(0, abs=1e-4)


def test_film_and_text_share_one_path() -> None:
    system, pixels = linear(), film()
    found = explain(system, Inputs(pixels, TEXT), BRIGHT, "integrated-gradients", steps=4)
    alone = explain(system, Inputs(pixels), BRIGHT, "integrated-gradients", steps=4)
    np.testing.assert_allclose(found.image, alone.image, atol=1e-5)
    assert by_word(found) == pytest.approx(exact_words(), abs=1e-4)
    assert found.residual == pytest.approx(0, abs=1e-3)


def test_grad_cam_shows_what_each_patch_adds_to_a_film_of_mean_patches() -> None:
    system, pixels = linear(), film()
    found = explain(system, Inputs(pixels), BRIGHT, "grad-cam")
    mean_patch = pixels.reshape(GRID, PATCH, GRID, PATCH).mean((0, 2))
    departure = weights_of(system) * (pixels - np.tile(mean_patch, (GRID, GRID)))
    added = departure.reshape(GRID, PATCH, GRID, PATCH).sum((1, 3)).clip(0)
    np.testing.assert_allclose(found.image, pixel_map(torch.from_numpy(added.ravel()), 32), atol=1e-5)
    assert (found.layer, found.signed, found.words) == ("patches", False, ())


@pytest.mark.parametrize("inputs", [Inputs(film()), Inputs(None, TEXT), Inputs(film(), TEXT)])
def test_similarity_makes_up_the_score(inputs: Inputs) -> None:
    system = linear()
    other = np.ones(1, np.float32)
    found = explain(system, inputs, SimilarityTarget(other), "similarity")
    assert found.residual == pytest.approx(0, abs=1e-3)
    if found.image is not None:
        patches = system.image_encoder(torch.from_numpy(film())[None])[0]
        exact = ((patches - patches.mean(0)) * system.weights).sum(1).detach()
        np.testing.assert_allclose(found.image, pixel_map(exact, 32), atol=1e-5)


@pytest.mark.parametrize("method", ["integrated-gradients", "similarity"])
def test_words_a_system_ignores_get_nothing(method: Method) -> None:
    system = linear()
    with torch.no_grad():
        system.tone.zero_()
    found = explain(system, Inputs(film(), TEXT), SimilarityTarget(np.ones(1, np.float32)), method)
    assert [word.weight for word in found.words] == [0] * 6
    assert found.image is not None
    assert np.abs(found.image).max() > 0


def test_a_map_keeps_the_sum_of_its_tokens_and_their_places() -> None:
    tokens = torch.zeros(49)
    tokens[3 * 7 + 5] = 2.0
    wide = pixel_map(tokens, 224)
    assert wide.sum() == pytest.approx(2, rel=1e-4)
    row, column = np.unravel_index(wide.argmax(), wide.shape)
    assert (row // 32, column // 32) == (3, 5)


def test_pieces_are_merged_by_their_characters() -> None:
    text = "No pneumo-thorax, it's clear"
    pieces = [
        WordPiece("[CLS]", 0, 0),
        WordPiece("no", 0, 2),
        WordPiece("pneumo", 3, 9),
        WordPiece("-", 9, 10),
        WordPiece("thorax", 10, 16),
        WordPiece(",", 16, 17),
        WordPiece(" it", 17, 20),
        WordPiece("'", 20, 21),
        WordPiece("s clear", 21, 28),
        WordPiece("[SEP]", 0, 0),
    ]
    found = merge(text, pieces, [100, 1, 2, 3, 4, 5, 6, 7, 12, 100, 50, 50])
    assert [(word.text, word.weight) for word in found] == [
        ("No", 1),
        ("pneumo-thorax", 9),
        (",", 5),
        ("it's", pytest.approx(6 + 7 + 12 / 6)),
        ("clear", pytest.approx(12 * 5 / 6)),
    ]
    assert merge(text, pieces[:4], [100, 1, 2, 3])[-1].text == "pneumo-thorax", "words behind the limit are left out"
    assert merge(text, pieces[:2], [100, 1]) == found[:1]


@given(st.text("ab c'-.,é漢", min_size=1, max_size=30), st.integers(1, 4))
def test_merging_keeps_the_sum_whatever_the_text(text: str, length: int) -> None:
    pieces = [
        WordPiece(text[start : start + length], start, min(start + length, len(text)))
        for start in range(0, len(text), length)
    ]
    written = [piece for piece in pieces if piece.text.strip()]
    weights = [float(number + 1) for number in range(len(written))]
    found = merge(text, written, weights)
    assert sum(word.weight for word in found) == pytest.approx(sum(weights))
    assert all(text[word.start : word.end] == word.text for word in found)
    assert not any(character.isspace() for word in found for character in word.text)
