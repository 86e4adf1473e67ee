"""Percentile bootstrap over cases or patients (Efron and Tibshirani, 1993), shared by all metrics.

A metric takes weights instead of copies of cases: a case drawn twice weighs 2, one not drawn 0. Row 0 of the weights
is the sample itself, so one call gives the estimate and all its resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1000


def resampled_weights(
    cases: int, *, resamples: int = RESAMPLES, seed: int = 0, groups: Sequence[str] | NDArray | None = None
) -> NDArray[np.float32]:
    """How often each case was drawn.

    Args:
        cases: N.
        resamples: B, draws with replacement.
        seed: Same seed, same draws: two systems on the same cases are resampled alike.
        groups: [N] patient of each case. Then patients are drawn, each with all its cases, as many as there are.

    Returns:
        [1 + B, N] float32 whole numbers, row 0 all ones.

    Raises:
        ValueError: No cases, or `groups` of another length.
    """
    if cases == 0:
        raise ValueError("no cases to resample")
    member = np.arange(cases) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(member) != cases:
        raise ValueError(f"{len(member)} groups for {cases} cases")
    units = int(member.max()) + 1
    random = np.random.default_rng(seed)
    weights = np.ones((1 + resamples, cases), np.float32)
    for row in weights[1:]:
        row[:] = np.bincount(random.integers(units, size=units), minlength=units)[member]
    return weights


def plain(value: float) -> float | None:
    """A JSON number, or None where the metric is not defined (NaN)."""
    return None if math.isnan(value) else float(value)


def interval(values: ArrayLike) -> list[float] | None:
    """95 % percentile interval of a metric.

    Args:
        values: [1 + B], row 0 the estimate, which takes no part; NaN where a resample does not define the metric.

    Returns:
        [low, high], or None where no resample defines it.
    """
    draws = np.asarray(values, np.float64)[1:]
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return None
    low, high = np.percentile(draws, (2.5, 97.5))
    return [float(low), float(high)]
