"""What carries the likeness of two cases: integrated gradients of the cosine over the tokens of one of them.

The path leads from tokens that are all alike (their mean) to the tokens as they are, through pooling and fusion, with
the other case held: the weights of patches and words make up the cosine less that of the mean tokens. Asked of either
case with the other's vector, both sides are in units of the same cosine.
"""

from __future__ import annotations

import torch
from torch import Tensor

from index_builder.explanation.base import Explanation
from index_builder.explanation.maps import pixel_map
from index_builder.explanation.subject import Subject
from index_builder.explanation.words import merge

_STEPS = 32


def similarity(subject: Subject) -> Explanation:
    """Explain a cosine by the patches and words of this side."""
    from captum.attr import IntegratedGradients

    system = subject.system
    ends, mask = [], None
    with torch.no_grad():
        if subject.film is not None:
            ends.append(system.image_encoder(subject.film))
        if subject.text:
            raw, mask = system.text_encoder([subject.text])
            ends.append(raw)
    starts = [one.mean(1, keepdim=True).expand_as(one) for one in ends]

    def score(*points: Tensor) -> Tensor:
        found = list(points)
        image = system.image_tower(found.pop(0)) if subject.film is not None else None
        text = system.text_tower(found[0], mask.expand(len(found[0]), -1)) if mask is not None else None
        return subject.score(image, text)

    weights = IntegratedGradients(score).attribute(tuple(ends), tuple(starts), n_steps=_STEPS)
    with torch.no_grad():
        both = score(*(torch.cat(pair) for pair in zip(ends, starts, strict=True)))
    total = sum(one.sum() for one in weights)
    pieces = system.word_pieces([subject.text])[0] if subject.text else []
    return Explanation(
        method="similarity",
        image=pixel_map(weights[0][0].sum(-1), system.config.image_size) if subject.film is not None else None,
        words=merge(subject.text, pieces, weights[-1][0].sum(-1).tolist() if subject.text else []),
        signed=True,
        score=float(both[0]),
        residual=float(both[0] - both[1] - total),
    )
