"""How well labels are predicted, one against the rest, with bootstrap intervals over cases or patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.bootstrap import RESAMPLES, interval, plain, resampled_weights
from index_builder.calibration.ranks import auroc_and_ap, best_f1_threshold, curves
from index_builder.errors import DatasetError

CURVE_POINTS = 200

Groups = Sequence[str] | NDArray


def choose_thresholds(
    probabilities: NDArray[np.floating], labels: NDArray[np.bool_], known: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Threshold of each class that maximises F1 on validation cases, to be applied to test cases as p ≥ t.

    A class without a positive on validation gets the threshold that maximises F1 over the other classes' cases
    taken together. Equal F1: the highest threshold.

    Args:
        probabilities: [N, C], of validation cases.
        labels: [N, C], False where unknown.
        known: [N, C], the labels that are known, the only ones that count; None: all.

    Returns:
        [C] float64.

    Raises:
        DatasetError: No validation case carries any of the labels.
        ValueError: Shapes differ or a probability is not finite.
    """
    _check(probabilities, labels)
    seen = labels.any(axis=0)
    if not seen.any():
        raise DatasetError(
            f"None of the {len(labels)} validation cases carries a label, so no decision threshold can be chosen. "
            "Evaluate on a dataset whose validation part has labelled cases."
        )
    thresholds = np.empty(labels.shape[1])
    told = np.ones(labels.shape, bool) if known is None else known
    if not seen.all():
        kept = told & seen
        thresholds[:] = best_f1_threshold(probabilities[kept], labels[kept])
    for column in np.flatnonzero(seen):
        rows = told[:, column]
        thresholds[column] = best_f1_threshold(probabilities[rows, column], labels[rows, column])
    return thresholds


def classification(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.bool_],
    names: Sequence[str],
    thresholds: NDArray[np.floating],
    *,
    frequent: int = 0,
    known: NDArray[np.bool_] | None = None,
    groups: Groups | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Multi-label classification of test cases.

    A class without a positive or without a negative has no value in any metric; it is left out of the macro mean and
    listed. The same holds within a resample, so its macro mean may be over fewer classes.

    Args:
        probabilities: [N, C].
        labels: [N, C], False where unknown.
        names: C class names.
        thresholds: [C], from `choose_thresholds` on validation cases.
        frequent: Average classes of at least so many positives by themselves too; 0: do not.
        known: [N, C], the labels that are known; None: all. A class is scored on the cases it is known of.
        groups: [N] patients, to resample patients instead of cases.
        resamples: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        `macro` and `macro_interval` by metric (auroc, ap, f1, sensitivity, specificity, accuracy); `per_class` by name,
        each metric with its `…_interval` of 95 %, `positives`, `threshold` and `confusion` counts (tp, fp, fn, tn),
        and `unknown`, the cases left out, where there are any;
        `left_out` names; `curves` by name, see `ranks.curves`; `cases`. None stands for a value not defined. Where some
        classes are frequent and some are not, `frequent` has `macro`, `macro_interval` and `cases` of its `classes`.

    Raises:
        ValueError: Shapes differ or a probability is not finite.
    """
    _check(probabilities, labels)
    if not len(names) == len(thresholds) == labels.shape[1]:
        raise ValueError(f"{len(names)} names and {len(thresholds)} thresholds for {labels.shape[1]} classes")
    weights = resampled_weights(len(labels), resamples=resamples, seed=seed, groups=groups)
    predicted = probabilities >= thresholds
    told = None if known is None or known.all() else known
    result = _one_against_rest(
        probabilities, labels, predicted, names, weights, accuracy=True, frequent=frequent, known=told
    )
    for column, (name, threshold) in enumerate(zip(names, thresholds, strict=True)):
        row = result["per_class"][name]
        row["threshold"] = float(threshold)
        if told is not None and (unknown := int((~told[:, column]).sum())):
            row["unknown"] = unknown
    return result


def classify_stages(
    probabilities: NDArray[np.floating],
    stages: NDArray[np.integer],
    names: Sequence[str],
    *,
    groups: Groups | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Single-label classification of test cases; the most probable stage is the predicted one.

    Args:
        probabilities: [N, C], rows sum to 1.
        stages: [N] true stage, 0 to C - 1.
        names: C stage names.
        groups: [N] patients, to resample patients instead of cases.
        resamples: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        As `classification`, each stage against the rest, but for accuracy, which is that of all stages together:
        `accuracy`, `accuracy_interval`; no thresholds. And `confusion`, [C, C] counts, rows true, columns predicted.

    Raises:
        ValueError: Shapes differ, a probability is not finite or a stage has no column.
    """
    count = len(names)
    if stages.ndim != 1 or (len(stages) and not 0 <= stages.min() <= stages.max() < count):
        raise ValueError(f"stages must be [N] of 0 to {count - 1}")
    truth = stages[:, None] == np.arange(count)
    _check(probabilities, truth)
    weights = resampled_weights(len(stages), resamples=resamples, seed=seed, groups=groups)
    chosen = probabilities.argmax(axis=1)
    accuracy = weights @ (chosen == stages).astype(np.float32) / weights.sum(axis=1)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (stages, chosen), 1)
    return {
        "accuracy": float(accuracy[0]),
        "accuracy_interval": interval(accuracy),
        **_one_against_rest(probabilities, truth, chosen[:, None] == np.arange(count), names, weights, accuracy=False),
        "confusion": confusion.tolist(),
    }


