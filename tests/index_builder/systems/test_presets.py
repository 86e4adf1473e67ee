"""Presets, and the reference path: published architectures, small, from the hub's file formats to trained systems."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import encoder_samples as samples
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from index_builder.errors import ModelError
from index_builder.systems import SYSTEMS
from index_builder.systems.base import Batch, RetrievalSystem
from index_builder.systems.registry import load_system, system_class
from index_builder.training.presets import PRESETS, preset, preset_schedule

TEXTS = ["the heart is large", "clear lungs"]
LABELS = ("Normal", "Effusion")


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_whole_configuration(system: str, name: str) -> None:
    config = preset(system, name, {}, LABELS)
    assert type(config) is system_class(system).config_class
    assert (config.system, config.preset, config.label_names) == (system, name, LABELS)
    preset_schedule(system, name, {})
    trained_whole = config.trained_image_stages == config.trained_text_layers == -1
    assert trained_whole == (name == "reference")
    packaged = config.image_encoder.startswith("package:") and config.text_encoder.startswith("package:")
    assert packaged == (name == "compact")


def test_reference_presets_name_the_published_encoders() -> None:
    named = {system: preset(system, "reference", {}) for system in SYSTEMS}
    assert {system: (config.image_encoder, config.text_encoder) for system, config in named.items()} == {
        "unified": ("timm:swin_base_patch4_window7_224", "hub:emilyalsentzer/Bio_ClinicalBERT"),
        "siclip": ("hub:openai/clip-vit-base-patch16", "hub:openai/clip-vit-base-patch16"),
        "mskpt": ("timm:resnet50", "hub:google-bert/bert-base-uncased"),
    }


def test_overrides_replace_fields_and_only_those() -> None:
    config = preset("unified", "reference", {"image_encoder": "hub:microsoft/rad-dino", "schedule": {"epochs": 2}})
    assert config.image_encoder == "hub:microsoft/rad-dino"
    assert config.text_encoder == preset("unified", "reference", {}).text_encoder
    schedule, whole = (
        preset_schedule("unified", "reference", {"schedule": {"epochs": 2}}),
        preset_schedule("unified", "reference", {}),
    )
    assert schedule.epochs == 2 != whole.epochs
    assert schedule.model_copy(update={"epochs": whole.epochs}) == whole


@pytest.mark.parametrize(
    ("system", "name", "overrides", "message"),
    [
        ("oracle", "compact", {}, "unknown system 'oracle'.*siclip"),
        ("unified", "huge", {}, "unknown preset 'huge'.*compact, reference"),
        ("unified", "compact", {"depth": 7}, "'depth' is not a setting of the unified system.*fusion_layers"),
        ("siclip", "compact", {"fusion_layers": 1}, "'fusion_layers' is not a setting of the siclip system"),
        ("unified", "compact", {"label_names": ["a"]}, "'label_names' is not a setting"),
        ("unified", "compact", {"embedding_dim": "wide"}, "embedding_dim: 'wide' does not suit.*valid integer"),
        ("unified", "compact", {"schedule": {"epoch": 3}}, "'epoch' is not a setting of the schedule.*epochs"),
        ("unified", "compact", {"schedule": {"epochs": 0}}, "epochs: 0 does not suit the schedule"),
        ("unified", "compact", {"schedule": 3}, "schedule: 3 is not a list of settings"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(
    system: str, name: str, overrides: dict[str, Any], message: str
) -> None:
    read = preset_schedule if "schedule" in overrides else preset
    with pytest.raises(ModelError, match=message):
        read(system, name, overrides)


def small_reference(system: str, folder: Path, text_encoder: Path, **changes: Any) -> RetrievalSystem:
    """A reference preset whose encoders are tiny ones of the same architecture, from folders in the hub's format."""
    torch.manual_seed(0)
    encoders = {"image_encoder": f"timm:local-dir:{folder}/image", "text_encoder": f"hub:{text_encoder}"}
    size = 64
    if system == "unified":
        samples.save_timm_swin(folder / "image")
    elif system == "mskpt":
        samples.save_timm_resnet(folder / "image")
    else:
        samples.save_clip(folder / "image")
        encoders, size = dict.fromkeys(encoders, f"hub:{folder}/image"), 32
    overrides = {
        **encoders,
        "image_size": size,
        "embedding_dim": 16,
        "token_dim": 16,
        "pool_queries": 2,
        "dropout": 0.0,
    }
    return system_class(system)(preset(system, "reference", overrides | changes, LABELS))


