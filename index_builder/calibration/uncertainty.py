"""Whether a model knows when it is wrong: error against the share of cases it answers (selective prediction).

Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017. Cases are answered from the
least uncertain on; equally uncertain ones count in expectation over their order, so no result hangs on how cases are
sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.bootstrap import RESAMPLES, interval, plain, resampled_weights
from index_builder.calibration.ranks import score_steps, thinned
from index_builder.errors import ModelError

CURVE_POINTS = 200
#: Error that predictions called reliable may have on validation cases.
STATED_RISK = 0.05


def threshold_for_risk(uncertainty: NDArray[np.floating], wrong: NDArray[np.bool_], risk: float) -> float:
    """Largest uncertainty θ of a validation case such that cases with u ≤ θ are wrong at most at rate `risk`.

    Args:
        uncertainty: [N], of validation cases.
        wrong: [N], the prediction was wrong.
        risk: Stated error rate, 0 to 1.

    Raises:
        ModelError: No θ keeps to the risk; the message gives the least risk there is.
        ValueError: Shapes differ, there are no cases or an uncertainty is not finite.
    """
    _check(uncertainty, wrong)
    order, ends = score_steps(-uncertainty)
    risks = np.cumsum(wrong[order])[ends] / (ends + 1)
    kept = np.flatnonzero(risks <= risk)
    if not len(kept):
        best = int(risks.argmin())
        raise ModelError(
            f"No uncertainty threshold keeps the error on {len(wrong)} validation cases to {risk:.1%}; the least is "
            f"{risks[best]:.1%}, answering {(ends[best] + 1) / len(wrong):.1%} of them. State a higher risk."
        )
    return float(uncertainty[order][ends][kept[-1]])


def at_threshold(uncertainty: NDArray[np.floating], wrong: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
    """What a threshold from `threshold_for_risk` does on test cases.

    Args:
        uncertainty: [N], of test cases.
        wrong: [N].
        threshold: Cases above it are not answered.

    Returns:
        `threshold`, `coverage` (share answered) and `error` among the answered, None where there are none.
    """
    _check(uncertainty, wrong)
    answered = uncertainty <= threshold
    error = float(wrong[answered].mean()) if answered.any() else None
    return {"threshold": threshold, "coverage": float(answered.mean()), "error": error}


def selective_prediction(
    uncertainty: NDArray[np.floating],
    wrong: NDArray[np.bool_],
    *,
    coverage: float = 0.8,
    groups: Sequence[str] | NDArray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Error when only the least uncertain test cases are answered, against answering all.

    Args:
        uncertainty: [N], of test cases.
        wrong: [N].
        coverage: Share of cases answered, above 0 to 1.
        groups: [N] patients, to resample patients instead of cases.
        resamples: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        `error` (all answered), `error@0.8` (or whatever `coverage`), their `ratio@0.8` (0.5: the error halves; 1: the
        uncertainty says nothing; None without any error) and `aurc` (mean error over coverages 1/N … 1); `interval` of
        95 % by the same names, the ratio's from both errors in one resample; `curve` {coverage, risk}; `cases`.

    Raises:
        ValueError: Shapes differ, there are no cases, an uncertainty is not finite or the coverage is out of range.
    """
    _check(uncertainty, wrong)
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage {coverage} is not above 0 and at most 1")
    order, ends = score_steps(-uncertainty)
    ordered = wrong[order]
    weights = resampled_weights(len(wrong), resamples=resamples, seed=seed, groups=groups)[:, order]
    error, partial, aurc = (np.empty(len(weights)) for _ in range(3))
    for row, drawn in enumerate(weights):
        answered = np.append(0, np.cumsum(drawn, dtype=np.float64)[ends])
        mistakes = np.append(0, np.cumsum(drawn * ordered, dtype=np.float64)[ends])
        total = answered[-1]
        # On a line through a step of equal uncertainty lies the expected number of mistakes.
        counts = np.arange(1, total + 1)
        error[row] = mistakes[-1] / total
        partial[row] = np.interp(coverage * total, answered, mistakes) / (coverage * total)
        aurc[row] = np.mean(np.interp(counts, answered, mistakes) / counts)
    with np.errstate(invalid="ignore"):
        ratio = partial / error
    values = {"error": error, f"error@{coverage:g}": partial, f"ratio@{coverage:g}": ratio, "aurc": aurc}
    return {
        **{metric: plain(value[0]) for metric, value in values.items()},
        "interval": {metric: interval(value) for metric, value in values.items()},
        "curve": risk_coverage(uncertainty, wrong),
        "cases": len(wrong),
    }


def risk_coverage(uncertainty: NDArray[np.floating], wrong: NDArray[np.bool_]) -> dict[str, list[float]]:
    """Error among the answered against the share answered, a point per distinct uncertainty, thinned to 200.

    Args:
        uncertainty: [N].
        wrong: [N].

    Returns:
        `coverage`, rising to 1, and `risk`, to five decimals.
    """
    _check(uncertainty, wrong)
    order, ends = score_steps(-uncertainty)
    answered = ends + 1
    return thinned({"coverage": answered / len(wrong), "risk": np.cumsum(wrong[order])[ends] / answered}, CURVE_POINTS)


def _check(uncertainty: NDArray[np.floating], wrong: NDArray[np.bool_]) -> None:
    if uncertainty.ndim != 1 or uncertainty.shape != wrong.shape or not len(wrong):
        raise ValueError(f"uncertainty {uncertainty.shape} and wrong {wrong.shape} must both be [N] and not empty")
    if not np.isfinite(uncertainty).all():
        raise ValueError("uncertainties must be finite")