def _one_against_rest(
    scores: NDArray[np.floating],
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    names: Sequence[str],
    weights: NDArray[np.float32],
    *,
    accuracy: bool,
    frequent: int = 0,
    known: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    ranked = [
        auroc_and_ap(scores[:, column], truth[:, column], weights if known is None else weights * known[:, column])
        for column in range(len(names))
    ]
    # Whole numbers below 2**24 are exact in float32.
    if known is None:
        total = weights.sum(axis=1, dtype=np.float64)[:, None]
    else:
        total = (weights @ known.astype(np.float32)).astype(np.float64)
        predicted = predicted & known
    positives = (weights @ truth.astype(np.float32)).astype(np.float64)
    called = (weights @ predicted.astype(np.float32)).astype(np.float64)
    tp = (weights @ (truth & predicted).astype(np.float32)).astype(np.float64)
    fp, fn = called - tp, positives - tp
    tn = total - called - fn
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {  # each [1 + B, C]
            "auroc": np.stack([auroc for auroc, _ in ranked], axis=1),
            "ap": np.stack([ap for _, ap in ranked], axis=1),
            "f1": 2 * tp / (called + positives),
            "sensitivity": tp / positives,
            "specificity": tn / (total - positives),
        }
    if accuracy:
        values["accuracy"] = (tp + tn) / total
    defined = (positives > 0) & (positives < total)
    values = {metric: np.where(defined, value, np.nan) for metric, value in values.items()}
    often = np.flatnonzero(positives[0] >= frequent) if frequent else np.empty(0, np.intp)

    per_class: dict[str, Any] = {}
    for column, name in enumerate(names):
        row: dict[str, Any] = {}
        for metric, value in values.items():
            row[metric] = plain(value[0, column])
            row[f"{metric}_interval"] = interval(value[:, column]) if defined[0, column] else None
        row["positives"] = int(positives[0, column])
        counts = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        row["confusion"] = {kind: int(count[0, column]) for kind, count in counts.items()}
        per_class[name] = row
    result = {
        **_macro(values),
        "per_class": per_class,
        "left_out": [name for name, kept in zip(names, defined[0], strict=True) if not kept],
        "curves": {
            name: _curves(scores[:, column], truth[:, column], None if known is None else known[:, column])
            for column, name in enumerate(names)
            if defined[0, column]
        },
        "cases": len(truth),
    }
    if 0 < len(often) < len(names):
        averages = _macro({metric: value[:, often] for metric, value in values.items()})
        result["frequent"] = {**averages, "cases": len(truth), "classes": [names[column] for column in often.tolist()]}
    return result


def _curves(scores: NDArray[np.floating], truth: NDArray[np.bool_], known: NDArray[np.bool_] | None) -> dict[str, Any]:
    rows = slice(None) if known is None else known
    return curves(scores[rows], truth[rows], CURVE_POINTS)


def _macro(values: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """`macro` and `macro_interval` of metrics [1 + B, C]."""
    means = {metric: mean_of_defined(value) for metric, value in values.items()}
    return {
        "macro": {metric: plain(mean[0]) for metric, mean in means.items()},
        "macro_interval": {metric: interval(mean) for metric, mean in means.items()},
    }


def mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over classes, [R, C] -> [R]; NaN where no class is defined."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(axis=1) / defined.sum(axis=1)


def _check(probabilities: NDArray[np.floating], labels: NDArray[np.bool_]) -> None:
    if probabilities.ndim != 2 or probabilities.shape != labels.shape:
        raise ValueError(f"probabilities {probabilities.shape} and labels {labels.shape} must both be [N, C]")
    if labels.dtype != np.bool_:
        raise ValueError(f"labels must be bool, not {labels.dtype}")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities must be finite")
