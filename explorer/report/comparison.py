"""How much better one system is than another on the very same cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.charts.cases_behind import CaseList, JudgedCase, Token, worst_cases
from explorer.charts.measured import Measured
from index_builder.calibration.bootstrap import interval, resampled_weights
from index_builder.calibration.ranks import auroc_and_ap
from index_builder.errors import QueryError
from index_builder.evaluation.classification import mean_of_defined


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two systems' scores.

    Attributes:
        other: The system compared.
        metric: "AUROC", "AP", both means over classes, "Accuracy" of stages, or "P@5".
        value: Its figure less the first system's.
        interval: 95 %, both resampled together.
    """

    other: str
    metric: str
    value: float
    interval: tuple[float, float]


def differences(systems: Sequence[Measured], seed: int = 0) -> list[Difference]:
    """What systems score above the first of them; those that scored other cases or labels are left out.

    Patients are resampled where a casebook tells them, else cases.
    """
    first = systems[0]
    others = [one for one in systems[1:] if one.case_ids == first.case_ids and one.names == first.names]
    if not others:
        return []
    weights = resampled_weights(len(first.case_ids), seed=seed, groups=_patients(systems))
    base, found = _figures(first, weights), []
    for other in others:
        for metric, values in _figures(other, weights).items():
            difference = values - base[metric]
            span = interval(difference)
            if span is not None:
                found.append(Difference(other.name, metric, float(difference[0]), (span[0], span[1])))
    return found


def compared_cases(systems: Sequence[Measured], token: Token) -> CaseList:
    """The cases behind a point of a figure of several systems: the worst of one, or what it and the first disagree on.

    Raises:
        QueryError: Not a token of these figures.
    """
    kind, name = token
    other = next((one for one in systems if one.name == name), None)
    if other is None or kind not in ("worst", "disagree"):
        raise QueryError(f"no cases behind {list(token)!r}.")
    if kind == "worst":
        found = worst_cases(other)
        return CaseList(f"{other.name}: {found.title[:1].lower()}{found.title[1:]}", found.cases)
    first = systems[0]
    wrong = {case.case_id: case for case in worst_cases(first).cases}
    others = {case.case_id: case for case in worst_cases(other).cases}
    cases = [case for case_id, case in wrong.items() if case_id not in others]
    cases += [
        JudgedCase(case_id, f"{other.name}: {case.said}", False)
        for case_id, case in others.items()
        if case_id not in wrong
    ]
    return CaseList(f"{first.name} is wrong where {other.name} is right, then the other way round", cases)


def _figures(measured: Measured, weights: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Metrics under every weighting, [1 + B] each."""
    columns = range(len(measured.names))
    ranked = [
        auroc_and_ap(measured.probabilities[:, one], measured.truth[:, one], weights * measured.known[:, one])
        for one in columns
    ]
    figures = {
        "AUROC": mean_of_defined(np.stack([auroc for auroc, _ in ranked], axis=1)),
        "AP": mean_of_defined(np.stack([ap for _, ap in ranked], axis=1)),
    }
    if measured.stages:
        right = measured.probabilities.argmax(axis=1) == measured.truth.argmax(axis=1)
        figures["Accuracy"] = weights @ right.astype(np.float64) / weights.sum(axis=1)
    found = measured.result["per_case"]["retrieval"]["test_to_train"]["p@5"]
    shares = np.array([np.nan if share is None else share for share in found])
    asked = ~np.isnan(shares)
    figures["P@5"] = weights[:, asked] @ shares[asked] / weights[:, asked].sum(axis=1)
    return figures


def _patients(systems: Sequence[Measured]) -> list[str] | None:
    casebook = next((one.casebook for one in systems if one.casebook is not None), None)
    if casebook is None:
        return None
    patients = casebook.column("patient_id")
    return [str(patients[casebook.row(case_id)]) for case_id in systems[0].case_ids]
