"""Published encoders as they are: vectors of films and texts equal those of the encoder's own library.

All have random weights and a few thousand parameters, in the files that the libraries themselves write.
"""

from __future__ import annotations

import importlib
import shutil
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import encoder_samples as samples
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from index_builder.errors import ExplanationError, ImagingError, ModelError
from index_builder.explanation.base import FindingTarget, Inputs, SimilarityTarget
from index_builder.explanation.explain import answering, explain, layers_of
from index_builder.imaging import Framing, framed, framed_geometry
from index_builder.systems.backbones.catalogue import ENCODERS, require_consent
from index_builder.systems.backbones.published_text import places
from index_builder.systems.frozen import Frozen
from index_builder.systems.registry import load_system
from index_builder.systems.running.export import write_graphs
from index_builder.systems.running.opening import open_encoder
from index_builder.systems.shipped import listed_systems

TOLERANCE = 1e-5
SHAPES = ((70, 61), (48, 83), (33, 33))
TEXTS = ["the heart is large", "clear lungs"]


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def grey_film(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """An eight-bit film with shadows of several sizes."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (6, 5), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC))


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True)


@torch.inference_mode()
def vector_of(system: Frozen, film: NDArray[np.uint8]) -> Tensor:
    prepared = system.prepare(film.astype(np.float32) / 255)
    return system.encode_images(torch.from_numpy(prepared)[None]).vector


Given = tuple[Any, Callable[[Tensor], Tensor], Any]


def clip(folder: Path) -> Given:
    model = samples.save_clip(folder)
    shorter = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
    processor = samples.save_processor("CLIPImageProcessor", folder, **shorter)
    return model, lambda pixels: model.get_image_features(pixel_values=pixels).pooler_output, processor


def siglip(folder: Path) -> Given:
    model = samples.save_siglip(folder)
    processor = samples.save_processor("SiglipImageProcessor", folder, size={"height": 32, "width": 32}, resample=2)
    return model, lambda pixels: model.get_image_features(pixel_values=pixels).pooler_output, processor


def rad_dino(folder: Path, kind: str = "dinov2") -> Given:
    model = samples.save_vision(kind, folder)
    settings: dict[str, Any] = {"size": {"shortest_edge": 31}, "crop_size": {"height": 28, "width": 28}}
    settings |= {"image_mean": [0.53] * 3, "image_std": [0.25] * 3}
    processor = samples.save_processor("BitImageProcessor", folder, **settings)
    return model, lambda pixels: model(pixel_values=pixels).pooler_output, processor


def vit(folder: Path) -> Given:
    model = samples.save_vision("vit", folder)
    processor = samples.save_processor("ViTImageProcessor", folder, size={"height": 32, "width": 32})
    return model, lambda pixels: model.vit(pixel_values=pixels).last_hidden_state[:, 0], processor


def by_pillow(folder: Path) -> Given:
    model = samples.save_vision("convnext", folder)
    processor = samples.save_processor("ViTImageProcessorPil", folder, size={"height": 64, "width": 64})
    return model, lambda pixels: model(pixel_values=pixels).pooler_output, processor


KINDS: dict[str, Callable[[Path], Given]] = {
    "clip": clip,
    "siglip": siglip,
    "rad-dino": rad_dino,
    "registers": lambda folder: rad_dino(folder, "registers"),
    "vit": vit,
    "pillow": by_pillow,
}


@pytest.mark.parametrize("kind", KINDS)
def test_films_have_the_vectors_that_transformers_gives_them(tmp_path: Path, kind: str) -> None:
    _, vector, processor = KINDS[kind](tmp_path)
    system = Frozen.published(f"hub:{tmp_path}")
    for shape in SHAPES:
        film = grey_film(shape)
        pixels = processor(Image.fromarray(film).convert("RGB"), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            expected = unit(vector(pixels))
        found = vector_of(system, film)
        assert found.shape == (1, system.config.embedding_dim)
        torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("kind", "options"), [("clip", {"padding": True}), ("siglip", {"padding": "max_length"})])
def test_texts_have_the_vectors_that_transformers_gives_them(
    tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    model = KINDS[kind](tmp_path)[0]
    tokenizer = samples.transformers().AutoTokenizer.from_pretrained(tmp_path)
    options |= {"max_length": model.config.text_config.max_position_embeddings, "truncation": True}
    system = Frozen.published(f"hub:{tmp_path}")
    for texts in (TEXTS, ["the heart is large " * 30]):
        with torch.inference_mode():
            given = tokenizer(texts, return_tensors="pt", **options)
            expected = unit(model.get_text_features(**given).pooler_output)
            found = system.encode_texts(texts)
        torch.testing.assert_close(found.vector, expected, atol=TOLERANCE, rtol=0)
    pieces = system.word_pieces(TEXTS)
    with torch.inference_mode():
        assert system.encode_texts(TEXTS).mask.sum(1).tolist() == [len(one) for one in pieces]
    assert "".join(TEXTS[0][one.start : one.end] for one in pieces[0]).replace(" ", "") == "theheartislarge"


@pytest.mark.parametrize("kind", ["test_resnet", "test_vit"])
def test_films_have_the_vectors_that_timm_gives_them(tmp_path: Path, kind: str) -> None:
    timm = importlib.import_module("timm")
    torch.manual_seed(0)
    model = timm.create_model(kind, num_classes=3).eval()
    timm.models.save_for_hf(model, str(tmp_path), safe_serialization=True)
    system = Frozen.published(f"timm:local-dir:{tmp_path}")
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    for shape in ((300, 241), (230, 400)):
        film = grey_film(shape)
        with torch.inference_mode():
            pixels = transform(Image.fromarray(film).convert("RGB"))[None]
            expected = unit(model.forward_head(model.forward_features(pixels), pre_logits=True))
        torch.testing.assert_close(vector_of(system, film), expected, atol=TOLERANCE, rtol=0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_torchxrayvision_tells_its_own_eighteen_findings(home: Path) -> None:
    xrv = importlib.import_module("torchxrayvision")
    model = samples.save_xrv(home)
    system = Frozen.published("xrv:densenet121-res224-all")
    assert len(system.config.label_names) == 18
    assert {"Cardiomegaly", "Effusion", "Lung Opacity"} < set(system.config.label_names)
    film = grey_film((300, 241))
    prepared = xrv.utils.normalize(film, 255)[None]
    for step in (xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(224)):
        prepared = step(prepared)
    with torch.inference_mode():
        pixels = torch.from_numpy(prepared)[None]
        features, told = model.features2(pixels), model(pixels)
        found = vector_of(system, film)
        torch.testing.assert_close(unit(system.features_of(found)), unit(features), atol=TOLERANCE, rtol=0)
        probabilities = system.label_probabilities(found)
    assert probabilities is not None
    order = [list(model.targets).index(name) for name in system.config.label_names]
    torch.testing.assert_close(probabilities, told[:, order], atol=1e-4, rtol=0)
    other = vector_of(system, grey_film((80, 90)))
    with torch.inference_mode():
        moved = float((found * other).sum() - (unit(system.features_of(found)) * unit(system.features_of(other))).sum())
    assert abs(moved) < 1e-3  # what the further coordinate does to a cosine
    shutil.rmtree(home / ".torchxrayvision")
    with pytest.raises(ModelError, match="cannot be downloaded"):
        Frozen.published("xrv:densenet121-res224-all")


@pytest.mark.parametrize("kind", ["clip", "siglip", "rad-dino"])
def test_a_saved_system_needs_its_source_no_more(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "source")
    system = Frozen.published(f"hub:{tmp_path}/source", "MIT")
    system.save(tmp_path / "saved", portable=True)
    shutil.rmtree(tmp_path / "source")
    film = grey_film(SHAPES[0])
    opened = load_system(tmp_path / "saved")
    assert isinstance(opened, Frozen)
    assert opened.config.licence == "MIT"
    # Weights are kept in half precision.
    torch.testing.assert_close(vector_of(opened, film), vector_of(system, film), atol=5e-3, rtol=0)
    record = write_graphs(opened, tmp_path / "saved")
    assert set(record.in_torch) == {"framing"}  # everything was converted; torchvision reduces the films
    encoder = open_encoder(tmp_path / "saved")
    assert not encoder.in_torch
    seen = encoder.encode_films(encoder.prepare(film.astype(np.float32) / 255)[None])
    np.testing.assert_allclose(seen.vectors, vector_of(opened, film).numpy(), atol=1e-4)
    assert seen.tokens is None
    if system.text_encoder is None:
        return
    with torch.inference_mode():
        words = opened.encode_texts(TEXTS)
        torch.testing.assert_close(words.vector, system.encode_texts(TEXTS).vector, atol=5e-3, rtol=0)
        joint = opened.join(None, words).numpy()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS).vectors, words.vector.numpy(), atol=1e-4)
    np.testing.assert_allclose(encoder.join(None, encoder.encode_texts(TEXTS)), joint, atol=1e-4)


@pytest.mark.parametrize("kind", ["clip", "siglip", "rad-dino"])
def test_films_and_texts_are_explained(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path)
    system = Frozen.published(f"hub:{tmp_path}")
    film = system.prepare(grey_film(SHAPES[0]).astype(np.float32) / 255)
    target = SimilarityTarget(vector_of(system, grey_film(SHAPES[1]))[0].numpy())
    inputs = Inputs(film, TEXTS[0] if system.text_encoder is not None else "")
    assert answering(system, inputs, target) == ("grad-cam", "integrated-gradients")
    # Of a class token's last stage patches have no gradient: of its four stages, three are offered.
    assert len(layers_of(system)) == 3
    gradients = explain(system, Inputs(film), target, "grad-cam")
    assert gradients.image is not None
    assert gradients.image.max() > 0
    whole = explain(system, inputs, target, "integrated-gradients", steps=32)
    assert whole.residual is not None
    assert abs(whole.residual) < 0.02
    assert [one.text for one in whole.words] == inputs.text.split()
    with pytest.raises(ExplanationError, match="knows no label"):
        explain(system, inputs, FindingTarget("Effusion"), "grad-cam")


def test_an_encoder_of_films_refuses_texts(tmp_path: Path) -> None:
    rad_dino(tmp_path)
    system = Frozen.published(f"hub:{tmp_path}")
    with pytest.raises(ModelError, match="reads films, not texts"):
        system.encode_texts(TEXTS)
    assert system.label_logits(torch.zeros(1, system.config.embedding_dim)) is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"do_resize": False}, "prepares images in a way that is not known"),
        ({"size": {"height": 32, "width": 28}}, "prepares images in a way that is not known"),
        ({"rescale_factor": 1.0}, "prepares images in a way that is not known"),
    ],
)
def test_preprocessing_that_is_not_understood_is_refused(tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    samples.save_vision("vit", tmp_path)
    samples.save_processor("ViTImageProcessor", tmp_path, **({"size": {"height": 32, "width": 32}} | settings))
    with pytest.raises(ModelError, match=told):
        Frozen.published(f"hub:{tmp_path}")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("rad-dino", "unknown encoder 'rad-dino'.*systems"),
        ("hub:/no/such/folder", "/no/such/folder.*connection to the hub"),
        ("timm:no_such_model", "no_such_model"),
        ("xrv:resnet50-res512-all", "torchxrayvision has: .*densenet121-res224-nih"),
    ],
)
def test_encoders_that_cannot_be_had_are_named(source: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        Frozen.published(source)


def test_licences_are_asked_for_where_they_are_not_free(tmp_path: Path) -> None:
    assert require_consent("hub:microsoft/rad-dino", False).name == "MIT"
    for source in ("hub:google/medsiglip-448", "hub:StanfordAIMI/XraySigLIP__vit-b-16-siglip-512__webli"):
        with pytest.raises(ModelError, match="agree with --accept-licence"):
            require_consent(source, False)
        assert require_consent(source, True).use != "free"
    with pytest.raises(ModelError, match="does not state its licence"):
        require_consent(f"hub:{tmp_path}", False)
    for stated, free in (("mit", True), ("cc-by-nc-sa-4.0", False), ("other", False), ("cc-by-4.0", True)):
        (tmp_path / "README.md").write_text(f"---\ntags:\n- x-ray\nlicense: {stated}\n---\n# Card\n")
        assert (require_consent(f"hub:{tmp_path}", True).use == "free") is free
        assert require_consent(f"hub:{tmp_path}", True).name == stated


def test_what_is_listed_can_be_asked_for() -> None:
    listed = listed_systems()
    assert [one.name for one in listed[:3]] == ["unified", "siclip", "mskpt"]
    assert {one.source for one in ENCODERS} == {one.name for one in listed if one.kind == "frozen"}
    assert all(one.licence and one.size and one.reads for one in listed)


framings = st.builds(
    Framing,
    library=st.sampled_from(["torchvision", "pillow", "scikit-image"]),
    edge=st.integers(16, 24),
    stretched=st.booleans(),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)


@given(framings, st.integers(1, 60), st.integers(1, 60))
def test_any_film_comes_to_the_size_asked_for(framing: Framing, rows: int, columns: int) -> None:
    film = np.random.default_rng(rows).random((rows, columns), np.float32)
    found = framed(film, 16, framing)
    assert found.shape == (16, 16)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    geometry = framed_geometry(film, 16, framing)
    top, left, bottom, right = geometry.crop
    assert 0 <= top < bottom <= max(rows, 1)
    assert 0 <= left < right <= max(columns, 1)
    assert geometry.paste == (0, 0, 16, 16)


def test_the_middle_of_a_wide_film_is_what_is_seen() -> None:
    film = np.zeros((40, 80), np.float32)
    film[10:30, 30:50] = 1
    for library in ("torchvision", "pillow", "scikit-image"):
        framing = Framing.model_validate({"library": library, "edge": 20})
        assert framed_geometry(film, 20, framing).crop == (0, 20, 40, 60)
        assert framed(film, 20, framing)[6:14, 6:14].min() > 0.9
    with pytest.raises(ImagingError, match="finite"):
        framed(film * np.nan, 20, framing)


@given(st.text("the heart▁ .,é", max_size=30), st.lists(st.sampled_from(["▁the", "heart", "</s>", ".", "▁"])))
def test_pieces_are_found_in_order_or_not_at_all(text: str, pieces: list[str]) -> None:
    found = [one for one in places(text, pieces, {"</s>"}) if not one.special]
    assert all(text[one.start : one.end].lower() == one.text.replace("▁", "") for one in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


@pytest.mark.parametrize("pickled", [True, False], ids=["bin", "safetensors"])
def test_open_clip_s_films_and_texts(
    tmp_path: Path, tiny_text_encoder: Path, pickled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    open_clip = pytest.importorskip("open_clip", reason="needs the extra `encoders`")
    model, transform = samples.save_open_clip(tmp_path / "clip", tiny_text_encoder, pickled=pickled)
    system = Frozen.published(f"open_clip:local-dir:{tmp_path}/clip", "MIT")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path}/clip")
    for shape in ((300, 241), (170, 400)):
        film = grey_film(shape)
        with torch.inference_mode():
            expected = model.encode_image(transform(Image.fromarray(film))[None], normalize=True)
        torch.testing.assert_close(vector_of(system, film), expected, atol=TOLERANCE, rtol=0)
    texts = ["normal heart size", "small left pleural effusion and a nodule"]
    with torch.inference_mode():
        expected = model.encode_text(tokenizer(texts), normalize=True)
        torch.testing.assert_close(system.encode_texts(texts).vector, expected, atol=TOLERANCE, rtol=0)
    system.save(tmp_path / "saved", portable=True)
    shutil.rmtree(tmp_path / "clip")
    opened = load_system(tmp_path / "saved")
    record = write_graphs(opened, tmp_path / "saved")
    assert record.in_torch["text"] == "its tokenizer does more to a text than its own file says"
    encoder = open_encoder(tmp_path / "saved")  # which says so
    assert "PyTorch runs the text part" in caplog.text
    np.testing.assert_allclose(encoder.encode_texts(texts).vectors, expected.numpy(), atol=5e-3)
    messy = ["a  nodule\n &amp; no more"]
    with torch.inference_mode():
        expected = opened.encode_texts(messy).vector
    np.testing.assert_allclose(encoder.encode_texts(messy).vectors, expected.numpy(), atol=1e-4)
    inputs = Inputs(system.prepare(film.astype(np.float32) / 255), texts[1])
    found = explain(system, inputs, SimilarityTarget(expected[0].numpy()), "integrated-gradients", steps=8)
    assert [one.text for one in found.words] == texts[1].split()
