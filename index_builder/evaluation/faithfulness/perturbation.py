"""Deletion and insertion (Petsiuk et al., "RISE", BMVC 2018): what matters goes first, or comes first.

A film is altered in square blocks, between itself and a blurred copy of itself, so that neither end nor the path is a
picture unlike any film. A text is altered by cutting words out. Every map is compared on the same blocks and steps,
random orders included, since single random pixels would destroy a film that random blocks leave readable.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from index_builder.explanation import WordWeight

#: Blocks on a side of a film, and parts that a film or text is altered in.
BLOCKS = 16
_PARTS = 10
#: Of the blur, in film widths: wider than small shadows.
_BLUR = 0.06
#: What stands for a text without words.
_NO_WORDS = "."


def block_means(heat: NDArray[np.floating]) -> NDArray[np.float64]:
    """A map [S, S] by blocks, [BLOCKS, BLOCKS]: the resolution at which maps are compared with one another."""
    edges = np.linspace(0, len(heat), BLOCKS + 1).round().astype(int)
    sums = np.add.reduceat(np.add.reduceat(heat.astype(np.float64), edges[:-1], axis=0), edges[:-1], axis=1)
    sizes = np.diff(edges)
    return sums / (sizes[:, None] * sizes[None])


def altered_films(film: NDArray[np.float32], heat: NDArray[np.floating]) -> NDArray[np.float32]:
    """Films on the way of deletion, then of insertion.

    Args:
        film: [S, S] float32 in 0..1.
        heat: [S, S]; the blocks with the highest mean go, or come, first.

    Returns:
        [2, 11, S, S] float32: from film to blurred film, and back.
    """
    size = len(film)
    blurred = ndimage.gaussian_filter(film, _BLUR * size, mode="nearest")
    block = np.minimum(np.arange(size) * BLOCKS // size, BLOCKS - 1)
    place = np.argsort(np.argsort(-block_means(heat), axis=None, kind="stable"), kind="stable").reshape(BLOCKS, BLOCKS)
    wide = place[block[:, None], block[None]]
    taken = wide[None] < (np.arange(_PARTS + 1) / _PARTS * BLOCKS**2)[:, None, None]
    return np.stack([np.where(taken, blurred, film), np.where(taken, film, blurred)]).astype(np.float32)


def altered_texts(text: str, words: Sequence[WordWeight], weights: Sequence[float]) -> list[list[str]]:
    """Two lists of 11 texts each: on the way of deletion, then of insertion.

    Args:
        text: What `words` were found in.
        words: All that was read.
        weights: Weights of each; the highest go, or come, first.
    """
    order = np.argsort(-np.asarray(weights), kind="stable").tolist()
    counts = [round(len(order) * part / _PARTS) for part in range(_PARTS + 1)]
    without = [_kept(text, words, set(order[count:])) for count in counts]
    only = [_kept(text, words, set(order[:count])) for count in counts]
    return [without, only]


def areas(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Area under each curve [..., 11] over the share that was altered, by trapezoids: a mean score."""
    area: NDArray[np.float64] = np.trapezoid(scores, dx=1 / _PARTS, axis=-1)
    return area


def _kept(text: str, words: Sequence[WordWeight], kept: set[int]) -> str:
    parts = [text[words[number].start : words[number].end] for number in sorted(kept)]
    return " ".join(parts) or _NO_WORDS
