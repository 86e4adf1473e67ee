"""What the system attends to, weighted for the target.

Tokens become a vector by the attention of learned queries that pool them: those of the film's tower, those of the
text's, and, where film and text are fused, those that pool the fused tokens, which have looked at one another by
cross-attention. Each token's share is attention × value × gradient, summed over the queries, so that only what the
queries gather for this target counts.

The rows of cross-attention themselves are not shown: where the words look pointed at 2 of 10 findings on films, and
what the patches read changed too little when the system's weights were shuffled (docs/explanation/explanations.md).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from index_builder.explanation.base import Explanation
from index_builder.explanation.maps import pixel_map
from index_builder.explanation.subject import Subject
from index_builder.explanation.words import merge
from index_builder.systems.base import Encoding


def attention(subject: Subject) -> Explanation:
    """Explain by attention; see the module for what exactly is shown."""
    from captum.attr import LayerGradientXActivation

    system = subject.system
    image, text = subject.encode_film(), subject.encode_text()
    held = [one for one in (image, text) if one is not None]
    towers = [tower for tower, one in ((system.image_tower, image), (system.text_tower, text)) if one is not None]
    fused = system.fused_values() if len(held) == 2 else None
    score = 0.0

    def forward(*tokens: Tensor) -> Tensor:
        nonlocal score
        pooled = iter(
            Encoding(own, one.mask, functional.normalize(tower.pool(own, one.mask), dim=-1))
            for tower, own, one in zip(towers, tokens, held, strict=True)
        )
        found = subject.score(None if image is None else next(pooled), None if text is None else next(pooled))
        score = float(found[0].detach())
        return found

    layers = [tower.pool.value for tower in towers] + ([] if fused is None else [fused])
    weights = LayerGradientXActivation(forward, layers).attribute(tuple(one.tokens for one in held))
    shares = [one[0].sum(-1).detach() for one in weights]
    if fused is not None:
        patches = len(shares[0])
        shares = [shares[0] + shares[2][:patches], shares[1] + shares[2][patches:]]
    pieces = system.word_pieces([subject.text])[0] if text is not None else []
    return Explanation(
        method="attention",
        image=None if image is None else pixel_map(shares[0], system.config.image_size),
        words=() if text is None else merge(subject.text, pieces, shares[-1].tolist()),
        signed=True,
        score=score,
    )
