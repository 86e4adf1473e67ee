"""An evaluation in a few figures and sentences, for the head of the page and of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explorer.charts.chart import number
from explorer.charts.measured import Measured


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the head.

    Attributes:
        name: What was measured.
        value: To three decimals.
        note: Its 95 % interval, or what to read it against.
    """

    name: str
    value: str
    note: str


def head_figures(measured: Measured) -> list[Figure]:
    """What to look at first: classification, calibration, retrieval beside chance."""
    result, block = measured.result, measured.result["classification"]
    figures = []
    if measured.stages:
        stages = result["stages"]
        figures.append(Figure("Accuracy", number(stages["accuracy"]), _span(stages["accuracy_interval"])))
    for metric, name in (("auroc", "AUROC"), ("ap", "Average precision"), ("f1", "F1")):
        figures.append(Figure(name, number(block["macro"][metric]), _span(block["macro_interval"][metric])))
    before, after = (_ece(result["calibration"][when]) for when in ("before", "after"))
    figures.append(Figure("Calibration error", number(before), f"{number(after)} after temperature scaling"))
    nearest = result["retrieval"]["test_to_train"]
    if nearest["p@5"] is not None:
        span = _span(nearest["interval"]["p@5"])
        figures.append(Figure("P@5", number(nearest["p@5"]), f"{span}, chance {number(nearest['chance']['p@5'])}"))
    return figures


def scope_sentences(measured: Measured) -> list[str]:
    """What was scored, what was left out, what was chosen where, what flatters."""
    result = measured.result
    sentences = [
        f"{measured.system} reads the {measured.read_words} of {result['cases']:,} {result['split']} cases.",
        "F1 thresholds, temperature and the uncertainty threshold were chosen on validation cases; intervals are 95 %, "
        "from 1,000 bootstrap samples of patients.",
    ]
    if result["left_out_cases"]:
        told = "; ".join(f"{count:,}: {reason}" for reason, count in result["left_out_cases"].items())
        sentences.append(f"Left out: {told}.")
    if result["split"] in ("val", "all"):
        sentences.append(
            "Thresholds and temperature were chosen on cases that are scored here, so the figures are too good."
        )
    if result["split"] in ("train", "all"):
        sentences.append("Training cases are scored, so the figures are too good.")
    if result["synthetic"]:
        sentences.append("The films are synthetic: computer-drawn, not X-rays. The figures say nothing about patients.")
    if result["cases"] < 200:
        sentences.append(f"With {result['cases']:,} cases the intervals are wide; small differences mean nothing.")
    return sentences


def _ece(block: dict[str, Any]) -> float:
    return block.get("macro", block)["ece"]


def _span(interval: list[float] | None) -> str:
    return "not defined" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
