"""Pretrained image backbones by name, each as a module, its stages and a way to its patch tokens.

A source is one of
    `package:efficientnet-lite0`              ImageNet weights installed with this project
    `timm:NAME`                               any timm model that gives a feature map or tokens
    `timm:hf-hub:NAME`, `timm:local-dir:DIR`  a timm model in the hub's format, from the hub or a folder
    `hub:NAME`, `hub:NAME@REVISION`, `hub:DIR`  a vision encoder of transformers: see `hub`
    `xrv:NAME`                                a DenseNet of torchxrayvision: see `xrv`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from index_builder import vision_compat  # noqa: F401  must precede timm and transformers
from index_builder.errors import ModelError

#: Children that hold nothing but the next level of stages, children that list them, and where the head begins.
_CONTAINERS = ("encoder", "features", "vision_model")
_LISTS = ("blocks", "layers", "layer", "stages")
_HEAD = ("global_pool", "pooler", "head")
_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


@dataclass(frozen=True, slots=True)
class Backbone:
    """A pretrained image model.

    Attributes:
        module: The model.
        dim: Width of a token.
        mean, std: Of its pretraining data, one value per input channel, for pixels in 0..1.
        stages: Its parts by name in the order films pass them.
        tokens: (module, pixels [B, C, S, S]) -> patch tokens [B, P, dim] in row-major order.
        architecture: What rebuilds it without its source, as JSON; None where the name of the source is enough.
    """

    module: nn.Module
    dim: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stages: dict[str, nn.Module]
    tokens: Callable[[nn.Module, Tensor], Tensor]
    architecture: dict[str, Any] | None = None


def stages_of(module: nn.Module) -> dict[str, nn.Module]:
    """Parts of a backbone by name, in order: its stem, then each block or group of blocks.

    Normalisation between or after them is no stage of its own, and the head that tokens do not pass is left out.
    """
    found: dict[str, nn.Module] = {}
    for name, child in module.named_children():
        if name in _HEAD:
            break
        if isinstance(child, _NORMS) or not _learns(child):
            continue
        if name in _CONTAINERS:
            found |= {f"{name}.{inner}": part for inner, part in stages_of(child).items()}
        elif name in _LISTS and isinstance(child, nn.Sequential | nn.ModuleList):
            found |= {f"{name}.{number}": part for number, part in child.named_children() if _learns(part)}
        else:
            found[name] = child
    return found


def _learns(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def timm_backbone(
    source: str,
    name: str,
    image_size: int,
    *,
    pretrained: bool,
    architecture: dict[str, Any] | None = None,
    channels: int = 3,
) -> Backbone:
    """A model of timm: `name` as `timm.create_model` takes it; `source` is what errors call it."""
    import timm

    try:
        if architecture is None:
            registered, arguments = _timm_arguments(name, image_size)
            arguments |= {"in_chans": channels, "num_classes": 0}
            module: Any = timm.create_model(name, pretrained=pretrained, **arguments)
            data = timm.data.resolve_data_config({}, model=module)
            mean, std = tuple(data["mean"]), tuple(data["std"])
        else:
            registered, arguments = architecture["name"], architecture["arguments"]
            module = timm.create_model(registered, pretrained=False, **arguments)
            mean, std = tuple(architecture["mean"]), tuple(architecture["std"])
    except Exception as error:  # timm and its hub client raise many kinds, all meaning the same to a user
        raise ModelError(
            f"image encoder {source!r} cannot be loaded ({first_line(error)}). "
            "Check the name or folder, or the connection to the hub."
        ) from error
    if ":" in name:
        architecture = {"name": registered, "arguments": arguments, "mean": mean, "std": std}
    return Backbone(module, module.num_features, mean, std, stages_of(module), _timm_tokens, architecture)


def _timm_arguments(name: str, image_size: int) -> tuple[str, dict[str, Any]]:
    """Registered name of a model and what to create it with, for films of a size."""
    import timm
    from timm.models._hub import load_model_config_from_hf, load_model_config_from_path

    place = name.partition(":")[2]
    if place:
        load = load_model_config_from_path if name.startswith("local-dir:") else load_model_config_from_hf
        settings, registered, arguments = load(place)
        fixed = settings.get("fixed_input_size", False)
    else:
        known = timm.get_pretrained_cfg(name)
        registered, arguments = name, {}
        fixed = known is not None and known.fixed_input_size
    return registered, arguments | ({"img_size": image_size} if fixed else {})


def _timm_tokens(module: nn.Module, pixels: Tensor) -> Tensor:
    backbone: Any = module
    return timm_patches(backbone, backbone.forward_features(pixels))


def timm_patches(backbone: Any, features: Tensor) -> Tensor:
    """Patch tokens [B, P, d] in row-major order of what a timm model's `forward_features` gives."""
    if features.ndim == 3:  # transformer tokens: leave out class and register tokens
        return features[:, backbone.num_prefix_tokens :]
    if features.shape[-1] == backbone.num_features and features.shape[1] != backbone.num_features:
        return features.flatten(1, 2)  # Swin keeps channels last
    return features.flatten(2).transpose(1, 2)


def first_line(error: Exception) -> str:
    """The first line of an error's message, short enough for ours."""
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
