"""How well the first ten results of a typed query answer it.

Success at 10 is the share of the first ten that are relevant, or, with fewer than ten relevant reports, of those that
were found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FIRST = 10
METRICS = ("success@10", "nDCG@10", "MRR@10")
_DISCOUNTS = 1 / np.log2(np.arange(2, FIRST + 2))


def scores_of(found: Sequence[str], relevant: frozenset[str]) -> tuple[float, float, float]:
    """Success, nDCG and reciprocal rank of the first ten results of one query."""
    hits = np.zeros(FIRST)
    hits[: len(found)] = [one in relevant for one in found]
    possible = min(FIRST, len(relevant))
    first = int(hits.argmax()) + 1 if hits.any() else 0
    return hits.sum() / possible, hits @ _DISCOUNTS / _DISCOUNTS[:possible].sum(), 1 / first if first else 0.0
