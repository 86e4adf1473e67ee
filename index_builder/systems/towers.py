"""From an encoder's tokens into the shared space, and from there to labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from index_builder.systems.encoding import Encoding, normalise
from index_builder.systems.fusion import AttentionPool


class Tower(nn.Module):
    """Tokens projected to the width that both modalities share, pooled by attention and L2-normalised.

    It has to be expressive: with frozen encoders it is all that is trained of its modality.
    """

    def __init__(self, width: int, token_dim: int, queries: int, gathered: int, out: int, dropout: float) -> None:
        """Args: width of the encoder's tokens and of ours; then as `AttentionPool`."""
        super().__init__()
        self.projection = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, token_dim))
        self.pool = AttentionPool(token_dim, queries, gathered, out, dropout)

    def forward(self, raw: Tensor, mask: Tensor | None = None) -> Encoding:
        """An encoder's tokens [B, T, width] and mask [B, T] bool (None: all are real) to an `Encoding`."""
        if mask is None:
            mask = torch.ones(raw.shape[:2], dtype=torch.bool, device=raw.device)
        tokens = self.projection(raw.float())
        return Encoding(tokens, mask, normalise(self.pool(tokens, mask)))

    def token_weights(self, encoding: Encoding) -> Tensor:
        """How much the pooling looks at each token, mean of its queries: [B, T], rows sum to 1."""
        return self.pool.attention(encoding.tokens, encoding.mask).mean(1)


def summed(image: Encoding | None, text: Encoding | None, film_weight: float = 1.0) -> Tensor:
    """Joint vector of systems that align their modalities: the normalised sum of what there is, [B, D].

    `film_weight` is that of the film's vector, the text's being 1.
    """
    present = [
        weight * encoding.vector for weight, encoding in ((film_weight, image), (1.0, text)) if encoding is not None
    ]
    if not present:
        raise ValueError("join needs at least one modality")
    return normalise(torch.stack(present).sum(0))


class Classifier(nn.Linear):
    """Labels of vectors of the shared space."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Unit vectors [B, D] to logits [B, C]."""
        # A unit vector's coordinates shrink with its length; this puts them back on the scale of one.
        return super().forward(vectors * self.in_features**0.5)
