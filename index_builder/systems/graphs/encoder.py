"""Films and texts in, vectors out, as arrays: what a build and a query need of a system, and nothing of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.profile import text_read
from index_builder.imaging import InputGeometry, encoder_geometry, encoder_input
from index_builder.systems.graphs.record import EncoderRecord, PartName
from index_builder.systems.graphs.session import Session
from index_builder.systems.graphs.tokens import Tokens

if TYPE_CHECKING:
    from index_builder.cases.case import Case

#: Arrays in, arrays out: a graph of ONNX Runtime, or the same part in PyTorch.
Part = Callable[..., list[NDArray]]


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """One modality of B cases.

    Attributes:
        vectors: [B, D] float32, L2-normalised, in the space shared by all modalities.
        tokens: [B, T, d] float32; None where film and text are joined as vectors alone.
        mask: [B, T] bool, True at real tokens; None as `tokens`.
        features: [B, F] float32, what the image backbone alone saw of each film; None of texts.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None
    features: NDArray[np.float32] | None = None

    def take(self, rows: NDArray[np.integer]) -> EncodedBatch:
        """Some of the cases."""
        tokens, mask, features = (None if one is None else one[rows] for one in (self.tokens, self.mask, self.features))
        return EncodedBatch(self.vectors[rows], tokens, mask, features)

    def at(self, rows: NDArray[np.integer], count: int) -> EncodedBatch:
        """The cases as rows of `count` cases, the others without the modality: zero vectors, no real token."""
        spread = EncodedBatch(_spread(self.vectors, rows, count))
        if self.tokens is None or self.mask is None:
            return spread
        return replace(spread, tokens=_spread(self.tokens, rows, count), mask=_spread(self.mask, rows, count))


def _spread(values: NDArray, rows: NDArray[np.integer], count: int) -> NDArray:
    found = np.zeros((count, *values.shape[1:]), values.dtype)
    found[rows] = values
    return found


@dataclass(frozen=True, slots=True)
class Encoder:
    """A system's encoders, joining and classifier. Thread-safe.

    Attributes:
        record: Sizes, and what is read.
        tokens: Numbers of texts; None where films alone are read.
        parts: What runs each part; no "text" where films alone are read, no "labels" without a classifier.
    """

    record: EncoderRecord
    tokens: Tokens | None
    parts: Mapping[PartName, Part]

    @property
    def in_torch(self) -> bool:
        """Whether PyTorch runs any part."""
        return not all(isinstance(part, Session) for part in self.parts.values())

    def prepare(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """A film [H, W] as `encode_films` reads it, [S, S] float32 in 0..1."""
        return encoder_input(pixels, self.record.image_size, self.record.framing)

    def geometry(self, pixels: NDArray[np.float32]) -> InputGeometry:
        """Where the film lies in what `prepare` gives."""
        return encoder_geometry(pixels, self.record.image_size, self.record.framing)

    def read(self, case: Case) -> str:
        """The text that is read of a case; empty where there is none, or films alone are read."""
        return text_read(case, self.record.reads) if self.record.reads_texts else ""

    def encode_films(self, films: NDArray[np.float32]) -> EncodedBatch:
        """Encode films [B, S, S] float32 in 0..1 as `prepare` gives them."""
        vectors, features, *tokens = self.parts["film"](films)
        if not tokens:
            return EncodedBatch(vectors, features=features)
        return EncodedBatch(vectors, tokens[0], np.ones(tokens[0].shape[:2], bool), features)

    def encode_texts(self, texts: Sequence[str]) -> EncodedBatch:
        """Encode reports, queries or profile sentences, each a non-empty string."""
        assert self.tokens is not None, "who reads films alone refuses texts"
        inputs = self.tokens(texts)
        vectors, *tokens = self.parts["text"](*inputs)
        return EncodedBatch(vectors, tokens[0], inputs[1].astype(bool)) if tokens else EncodedBatch(vectors)

    def join(self, image: EncodedBatch | None, text: EncodedBatch | None) -> NDArray[np.float32]:
        """Joint vectors of cases with either or both modalities, [B, D] float32, L2-normalised."""
        one = image if image is not None else text
        assert one is not None, "joining needs at least one modality"
        image, text = (self._absent(one) if side is None else side for side in (image, text))
        inputs: list[NDArray] = [image.vectors, text.vectors]
        if self.record.fuses:
            inputs += [array for side in (image, text) for array in (side.tokens, side.mask) if array is not None]
        return self.parts["join"](*inputs)[0]

    def _absent(self, other: EncodedBatch) -> EncodedBatch:
        """A modality that none of the cases has."""
        vectors = np.zeros_like(other.vectors)
        if other.tokens is None:
            return EncodedBatch(vectors)
        return EncodedBatch(vectors, np.zeros_like(other.tokens[:, :1]), np.zeros((len(vectors), 1), bool))

    def label_answers(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Logits and probabilities of labels for vectors [B, D]: [B, C] each; None without a classifier."""
        if "labels" not in self.parts:
            return None
        logits, probabilities = self.parts["labels"](vectors)
        return logits, probabilities
