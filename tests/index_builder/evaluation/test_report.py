"""The table that a person reads."""

from __future__ import annotations

from typing import Any

from evaluation_samples import Some, quiet

from index_builder.evaluation.report import report_lines
from index_builder.evaluation.run import EvaluateRequest, measure
from index_builder.systems.unified import Unified


def test_table_shows_figures_with_intervals_and_chance(result: dict[str, Any]) -> None:
    lines = report_lines({"system": "unified", **result})
    assert lines[0] == f"unified on manifest, joint, part test: {result['cases']} cases"
    assert lines[-1] == "For education and research, not for diagnosis."
    nodule = result["classification"]["per_class"]["Nodule"]
    low, high = nodule["auroc_interval"]
    row = next(line for line in lines if line.startswith("Nodule"))
    assert f"{nodule['positives']}  {nodule['auroc']:.3f} [{low:.3f}, {high:.3f}]" in row
    history = result["retrieval"]["test_to_train"]
    chance = next(line for line in lines if "chance" in line and "test→train" in line)
    assert f"{history['chance']['p@5']:.3f}" in chance
    assert any(line.startswith("unified") and f"{history['p@5']:.3f} [" in line for line in lines)
    for found in result["baselines"].values():
        assert any(line.startswith(found["title"]) for line in lines)
    assert not any("nan" in line.lower() or "none" in line.lower() for line in lines)
    assert max(map(len, lines)) < 140


def test_table_names_what_flatters_and_what_is_left_out(tiny_system: Unified, workers: Some) -> None:
    request = EvaluateRequest("x", "phantom-dust", modality="text", split="train")
    lines = report_lines({"system": "mskpt", **measure(tiny_system, workers, request, quiet)})
    assert lines[0] == "mskpt on phantom-dust (synthetic), text, part train: 24 cases"
    assert lines[1] == "Training cases are scored, so the figures are too good."
    assert any(line.startswith("accuracy 0.") for line in lines)
    assert sum(line.startswith("Stage 3") for line in lines) == 2
    assert any("answering the most confident 80 %" in line for line in lines)


def test_a_value_that_is_not_defined_is_a_dash(result: dict[str, Any]) -> None:
    row = result["classification"]["per_class"]["Effusion"]
    undefined = row | {"auroc": None, "auroc_interval": None}
    block = result["classification"] | {"per_class": {"Effusion": undefined}}
    lines = report_lines({"system": "unified", **result, "classification": block})
    assert next(line for line in lines if line.startswith("Effusion")).split()[2] == "–"
