"""Calibration against torchmetrics, scikit-learn and figures worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, softmax
from sklearn.metrics import brier_score_loss, log_loss

from index_builder import vision_compat  # noqa: F401  must precede torchmetrics
from index_builder.calibration.temperature import (
    TEMPERATURES,
    calibrate_stages,
    calibration,
    expected_calibration_error,
    fit_stage_temperature,
    fit_temperature,
    reliability,
)


def overconfident_labels(sharpness: float, cases: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Logits `sharpness` times those that the labels were drawn from."""
    random = np.random.default_rng(6)
    honest = random.normal(size=(cases, 3))
    return (sharpness * honest).astype(np.float32), random.random((cases, 3)) < expit(honest)


def overconfident_stages(sharpness: float, cases: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    honest = random.normal(size=(cases, 4))
    stages = (honest + random.gumbel(size=honest.shape)).argmax(axis=1)
    return sharpness * honest, stages


def test_reliability_by_hand():
    bins = reliability(np.array([0.0, 0.9, 0.92, 1.0]), np.array([False, True, False, True]))
    assert [bin_["cases"] for bin_ in bins] == [1, 2, 1]
    assert [bin_["accuracy"] for bin_ in bins] == [0, 0.5, 1]
    assert bins[1]["confidence"] == pytest.approx(0.91, abs=0.02)
    assert (bins[-1]["low"], bins[-1]["high"]) == (14 / 15, 1)
    assert bins[0]["low"] == 0


def test_expected_calibration_error_by_hand():
    # Four said 0.8 and three were right; one said 0.1 and was wrong.
    bins = reliability(np.array([0.8, 0.8, 0.8, 0.8, 0.1]), np.array([True, True, True, False, False]))
    assert expected_calibration_error(bins) == pytest.approx((4 * 0.05 + 1 * 0.1) / 5)


@given(st.data(), st.integers(1, 60))
def test_calibration_error_is_bounded_and_bins_hold_every_case(data, count):
    confidences = data.draw(arrays(np.float64, count, elements=st.floats(0, 1)))
    correct = data.draw(arrays(np.bool_, count))
    bins = reliability(confidences, correct)
    assert sum(bin_["cases"] for bin_ in bins) == count
    assert 0 <= expected_calibration_error(bins) <= 1
    assert all(bin_["low"] - 1e-9 <= bin_["confidence"] <= bin_["high"] + 1e-9 for bin_ in bins)
    always = expected_calibration_error(reliability(correct.astype(float), correct))
    assert always == 0


def test_multilabel_agrees_with_torchmetrics_and_scikit_learn():
    from torchmetrics.functional.classification import binary_calibration_error

    logits, labels = overconfident_labels(2.5, cases=400)
    before = calibration(logits, labels, ["a", "b", "c"], 2.0)["before"]
    probabilities = expit(logits.astype(float))
    for column, row in enumerate(before["per_class"].values()):
        probability, truth = probabilities[:, column], labels[:, column]
        ece = binary_calibration_error(torch.tensor(probability), torch.tensor(truth).long(), n_bins=15, norm="l1")
        assert row["ece"] == pytest.approx(float(ece), abs=1e-6)
        assert row["brier"] == pytest.approx(brier_score_loss(truth, probability))
        assert row["nll"] == pytest.approx(log_loss(truth, probability))
    for metric, value in before["macro"].items():
        assert value == pytest.approx(np.mean([row[metric] for row in before["per_class"].values()]))


def test_stages_agree_with_torchmetrics_and_scikit_learn():
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, stages = overconfident_stages(2.0, cases=400)
    before = calibrate_stages(logits, stages, 1.5)["before"]
    probabilities = softmax(logits, axis=1)
    ece = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(stages), 4, n_bins=15, norm="l1")
    assert before["ece"] == pytest.approx(float(ece), abs=1e-6)
    assert before["nll"] == pytest.approx(log_loss(stages, probabilities))
    brier = brier_score_loss(stages, probabilities, scale_by_half=False, labels=[0, 1, 2, 3])
    assert before["brier"] == pytest.approx(brier)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_undoes_overconfidence(sharpness):
    assert fit_temperature(*overconfident_labels(sharpness)) == pytest.approx(sharpness, rel=0.08)
    assert fit_stage_temperature(*overconfident_stages(sharpness)) == pytest.approx(sharpness, rel=0.08)


def test_temperature_is_where_the_likelihood_is_highest():
    logits, labels = overconfident_labels(3.0, cases=200)
    fitted = fit_temperature(logits, labels)

    def nll(temperature: float) -> float:
        return calibration(logits, labels, ["a", "b", "c"], temperature)["after"]["macro"]["nll"]

    assert nll(fitted) <= min(nll(fitted * 0.99), nll(fitted * 1.01))


def test_scaling_mends_calibration_on_other_cases():
    logits, labels = overconfident_labels(3.0)
    result = calibration(logits[1500:], labels[1500:], ["a", "b", "c"], fit_temperature(logits[:1500], labels[:1500]))
    for metric in ("ece", "brier", "nll"):
        assert result["after"]["macro"][metric] < result["before"]["macro"][metric]
    stage_logits, stages = overconfident_stages(3.0)
    temperature = fit_stage_temperature(stage_logits[:1500], stages[:1500])
    staged = calibrate_stages(stage_logits[1500:], stages[1500:], temperature)
    assert staged["temperature"] == temperature
    assert staged["after"]["ece"] < staged["before"]["ece"] / 3
    for whole in (result, staged):
        assert json.loads(json.dumps(whole, allow_nan=False)) == whole


def test_logits_that_are_all_right_or_all_wrong_stop_at_the_ends():
    labels = np.array([[True], [False]])
    right = np.where(labels, 2.0, -2.0)
    assert fit_temperature(right, labels) == pytest.approx(TEMPERATURES[0], rel=0.01)
    assert fit_temperature(-right, labels) == pytest.approx(TEMPERATURES[1], rel=0.01)


def test_extreme_logits_stay_finite():
    result = calibration(np.array([[1e4], [-1e4]]), np.array([[True], [False]]), ["a"], 1.0)
    assert result["before"]["macro"] == {"ece": 0, "brier": 0, "nll": 0}


@pytest.mark.parametrize(
    ("logits", "stages"),
    [
        (np.zeros((0, 2)), np.zeros(0, int)),
        (np.zeros((2, 2)), np.array([0, 2])),
        (np.zeros((2, 2)), np.array([0, 1, 1])),
        (np.full((2, 2), np.inf), np.array([0, 1])),
    ],
)
def test_senseless_logits_are_refused(logits, stages):
    with pytest.raises(ValueError, match="must"):
        fit_stage_temperature(logits, stages)
