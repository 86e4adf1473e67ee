"""The image side of published encoders, with the vector and the preprocessing their own libraries give.

`hub:`, `timm:` and `xrv:` sources as in `backbones`; `open_clip:` as in `open_clip`. Elsewhere only an encoder's patch
tokens are taken and a tower is trained on them; here the encoder is used as it is.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from index_builder import vision_compat  # noqa: F401  must precede timm and transformers
from index_builder.errors import ModelError
from index_builder.imaging import Framing
from index_builder.imaging.framing import Interpolation
from index_builder.systems.backbones.backbone import Backbone, first_line, stages_of, timm_backbone, timm_patches
from index_builder.systems.backbones.encoders import ImageEncoder
from index_builder.systems.backbones.hub import HubPlace, load_weights, loading, normalisation, patch_tokens
from index_builder.systems.backbones.image_side import DUAL, ImageSide

#: Image encoders whose pooled output is of a layer for another task; the class token is what is used of them.
_CLASS_TOKEN = ("vit", "deit")
_RESAMPLES: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


class PublishedImages(ImageEncoder):
    """An image encoder that gives patch tokens and, beside them, the published vector."""

    def __init__(self, side: ImageSide) -> None:
        super().__init__(side.source, side.size, pretrained=False, backbone=side.backbone)
        self._outputs = side.outputs

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # a vector, too
        """Films [B, S, S] in 0..1 to patch tokens [B, P, d] and vectors [B, D]."""
        tokens, vectors = self.features(films)
        return tokens, vectors

    def features(self, films: Tensor) -> list[Tensor]:
        pixels = (films.unsqueeze(1).expand(-1, self._channels, -1, -1) - self.mean) / self.std
        return list(self._outputs(self.backbone, pixels))


def open_image_side(source: str, *, pretrained: bool, architecture: dict[str, Any] | None = None) -> ImageSide:
    """Open an encoder.

    Args:
        source: See the module.
        pretrained: Load its weights; otherwise only the architecture.
        architecture: As `ImageSide.backbone.architecture` of an earlier one, so that the source is not needed.

    Raises:
        ModelError: Unknown name, weights that cannot be had, or preprocessing that is not understood.
    """
    kind, _, name = source.partition(":")
    if kind == "hub" and name:
        return _hub_side(source, pretrained, architecture)
    if kind == "xrv" and name:
        return _xrv_side(source, pretrained)
    if kind == "timm" and name:
        return _timm_side(source, name, pretrained, architecture)
    if kind == "open_clip" and name:
        from index_builder.systems.backbones.open_clip import open_clip_image_side

        return open_clip_image_side(source, pretrained=pretrained, architecture=architecture)
    raise ModelError(
        f"unknown encoder {source!r}. Give hub:NAME, hub:FOLDER, xrv:NAME, timm:NAME, open_clip:hf-hub:NAME or "
        "open_clip:local-dir:FOLDER; `cxr-explorer systems` lists some."
    )


def _hub_side(source: str, pretrained: bool, architecture: dict[str, Any] | None) -> ImageSide:
    import transformers

    place = HubPlace.parse(source)
    with loading("image", source):
        if architecture is None:
            whole: Any = transformers.AutoConfig.from_pretrained(place.location, revision=place.revision)
            config = getattr(whole, "vision_config", whole)
            if config is not whole:
                _require_dual(source, whole.model_type)
                config.projection_dim = getattr(whole, "projection_dim", None)  # the half's own may differ
            mean, std = normalisation(place, getattr(config, "num_channels", 3))
            framing, size = _hub_framing(source, place, config)
            vector_class = DUAL[whole.model_type][0] if config is not whole else None
        else:
            settings = dict(architecture["config"])
            config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
            mean, std = tuple(architecture["mean"]), tuple(architecture["std"])
            framing, size = Framing.model_validate(architecture["framing"]), int(architecture["size"])
            vector_class = architecture["class"]
        kind = transformers.AutoModel if vector_class is None else getattr(transformers, vector_class)
        if pretrained:
            module = load_weights(kind, place, config=config)
        elif vector_class is None:
            module = kind.from_config(config, dtype=torch.float32)
        else:
            module = kind(config)
    if module.main_input_name != "pixel_values":
        raise ModelError(f"encoder {source!r} is a {type(module).__name__}, which reads no films. Name another.")
    first, _, options = patch_tokens(source, module, size, len(mean))
    outputs = partial(_hub_outputs, first=first, options=options, class_token=config.model_type in _CLASS_TOKEN)
    with torch.no_grad():
        width = outputs(module.eval(), torch.zeros(1, len(mean), size, size))[1].shape[1]
    stages = {name: stage for name, stage in stages_of(module).items() if not name.endswith("projection")}
    described = {
        "config": config.to_dict(),
        "mean": mean,
        "std": std,
        "framing": framing.model_dump(),
        "size": size,
        "class": vector_class,
    }
    backbone = Backbone(module, width, mean, std, stages, lambda one, pixels: outputs(one, pixels)[0], described)
    return ImageSide(source, backbone, outputs, width, size, framing, first > 0)


def _hub_outputs(
    module: nn.Module, pixels: Tensor, *, first: int, options: dict[str, bool], class_token: bool
) -> tuple[Tensor, Tensor]:
    found = module(pixels, **options)
    hidden: Tensor = found.last_hidden_state
    tokens = hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden[:, first:]
    vector = getattr(found, "image_embeds", None)
    if vector is None and not class_token:
        vector = getattr(found, "pooler_output", None)
    if vector is None:
        vector = hidden[:, 0] if first else tokens.mean(1)
    return tokens, vector.flatten(1)


def _require_dual(source: str, kind: str) -> None:
    if kind not in DUAL:
        raise ModelError(
            f"encoder {source!r} is of the kind {kind!r}, whose vectors are not known here. Of encoders of films and "
            f"texts, {', '.join(DUAL)} and open_clip's are; name the folder of its image encoder alone, or another."
        )


def _hub_framing(source: str, place: HubPlace, config: Any) -> tuple[Framing, int]:
    """As the repository's image processor says; without one, the encoder's own size, shorter side first."""
    import transformers
    from transformers.utils import cached_file

    names = ("preprocessor_config.json", "processor_config.json")
    options: dict[str, Any] = {"revision": place.revision, "_raise_exceptions_for_missing_entries": False}
    if not any(cached_file(place.location, name, **options) for name in names):
        size = getattr(config, "image_size", 224)
        size = size if isinstance(size, int) else size[0]
        return Framing(library="torchvision", edge=size), size
    processor: Any = transformers.AutoImageProcessor.from_pretrained(place.location, revision=place.revision)
    given, cut = dict(processor.size or {}), dict(getattr(processor, "crop_size", None) or {})
    given, cut = ({name: edge for name, edge in one.items() if edge is not None} for one in (given, cut))
    stretched = "height" in given
    edge = given.get("height") if stretched else given.get("shortest_edge")
    size = cut.get("height", edge) if getattr(processor, "do_center_crop", False) else edge
    square = given.get("width", edge) == edge and cut.get("width", cut.get("height")) == cut.get("height")
    fits = edge is not None and size is not None and size <= edge and square and (stretched or bool(cut))
    if not (processor.do_resize and processor.do_rescale and fits and abs(processor.rescale_factor * 255 - 1) < 1e-3):
        raise ModelError(
            f"encoder {source!r} prepares images in a way that is not known here ({processor.to_dict()}). Known: "
            "reduce to a square, or the shorter side and cut the middle, then divide by 255."
        )
    name = "pillow" if "pil" in type(processor).__module__.rpartition(".")[2].split("_") else "torchvision"
    resample = _RESAMPLES.get(int(processor.resample), "bicubic")
    framing = Framing.model_validate({"library": name, "edge": edge, "stretched": stretched, "interpolation": resample})
    return framing, int(cast(int, size))


def _timm_side(source: str, name: str, pretrained: bool, architecture: dict[str, Any] | None) -> ImageSide:
    import timm

    if architecture is None:
        try:
            settings = timm.data.resolve_data_config({}, model=timm.create_model(name, pretrained=False))
        except Exception as error:  # timm and its hub client raise many kinds, all meaning the same to a user
            raise ModelError(
                f"encoder {source!r} cannot be loaded ({first_line(error)}). Check the name or folder, or the "
                "connection to the hub."
            ) from error
        size = int(settings["input_size"][-1])
        stretched = settings["crop_mode"] == "squash"
        edge = int(size / settings["crop_pct"])
        framing = Framing.model_validate(
            {"library": "pillow", "edge": edge, "stretched": stretched, "interpolation": settings["interpolation"]}
        )
        backbone = timm_backbone(source, name, size, pretrained=pretrained)
    else:
        size, framing = int(architecture["size"]), Framing.model_validate(architecture["framing"])
        inner = architecture["inner"]
        backbone = timm_backbone(source, name, size, pretrained=pretrained, architecture=inner)
    described = {"inner": backbone.architecture, "size": size, "framing": framing.model_dump()}
    with torch.no_grad():
        blank = torch.zeros(1, len(backbone.mean), size, size)
        width = _timm_outputs(backbone.module.eval(), blank)[1].shape[1]
    by_class = getattr(backbone.module, "global_pool", "") == "token"
    return ImageSide(source, replace(backbone, architecture=described), _timm_outputs, width, size, framing, by_class)


def _timm_outputs(module: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
    backbone: Any = module
    features = backbone.forward_features(pixels)
    return timm_patches(backbone, features), backbone.forward_head(features, pre_logits=True).flatten(1)


def _xrv_side(source: str, pretrained: bool) -> ImageSide:
    from index_builder.systems.backbones.xrv import xrv_backbone, xrv_classifier

    size = 224
    backbone = xrv_backbone(source, size, pretrained=pretrained)
    findings, classifier = xrv_classifier(source, pretrained=pretrained)

    def outputs(module: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
        tokens = backbone.tokens(module, pixels)
        return tokens, tokens.mean(1)

    framing = Framing(library="scikit-image", edge=size)
    return ImageSide(source, backbone, outputs, backbone.dim, size, framing, False, findings, classifier)
