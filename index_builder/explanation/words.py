"""Weights of word pieces merged to weights of whole words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from index_builder.explanation.base import WordWeight
from index_builder.systems.backbones.encoders import WordPiece

#: A word with its inner hyphens and apostrophes, or a run of other marks.
_WORD = re.compile(r"\w+(?:['’\-]\w+)*|[^\w\s]+")


def merge(text: str, pieces: Sequence[WordPiece], weights: Sequence[float]) -> tuple[WordWeight, ...]:
    """Sum the weights of pieces by the word they stand in.

    Args:
        text: What was read.
        pieces: Pieces of the text, special ones among them.
        weights: Weights of each piece; those of special pieces are left out. Further weights belong to padding.

    Returns:
        Words that at least one piece stands in, in order: those behind the encoder's length limit were not read. A
        piece across several words is shared among them by characters.
    """
    words = [match.span() for match in _WORD.finditer(text)]
    sums: dict[int, float] = {}
    first = 0
    for piece, weight in zip(pieces, weights, strict=False):
        if piece.special:
            continue
        while first < len(words) and words[first][1] <= piece.start:
            first += 1
        overlaps = {}
        for number in range(first, len(words)):
            start, end = words[number]
            if start >= piece.end:
                break
            overlaps[number] = min(end, piece.end) - max(start, piece.start)
        for number, overlap in overlaps.items():
            sums[number] = sums.get(number, 0.0) + float(weight) * overlap / sum(overlaps.values())
    return tuple(
        WordWeight(text[slice(*words[number])], *words[number], weight) for number, weight in sorted(sums.items())
    )
