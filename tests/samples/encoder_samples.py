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


def save_processor(kind: str, folder: Path, **settings: Any) -> Any:
    """An image processor of transformers, e.g. "CLIPImageProcessor", beside an encoder."""
    getattr(transformers(), kind)(**settings).save_pretrained(folder)
    return transformers().AutoImageProcessor.from_pretrained(folder)


def save_siglip(folder: Path) -> Any:
    """A SigLIP repository: both halves, image processor, and a tokenizer that brings all texts to one length."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    library = transformers()
    words = [
        "<unk>",
        "</s>",
        *(f"▁{one}" for one in ["the", "heart", "is", "large", "clear", "lungs", "no", "effusion"]),
    ]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    library.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", pad_token="</s>", eos_token="</s>", model_input_names=["input_ids"]
    ).save_pretrained(folder)
    half = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = library.SiglipConfig(
        text_config={**half, "vocab_size": len(words), "max_position_embeddings": 12, "projection_size": 16},
        vision_config={**half, "image_size": 32, "patch_size": 8},
    )
    return _save(library.SiglipModel(config), folder)


def save_xrv(home: Path) -> Any:
    """A DenseNet of torchxrayvision with random weights where its cache is below a home; gives the library's model."""
    import warnings

    with warnings.catch_warnings():
        xrv = importlib.import_module("torchxrayvision")
        models = xrv.models
        torch.manual_seed(0)
        settings = models.model_urls["densenet121-res224-all"]
        model = models.DenseNet(num_classes=18, op_threshs=torch.tensor(settings["op_threshs"]))
        model.train()(torch.randn(2, 1, 64, 64) * 500)  # batch statistics of a network that has seen something
        folder = home / ".torchxrayvision" / "models_data"
        folder.mkdir(parents=True)
        torch.save(model, folder / Path(settings["weights_url"]).name)
    return model.eval()


def save_open_clip(folder: Path, text_encoder: Path, *, pickled: bool) -> Any:
    """A repository of open_clip like BiomedCLIP's: a timm tower for images, a BERT for texts; model and transform."""
    import json

    open_clip = importlib.import_module("open_clip")
    library = transformers()
    settings = {
        "embed_dim": 8,
        "vision_cfg": {
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 160,
        },
        "text_cfg": {
            "hf_model_name": str(text_encoder),
            "hf_tokenizer_name": str(text_encoder),
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "hf_model_pretrained": False,
            "context_length": 32,
        },
    }
    torch.manual_seed(0)
    model = open_clip.model.CustomTextCLIP(**settings).eval()
    folder.mkdir(exist_ok=True)
    prepared = {"mean": [0.48, 0.45, 0.4], "std": [0.26, 0.27, 0.28], "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": prepared}))
    if pickled:
        torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    else:
        importlib.import_module("safetensors.torch").save_file(
            model.state_dict(), folder / "open_clip_model.safetensors"
        )
    library.AutoTokenizer.from_pretrained(text_encoder).save_pretrained(folder)
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return model.eval(), transform  # open_clip leaves dropout on
