"""Explanations of the three systems, small and untrained, and of the encoders a user may name."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import encoder_samples as samples
import numpy as np
import pytest
import torch
from explanation_samples import film

from index_builder.calibration.voting import vote
from index_builder.errors import Cancelled, ExplanationError
from index_builder.explanation import (
    METHODS,
    Explanation,
    FindingTarget,
    Inputs,
    Method,
    SimilarityTarget,
    Target,
    Voters,
    answering,
    explain,
    layers_of,
    methods_for,
)
from index_builder.explanation.subject import subject, vote_log_odds
from index_builder.explanation.words import merge
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.encoding import normalise
from index_builder.systems.registry import load_system
from index_builder.systems.shipped import default_checkpoint
from index_builder.systems.unified import Unified, UnifiedConfig

TEXT = "Mild cardiomegaly. No pleural effusion, lung clear."
FILM = film(64)
LABEL = {"unified": "Cardiomegaly", "siclip": "Stage 2", "mskpt": "Stage 2"}
GIVEN = [Inputs(FILM), Inputs(None, TEXT), Inputs(FILM, TEXT)]


@pytest.fixture(scope="module", params=["tiny_checkpoint", "tiny_siclip", "tiny_mskpt"])
def system(request: pytest.FixtureRequest) -> RetrievalSystem:
    return load_system(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def unified(tiny_checkpoint: Path) -> RetrievalSystem:
    return load_system(tiny_checkpoint)


def unit_vectors(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def finding(system: RetrievalSystem) -> FindingTarget:
    voters = Voters(unit_vectors(6), np.array([1, 0, 1, 0, 0, 1], bool), 0.1) if system.name == "siclip" else None
    return FindingTarget(LABEL[system.name], voters)


@torch.no_grad()
def score_of(system: RetrievalSystem, inputs: Inputs, target: Target) -> float:
    """The score had from the system by its public methods."""
    image = None if inputs.film is None else system.encode_images(torch.from_numpy(inputs.film)[None])
    text = system.encode_texts([inputs.text]) if inputs.text else None
    if image is not None and text is not None:
        vector = system.join(image, text)
    else:
        one = image if image is not None else text
        assert one is not None
        vector = one.vector
    if isinstance(target, SimilarityTarget):
        return float(vector[0].numpy() @ target.vector)
    probabilities = system.label_probabilities(vector)
    if probabilities is None:
        assert target.voters is not None
        share = vote(
            vector.numpy() @ target.voters.vectors.T, target.voters.carries[:, None], 6, target.voters.temperature
        ).probabilities[0, 0]
    else:
        share = float(probabilities[0, system.config.label_names.index(target.label)])
    return float(np.log(share / (1 - share)))


@pytest.mark.parametrize("inputs", GIVEN)
def test_every_method_explains_the_score_that_users_see(system: RetrievalSystem, inputs: Inputs) -> None:
    for target in (finding(system), SimilarityTarget(unit_vectors(1)[0])):
        methods = methods_for(system, inputs, target)
        assert "attention" in methods
        assert "integrated-gradients" in methods
        assert ("grad-cam" in methods) == (inputs.film is not None)
        assert ("similarity" in methods) == isinstance(target, SimilarityTarget)
        for method in methods:
            found = explain(system, inputs, target, method, steps=8)
            # A vote's odds are those of the voters and of two cases that are like nobody (`vote_log_odds`).
            tolerance = 0.6 if system.name == "siclip" and isinstance(target, FindingTarget) else 1e-3
            assert found.score == pytest.approx(score_of(system, inputs, target), abs=tolerance)
            check_form(found, inputs, method)


def test_a_withheld_method_is_not_offered_but_can_be_measured_again(system: RetrievalSystem) -> None:
    config = system.config
    system.config = config.model_copy(update={"withheld": {"finding": {"joint": ("grad-cam",)}}})
    try:
        film, _, both = GIVEN
        assert "grad-cam" not in methods_for(system, both, finding(system))
        assert "grad-cam" in methods_for(system, film, finding(system))
        assert "grad-cam" in methods_for(system, both, SimilarityTarget(unit_vectors(1)[0]))
        assert answering(system, both, finding(system)) == METHODS[:3]
        assert explain(system, both, finding(system), "grad-cam").image is not None
    finally:
        system.config = config


@pytest.mark.parametrize("name", ["unified", "siclip", "mskpt"])
def test_shipped_systems_keep_a_method_for_every_question(name: str) -> None:
    withheld = load_system(default_checkpoint(name)).config.withheld
    for asked, of_space in withheld.items():
        for space, methods in of_space.items():
            known = {"attention", "integrated-gradients"} | ({"grad-cam"} if space != "text" else set())
            assert set(methods) < known | ({"similarity"} if asked == "likeness" else set())


def check_form(found: Explanation, inputs: Inputs, method: Method) -> None:
    assert found.method == method
    assert (found.image is not None) == (inputs.film is not None)
    if found.image is not None:
        assert found.image.shape == (64, 64)
        assert found.image.dtype == np.float32
        assert np.isfinite(found.image).all()
        assert found.signed or found.image.min() >= 0
        # What an untrained system's patches add may all be negative, which Grad-CAM leaves out.
        assert method == "grad-cam" or np.ptp(found.image) > 0
    assert bool(found.words) == bool(inputs.text and method != "grad-cam")
    if found.words:
        words = ["Mild", "cardiomegaly", ".", "No", "pleural", "effusion", ",", "lung", "clear", "."]
        assert [word.text for word in found.words] == words
        assert [TEXT[word.start : word.end] for word in found.words] == words
        assert np.ptp([word.weight for word in found.words]) > 0


@pytest.mark.parametrize("inputs", GIVEN)
def test_decompositions_are_complete(system: RetrievalSystem, inputs: Inputs) -> None:
    other = SimilarityTarget(unit_vectors(1)[0])
    path = explain(system, inputs, other, "integrated-gradients", steps=64)
    tokens = explain(system, inputs, other, "similarity")
    assert path.residual == pytest.approx(0, abs=0.02)
    assert tokens.residual == pytest.approx(0, abs=0.005)


def test_the_system_is_left_as_it_was(system: RetrievalSystem) -> None:
    flags = [parameter.requires_grad for parameter in system.parameters()]
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    system.train()
    modes = [module.training for module in system.modules()]
    for inputs in GIVEN:
        for method in methods_for(system, inputs, finding(system)):
            explain(system, inputs, finding(system), method, steps=4)
    assert [module.training for module in system.modules()] == modes
    system.eval()
    assert [parameter.requires_grad for parameter in system.parameters()] == flags
    assert all(parameter.grad is None for parameter in system.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in system.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in system.modules())


def test_explanations_do_not_disturb_searches_nor_one_another(unified: RetrievalSystem) -> None:
    expected = {
        method: explain(unified, GIVEN[2], finding(unified), method, steps=8) for method in get_args(Method)[:3]
    }
    with torch.no_grad():
        vector = unified.encode_texts([TEXT]).vector
    errors: list[BaseException] = []

    def run(method: Method) -> None:
        try:
            for _ in range(3):
                found = explain(unified, GIVEN[2], finding(unified), method, steps=8)
                np.testing.assert_array_equal(found.image, expected[method].image)
                assert found.words == expected[method].words
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(method,)) for method in expected for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with torch.no_grad():
            assert torch.equal(unified.encode_texts([TEXT]).vector, vector)
    assert not errors


def test_a_trained_copy_of_the_weights_is_what_is_explained(tiny_checkpoint: Path) -> None:
    system: Any = load_system(tiny_checkpoint)
    before = explain(system, GIVEN[0], finding(system), "attention")
    with torch.no_grad():
        system.classifier.weight.neg_()
        system.classifier.bias.neg_()
    after = explain(system, GIVEN[0], finding(system), "attention")
    assert after.score == pytest.approx(-before.score, abs=1e-5)
    np.testing.assert_allclose(after.image, -before.image, atol=1e-6)


def test_progress_is_told_and_can_stop(unified: RetrievalSystem) -> None:
    told: list[tuple[int, int]] = []
    explain(unified, GIVEN[2], finding(unified), "integrated-gradients", steps=20, progress=lambda *at: told.append(at))
    assert told[0] == (0, 20)
    assert told[-1] == (20, 20)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    with pytest.raises(Cancelled, match="again"):
        explain(
            unified,
            GIVEN[2],
            finding(unified),
            "integrated-gradients",
            steps=20,
            progress=lambda done, _: done < 8,
        )
    assert explain(unified, GIVEN[2], finding(unified), "integrated-gradients", steps=4).words


def test_padding_changes_nothing(unified: RetrievalSystem) -> None:
    """A text that shares a batch with a longer one is scored, and its embeddings are varied, as if it were alone."""
    target = finding(unified)
    with subject(unified, GIVEN[1], target) as case, torch.no_grad():
        alone = case.score(None, case.system.encode_texts([TEXT]))
        padded = case.score(None, case.system.encode_texts([TEXT, f"{TEXT} {TEXT}"]).take(torch.tensor([0])))
    torch.testing.assert_close(padded, alone)


def test_attention_of_a_pair_is_what_towers_and_fused_tokens_give(unified: Any) -> None:
    """Attention × value × gradient of three pools, worked out with them taken apart; the shares of two are added."""
    found = explain(unified, GIVEN[2], finding(unified), "attention")
    assert found.signed
    with torch.no_grad():
        held = [unified.encode_images(torch.from_numpy(FILM)[None]), unified.encode_texts([TEXT])]
        fused, mask, _ = unified.fusion(*((one.tokens, one.mask) for one in held))
        pools = [unified.image_tower.pool, unified.text_tower.pool, unified.joint_pool]
        read = [(one.tokens, one.mask) for one in held] + [(fused, mask)]
        weights = [pool.attention(*one) for pool, one in zip(pools, read, strict=True)]
        values = [pool.value(pool.norm(one[0])) for pool, one in zip(pools, read, strict=True)]
    gathered = [(one @ value).requires_grad_() for one, value in zip(weights, values, strict=True)]
    image, text, both = (pool.out(one.flatten(1)) for pool, one in zip(pools, gathered, strict=True))
    mean = normalise(normalise(image) + normalise(text))
    score = unified.label_logits(normalise(mean + normalise(both)))[0, unified.config.label_names.index("Cardiomegaly")]
    assert found.score == pytest.approx(score.item(), abs=1e-4)
    gradients = torch.autograd.grad(score, gathered)
    shares = [torch.einsum("bqt,btd,bqd->t", *one).numpy() for one in zip(weights, values, gradients, strict=True)]
    patches = len(shares[0])
    pieces = unified.word_pieces([TEXT])[0]
    of_text = shares[1] + shares[2][patches:]
    assert found.image is not None
    assert found.image.sum() == pytest.approx(float((shares[0] + shares[2][:patches]).sum()), rel=1e-2, abs=1e-4)
    words = merge(TEXT, pieces, of_text.tolist())
    assert [word.weight for word in found.words] == pytest.approx([word.weight for word in words], abs=1e-5)


def test_attention_of_a_film_is_what_its_pooling_gathers(unified: Any) -> None:
    """Share of a token = sum over queries of attention × value × gradient, worked out with the pool taken apart."""
    found = explain(unified, GIVEN[0], finding(unified), "attention")
    tower = unified.image_tower
    with torch.no_grad():
        tokens = unified.encode_images(torch.from_numpy(FILM)[None]).tokens
        weights = tower.pool.attention(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))
        values = tower.pool.value(tower.pool.norm(tokens))
    gathered = (weights @ values).requires_grad_()
    vector = torch.nn.functional.normalize(tower.pool.out(gathered.flatten(1)), dim=-1)
    score = unified.label_logits(vector)[0, unified.config.label_names.index("Cardiomegaly")]
    gradient = torch.autograd.grad(score, gathered)[0]
    shares = torch.einsum("bqt,btd,bqd->t", weights, values, gradient)
    edge = round(len(shares) ** 0.5)
    assert found.image is not None
    blocks = found.image.reshape(edge, 64 // edge, edge, 64 // edge).sum((1, 3))
    assert np.corrcoef(blocks.ravel(), shares)[0, 1] > 0.9
    assert found.image.sum() == pytest.approx(float(shares.sum()), rel=1e-2, abs=1e-4)


def test_a_unanimous_vote_still_has_odds() -> None:
    vectors = torch.from_numpy(unit_vectors(1)).requires_grad_()
    voters = Voters(unit_vectors(4, seed=1), np.ones(4, bool), 0.05)
    odds = vote_log_odds(vectors, voters)
    assert torch.isfinite(odds).all()
    assert torch.autograd.grad(odds.sum(), vectors)[0].abs().sum() > 0
    nobody = vote_log_odds(vectors, replace(voters, carries=np.zeros(4, bool)))
    torch.testing.assert_close(nobody, -odds)


def test_odds_of_a_stage_go_on_growing_where_it_is_certain(tiny_mskpt: Path) -> None:
    system: Any = load_system(tiny_mskpt)
    with torch.no_grad():
        vectors = torch.from_numpy(unit_vectors(5))
        probabilities = system.label_probabilities(vectors).double()
        torch.testing.assert_close(
            system.label_log_odds(vectors).double(), torch.logit(probabilities), atol=1e-4, rtol=0
        )
        system.classifier.weight.mul_(500)
        certain = system.label_log_odds(vectors)
    assert torch.isfinite(certain).all()
    assert certain.max() > 12


def test_what_does_not_fit_is_refused_with_a_remedy(unified: RetrievalSystem, tiny_siclip: Path) -> None:
    target = finding(unified)
    cases: list[tuple[Any, Any, Any, dict[str, Any], str]] = [
        (Inputs(None, "  "), target, "attention", {}, "film or a text"),
        (Inputs(None, TEXT), target, "grad-cam", {}, "Choose one of: attention, integrated-gradients"),
        (Inputs(FILM), target, "similarity", {}, "Choose one of"),
        (Inputs(FILM), target, "magic", {}, "Choose one of"),
        (Inputs(film(32)), target, "attention", {}, r"\(32, 32\).*64 by 64"),
        (Inputs(FILM), FindingTarget("Nothing"), "attention", {}, "Known: Cardiomegaly, Normal"),
        (Inputs(FILM), SimilarityTarget(np.ones(3, np.float32)), "similarity", {}, "have 16 numbers"),
        (Inputs(FILM), target, "grad-cam", {"layer": "layer9"}, "Choose one of"),
    ]
    for inputs, asked, method, options, message in cases:
        with pytest.raises(ExplanationError, match=message):
            explain(unified, inputs, asked, method, **options)
    with pytest.raises(ExplanationError, match="voting cases"):
        explain(load_system(tiny_siclip), Inputs(FILM), FindingTarget("Stage 1"), "attention")


def test_every_stage_can_be_looked_at(unified: RetrievalSystem) -> None:
    layers = layers_of(unified)
    assert layers == tuple(unified.image_stages())
    maps = [explain(unified, GIVEN[0], finding(unified), "grad-cam", layer=layer) for layer in layers]
    assert [one.layer for one in maps] == list(layers)
    assert explain(unified, GIVEN[0], finding(unified), "grad-cam").layer == layers[-1]
    # The same score whichever stage is looked at; a hook changes the last bit of a float32 on some machines.
    assert [one.score for one in maps] == pytest.approx([maps[0].score] * len(maps), rel=1e-5)


def test_stages_behind_a_pyramid_are_left_out(tiny_settings: dict[str, Any]) -> None:
    torch.manual_seed(0)  # of weights drawn otherwise a map may be nowhere positive
    settings = tiny_settings | {"image_encoder": "package:efficientnet-lite0", "pyramid_width": 8}
    system = Unified(UnifiedConfig(**settings, fusion_layers=0, label_names=("Cardiomegaly",))).eval()
    layers = layers_of(system)
    assert layers[-1] == "pyramid"
    assert "conv_head" not in layers
    for layer in (None, layers[0]):
        found = explain(system, GIVEN[0], FindingTarget("Cardiomegaly"), "grad-cam", layer=layer)
        assert found.image is not None
        assert found.image.max() > 0


def encoders(folder: Path) -> dict[str, tuple[str, int]]:
    """Sources and film sizes by kind: with class token, with registers, channels last, tuples, plain maps."""
    samples.save_timm_swin(folder / "timm-swin")
    samples.save_clip(folder / "clip")
    for kind in ("registers", "swin", "convnext"):
        samples.save_vision(kind, folder / kind)
    return {
        "timm-swin": (f"timm:local-dir:{folder / 'timm-swin'}", 64),
        "clip": (f"hub:{folder / 'clip'}", 32),
        "registers": (f"hub:{folder / 'registers'}", 28),
        "swin": (f"hub:{folder / 'swin'}", 64),
        "convnext": (f"hub:{folder / 'convnext'}", 64),
    }


@pytest.mark.parametrize("kind", ["timm-swin", "clip", "registers", "swin", "convnext"])
def test_grad_cam_finds_the_patches_of_any_encoder(kind: str, tmp_path: Path, tiny_settings: dict[str, Any]) -> None:
    """At every stage; at the last it points at the one patch that is read, since no other has a gradient."""
    source, size = encoders(tmp_path)[kind]
    torch.manual_seed(0)
    settings = tiny_settings | {"image_encoder": source, "image_size": size}
    system: Any = Unified(UnifiedConfig(**settings, fusion_layers=0, label_names=("Cardiomegaly",))).eval()
    with torch.no_grad():
        count = system.image_encoder(torch.from_numpy(film(size))[None]).shape[1]
    only, edge = count - 2, round(count**0.5)
    keep = torch.zeros(1, count, 1)
    keep[0, only] = 1
    system.image_tower.register_forward_pre_hook(lambda module, given: (given[0] * keep, *given[1:]))
    for layer in layers_of(system):
        heat = either_sign(system, film(size), layer)
        assert heat.shape == (size, size)
        assert heat.max() > 0
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    assert (row * edge // size, column * edge // size) == divmod(only, edge)


def either_sign(system: Any, pixels: np.ndarray, layer: str) -> np.ndarray:
    """Grad-CAM of likeness to another case and of unlikeness: one of both is positive wherever there is a gradient."""
    targets = [SimilarityTarget(sign * unit_vectors(1)[0]) for sign in (1, -1)]
    maps = [explain(system, Inputs(pixels), target, "grad-cam", layer=layer).image for target in targets]
    return np.max(np.stack([one for one in maps if one is not None]), axis=0)


def test_a_text_encoder_of_the_clip_kind_is_explained_in_whole_words(
    tmp_path: Path, tiny_settings: dict[str, Any]
) -> None:
    samples.save_clip(tmp_path)
    torch.manual_seed(0)
    settings = tiny_settings | {"text_encoder": f"hub:{tmp_path}", "image_encoder": "package:efficientnet-lite0"}
    system = Unified(UnifiedConfig(**settings, fusion_layers=0, label_names=("Cardiomegaly",))).eval()
    for method in ("attention", "integrated-gradients"):
        found = explain(system, Inputs(None, "The heart is large"), FindingTarget("Cardiomegaly"), method, steps=32)
        assert [word.text for word in found.words] == ["The", "heart", "is", "large"]
        if method == "integrated-gradients":
            assert found.residual == pytest.approx(0, abs=0.05)
