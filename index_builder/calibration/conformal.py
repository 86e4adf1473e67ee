"""Sets of answers that hold the true one at a stated rate, whatever the model: split-conformal prediction.

Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005. A label enters the set when its score is no
worse than all but a few of the scores that true labels had on validation cases. The promise holds on average over
draws of validation and new cases, and only where both are of one kind: another hospital's films may break it.

Findings are judged one by one, with thresholds for cases that have the finding and for cases that have not
(label-conditional: Vovk, "Conditional validity of inductive conformal predictors", ACML 2012), so that a rare finding
is not covered by leaving it out. Stages get the least ambiguous sets of Sadinle, Lei and Wasserman, JASA 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.bootstrap import interval, plain, resampled_weights

#: Coverage that is stated where nobody asks for another.
COVERAGE = 0.9


def fewest_cases(coverage: float) -> int:
    """Validation cases that a threshold needs; with fewer, only the whole set keeps the promise."""
    return int(np.ceil(coverage / (1 - coverage) - 1e-9))


def threshold(scores: NDArray[np.floating], coverage: float) -> float:
    """What the score of one more case of the same kind does not exceed with at least this probability.

    Args:
        scores: [n] of validation cases, large where the true label fits badly.
        coverage: Stated, above 0 and below 1.

    Returns:
        The ceil((n + 1) * coverage)-th smallest score, or infinity where there are too few, see `fewest_cases`.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage {coverage} is not between 0 and 1")
    rank = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else np.inf


@dataclass(frozen=True, slots=True)
class FindingThresholds:
    """When a finding may be present and when it may be absent.

    A finding of which too few validation cases tell, with it or without, stays undecided.

    Attributes:
        present: [C] float64, of 1 - p; infinite where too few validation cases have the finding.
        absent: [C] float64, of p; infinite where too few have it not.
    """

    present: NDArray[np.float64]
    absent: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        probabilities: NDArray[np.floating],
        truth: NDArray[np.bool_],
        coverage: float = COVERAGE,
        known: NDArray[np.bool_] | None = None,
    ) -> FindingThresholds:
        """Thresholds from validation cases: probabilities and truth [V, C], and which of it is known; None: all."""
        counted = np.ones(truth.shape, bool) if known is None else known
        columns = list(zip(probabilities.T, truth.T, counted.T, strict=True))
        return cls(
            np.array([threshold(1 - p[held & told], coverage) for p, held, told in columns]),
            np.array([threshold(p[~held & told], coverage) for p, held, told in columns]),
        )

    @property
    def told(self) -> NDArray[np.bool_]:
        """Findings with enough validation cases, [C]."""
        return np.isfinite(self.present) & np.isfinite(self.absent)

    def sets(self, probabilities: NDArray[np.floating]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which findings may be present, and which absent, [N, C] each; both: undecided.

        The likelier answer always may be, and both may where neither fits: a probability of 2 % can be higher than
        almost all cases without a rare finding have, and still is no word for it. More answers never cover less.
        """
        present, absent = 1 - probabilities <= self.present, probabilities <= self.absent
        both = ~self.told | ~(present | absent)
        return present | both | (probabilities >= 0.5), absent | both | (probabilities < 0.5)


def stage_threshold(
    probabilities: NDArray[np.floating], stages: NDArray[np.integer], coverage: float = COVERAGE
) -> float:
    """Threshold of 1 - p for stages, from probabilities [V, C] and true stages [V] of validation cases."""
    return threshold(1 - probabilities[np.arange(len(stages)), stages], coverage)


def stage_sets(probabilities: NDArray[np.floating], limit: float) -> NDArray[np.bool_]:
    """Which stages are possible, [N, C]; the most probable always is."""
    likeliest = probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1])
    return (1 - probabilities <= limit) | likeliest


def check_findings(
    thresholds: FindingThresholds,
    probabilities: NDArray[np.floating],
    truth: NDArray[np.bool_],
    names: Sequence[str],
    *,
    coverage: float = COVERAGE,
    known: NDArray[np.bool_] | None = None,
    groups: Sequence[str] | NDArray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Whether sets keep what they state on test cases.

    Args:
        thresholds: From validation cases.
        probabilities: [N, C] of test cases.
        truth: [N, C].
        names: C findings.
        coverage: What was stated.
        known: [N, C], the truth that is known, the only one that counts; None: all.
        groups: [N] patients, to resample patients instead of cases.
        seed: Seed of the bootstrap.

    Returns:
        `stated`; `findings`, of which enough validation cases tell; over these, `present` and `absent`: `coverage`
        (share of cases that have the finding, or have it not, whose set says it may be so), its `interval` of 95 % and
        the `pairs` counted; and `decided`, the share of sets that name one answer. `per_class` by name of these
        findings, `present` and `absent` with `coverage` (None without a case) and `cases`, and `decided`.
    """
    may_be, may_lack = (one[:, thresholds.told] for one in thresholds.sets(probabilities))
    held = truth[:, thresholds.told]
    counted = np.ones(held.shape, bool) if known is None else known[:, thresholds.told]
    told = [name for name, one in zip(names, thresholds.told.tolist(), strict=True) if one]
    decided = may_be != may_lack
    weights = resampled_weights(len(truth), seed=seed, groups=groups)
    per_class: dict[str, dict[str, Any]] = {
        name: {"decided": float(share)} for name, share in zip(told, decided.mean(axis=0), strict=True)
    }
    blocks: dict[str, Any] = {"stated": coverage, "findings": len(told)}
    for kind, found, asked in (("present", may_be, held & counted), ("absent", may_lack, ~held & counted)):
        kept = asked & found
        blocks[kind] = _share(weights, kept.sum(axis=1), asked.sum(axis=1)) | {"pairs": int(asked.sum())}
        for name, right, cases in zip(told, kept.sum(axis=0).tolist(), asked.sum(axis=0).tolist(), strict=True):
            per_class[name][kind] = {"coverage": right / cases if cases else None, "cases": cases}
    return blocks | {"decided": float(decided.mean()) if told else None, "per_class": per_class}


def check_stages(
    limit: float,
    probabilities: NDArray[np.floating],
    stages: NDArray[np.integer],
    names: Sequence[str],
    *,
    coverage: float = COVERAGE,
    groups: Sequence[str] | NDArray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Whether sets of stages keep what they state on test cases.

    Returns:
        `stated`, `coverage` with its `interval` of 95 %, mean `size` of a set, `single` (share of sets of one stage),
        and `per_stage` coverage by name, None where no case has the stage.
    """
    sets = stage_sets(probabilities, limit)
    held = sets[np.arange(len(stages)), stages]
    weights = resampled_weights(len(stages), seed=seed, groups=groups)
    sizes = sets.sum(axis=1)
    of_stage = {name: held[stages == number] for number, name in enumerate(names)}
    return {
        "stated": coverage,
        **_share(weights, held, np.ones(len(held))),
        "size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
        "per_stage": {name: float(found.mean()) if len(found) else None for name, found in of_stage.items()},
    }


def _share(weights: NDArray[np.float32], kept: NDArray, asked: NDArray) -> dict[str, Any]:
    """Kept of asked over cases [N], and the interval of that share over resamples."""
    # In the weights' precision, or all of them would be copied into a wider one; the sums are whole numbers.
    of, part = (weights @ counts.astype(np.float32) for counts in (asked, kept))
    with np.errstate(invalid="ignore"):
        shares = part.astype(np.float64) / of
    return {"coverage": plain(float(shares[0])), "interval": interval(shares)}
