"""The parts of a system that are made into graphs, as modules; PyTorch runs them where there are no graphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from index_builder.systems.encoding import Encoding
from index_builder.systems.graphs.encoder import EncodedBatch, Encoder
from index_builder.systems.graphs.record import EncoderRecord, PartName, TextRecord

if TYPE_CHECKING:
    from index_builder.systems.backbones.encoders import TextEncoder
    from index_builder.systems.base import RetrievalSystem


class FilmPart(nn.Module):
    """Films [B, S, S] to vectors [B, D], features [B, F] and, where tokens are fused, tokens [B, P, d]."""

    def __init__(self, system: RetrievalSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, films: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        encoding, features = self.system.look(films)
        tokens = () if self.system.null_tokens() is None else (encoding.tokens,)
        return (encoding.vector.float(), features.float(), *tokens)


class TextPart(nn.Module):
    """What the tokenizer gives, [B, L] each, to vectors [B, D] and, where tokens are fused, tokens [B, L, d]."""

    def __init__(self, system: RetrievalSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        encoding = self.system.encode_tokens(inputs)
        tokens = () if self.system.null_tokens() is None else (encoding.tokens,)
        return (encoding.vector.float(), *tokens)


class JoinPart(nn.Module):
    """Vectors [B, D] of film and text, zero where a case lacks one, to joint vectors [B, D].

    Where tokens are fused, tokens [B, P, d] and mask [B, P] of the film follow, then those of the text. Of a modality
    that a case lacks no token is real.
    """

    def __init__(self, system: RetrievalSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, image: Tensor, text: Tensor, *tokens: Tensor) -> Tensor:
        """See the class."""
        null = self.system.null_tokens()
        if null is None:
            none = image.new_zeros(len(image), 0, 1)
            sides = [Encoding(none, none[..., 0] > 0, vector) for vector in (image, text)]
        else:
            # The null token of a modality goes before its tokens, real only where none of those is: a batch may then
            # hold cases of every kind.
            sides = [
                Encoding(
                    torch.cat([one.expand_as(tokens[2 * number][:, :1]), tokens[2 * number]], 1),
                    torch.cat([~tokens[2 * number + 1].any(1, keepdim=True), tokens[2 * number + 1]], 1),
                    vector,
                )
                for number, (one, vector) in enumerate(zip(null, (image, text), strict=True))
            ]
        return self.system.join(*sides).float()


class LabelPart(nn.Module):
    """Vectors [B, D] to logits and probabilities [B, C]."""

    def __init__(self, system: RetrievalSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        logits, probabilities = self.system.label_logits(vectors), self.system.label_probabilities(vectors)
        assert logits is not None, "there is a classifier"
        assert probabilities is not None
        return logits.float(), probabilities.float()


class EagerTokens:
    """The tokenizer as transformers runs it, one call at a time: it keeps padding and truncation as state."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._lock = Lock()

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], ...]:
        with self._lock:
            return tuple(one.cpu().numpy() for one in self._encoder.tokenize(list(texts)))

    def vocabulary(self) -> Iterable[str]:
        return self._encoder.tokenizer.get_vocab()


class Eager:
    """A module that is given arrays and gives arrays, on whichever device it is."""

    def __init__(self, module: nn.Module) -> None:
        """Take a module in evaluation mode."""
        self.module = module

    @torch.inference_mode()
    def __call__(self, *inputs: NDArray) -> list[NDArray]:
        """What it gives, without gradients."""
        device = next(self.module.parameters()).device
        found = self.module(*(torch.from_numpy(np.ascontiguousarray(one)).to(device) for one in inputs))
        # A training computes in less than single precision, which NumPy has no type for.
        tensors = found if isinstance(found, tuple) else (found,)
        return [(one.float() if one.is_floating_point() else one).cpu().numpy() for one in tensors]


@dataclass(frozen=True)
class TorchEncoder(Encoder):
    """A system's encoder run by PyTorch.

    Attributes:
        system: The system.
        reading: Held while texts are encoded: tokenizers keep padding and truncation as state.
    """

    system: RetrievalSystem
    reading: Lock = field(default_factory=Lock)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> EncodedBatch:
        """As of `Encoder`, by the system's own method: a training remembers there what it has read."""
        with self.reading:
            found = self.system.encode_texts(list(texts))
        vectors = found.vector.float().cpu().numpy()
        if not self.record.fuses:
            return EncodedBatch(vectors)
        return EncodedBatch(vectors, found.tokens.float().cpu().numpy(), found.mask.cpu().numpy())


def modules_of(system: RetrievalSystem) -> dict[PartName, nn.Module]:
    """The parts that a system has."""
    found: dict[PartName, nn.Module] = {"film": FilmPart(system)}
    if system.text_encoder is not None:
        found["text"] = TextPart(system)
    found["join"] = JoinPart(system)
    if _classifies(system):
        found["labels"] = LabelPart(system)
    return found


def torch_encoder(system: RetrievalSystem) -> TorchEncoder:
    """A system's encoder run by PyTorch, on whichever device the system is; the system goes on being trained."""
    tokens = None if system.text_encoder is None else EagerTokens(system.text_encoder)
    parts = {name: Eager(module) for name, module in modules_of(system).items()}
    return TorchEncoder(record_of(system), tokens, parts, system)


def record_of(system: RetrievalSystem) -> EncoderRecord:
    """What is kept of a system beside its graphs; of its texts, how they are brought to one length."""
    encoder = system.text_encoder
    text = None
    if encoder is not None:
        tokenizer = encoder.tokenizer
        text = TextRecord(
            max_tokens=encoder.max_tokens,
            pad_id=tokenizer.pad_token_id,
            pad_token=tokenizer.pad_token,
            pad_left=tokenizer.padding_side == "left",
            one_length=encoder.one_length,
            masked=encoder.masked,
        )
    return EncoderRecord(
        dim=system.config.embedding_dim,
        image_size=system.config.image_size,
        framing=system.framing,
        reads=system.reads,
        reads_texts=encoder is not None,
        text=text,
        fuses=system.null_tokens() is not None,
        classifies=_classifies(system),
        in_torch={},
    )


@torch.no_grad()
def _classifies(system: RetrievalSystem) -> bool:
    parameter = next(system.parameters())
    return system.label_logits(parameter.new_zeros(1, system.config.embedding_dim)) is not None
