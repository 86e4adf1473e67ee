"""Encoders converted for ONNX Runtime: the same vectors for any batch, and gradients where they are asked for."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import encoder_samples as samples
import numpy as np
import pytest
import torch
from tiny_samples import save_text_encoder

from index_builder.evaluation.faithfulness.randomisation import randomised
from index_builder.systems import SYSTEMS
from index_builder.systems.backbones import runtime as module
from index_builder.systems.backbones.encoders import ImageEncoder, TextEncoder
from index_builder.systems.backbones.runtime import accelerate
from index_builder.systems.backbones.session import Session
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.registry import load_accelerated, load_system
from index_builder.systems.shipped import default_checkpoint

TEXTS = ["clear", "Small left effusion. Heart size is normal.", "no pneumothorax " * 200]


@pytest.fixture(scope="module")
def films() -> torch.Tensor:
    return torch.rand(5, 224, 224, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def fast() -> RetrievalSystem:
    return load_accelerated(default_checkpoint("unified"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_shipped_systems_give_the_same_vectors_and_tokens(name: str, films: torch.Tensor) -> None:
    eager, fast = load_system(default_checkpoint(name)), load_accelerated(default_checkpoint(name))
    assert fast.image_encoder.session is not None
    assert fast.text_encoder.session is not None
    with torch.inference_mode():
        pairs = [(one.encode_images(films), one.encode_texts(TEXTS)) for one in (eager, fast)]
    for ours, theirs in zip(pairs[1], pairs[0], strict=True):
        np.testing.assert_allclose(ours.vector.numpy(), theirs.vector.numpy(), atol=1e-4)
        assert (ours.mask == theirs.mask).all()
        scale = float(theirs.tokens.abs().max())
        np.testing.assert_allclose(ours.tokens[ours.mask].numpy(), theirs.tokens[ours.mask].numpy(), atol=1e-3 * scale)


def test_a_film_gives_the_same_bits_from_any_thread(fast: RetrievalSystem, films: torch.Tensor) -> None:
    def maps(_: int) -> list[np.ndarray]:
        with torch.inference_mode():
            return [found.numpy() for found in fast.image_encoder.features(films)]

    expected = maps(0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(maps, range(12)):
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_gradients_come_from_pytorch(
    fast: RetrievalSystem, films: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Session] = []
    run = Session.__call__
    monkeypatch.setattr(Session, "__call__", lambda self, *inputs: ran.append(self) or run(self, *inputs))
    film = films[:1].clone().requires_grad_()
    fast.encode_images(film).vector.sum().backward()
    assert film.grad is not None
    assert film.grad.abs().sum() > 0
    assert not ran
    with torch.inference_mode():
        fast.encode_images(films[:1])
        fast.encode_texts(["clear"])
    assert ran == [fast.image_encoder.session, fast.text_encoder.session]


def test_shuffled_copies_do_not_answer_with_the_old_weights(fast: RetrievalSystem, films: torch.Tensor) -> None:
    with torch.inference_mode():
        whole = fast.encode_images(films).vector
        shuffled = dict(randomised(fast, 0))["encoders"].encode_images(films).vector
        assert float((whole * shuffled).sum(1).max()) < 0.9
        np.testing.assert_array_equal(fast.encode_images(films).vector.numpy(), whole.numpy())


def test_what_cannot_be_converted_stays_in_pytorch_and_is_named(
    films: torch.Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    system = load_system(default_checkpoint("unified"))
    with torch.inference_mode():
        expected = system.encode_images(films[:2]).vector

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no such operator: roll\nand more")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with caplog.at_level(logging.WARNING):
        accelerate(system)
    assert system.image_encoder.session is None
    assert system.text_encoder.session is None
    assert "the image encoder stays in PyTorch" in caplog.text
    assert "no such operator: roll)" in caplog.text
    with torch.inference_mode():
        np.testing.assert_array_equal(system.encode_images(films[:2]).vector.numpy(), expected.numpy())


def test_an_encoder_that_comes_out_otherwise_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    system = load_system(default_checkpoint("unified"))
    run = Session.__call__
    monkeypatch.setattr(Session, "__call__", lambda self, *inputs: [1.01 * one for one in run(self, *inputs)])
    with caplog.at_level(logging.WARNING):
        accelerate(system)
    assert system.image_encoder.session is None
    assert "differs by 1.0e-02 of the largest value" in caplog.text


@pytest.mark.parametrize(
    ("name", "size"), [("test_resnet", 64), ("test_vit", 96), ("swin_tiny_patch4_window7_224", 224)]
)
def test_other_film_encoders_convert_too(name: str, size: int) -> None:
    encoder = ImageEncoder(f"timm:{name}", size, pretrained=False).eval()
    some, more = torch.rand(2, size, size), torch.rand(3, size, size)
    encoder.session = module._converted("image", module._Films(encoder), ((some,), (more,)), [{0: "films"}])
    assert encoder.session is not None
    with torch.inference_mode():
        np.testing.assert_allclose(encoder(more).numpy(), encoder.eager_features(more)[0].numpy(), atol=1e-3)


@pytest.mark.parametrize("kind", ["bert", "clip"])
def test_text_encoders_of_the_hub_convert_too(kind: str, tmp_path: Path) -> None:
    save_text_encoder(tmp_path) if kind == "bert" else samples.save_clip(tmp_path)
    encoder = TextEncoder(f"hub:{tmp_path}", pretrained=True).eval()
    some, more = encoder.tokenize(["the", "no"]), encoder.tokenize(["the heart", "", "no effusion"])
    axes = [{0: "texts", 1: "pieces"}] * 2
    encoder.session = module._converted("text", module._Words(encoder), (some, more), axes)
    assert encoder.session is not None
    expected, mask = encoder(["clear", "the left lung"])
    with torch.inference_mode():
        found, _ = encoder(["clear", "the left lung"])
    np.testing.assert_allclose(found[mask].numpy(), expected[mask].detach().numpy(), atol=1e-4)
