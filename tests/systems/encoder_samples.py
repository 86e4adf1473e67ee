"""Small encoders with random weights, written in the file formats of the hub, timm and torchxrayvision."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from index_builder import vision_compat  # noqa: F401  must precede timm and transformers

#: Texts that the vocabulary of `save_clip` spells.
CLIP_TEXTS = ["the heart is large", "clear lungs"]


def transformers() -> Any:
    return importlib.import_module("transformers")


def save_timm_swin(folder: Path, size: int = 64) -> Any:
    """A tiny Swin as timm publishes models: model.safetensors beside config.json."""
    import timm

    torch.manual_seed(0)
    arguments: dict[str, Any] = {
        "embed_dim": 16,
        "depths": (1, 1, 2, 1),
        "num_heads": (1, 1, 2, 2),
        "window_size": 2,
        "img_size": size,
    }
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=3, **arguments)
    timm.models.save_for_hf(model, str(folder), model_args=arguments, safe_serialization=True)
    return model.eval()


def save_timm_resnet(folder: Path) -> Any:
    """The test ResNet of timm, whose batch statistics are not those of an untrained one."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    model.train()(torch.rand(4, 3, 64, 64))
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    return model.eval()


def save_clip(folder: Path) -> Any:
    """A CLIP repository: both halves in one file, tokenizer and image processor."""
    library = transformers()
    letters = [chr(code) for code in range(97, 123)]
    words = [*letters, *(f"{one}</w>" for one in letters), "th", "the</w>", "<|startoftext|>", "<|endoftext|>"]
    numbers = {word: number for number, word in enumerate(words)}
    library.CLIPTokenizer(vocab=numbers, merges=[("t", "h"), ("th", "e</w>")]).save_pretrained(folder)
    library.CLIPImageProcessor().save_pretrained(folder)
    half = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    end = numbers["<|endoftext|>"]
    config = library.CLIPConfig(
        text_config={
            **half,
            "num_hidden_layers": 2,
            "vocab_size": len(words),
            "max_position_embeddings": 40,
            "bos_token_id": numbers["<|startoftext|>"],
            "eos_token_id": end,
            "pad_token_id": end,
        },
        vision_config={**half, "num_hidden_layers": 3, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    return _save(library.CLIPModel(config), folder)


def save_vision(kind: str, folder: Path) -> Any:
    """A tiny vision encoder: "dinov2", "registers", "vit" (a classifier: no pooler), "swin", "convnext" or "pvt"."""
    library = transformers()
    flat = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    if kind == "dinov2":
        model = library.Dinov2Model(library.Dinov2Config(**flat, image_size=28, patch_size=14))
    elif kind == "registers":
        config = library.Dinov2WithRegistersConfig(**flat, image_size=28, patch_size=14, num_register_tokens=4)
        model = library.Dinov2WithRegistersModel(config)
    elif kind == "vit":
        config = library.ViTConfig(**flat, intermediate_size=32, image_size=32, patch_size=8)
        model = library.ViTForImageClassification(config)
    elif kind == "swin":
        config = library.SwinConfig(
            image_size=64, embed_dim=8, depths=[1, 1, 3, 1], num_heads=[1, 1, 2, 2], window_size=2
        )
        model = library.SwinModel(config)
    elif kind == "convnext":
        model = library.ConvNextModel(library.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1]))
    else:
        config = library.PvtConfig(image_size=64, hidden_sizes=[8] * 4, depths=[1] * 4, num_attention_heads=[1] * 4)
        model = library.PvtModel(config)
    return _save(model, folder)


def _save(model: Any, folder: Path) -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # fresh ones are partly zero, which hides mix-ups
    model.save_pretrained(folder)
    return model.eval()
