"""Encoders of films and texts in open_clip's format, such as BiomedCLIP: a timm image tower, a BERT for texts.

`open_clip:hf-hub:NAME` takes a repository, `open_clip:local-dir:FOLDER` what open_clip's `save_for_hf` wrote. Weights
that are pickled are read as tensors alone. Needs open-clip-torch (`pip install 'cxr-explorer[encoders]'`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from index_builder import vision_compat  # noqa: F401  must precede timm and transformers
from index_builder.errors import ModelError
from index_builder.imaging import Framing
from index_builder.systems.backbones.backbone import Backbone, first_line, stages_of, timm_patches
from index_builder.systems.backbones.image_side import ImageSide
from index_builder.systems.backbones.published_text import PublishedTexts

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "open_clip:"
#: Beside the text tower's configuration and tokenizer, in a portable copy: how open_clip builds it.
_TEXT_CONFIG = "open_clip_text.json"


def open_clip_image_side(source: str, *, pretrained: bool, architecture: dict[str, Any] | None = None) -> ImageSide:
    """The image tower; arguments and errors as `published.open_image_side`."""
    with _loading(source):
        from open_clip import model as towers

        if architecture is None:
            whole = _whole(source)
            visual = whole.visual
            settings = _model_settings(source)
            prepared = dict(visual.preprocess_cfg)
            described = {"embed": settings["embed_dim"], "vision": settings["vision_cfg"], "prepared": prepared}
        else:
            described, prepared = architecture, architecture["prepared"]
            visual = towers._build_vision_tower(described["embed"], described["vision"])
    if not hasattr(visual, "trunk"):
        raise ModelError(f"the image tower of {source!r} is not timm's; of open_clip's only those are known here.")
    size = prepared["size"] if isinstance(prepared["size"], int) else prepared["size"][0]
    mode, interpolation = prepared.get("resize_mode", "shortest"), prepared.get("interpolation", "bicubic")
    if mode not in ("shortest", "squash"):
        raise ModelError(f"encoder {source!r} prepares images by {mode!r}. Known: shortest, squash.")
    framing = Framing.model_validate(
        {"library": "pillow", "edge": size, "stretched": mode == "squash", "interpolation": interpolation}
    )
    mean, std = tuple(prepared["mean"]), tuple(prepared["std"])
    with torch.no_grad():
        width = _outputs(visual.eval(), torch.zeros(1, 3, size, size))[1].shape[1]
    backbone = Backbone(
        visual, width, mean, std, stages_of(visual.trunk), lambda module, pixels: _outputs(module, pixels)[0], described
    )
    by_class = getattr(visual.trunk, "global_pool", "") == "token"
    return ImageSide(source, backbone, _outputs, width, size, framing, by_class)


def _outputs(module: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
    visual: Any = module
    features = visual.trunk.forward_features(pixels)
    return timm_patches(visual.trunk, features), visual.head(visual.trunk.forward_head(features))


class OpenClipTexts(PublishedTexts):
    """The text tower."""

    def __init__(self, source: str, *, pretrained: bool, folder: Path | None = None) -> None:
        """As `PublishedTexts`; without `pretrained`, architecture and tokenizer are read from `folder`."""
        nn.Module.__init__(self)
        self.source = source
        with _loading(source):
            import open_clip
            from open_clip import model as towers
            from transformers import AutoTokenizer

            if folder is None:
                settings = _model_settings(source)
                self._settings = {"embed": settings["embed_dim"], "text": settings["text_cfg"]}
                backbone: Any = _whole(source).text
                self.tokenizer = getattr(open_clip.get_tokenizer(source.removeprefix(_PREFIX)), "tokenizer", None)
            else:
                self._settings = json.loads((folder / _TEXT_CONFIG).read_text("utf-8"))
                text = {**self._settings["text"], "hf_model_name": str(folder), "hf_model_pretrained": False}
                backbone = towers._build_text_tower(self._settings["embed"], text)
                self.tokenizer = AutoTokenizer.from_pretrained(folder)
        if not hasattr(backbone, "transformer") or not hasattr(backbone, "config") or self.tokenizer is None:
            raise ModelError(f"the text tower of {source!r} is not transformers'; only those are known here.")
        self.backbone = backbone
        config = backbone.config
        self.dim = config.hidden_size
        self.max_tokens = int(self._settings["text"].get("context_length", 77))
        self.masked = False
        self.freeze_all_but([], 0)
        self.width = int(self._settings["embed"])

    @property
    def embeddings(self) -> nn.Module:
        tower: Any = self.backbone
        return cast(nn.Module, tower.transformer.get_input_embeddings())

    def tokenize(self, texts: list[str]) -> tuple[Tensor, ...]:
        from open_clip.tokenizer import get_clean_fn

        clean = get_clean_fn("whitespace")
        # Padding is masked: how much of it there is changes nothing.
        cut = [clean(text) for text in self._cut(texts)]
        batch = self.tokenizer(cut, padding=True, return_tensors="pt", **self._limits)
        return (batch["input_ids"].to(next(self.backbone.parameters()).device),)

    def outputs(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        tower: Any = self.backbone
        mask = (inputs[0] != tower.config.pad_token_id).long()
        found = tower.transformer(input_ids=inputs[0], attention_mask=mask)
        return [found.last_hidden_state, tower.proj(tower.pooler(found, mask))]

    def save_configuration(self, folder: Path) -> None:
        tower: Any = self.backbone
        tower.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        (folder / _TEXT_CONFIG).write_text(json.dumps(self._settings), "utf-8")


def _whole(source: str) -> Any:
    import open_clip

    return open_clip.create_model_from_pretrained(source.removeprefix(_PREFIX), return_transform=False)


def _model_settings(source: str) -> dict[str, Any]:
    """`model_cfg` of a repository or folder."""
    schema, _, name = source.removeprefix(_PREFIX).partition(":")
    if schema == "local-dir":
        content = json.loads((Path(name) / "open_clip_config.json").read_text("utf-8"))
    elif schema == "hf-hub":
        from open_clip.factory import _get_hf_config

        content = _get_hf_config(name)
    else:
        raise ModelError(f"encoder {source!r}: give open_clip:hf-hub:NAME or open_clip:local-dir:FOLDER.")
    return dict(content["model_cfg"])


@contextmanager
def _loading(source: str) -> Iterator[None]:
    """Turn whatever open_clip raises while it loads into a `ModelError`."""
    try:
        yield
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"encoder {source!r} needs open-clip-torch ({first_line(error)}). "
            "Install it: pip install 'cxr-explorer[encoders]'."
        ) from error
    except Exception as error:  # open_clip and the hub's client raise many kinds, all meaning the same to a user
        raise ModelError(
            f"encoder {source!r} cannot be loaded ({first_line(error)}). Check the name or folder, or the connection "
            "to the hub."
        ) from error
