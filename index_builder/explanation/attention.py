"""What the system looks at: attention, weighted for the target.

Of a film alone or a text alone, the attention of the learned queries that pool its tokens to a vector: each token's
share is attention × value × gradient, summed over the queries, so that only what the queries gather for this target
counts.

Of a film with a text, cross-attention both ways: the map shows where the words look that speak for the target (rows of
text→image, averaged with the positive shares of the words as weights), the words show what the patches read that speak
for it (rows of image→text, likewise).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from index_builder.explanation.base import Explanation
from index_builder.explanation.maps import pixel_map
from index_builder.explanation.subject import Subject
from index_builder.explanation.words import merge
from index_builder.systems.base import Encoding


def attention(subject: Subject) -> Explanation:
    """Explain by attention; see the module for what exactly is shown."""
    system = subject.system
    image, text = subject.encode_film(), subject.encode_text()
    score = float(subject.score(image, text).detach())
    size = system.config.image_size
    pieces = system.word_pieces([subject.text])[0] if subject.text else []
    image_shares = None if image is None else _pooled(subject, system.image_tower, image, text)
    text_shares = None if text is None else _pooled(subject, system.text_tower, text, image)
    if image is None or text is None or image_shares is None or text_shares is None:
        return Explanation(
            method="attention",
            image=None if image_shares is None else pixel_map(image_shares, size),
            words=() if text_shares is None else merge(subject.text, pieces, text_shares.tolist()),
            signed=True,
            score=score,
        )
    with torch.no_grad():
        looks = system.cross_attention(image, text)
    real = torch.tensor([not piece.special for piece in pieces], device=text_shares.device)
    seen = _positive(text_shares * real) @ looks.text_to_image[0]
    read = _positive(image_shares) @ looks.image_to_text[0]
    return Explanation(
        method="attention",
        image=pixel_map(seen, size),
        words=merge(subject.text, pieces, read.tolist()),
        signed=False,
        score=score,
    )


def _pooled(subject: Subject, tower: Any, own: Encoding, other: Encoding | None) -> Tensor:
    """Share of each token in the score by way of its tower's pooling, [T]."""
    from captum.attr import LayerGradientXActivation

    def forward(tokens: Tensor) -> Tensor:
        vector = torch.nn.functional.normalize(tower.pool(tokens, own.mask), dim=-1)
        encoding = Encoding(own.tokens, own.mask, vector)
        pair = (encoding, other) if tower is subject.system.image_tower else (other, encoding)
        return subject.score(*pair)

    method = LayerGradientXActivation(forward, tower.pool.value)
    shares: Tensor = method.attribute(own.tokens)
    return shares[0].sum(-1).detach()


def _positive(shares: Tensor) -> Tensor:
    """Positive shares scaled to sum 1; equal ones where none is positive."""
    kept = shares.clamp(min=0)
    return kept / kept.sum() if kept.sum() > 0 else torch.full_like(kept, 1 / len(kept))
