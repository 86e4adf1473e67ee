"""AUROC, average precision, their curves and the best F1 threshold, from one sort of the scores.

Cases of equal score are one step, as in scikit-learn: no order among them is invented.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Weighted cases at a time: each takes some eighty bytes meanwhile.
_BLOCK = 250_000


def score_steps(scores: NDArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Order of falling score, and where equal scores end in it.

    Args:
        scores: [N] finite.

    Returns:
        order: [N], indices of the cases, highest score first.
        ends: [G], positions in `order` of the last case of each distinct score.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    return order, np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(scores) - 1)


def auroc_and_ap(
    scores: NDArray, truth: NDArray[np.bool_], weights: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area under the ROC curve and average precision (step-wise, not interpolated) under many weightings at once.

    Args:
        scores: [N] of one class.
        truth: [N].
        weights: [B, N] whole numbers, see `bootstrap.resampled_weights`.

    Returns:
        Two of [B] float64, NaN where no case, or only cases, of the class have weight.
    """
    order, ends = score_steps(scores)
    truth = truth[order]
    auroc, ap = np.empty(len(weights)), np.empty(len(weights))
    step = max(1, _BLOCK // len(scores))
    for start in range(0, len(weights), step):
        block = slice(start, start + step)
        drawn = weights[block][:, order]
        seen = np.cumsum(drawn, axis=1, dtype=np.float64)[:, ends]
        true = np.cumsum(drawn * truth, axis=1, dtype=np.float64)[:, ends]
        false = seen - true
        found = np.diff(true, axis=1, prepend=0)
        positives, negatives = true[:, -1], false[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(seen > 0, true / seen, 0)
            # A positive outranks the negatives behind its step, and half of those in it.
            behind = negatives[:, None] - false + np.diff(false, axis=1, prepend=0) / 2
            auroc[block] = (found * behind).sum(1) / (positives * negatives)
            ap[block] = np.where(negatives > 0, (found * precision).sum(1) / positives, np.nan)
    return auroc, ap


def curves(scores: NDArray, truth: NDArray[np.bool_], points: int) -> dict[str, dict[str, list[float]]]:
    """ROC and precision–recall curve of a class with positives and negatives, to five decimals.

    Args:
        scores: [N].
        truth: [N].
        points: At most so many a curve, kept at even distances along it so that steep parts stay in shape.

    Returns:
        {"roc": {"fpr", "tpr"}, "pr": {"recall", "precision"}}, from the strictest threshold to the loosest, beginning
        with none called positive: (0, 0), and recall 0 at precision 1.
    """
    order, ends = score_steps(scores)
    true = np.cumsum(truth[order])[ends]
    seen = ends + 1
    recall = np.append(0, true / true[-1])
    fall_out = np.append(0, (seen - true) / (seen - true)[-1])
    precision = np.append(1, true / seen)
    return {
        "roc": thinned({"fpr": fall_out, "tpr": recall}, points),
        "pr": thinned({"recall": recall, "precision": precision}, points),
    }


def thinned(curve: dict[str, NDArray], points: int) -> dict[str, list[float]]:
    """At most `points` of a curve's own points at even distances along it, ends included, to five decimals."""
    length = np.cumsum(sum(np.abs(np.diff(axis, prepend=axis[0])) for axis in curve.values()))
    kept = np.arange(len(length))
    if len(length) > points:
        kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], points)))
    return {name: np.round(axis[kept], 5).tolist() for name, axis in curve.items()}


def best_f1_threshold(scores: NDArray, truth: NDArray[np.bool_]) -> float:
    """Threshold t for which "score ≥ t" has the highest F1; `truth` must hold a positive.

    It lies halfway to the next lower score, so that a new case a hair below the last one accepted is not lost. Of
    thresholds with equal F1 the highest is taken: fewest false alarms.
    """
    order, ends = score_steps(scores)
    true = np.cumsum(truth[order])[ends]
    best = int(np.argmax(2 * true / (ends + 1 + true[-1])))
    steps = scores[order][ends].astype(np.float64)
    accepted = steps[best]
    middle = accepted if best + 1 == len(steps) else (accepted + steps[best + 1]) / 2
    # Between neighbouring floating-point numbers there is no middle.
    return float(middle if best + 1 == len(steps) or middle > steps[best + 1] else accepted)
