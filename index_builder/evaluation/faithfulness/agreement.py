"""How alike two explanations are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

#: Share of the highest weights whose overlap is measured.
TOP = 0.05


def pearson(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Correlation of weights; NaN where either is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Spearman's correlation of weights; NaN where either is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(stats.spearmanr(one.ravel(), other.ravel()).statistic)


def top_overlap(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Intersection over union of the `TOP` highest weights of each, at least one."""
    count = max(1, round(TOP * one.size))
    tops = [set(np.argsort(-values, axis=None, kind="stable")[:count].tolist()) for values in (one, other)]
    return len(tops[0] & tops[1]) / len(tops[0] | tops[1])
