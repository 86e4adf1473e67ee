"""The text side of published encoders of films and texts, with the vectors their own libraries give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from index_builder import vision_compat  # noqa: F401  must precede transformers
from index_builder.errors import ModelError
from index_builder.systems.backbones.backbone import first_line
from index_builder.systems.backbones.encoders import MAX_CHARS, TextEncoder, WordPiece
from index_builder.systems.backbones.hub import HubPlace, load_weights, loading
from index_builder.systems.backbones.image_side import DUAL

#: Kinds whose texts are all brought to one length, padding read along, as they were trained.
_ONE_LENGTH = ("siglip_text_model",)


class PublishedTexts(TextEncoder):
    """A text encoder that gives tokens and, beside them, the published vector.

    Attributes:
        width: Numbers of a vector.
    """

    def __init__(self, source: str, *, pretrained: bool, folder: Path | None = None) -> None:
        """Build from `source`; without `pretrained`, only architecture and tokenizer are read (from `folder`)."""
        nn.Module.__init__(self)
        import transformers

        self.source = source
        place = HubPlace.parse(source) if folder is None else HubPlace(str(folder))
        with loading("text", source):
            whole: Any = transformers.AutoConfig.from_pretrained(place.location, revision=place.revision)
            config = getattr(whole, "text_config", whole)
            if config is not whole and (dim := getattr(whole, "projection_dim", None)):
                config.projection_dim = dim  # the half's own may differ
            self.tokenizer = _tokenizer(source, place)
            known = {f"{kind}_text_model": texts for kind, (_, texts) in DUAL.items()}
            if config.model_type not in known:
                raise ModelError(f"the texts of {source!r} are read by a {config.model_type}, not known here.")
            kind: Any = getattr(transformers, known[config.model_type])
            self.backbone = load_weights(kind, place, config=config) if pretrained else kind(config)
        self.dim = config.hidden_size
        self.max_tokens = config.max_position_embeddings
        self.one_length = config.model_type in _ONE_LENGTH
        self.masked = not self.one_length
        self.freeze_all_but([], 0)
        with torch.no_grad():
            self.width = int(self.eval().outputs(self.tokenize(["lung"]))[1].shape[1])

    def real_tokens(self, texts: list[str], mask: Tensor) -> Tensor:
        """Where the tokens of texts are no padding, [B, L] bool as `mask`."""
        read = [len(pieces) for pieces in self.tokenizer(self._cut(texts), **self._limits)["input_ids"]]
        return torch.arange(mask.shape[1], device=mask.device) < torch.tensor(read, device=mask.device)[:, None]

    def tokenize(self, texts: list[str]) -> tuple[Tensor, ...]:
        if not self.one_length:
            return super().tokenize(texts)
        batch = self.tokenizer(self._cut(texts), padding="max_length", return_tensors="pt", **self._limits)
        return (batch["input_ids"].to(self.backbone.device),)

    def outputs(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        found = self.backbone(**dict(zip(("input_ids", "attention_mask"), inputs, strict=False)))
        vectors = getattr(found, "text_embeds", None)
        return [found.last_hidden_state, found.pooler_output if vectors is None else vectors]

    def pieces(self, texts: list[str]) -> list[list[WordPiece]]:
        if self.tokenizer.is_fast:
            return super().pieces(texts)
        numbers = self.tokenizer(self._cut(texts), **self._limits)["input_ids"]
        return [
            places(text, self.tokenizer.convert_ids_to_tokens(one), set(self.tokenizer.all_special_tokens))
            for text, one in zip(texts, numbers, strict=True)
        ]

    @property
    def _limits(self) -> dict[str, Any]:
        return {"truncation": True, "max_length": self.max_tokens}

    @staticmethod
    def _cut(texts: list[str]) -> list[str]:
        return [text[:MAX_CHARS] for text in texts]


def places(text: str, pieces: Sequence[str], special: set[str]) -> list[WordPiece]:
    """Where the pieces of a tokenizer that does not tell stand in a text: each is looked for behind the one before."""
    lowered, position = text.lower(), 0
    found = []
    for piece in pieces:
        bare = "" if piece in special else piece.replace("▁", "").lower()
        start = lowered.find(bare, position) if bare else -1
        if start < 0 or len(lowered) != len(text):
            found.append(WordPiece(piece, 0, 0))
            continue
        position = start + len(bare)
        found.append(WordPiece(piece, start, position))
    return found


def _tokenizer(source: str, place: HubPlace) -> Any:
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(place.location, revision=place.revision)
    except ImportError as error:  # SigLIP's reads sentencepiece models
        raise ModelError(
            f"the tokenizer of {source!r} needs a package that is missing ({first_line(error)}). "
            "Install it: pip install 'cxr-explorer[encoders]'."
        ) from error
