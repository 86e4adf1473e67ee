"""Whether a probability of 0.8 is right four times in five, before and after temperature scaling.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017. A temperature T, fitted on
validation cases, divides every logit: T > 1 makes a model less sure, and no prediction changes. Multi-label models
have one sigmoid a class, single-label ones a softmax over stages; log-probabilities serve as logits where a model
gives only probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax

BINS = 15

#: Where a temperature is looked for. A fit at its end means logits that are all right, or no better than chance.
TEMPERATURES = (0.05, 20.0)

_METRICS = ("ece", "brier", "nll")


def reliability(confidences: NDArray[np.floating], correct: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Filled bins of a reliability diagram, of `BINS` equally wide over (0, 1].

    Args:
        confidences: [N] in 0..1.
        correct: [N], what the confidence is about came true.

    Returns:
        Per bin, lowest first: `low`, `high`, `cases`, mean `confidence` and `accuracy`, the share that came true.
    """
    place = bin_of(confidences)
    cases = np.bincount(place, minlength=BINS)
    confidence = np.bincount(place, weights=confidences, minlength=BINS)
    accuracy = np.bincount(place, weights=correct, minlength=BINS)
    return [
        {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "cases": int(cases[number]),
            "confidence": float(confidence[number] / cases[number]),
            "accuracy": float(accuracy[number] / cases[number]),
        }
        for number in np.flatnonzero(cases).tolist()
    ]


def bin_of(confidences: NDArray[np.floating]) -> NDArray[np.intp]:
    """Number of the bin that each confidence falls into, 0 to `BINS` - 1; the upper edge belongs to a bin."""
    return np.clip(np.ceil(confidences * BINS).astype(np.intp) - 1, 0, BINS - 1)


def expected_calibration_error(bins: list[dict[str, float]]) -> float:
    """Mean gap between confidence and accuracy over the bins of `reliability`, weighted by their cases."""
    gaps = sum(bin_["cases"] * abs(bin_["confidence"] - bin_["accuracy"]) for bin_ in bins)
    return gaps / sum(bin_["cases"] for bin_ in bins)


def fit_temperature(
    logits: NDArray[np.floating], labels: NDArray[np.bool_], known: NDArray[np.bool_] | None = None
) -> float:
    """Temperature of a multi-label model that minimises its negative log-likelihood on validation cases.

    Args:
        logits: [N, C], of a sigmoid per class.
        labels: [N, C].
        known: [N, C], the labels that are known, the only ones that count; None: all.

    Raises:
        ValueError: Shapes differ, there are no cases or a logit is not finite.
    """
    _check(logits, labels)
    if known is None or known.all():
        return _fit(logits, lambda scaled: _sigmoid_nll(scaled, labels))
    told = labels[known]
    _check(logits[known][:, None], told[:, None])
    return _fit(logits[known], lambda scaled: _sigmoid_nll(scaled, told))


def fit_stage_temperature(logits: NDArray[np.floating], stages: NDArray[np.integer]) -> float:
    """Temperature of a single-label model that minimises its negative log-likelihood on validation cases.

    Args:
        logits: [N, C], of a softmax over C stages.
        stages: [N] true stage, 0 to C - 1.

    Raises:
        ValueError: Shapes differ, there are no cases or a logit is not finite.
    """
    truth = _one_hot(logits, stages)
    return _fit(logits, lambda scaled: _softmax_nll(scaled, truth))


