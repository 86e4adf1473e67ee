"""Pooling of tokens, and fusion of two modalities by cross-attention both ways."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from index_builder.systems.encoding import CrossAttention

_MASKED = -1e4


class AttentionPool(nn.Module):
    """Tokens to one vector: learned queries each gather what they look for.

    A single abnormal phrase or a small shadow is thus not averaged away (after the attention pooling of Set
    Transformer, Lee et al. 2019).
    """

    def __init__(self, width: int, queries: int, gathered: int, out: int, dropout: float) -> None:
        """Args: width of tokens, number of queries, width each gathers, width of the vector, dropout before it."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(queries, width) * width**-0.5)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, gathered)
        self.out = nn.Sequential(
            nn.LayerNorm(queries * gathered), nn.Dropout(dropout), nn.Linear(queries * gathered, out)
        )

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens [B, T, width] and mask [B, T] bool to [B, out]; not normalised."""
        weights = self.attention(tokens, mask)
        vector: Tensor = self.out((weights @ self.value(self.norm(tokens))).flatten(1))
        return vector

    def attention(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """How much each query looks at each token: [B, queries, T], rows sum to 1."""
        return self.scores(tokens).masked_fill(~mask[:, None], _MASKED).softmax(-1)

    def scores(self, tokens: Tensor) -> Tensor:
        """The same before softmax and mask."""
        return torch.einsum("qd,btd->bqt", self.queries, self.key(self.norm(tokens)))


class Attention(nn.MultiheadAttention):
    """PyTorch's own, batch first, written out: its own code fixes the number of words when it is converted to ONNX."""

    def forward(self, query: Tensor, looked_at: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Attend.

        Args:
            query: [B, Q, d].
            looked_at: [B, K, d].
            mask: [B, K] bool, True at real tokens.

        Returns:
            What each query gathers, [B, Q, d], and how much it looks at each token, mean over heads, [B, Q, K].
        """
        assert self.in_proj_bias is not None
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        inputs = (query, looked_at, looked_at)
        q, k, v = (
            functional.linear(one, weight, bias).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for one, weight, bias in zip(inputs, weights, biases, strict=True)
        )
        scores = (q * self.head_dim**-0.5) @ k.transpose(2, 3)
        shares = scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1)
        shares = functional.dropout(shares, self.dropout, self.training)
        gathered: Tensor = self.out_proj((shares @ v).transpose(1, 2).flatten(2))
        return gathered, shares.mean(1)


class CrossLayer(nn.Module):
    """Words look at patches and patches at words; each with residual and LayerNorm (before attention)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.to_image = Attention(width, heads, dropout, batch_first=True)
        self.to_text = Attention(width, heads, dropout, batch_first=True)

    def forward(
        self, image: Tensor, image_mask: Tensor, text: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, Tensor, CrossAttention]:
        """Tokens [B, P, d] and [B, L, d] with masks to tokens of the same shapes and the attention, mean over heads."""
        v, t = self.norms[0](image), self.norms[1](text)
        seen, text_to_image = self.to_image(t, v, image_mask)
        read, image_to_text = self.to_text(v, t, text_mask)
        return image + read, text + seen, CrossAttention(text_to_image, image_to_text)


class FeedForward(nn.Module):
    """Residual two-layer perceptron with LayerNorm."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = tokens + self.body(tokens)
        return out


class CrossFusion(nn.Module):
    """N cross-attention layers; the feed-forward block is one for all layers, or one per layer ("hybrid").

    A missing modality is stood in for by learned null tokens.
    """

    def __init__(self, width: int, layers: int, heads: int, *, hybrid: bool, dropout: float) -> None:
        super().__init__()
        self.null_image = nn.Parameter(torch.randn(1, width) * 0.02)
        self.null_text = nn.Parameter(torch.randn(1, width) * 0.02)
        self.layers = nn.ModuleList(CrossLayer(width, heads, dropout) for _ in range(layers))
        self.feed_forward = nn.ModuleList(FeedForward(width, dropout) for _ in range(layers if hybrid else 1))

    def forward(
        self, image: tuple[Tensor, Tensor] | None, text: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, CrossAttention]:
        """Fuse.

        Args:
            image: Tokens [B, P, d] and mask [B, P]; None where the batch has no film.
            text: Tokens [B, L, d] and mask [B, L]; None where the batch has no text.

        Returns:
            All tokens [B, P + L, d], their mask, and the attention of the last layer.
        """
        (v, v_mask), (t, t_mask) = (
            self._present(image, self.null_image, text),
            self._present(text, self.null_text, image),
        )
        attention = None
        for number, layer in enumerate(self.layers):
            v, t, attention = layer(v, v_mask, t, t_mask)
            block = self.feed_forward[number % len(self.feed_forward)]
            v, t = block(v), block(t)
        if attention is None:
            raise ValueError("fusion needs at least one layer")
        return torch.cat([v, t], 1), torch.cat([v_mask, t_mask], 1), attention

    @staticmethod
    def _present(
        own: tuple[Tensor, Tensor] | None, null: Tensor, other: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        if own is not None:
            return own
        if other is None:
            raise ValueError("fusion needs at least one modality")
        tokens = null.expand(len(other[0]), -1, -1)
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


def token_attention(image: Tensor, image_mask: Tensor, text: Tensor, text_mask: Tensor) -> CrossAttention:
    """softmax(T Vᵀ / √d) and softmax(V Tᵀ / √d), for systems whose tokens are compared directly.

    Args:
        image: [B, P, d].
        image_mask: [B, P] bool, True at real tokens.
        text: [B, L, d].
        text_mask: [B, L] bool.
    """
    scores = text @ image.transpose(1, 2) / image.shape[-1] ** 0.5
    to_image = functional.softmax(scores.masked_fill(~image_mask[:, None], _MASKED), -1)
    to_text = functional.softmax(scores.transpose(1, 2).masked_fill(~text_mask[:, None], _MASKED), -1)
    return CrossAttention(to_image, to_text)
