"""The unified system: what it encodes, saves and refuses."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from index_builder.errors import ModelError
from index_builder.resources import default_checkpoint
from index_builder.systems.base import load_system
from index_builder.systems.unified import Unified, UnifiedConfig


@pytest.fixture(scope="module")
def system(tiny_checkpoint: Path) -> Unified:
    return Unified.load(tiny_checkpoint).eval()


@torch.inference_mode()
def test_every_modality_gives_unit_vectors_of_one_space(system: Unified) -> None:
    image, text = system.encode_images(torch.rand(3, 64, 64)), system.encode_texts(["effusion", "the heart", "a"])
    for vectors in (image.vector, text.vector, system.join(image, text), system.join(None, text)):
        assert vectors.shape == (3, 16)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(system.join(image, None), image.vector)
    assert system.label_logits(image.vector).shape == (3, 2)
    assert text.mask.sum(1).tolist() == sorted(text.mask.sum(1).tolist(), key=lambda _: 0)
    with pytest.raises(ValueError, match="at least one"):
        system.join(None, None)


@torch.inference_mode()
def test_a_text_s_vector_does_not_depend_on_its_batch(system: Unified) -> None:
    alone = system.encode_texts(["small effusion"]).vector[0]
    among = system.encode_texts(["the heart is normal in size and the lung is clear", "small effusion"]).vector[1]
    torch.testing.assert_close(alone, among, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_shipped_checkpoint_loads_and_a_portable_copy_agrees(tmp_path: Path) -> None:
    shipped = load_system(default_checkpoint())
    shipped.save(tmp_path / "copy", portable=True)
    copy = load_system(tmp_path / "copy")
    films, texts = torch.rand(2, 224, 224), ["cardiomegaly with pulmonary edema", "normal chest"]
    for one, other in (
        (shipped.encode_images(films).vector, copy.encode_images(films).vector),
        (shipped.encode_texts(texts).vector, copy.encode_texts(texts).vector),
    ):
        assert (one * other).sum(1).min() > 0.999
    assert copy.config.label_names == shipped.config.label_names


def test_heads_refuse_encoders_they_were_not_trained_on(tmp_path: Path, tiny_text_encoder: Path) -> None:
    encoder = shutil.copytree(tiny_text_encoder, tmp_path / "bert")
    config = UnifiedConfig(
        text_encoder=f"hub:{encoder}", image_size=64, embedding_dim=8, hidden_dim=8, label_names=("Normal",)
    )
    Unified(config).save(tmp_path / "system", portable=False)
    load_system(tmp_path / "system")
    weights = load_file(encoder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] += 0.1
    save_file(weights, encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="other weights of text_encoder"):
        load_system(tmp_path / "system")


def broken(folder: Path, change: str) -> None:
    config = folder / "config.json"
    if change == "no config":
        config.unlink()
    elif change == "not json":
        config.write_text("{")
    elif change == "other system":
        config.write_text(json.dumps({"system": "oracle"}))
    elif change == "odd field":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"depth": 7}))
    elif change == "truncated weights":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:500])
    elif change == "other shape":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"label_names": ["Normal"]}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("no config", "no system there"),
        ("not json", "not a system configuration"),
        ("other system", "unknown system 'oracle'"),
        ("odd field", "depth"),
        ("truncated weights", "damaged system"),
        ("other shape", "do not fit"),
    ],
)
def test_damage_is_explained(tmp_path: Path, tiny_checkpoint: Path, change: str, said: str) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "system")
    broken(folder, change)
    with pytest.raises(ModelError, match=said):
        load_system(folder)
