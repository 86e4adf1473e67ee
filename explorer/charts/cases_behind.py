"""The cases behind a point of a figure, worst errors first.

A figure's point carries a token, a list whose first word says what it stands for; `cases_behind` knows them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.charts.chart import words
from explorer.charts.measured import Measured
from index_builder.calibration.temperature import BINS, bin_of
from index_builder.errors import QueryError

Token = Sequence[str | float]

#: Corners of a class's confusion: (called, carried) -> name.
CORNERS = {
    "found": (True, True),
    "missed": (False, True),
    "false alarm": (True, False),
    "rightly not called": (False, False),
}


@dataclass(frozen=True, slots=True)
class JudgedCase:
    """A case and what the system said of it.

    Attributes:
        case_id: The case.
        said: In a few words, e.g. "Nodule: 0.03, called from 0.41".
        wrong: Whether the system was.
    """

    case_id: str
    said: str
    wrong: bool


@dataclass(frozen=True, slots=True)
class CaseList:
    """Cases behind a point.

    Attributes:
        title: What they have in common.
        cases: Worst first.
    """

    title: str
    cases: list[JudgedCase]


def cases_behind(measured: Measured, token: Token) -> CaseList:
    """The cases a point stands for.

    Args:
        measured: Whose figure it is of.
        token: What the point carries as `customdata`.

    Raises:
        QueryError: Not a token of these figures.
    """
    kind, *arguments = token
    try:
        find = _FINDERS[str(kind)]
        return find(measured, *arguments)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise QueryError(f"no cases behind {list(token)!r} ({error}).") from None


def worst_cases(measured: Measured) -> CaseList:
    """Cases with wrong labels, the most confident errors first."""
    sure, wrong = _sureness(measured), np.asarray(measured.wrong.any(axis=1), bool)
    # Of stages one answer is wrong as a whole: as sure as it was of the stage it gave.
    answered = measured.called if measured.stages else measured.wrong
    worst = np.where(answered, sure, -1).max(axis=1)
    rows = _ordered(wrong, worst)
    title = "Read as another stage" if measured.stages else "Wrong in at least one finding"
    return CaseList(title, [_judged(measured, row) for row in rows])


def _of_class(measured: Measured, corner: str, label: str) -> CaseList:
    column = measured.column(label)
    called, carried = CORNERS[corner]
    held = (measured.called[:, column] == called) & (measured.truth[:, column] == carried) & measured.known[:, column]
    # Errors by how sure they were; what was right by how nearly it was not.
    sure = _sureness(measured)[:, column]
    rows = _ordered(held, sure if called != carried else -sure)
    return CaseList(f"{words(label)}: {corner}", [_judged(measured, row, label) for row in rows])


def _errors_of(measured: Measured, label: str) -> CaseList:
    column = measured.column(label)
    rows = _ordered(measured.wrong[:, column], _sureness(measured)[:, column])
    return CaseList(f"{words(label)}: missed or called wrongly", [_judged(measured, row, label) for row in rows])


def _operating_point(measured: Measured, label: str, called: float) -> CaseList:
    """Errors when the `called` most probable cases are called positive."""
    column = measured.column(label)
    probabilities, truth = measured.probabilities[:, column], measured.truth[:, column]
    known = measured.known[:, column]
    order = np.argsort(-probabilities, kind="stable")
    order = order[known[order]]
    positive = np.zeros(len(known), bool)
    positive[order[: int(called)]] = True
    limit = probabilities[order[int(called) - 1]] if called else 1.0
    rows = _ordered((positive != truth) & known, np.abs(probabilities - limit))
    title = f"{words(label)}: wrong when called from {limit:.2f} on ({int(called)} cases called)"
    said = [
        f"{words(label)} {probabilities[row]:.2f}, {'called wrongly' if positive[row] else 'missed'}" for row in rows
    ]
    return CaseList(title, [JudgedCase(measured.case_ids[row], one, True) for row, one in zip(rows, said, strict=True)])


def _confused(measured: Measured, truth: str, said: str) -> CaseList:
    true, predicted = measured.column(truth), measured.column(said)
    held = measured.truth[:, true] & measured.called[:, predicted]
    sure = measured.probabilities[:, predicted]
    rows = _ordered(held, sure if true != predicted else -sure)
    return CaseList(f"{words(truth)} read as {words(said)}", [_judged(measured, row) for row in rows])


def _in_bin(measured: Measured, label: str, when: str, number: float) -> CaseList:
    """Cases of a bar of the reliability diagram; `label` "" stands for the most probable stage."""
    probabilities = measured.probabilities if when == "before" else measured.calibrated
    if label:
        column = measured.column(label)
        confidence, right, known = probabilities[:, column], measured.truth[:, column], measured.known[:, column]
    else:
        confidence = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == measured.truth.argmax(axis=1)
        known = np.ones(len(right), bool)
    inside = (bin_of(confidence) == int(number)) & known
    rows = _ordered(inside & ~right, confidence)
    rows += _ordered(inside & right, -confidence)
    low, high = number / BINS, (number + 1) / BINS
    about = words(label) or "the most probable stage"
    title = f"{about}: probability {low:.2f} to {high:.2f} {when} temperature scaling"
    return CaseList(title, [_judged(measured, row, label or None) for row in rows])


def _answered(measured: Measured, label: str, coverage: float) -> CaseList:
    """Errors among the most confident cases; `label` "" stands for stages."""
    known, uncertainty, wrong = doubt(measured, label or None)
    order = np.argsort(uncertainty, kind="stable")
    answered = np.zeros(len(order), bool)
    answered[order[: max(1, round(coverage * len(order)))]] = True
    rows = known[_ordered(answered & wrong, -uncertainty)].tolist()
    return CaseList(
        f"Wrong among the most confident {coverage:.0%}".replace("%", " %"),
        [_judged(measured, row, label or None) for row in rows],
    )


def _queries(measured: Measured, protocol: str, low: float, high: float) -> CaseList:
    """Cases as queries whose P@5 lies between two values, the lowest average precision first."""
    found = measured.result["per_case"]["retrieval"][protocol]
    cases = []
    precision = np.array([np.nan if one is None else one for one in found["map"]])
    for row in np.argsort(precision, kind="stable"):
        share = found["p@5"][row]
        if share is not None and low <= share <= high:
            said = f"{round(5 * share)} of 5 nearest share a finding; average precision {precision[row]:.2f}"
            cases.append(JudgedCase(measured.case_ids[row], said, share < 1))
    span = f"{round(5 * low)}" if low == high else f"{round(5 * low)} to {round(5 * high)}"
    return CaseList(f"Queries with {span} of 5 nearest cases sharing a finding ({protocol.replace('_', ' ')})", cases)


def doubt(measured: Measured, label: str | None) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """Rows of the m cases whose truth is known, how unsure each answer was and whether it was wrong, all [m].

    Args:
        measured: Whose answers.
        label: One finding, whose uncertainty is 1 at its threshold and 0 at probabilities 0 and 1; None: the stage,
            whose uncertainty is 1 - max p.
    """
    if label is None:
        wrong = measured.probabilities.argmax(axis=1) != measured.truth.argmax(axis=1)
        return np.arange(len(wrong)), 1 - measured.probabilities.max(axis=1), wrong
    column = measured.column(label)
    known = np.flatnonzero(measured.known[:, column])
    return known, 1 - _sureness(measured)[known, column], measured.wrong[known, column]


def _sureness(measured: Measured) -> NDArray[np.float64]:
    """[n, C] how far each probability is from where the answer would change: 0 there, 1 at 0 and at 1."""
    probabilities = measured.probabilities
    if measured.stages:
        return np.where(measured.called, probabilities, 1 - probabilities)
    threshold = measured.thresholds.clip(1e-6, 1 - 1e-6)
    return np.where(
        probabilities >= threshold,
        (probabilities - threshold) / (1 - threshold),
        (threshold - probabilities) / threshold,
    )


def _ordered(held: NDArray[np.bool_], weight: NDArray[np.float64]) -> list[int]:
    """Rows that are held, the greatest weight first."""
    rows = np.flatnonzero(held)
    return rows[np.argsort(-weight[rows], kind="stable")].tolist()


def _judged(measured: Measured, row: int, label: str | None = None) -> JudgedCase:
    truth, called, known = measured.truth[row], measured.called[row], measured.known[row]
    if label is not None:
        column = measured.column(label)
        said = f"{words(label)} {measured.probabilities[row, column]:.2f}"
        if not measured.stages:
            said += f", called from {measured.thresholds[column]:.2f}"
        return JudgedCase(measured.case_ids[row], said, bool(measured.wrong[row, column]))
    if measured.stages:
        stage = int(measured.probabilities[row].argmax())
        said = f"read as {words(measured.names[stage])} ({measured.probabilities[row, stage]:.2f})"
        return JudgedCase(measured.case_ids[row], said, not truth[stage])
    parts = []
    for name, held in (("missed", truth & ~called), ("called wrongly", called & ~truth & known)):
        found = [
            f"{words(measured.names[column])} {measured.probabilities[row, column]:.2f}"
            for column in np.flatnonzero(held)
        ]
        parts += [f"{name}: {', '.join(found)}"] if found else []
    return JudgedCase(measured.case_ids[row], "; ".join(parts) or "all right", bool(parts))


_FINDERS: dict[str, Callable[..., CaseList]] = {
    "class": _of_class,
    "errors": _errors_of,
    "point": _operating_point,
    "confusion": _confused,
    "bin": _in_bin,
    "coverage": _answered,
    "queries": _queries,
}
