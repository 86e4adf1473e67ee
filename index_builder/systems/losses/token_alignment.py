"""TA, the token-wise alignment of MSK-PT: a word and the patches it looks at, and a patch and its words.

After the local losses of GLoRIA (Huang et al., ICCV 2021) and MGCA (Wang et al., "Multi-Granularity Cross-modal
Alignment", NeurIPS 2022). Negatives are the other tokens of the same pair, so it says which part of a film a word means
and nothing of which film a report belongs to: for that use `contrast.symmetric_info_nce` beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from index_builder.systems.fusion import token_attention
from index_builder.systems.losses.numerics import full_precision

_MASKED = -1e4


@full_precision
def token_alignment(
    image: Tensor,
    image_mask: Tensor,
    text: Tensor,
    text_mask: Tensor,
    temperature: float,
    image_weights: Tensor | None = None,
    text_weights: Tensor | None = None,
) -> Tensor:
    """InfoNCE over the tokens of each pair, mean over pairs, both modalities and both directions.

    With V̂ = softmax(T Vᵀ/√d) V, what each text token sees (`fusion.token_attention`), a text token's loss is
    -log exp(cos(T_i, V̂_i)/τ) / Σ_j exp(cos(T_i, V̂_j)/τ), and the same with T and V̂ exchanged; a pair's is the mean
    over its tokens by their weights. Image tokens likewise with T̂ = softmax(V Tᵀ/√d) T.

    Args:
        image: [B, P, d], not L2-normalised: attention over unit vectors of many dimensions is all but uniform.
        image_mask: [B, P] bool, False at tokens left out; all False where a case has no film.
        text: [B, L, d], likewise.
        text_mask: [B, L] bool, False at padding and special tokens; all False where a case has no text.
        temperature: τ > 0.
        image_weights: [B, P], not negative, of any sum: attention to each token in the encoder's last layer. None
            weighs all alike. No gradient flows into weights, or the model would look away from hard tokens.
        text_weights: [B, L], likewise.
    """
    # What lies under the mask must reach neither sums nor gradients, not even as 0 · NaN.
    image = image.masked_fill(~image_mask[..., None], 0)
    text = text.masked_fill(~text_mask[..., None], 0)
    attention = token_attention(image, image_mask, text, text_mask)
    paired = image_mask.any(1) & text_mask.any(1)
    losses = [
        _pair_losses(text, attention.text_to_image @ image, text_mask, text_weights, temperature),
        _pair_losses(image, attention.image_to_text @ text, image_mask, image_weights, temperature),
    ]
    return (torch.stack(losses).mean(0) * paired).sum() / paired.sum().clamp(min=1)


def _pair_losses(tokens: Tensor, seen: Tensor, mask: Tensor, weights: Tensor | None, temperature: float) -> Tensor:
    """[B]: contrast of tokens [B, T, d] with what each sees [B, T, d] against the other tokens of its pair."""
    cosines = functional.normalize(tokens, dim=-1) @ functional.normalize(seen, dim=-1).transpose(1, 2)
    scores = (cosines / temperature).masked_fill(~(mask[:, :, None] & mask[:, None]), _MASKED)
    matched = [scores.log_softmax(axis).diagonal(dim1=1, dim2=2) for axis in (1, 2)]
    losses = -torch.stack(matched).mean(0)
    weight = mask.to(losses.dtype) if weights is None else weights.detach().masked_fill(~mask, 0)
    total = weight.sum(1, keepdim=True)
    return (losses * weight / total.masked_fill(total == 0, 1)).sum(1)