def calibration(
    logits: NDArray[np.floating],
    labels: NDArray[np.bool_],
    names: Sequence[str],
    temperature: float,
    known: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """Calibration of a multi-label model on test cases, before and after its logits are divided by `temperature`.

    Args:
        logits: [N, C].
        labels: [N, C].
        names: C class names.
        temperature: From `fit_temperature` on validation cases.
        known: [N, C], the labels that are known, the only ones that count; None: all. At least one of each class.

    Returns:
        `temperature`, and under `before` and `after`: `macro` {ece, brier, nll} and `per_class` by name {ece, brier,
        nll, bins}, see `reliability`. The confidence is the probability of the class, Brier its mean squared error
        (0..1).

    Raises:
        ValueError: Shapes differ, there are no cases or a logit is not finite.
    """
    _check(logits, labels)
    counted = np.ones(labels.shape, bool) if known is None else known

    def measure(scaled: NDArray[np.float64]) -> dict[str, Any]:
        per_class: dict[str, dict[str, Any]] = {}
        for name, scores, carried, told in zip(names, scaled.T, labels.T, counted.T, strict=True):
            logit, truth = scores[told], carried[told]
            probability = expit(logit)
            bins = reliability(probability, truth)
            per_class[name] = {
                "ece": expected_calibration_error(bins),
                "brier": float(np.mean((probability - truth) ** 2)),
                "nll": _sigmoid_nll(logit, truth),
                "bins": bins,
            }
        macro = {metric: float(np.mean([row[metric] for row in per_class.values()])) for metric in _METRICS}
        return {"macro": macro, "per_class": per_class}

    return _before_and_after(logits, temperature, measure)


def calibrate_stages(logits: NDArray[np.floating], stages: NDArray[np.integer], temperature: float) -> dict[str, Any]:
    """Calibration of a single-label model on test cases, before and after its logits are divided by `temperature`.

    Args:
        logits: [N, C].
        stages: [N] true stage, 0 to C - 1.
        temperature: From `fit_stage_temperature` on validation cases.

    Returns:
        `temperature`, and under `before` and `after`: `ece` and `bins` of the most probable stage, `brier` (squared
        error summed over stages, 0..2) and `nll`.

    Raises:
        ValueError: Shapes differ, there are no cases or a logit is not finite.
    """
    truth = _one_hot(logits, stages)

    def measure(scaled: NDArray[np.float64]) -> dict[str, Any]:
        probabilities = np.exp(log_softmax(scaled, axis=1))
        bins = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == stages)
        return {
            "ece": expected_calibration_error(bins),
            "brier": float(np.mean(((probabilities - truth) ** 2).sum(axis=1))),
            "nll": _softmax_nll(scaled, truth),
            "bins": bins,
        }

    return _before_and_after(logits, temperature, measure)


def _before_and_after(
    logits: NDArray[np.floating], temperature: float, measure: Callable[[NDArray[np.float64]], dict[str, Any]]
) -> dict[str, Any]:
    exact = logits.astype(np.float64)
    return {"temperature": temperature, "before": measure(exact), "after": measure(exact / temperature)}


def _fit(logits: NDArray[np.floating], nll: Callable[[NDArray[np.float64]], float]) -> float:
    # Convex in 1/T, so one minimum; searched on a log scale, where halving and doubling are equally far.
    exact = logits.astype(np.float64)
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(lambda log_t: nll(exact / np.exp(log_t)), bounds=(low, high), method="bounded")
    return float(np.exp(found.x))


def _sigmoid_nll(logits: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    return -float(np.mean(np.where(labels, log_expit(logits), log_expit(-logits))))


def _softmax_nll(logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    return -float(np.mean(log_softmax(logits, axis=1)[truth]))


def _one_hot(logits: NDArray[np.floating], stages: NDArray[np.integer]) -> NDArray[np.bool_]:
    count = logits.shape[-1]
    if stages.ndim != 1 or not np.isin(stages, np.arange(count)).all():
        raise ValueError(f"stages must be [N] of 0 to {count - 1}")
    truth = stages[:, None] == np.arange(count)
    _check(logits, truth)
    return truth


def _check(logits: NDArray[np.floating], labels: NDArray[np.bool_]) -> None:
    if logits.ndim != 2 or logits.shape != labels.shape or not logits.size:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} must both be [N, C] and not empty")
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite")
