"""Figures of an evaluation: what they show is what was measured, and every point leads to the cases it counts."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from explorer import Casebook
from explorer.charts.cases_behind import cases_behind, worst_cases
from explorer.charts.chart import Chart
from explorer.charts.measured import Measured, comparable, of_casebook, of_file, runs_of
from explorer.report.classification import class_curve, class_intervals, class_table, confusion, curve_grid
from explorer.report.comparison import compared_cases, differences
from explorer.report.confidence import reliability, risk_against_coverage
from explorer.report.retrieval import counterparts, query_shares, retrieval_levels, retrieval_table
from explorer.report.systems import (
    ablation_chart,
    difference_chart,
    learning_chart,
    system_levels,
    system_table,
)
from index_builder.calibration.temperature import BINS
from index_builder.casebook.layout import Layout
from index_builder.errors import QueryError
from index_builder.evaluation.runs import Run


@pytest.fixture(scope="module")
def findings(small_casebook: Path) -> Measured:
    return of_casebook(Casebook.open(small_casebook))[-1]


@pytest.fixture(scope="module")
def stages(stage_casebook: Path) -> Measured:
    return next(one for one in of_casebook(Casebook.open(stage_casebook)) if one.modality == "image")


def charts_of(measured: Measured) -> list[Chart]:
    label = None if measured.stages else measured.names[0]
    found = [
        class_intervals(measured, "light"),
        *(class_curve(measured, curve, "dark", label) for curve in ("roc", "pr")),
        *(curve_grid(measured, curve, "light") for curve in ("roc", "pr")),
        confusion(measured, "dark"),
        reliability(measured, "light", label),
        risk_against_coverage(measured, "light", label),
        retrieval_levels(measured, "light"),
        *(query_shares(measured, "light", protocol) for protocol in ("test_to_train", "test_to_test")),
        counterparts(measured, "light"),
    ]
    return [one for one in found if one is not None]


def points(chart: Chart) -> list[tuple[list[Any], float, float]]:
    """Token, x and y of every point that leads somewhere."""
    return [
        (list(token), x, y)
        for trace in chart.figure.data
        if trace.customdata is not None
        for token, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
        if token is not None
    ]


@pytest.mark.parametrize("kind", ["findings", "stages"])
def test_every_point_leads_to_cases_of_the_casebook(request: pytest.FixtureRequest, kind: str) -> None:
    measured: Measured = request.getfixturevalue(kind)
    scored = set(measured.case_ids)
    led = 0
    for chart in charts_of(measured):
        table = pd.read_csv(io.BytesIO(chart.csv()))
        assert len(table) == len(chart.table) > 0
        assert measured.result["dataset"] in chart.caption
        if measured.result["synthetic"]:
            assert "synthetic" in chart.caption
        for token, *_ in points(chart):
            found = cases_behind(measured, json.loads(json.dumps(token)))
            assert {case.case_id for case in found.cases} <= scored
            led += len(found.cases)
    assert led > len(scored)


@pytest.mark.parametrize("kind", ["findings", "stages"])
def test_cells_of_the_confusion_count_their_cases(request: pytest.FixtureRequest, kind: str) -> None:
    measured: Measured = request.getfixturevalue(kind)
    chart = confusion(measured, "light")
    heat, clicks = chart.figure.data
    counts = [int(text.replace(",", "")) for row in heat.text for text in row]
    assert [len(cases_behind(measured, token).cases) for token in clicks.customdata] == counts
    for token, count in zip(clicks.customdata, counts, strict=True):
        wrong = [case.wrong for case in cases_behind(measured, token).cases]
        expected = token[1] != token[2] if measured.stages else token[1] in ("missed", "false alarm")
        assert wrong == [expected] * count


def test_points_of_curves_lead_to_the_errors_at_their_threshold(findings: Measured) -> None:
    name = findings.names[0]
    truth = findings.truth[:, findings.column(name)]
    for token, fall_out, recall in points(class_curve(findings, "roc", "light", name)):
        wrong = round((1 - recall) * truth.sum()) + round(fall_out * (~truth).sum())
        found = cases_behind(findings, token).cases
        assert len(found) == wrong
        assert sum("missed" in case.said for case in found) == round((1 - recall) * truth.sum())
    for token, recall, precision in points(class_curve(findings, "pr", "light", name)):
        called = int(token[2])
        if called:
            assert recall * truth.sum() == pytest.approx(precision * called, abs=0.02)


def test_bins_and_coverages_lead_to_as_many_cases_as_they_count(findings: Measured, stages: Measured) -> None:
    for measured, label in ((findings, findings.names[0]), (stages, None)):
        chart = reliability(measured, "light", label)
        tokens = {(token[2], token[3]): token for token, *_ in points(chart)}
        for row in chart.table.itertuples():
            found = cases_behind(measured, tokens[row.when, round(row.low * BINS)]).cases
            assert len(found) == row.cases
        for token, coverage, risk in points(risk_against_coverage(measured, "light", label)):
            answered = round(coverage * len(measured.case_ids))
            assert len(cases_behind(measured, token).cases) == round(risk * answered)
    assert not points(reliability(findings, "light"))


def test_queries_are_counted_and_the_worst_come_first(findings: Measured) -> None:
    for protocol in ("test_to_train", "test_to_test"):
        chart = query_shares(findings, "light", protocol)
        for token, _, count in points(chart):
            assert len(cases_behind(findings, token).cases) == count
        assert sum(chart.table["queries"]) == findings.result["retrieval"][protocol]["queries"]
    precision = findings.result["per_case"]["retrieval"]["test_to_train"]["map"]
    of_case = dict(zip(findings.case_ids, precision, strict=True))
    ordered = [of_case[case.case_id] for case in cases_behind(findings, ["queries", "test_to_train", 0, 1]).cases]
    assert ordered == sorted(ordered)


def test_the_surest_errors_come_first(stages: Measured) -> None:
    worst = worst_cases(stages).cases
    sure = [stages.probabilities[stages.case_ids.index(case.case_id)].max() for case in worst]
    assert sure == sorted(sure, reverse=True)
    assert len(worst) == round((1 - stages.result["stages"]["accuracy"]) * stages.result["cases"])
    with pytest.raises(QueryError, match="no figures for 'Mass'"):
        cases_behind(stages, ["errors", "Mass"])
    for token in (["nothing"], ["confusion", "Stage 0"], ["queries", "elsewhere", 0, 1]):
        with pytest.raises(QueryError, match="no cases behind"):
            cases_behind(stages, token)


def test_tables_hold_figures_with_intervals_and_chance(findings: Measured) -> None:
    table = class_table(findings)
    row = findings.result["classification"]["per_class"]["Cardiomegaly"]
    low, high = row["auroc_interval"]
    assert table.set_index("Finding").loc["Cardiomegaly", "AUROC"] == f"{row['auroc']:.3f} [{low:.3f}, {high:.3f}]"
    chance = retrieval_table(findings).query("Ranking == 'chance'")
    level = findings.result["retrieval"]["test_to_train"]["chance"]["p@5"]
    assert chance["P@5"].iloc[0] == f"{level:.3f}"
    assert system_table([findings])["Cases"].tolist() == [findings.result["cases"]]


def test_a_system_differs_from_itself_by_nothing_and_from_a_perfect_one_by_the_rest(findings: Measured) -> None:
    result = findings.result
    perfect = {name: [float(name in labels) for labels in result["per_case"]["labels"]] for name in result["labels"]}
    oracle = result | {"per_case": result["per_case"] | {"probabilities": perfect, "calibrated": perfect}}
    same = result | {}
    others = [Measured("unified", "unified", one, casebook=findings.casebook) for one in (same, oracle)]
    systems = comparable(findings, others)
    assert len({one.name for one in systems}) == 3
    found = {(one.other, one.metric): one for one in differences(systems)}
    for metric in ("AUROC", "AP", "P@5"):
        assert found[systems[1].name, metric].value == 0
        assert found[systems[1].name, metric].interval == (0, 0)
    best = found[systems[2].name, "AUROC"]
    assert best.value == pytest.approx(1 - result["classification"]["macro"]["auroc"], abs=1e-6)
    assert best.interval[0] > 0
    # The oracle is right wherever the system is wrong.
    disagreed = compared_cases(systems, ["disagree", systems[2].name]).cases
    assert {case.case_id for case in disagreed} == {case.case_id for case in worst_cases(findings).cases}
    assert compared_cases(systems, ["worst", systems[2].name]).cases == []
    assert not differences([findings, Measured("other", "other", result | {"labels": ["Mass"]})])
    for chart in (system_levels(systems, "dark"), difference_chart(differences(systems), findings, "light")):
        assert "same" in chart.caption
        for token, *_ in points(chart):
            compared_cases(systems, token)
    with pytest.raises(QueryError, match="no cases behind"):
        compared_cases(systems, ["worst", "nobody"])


def test_runs_make_a_learning_curve_and_ablations(tmp_path: Path, small_casebook: Path) -> None:
    runs = [
        Run(
            system="unified", dataset="manifest", variant=variant, fraction=share, training_cases=int(share * 200),
            seed=seed, figures={"AUROC": 0.5 + share / 4 + seed / 100 - 0.1 * (variant != "full"), "AP": share},
        )
        for variant, share in (("full", 0.25), ("full", 1.0), ("- fusion", 0.25))
        for seed in (0, 1)
    ]  # fmt: skip
    curve, parts = learning_chart(runs, "light"), ablation_chart(runs, "light")
    assert curve is not None
    assert parts is not None
    rows = curve.table.query("metric == 'AUROC'")
    np.testing.assert_allclose(rows["mean"], [0.5675, 0.755])
    np.testing.assert_allclose(rows["high"] - rows["low"], 0.01)
    assert rows["training cases"].tolist() == [50, 200]
    assert parts.table.query("metric == 'AUROC'")["variant"].tolist() == ["full", "- fusion"]
    assert "2 seeds" in parts.caption
    assert learning_chart(runs[:2], "light") is None
    assert ablation_chart(runs[:4], "light") is None
    folder = shutil.copytree(small_casebook, tmp_path / "copy")
    metrics = json.loads(Layout(folder).metrics.read_text("utf-8"))
    Layout(folder).metrics.write_text(json.dumps(metrics | {"runs": [run.model_dump() for run in runs]}), "utf-8")
    assert runs_of(Casebook.open(folder)) == runs


def test_figures_of_a_file_are_compared_with_a_casebook(tmp_path: Path, findings: Measured) -> None:
    path = tmp_path / "evaluated.json"
    path.write_text(json.dumps({"system": "other", **findings.result}), "utf-8")
    (other,) = of_file(path)
    assert [one.name for one in comparable(findings, [other])] == [
        "unified, film and report",
        "other, film and report",
    ]
    assert of_file(Layout(findings.casebook.folder).metrics)[0].modality == "image"  # type: ignore[union-attr]
    elsewhere = Measured("x", "x", findings.result | {"dataset": "nih"})
    assert len(comparable(findings, [elsewhere])) == 1
    for content in ("{", "{}", '{"system": "x", "labels": []}'):
        path.write_text(content, "utf-8")
        with pytest.raises(QueryError, match="holds no figures"):
            of_file(path)