def cases(size: int) -> Batch:
    films = torch.rand(4, size, size, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    return Batch(
        films=films,
        strong=films.flip(0),
        has_film=torch.tensor([True, True, True, False]),
        texts=[TEXTS[0], TEXTS[1], "", TEXTS[0]],
        labels=labels,
        known=torch.ones_like(labels, dtype=torch.bool),
        group=torch.zeros(4, dtype=torch.int64),
    )


@torch.inference_mode()
def vectors(system: RetrievalSystem) -> list[Tensor]:
    system.eval()
    image, text = system.encode_images(cases(system.config.image_size).films[:2]), system.encode_texts(TEXTS)
    return [image.vector, text.vector, system.join(image, text), system.join(image, None), system.join(None, text)]


def step(system: RetrievalSystem) -> None:
    """One step of every phase of training."""
    batch = cases(system.config.image_size)
    for phase in system.phases:
        system.train()
        system.begin_phase(phase, [batch])
        optimiser = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], lr=1e-2)
        loss = torch.stack(list(system.losses(batch, phase).values())).sum()
        loss.backward()
        assert loss.isfinite()
        optimiser.step()


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_reference_system_encodes_and_learns_with_its_encoders(
    system: str, tmp_path: Path, tiny_text_encoder: Path
) -> None:
    built = small_reference(system, tmp_path, tiny_text_encoder)
    for found in vectors(built):
        assert found.shape == (2, 16)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
    image, text = built.encode_images(cases(built.config.image_size).films[:2]), built.encode_texts(TEXTS)
    attention = built.cross_attention(image, text).text_to_image
    assert attention.shape == (2, text.tokens.shape[1], image.tokens.shape[1])
    torch.testing.assert_close(attention.sum(-1)[text.mask], torch.ones(int(text.mask.sum())))
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    step(built)
    changed = {name for name, tensor in built.state_dict().items() if not torch.equal(tensor, before[name])}
    for encoder in (built.image_encoder, built.text_encoder):
        assert all(parameter.requires_grad for parameter in encoder.parameters())
    first = next(name for name, _ in built.image_encoder.named_parameters())
    assert f"image_encoder.{first}" in changed
    assert any(name.startswith("text_encoder.backbone.embeddings") for name in changed)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("system", SYSTEMS)
def test_partly_trained_encoders_are_saved_and_opened(
    system: str, portable: bool, tmp_path: Path, tiny_text_encoder: Path
) -> None:
    bert = shutil.copytree(tiny_text_encoder, tmp_path / "bert")
    partly = {"trained_image_stages": 1, "trained_text_layers": 1}
    built = small_reference(system, tmp_path, bert, **partly)
    step(built)
    built.save(tmp_path / "saved", portable=portable)
    stored = set(load_file(tmp_path / "saved" / "model.safetensors"))
    frozen = {name for name, parameter in built.named_parameters() if not parameter.requires_grad}
    assert frozen
    assert frozen <= stored if portable else not frozen & stored
    if portable:  # needs nothing else
        shutil.rmtree(tmp_path / "image")
        shutil.rmtree(bert)
    opened = load_system(tmp_path / "saved")
    for found, expected in zip(vectors(opened), vectors(built), strict=True):
        assert (found * expected).sum(1).min() > 0.999
    opened.save(tmp_path / "copy", portable=True)
    for found, expected in zip(vectors(load_system(tmp_path / "copy")), vectors(opened), strict=True):
        assert (found * expected).sum(1).min() > 0.999


def test_heads_refuse_an_image_encoder_they_were_not_trained_on(tmp_path: Path, tiny_text_encoder: Path) -> None:
    built = small_reference("siclip", tmp_path, tiny_text_encoder, trained_image_stages=1, trained_text_layers=1)
    built.save(tmp_path / "saved", portable=False)
    clip = samples.save_clip(tmp_path / "image")
    with torch.no_grad():
        clip.vision_model.embeddings.class_embedding.add_(0.1)
    clip.save_pretrained(tmp_path / "image")
    with pytest.raises(ModelError, match="other weights of image_encoder"):
        load_system(tmp_path / "saved")
