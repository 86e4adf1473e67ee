"""What systems make of a batch: tokens and vectors of one modality, and how two modalities look at each other."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Encoding:
    """One modality of a batch.

    Attributes:
        tokens: [B, T, d] float32, image patches in row-major order or word pieces, projected to the width that both
            modalities of a system share, so that a patch can be compared with a word.
        mask: [B, T] bool, True at real tokens.
        vector: [B, D] float32, L2-normalised, in the space shared by all modalities.
    """

    tokens: Tensor
    mask: Tensor
    vector: Tensor

    def take(self, rows: Tensor) -> Encoding:
        """The cases that `rows` (numbers, or [B] bool) names."""
        return Encoding(self.tokens[rows], self.mask[rows], self.vector[rows])


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """How much each token of one modality looks at each of the other; rows sum to 1 over real tokens.

    Attributes:
        text_to_image: [B, L, P] float32.
        image_to_text: [B, P, L] float32.
    """

    text_to_image: Tensor
    image_to_text: Tensor


def normalise(vectors: Tensor) -> Tensor:
    """L2-normalise the last axis; a zero vector stays zero."""
    return nn.functional.normalize(vectors, dim=-1)
