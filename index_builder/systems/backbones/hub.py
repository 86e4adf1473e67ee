"""Encoders in the format of the Hugging Face hub, by name or from a folder.

`hub:NAME` takes a repository's main branch, `hub:NAME@REVISION` a branch, tag, commit or pull request of it (such as
`refs/pr/2`, where the hub's converter leaves safetensors of older repositories), `hub:FOLDER` what `save_pretrained`
wrote. What was downloaded once is found again offline. Only safetensors are read, and no code of a repository is run.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from index_builder import vision_compat  # noqa: F401  must precede transformers
from index_builder.errors import ModelError
from index_builder.systems.backbones.backbone import Backbone, first_line, stages_of

#: Either may say how films were normalised: older repositories have the first, newer ones the second.
_PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")

#: ImageNet's, for repositories that have neither.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Parts that tokens do not pass; repositories of some tasks come without them.
_UNREAD = ("pooler", "mask_token")


@dataclass(frozen=True, slots=True)
class HubPlace:
    """Where an encoder lies.

    Attributes:
        location: Name of a repository, or a folder.
        revision: Of the repository; None for its main branch.
    """

    location: str
    revision: str | None = None

    @classmethod
    def parse(cls, source: str) -> HubPlace:
        """Read "hub:NAME", "hub:NAME@REVISION" or "hub:FOLDER"."""
        name = source.removeprefix("hub:")
        if Path(name).expanduser().is_dir():
            return cls(str(Path(name).expanduser()))
        location, _, revision = name.partition("@")
        return cls(location, revision or None)


@contextmanager
def loading(kind: str, source: str) -> Iterator[None]:
    """Turn whatever transformers raises while it loads into a `ModelError`, and keep its notices quiet."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # a 90 MB file loads in half a second; its bar would only break ours
    logging.set_verbosity_error()  # weights that are missing are refused below; those left over are other heads
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # transformers and its hub client raise many kinds, all meaning the same to a user
        raise ModelError(
            f"{kind} encoder {source!r} cannot be loaded ({first_line(error)}). Check the name or folder, or the "
            "connection to the hub; only safetensors weights are read: where a repository has none, name a revision "
            "that has them (hub:NAME@refs/pr/N) or a folder to which save_pretrained wrote them."
        ) from error


def load_weights(model_class: Any, place: HubPlace, **options: Any) -> Any:
    """A transformers model in float32 with all weights that its tokens need.

    Weights that nothing here reads and that the repository lacks are zeroed instead of drawn, so that an encoder has
    the same digest whenever it is opened.

    Raises:
        ModelError: The repository lacks other weights: it holds another kind of model.
    """
    model, report = model_class.from_pretrained(
        place.location,
        revision=place.revision,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
        **options,
    )
    for name in sorted(report["missing_keys"]):
        if not any(part in _UNREAD for part in name.split(".")):
            raise ModelError(
                f"{place.location} holds no weights for {name} of {type(model).__name__}. "
                "Name a repository that was saved from this kind of encoder."
            )
        nn.init.zeros_(model.get_parameter(name))
    return model


def hub_backbone(
    source: str, image_size: int, *, pretrained: bool, architecture: dict[str, Any] | None = None
) -> Backbone:
    """A vision encoder of transformers, e.g. CLIP's image half, DINOv2 (RAD-DINO), ViT, Swin, ConvNeXt.

    Args and errors as `opening.open_backbone`.
    """
    from transformers import AutoConfig, AutoModel

    place = HubPlace.parse(source)
    with loading("image", source):
        if architecture is None:
            whole: Any = AutoConfig.from_pretrained(place.location, revision=place.revision)
            config: Any = getattr(whole, "vision_config", whole)  # a CLIP repository holds a text half, too
            mean, std = normalisation(place, getattr(config, "num_channels", 3))
        else:
            settings = dict(architecture["config"])
            config = AutoConfig.for_model(settings.pop("model_type"), **settings)
            mean, std = tuple(architecture["mean"]), tuple(architecture["std"])
        if pretrained:
            module = load_weights(AutoModel, place, config=config)
        else:
            module = AutoModel.from_config(config, dtype=torch.float32)
    if module.main_input_name != "pixel_values":
        raise ModelError(f"image encoder {source!r} is a {type(module).__name__}, which reads no films. Name another.")
    first, width, options = patch_tokens(source, module, image_size, len(mean))
    described = {"config": config.to_dict(), "mean": mean, "std": std}
    tokens = partial(_tokens, first=first, options=options)
    return Backbone(module, width, mean, std, stages_of(module), tokens, described)


def normalisation(place: HubPlace, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel from the repository's preprocessor, or ImageNet's."""
    from transformers import ImageProcessingMixin
    from transformers.utils import cached_file

    options: dict[str, Any] = {"revision": place.revision, "_raise_exceptions_for_missing_entries": False}
    found = {}
    if any(cached_file(place.location, name, **options) for name in _PREPROCESSORS):
        found = ImageProcessingMixin.get_image_processor_dict(place.location, revision=place.revision)[0]
    if not found.get("do_normalize", True):
        return (0.0,) * channels, (1.0,) * channels
    mean, std = found.get("image_mean") or _MEAN, found.get("image_std") or _STD
    if len(mean) != channels:
        mean, std = [sum(mean) / len(mean)] * channels, [sum(std) / len(std)] * channels
    return tuple(mean), tuple(std)


def patch_tokens(source: str, module: Any, image_size: int, channels: int) -> tuple[int, int, dict[str, bool]]:
    """How many tokens precede the patches, how wide tokens are and what to call a module with, found by an empty film.

    Raises:
        ModelError: It does not take films of this size, or gives tokens that form no square.
    """
    takes = inspect.signature(type(module).forward).parameters
    options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}
    try:
        with torch.no_grad():
            hidden = module.eval()(torch.zeros(1, channels, image_size, image_size), **options).last_hidden_state
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        size = getattr(module.config, "image_size", None)
        raise ModelError(
            f"image encoder {source!r} does not take films of {image_size} px ({first_line(error)}). "
            + (f"Set image_size: {size}." if size is not None else "Set another image_size.")
        ) from error
    if hidden.ndim == 4:
        return 0, hidden.shape[1], options
    count, first = hidden.shape[1], 0
    if patch := getattr(module.config, "patch_size", None):
        patches = (image_size // (patch if isinstance(patch, int) else patch[0])) ** 2
        # Class and register tokens precede the patches; hierarchical encoders merge patches and have neither.
        first = max(count - patches, 0)
        count -= first
    if math.isqrt(count) ** 2 != count:
        raise ModelError(
            f"image encoder {source!r} gives {count} tokens for a film of {image_size} px, which form no square. "
            "Name another."
        )
    return first, hidden.shape[2], options


def _tokens(module: nn.Module, pixels: Tensor, *, first: int, options: dict[str, bool]) -> Tensor:
    hidden: Tensor = module(pixels, **options).last_hidden_state
    return hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden[:, first:]
