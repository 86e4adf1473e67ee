"""Selective prediction against figures worked out by hand and a plain re-computation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from index_builder.calibration.uncertainty import at_threshold, risk_coverage, selective_prediction, threshold_for_risk
from index_builder.errors import ModelError


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(1, 30))
    uncertainty = draw(arrays(np.float64, count, elements=st.integers(0, 5).map(lambda step: step / 8)))
    return uncertainty, draw(arrays(np.bool_, count))


def test_curve_and_errors_by_hand():
    uncertainty = np.array([0.4, 0.1, 0.3, 0.2, 0.5])
    wrong = np.array([True, False, True, False, False])
    result = selective_prediction(uncertainty, wrong, resamples=100)
    # Ranked: right, right, wrong, wrong, right.
    assert result["error"] == pytest.approx(0.4)
    assert result["error@0.8"] == pytest.approx(0.5)
    assert result["ratio@0.8"] == pytest.approx(1.25)
    assert result["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 2 / 4 + 2 / 5) / 5)
    assert result["curve"] == {"coverage": [0.2, 0.4, 0.6, 0.8, 1.0], "risk": [0, 0, 0.33333, 0.5, 0.4]}
    assert selective_prediction(uncertainty, wrong, coverage=0.5, resamples=10)["error@0.5"] == pytest.approx(0.2)
    assert result["cases"] == 5
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@given(answers(), st.floats(0.05, 1), st.randoms(use_true_random=False))
def test_bounds_order_of_cases_and_monotone_transforms(sample, coverage, shuffler):
    uncertainty, wrong = sample
    shuffled = list(range(len(wrong)))
    shuffler.shuffle(shuffled)
    result = selective_prediction(uncertainty, wrong, coverage=coverage, resamples=0)
    assert result["error"] == pytest.approx(wrong.mean())
    assert 0 <= result["aurc"] <= 1
    assert 0 <= result[f"error@{coverage:g}"] <= 1 + 1e-9
    for other in (
        selective_prediction(uncertainty[shuffled], wrong[shuffled], coverage=coverage, resamples=0),
        selective_prediction(np.exp(uncertainty) - 9, wrong, coverage=coverage, resamples=0),
    ):
        assert other["aurc"] == pytest.approx(result["aurc"])
        assert other[f"error@{coverage:g}"] == pytest.approx(result[f"error@{coverage:g}"])


def test_uninformative_uncertainty_changes_nothing():
    wrong = np.arange(20) % 4 == 0
    result = selective_prediction(np.full(20, 0.3), wrong, resamples=200)
    assert result["aurc"] == pytest.approx(0.25)
    assert result["ratio@0.8"] == pytest.approx(1)
    assert result["interval"]["ratio@0.8"] == pytest.approx([1, 1])


def test_knowing_uncertainty_drops_the_error_with_an_interval_that_shows_it():
    random = np.random.default_rng(1)
    wrong = random.random(400) < 0.15
    result = selective_prediction(random.normal(wrong * 3.0), wrong)
    assert result["error@0.8"] < result["error"] / 2
    assert result["interval"]["ratio@0.8"][1] < 0.5
    for metric, (low, high) in result["interval"].items():
        assert low <= result[metric] <= high


def test_intervals_are_those_of_resampled_copies():
    from index_builder.calibration.bootstrap import resampled_weights

    random = np.random.default_rng(5)
    wrong = random.random(50) < 0.3
    uncertainty = random.normal(wrong.astype(float)).round(1)
    intervals = selective_prediction(uncertainty, wrong, resamples=30, seed=3)["interval"]
    aurcs = []
    for row in resampled_weights(50, resamples=30, seed=3)[1:]:
        copies = np.repeat(np.arange(50), row.astype(int))
        aurcs.append(selective_prediction(uncertainty[copies], wrong[copies], resamples=0)["aurc"])
    assert intervals["aurc"] == pytest.approx(np.percentile(aurcs, [2.5, 97.5]))


def test_without_any_error_there_is_no_ratio():
    result = selective_prediction(np.arange(4.0), np.zeros(4, bool), resamples=20)
    assert (result["error"], result["error@0.8"], result["aurc"]) == (0, 0, 0)
    assert result["ratio@0.8"] is None
    assert result["interval"]["ratio@0.8"] is None


def test_threshold_is_the_largest_that_keeps_the_risk():
    uncertainty = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    wrong = np.array([True, False, False, False, True])
    # Risks: 1, 1/2, 1/3, 1/4, 2/5: the first step is worse than the risk, later ones are not.
    assert threshold_for_risk(uncertainty, wrong, 0.25) == 0.4
    assert threshold_for_risk(uncertainty, wrong, 0.34) == 0.4
    assert threshold_for_risk(uncertainty, wrong, 0.4) == 0.5


def test_threshold_counts_equally_uncertain_cases_together():
    assert threshold_for_risk(np.array([0.1, 0.3, 0.3]), np.array([False, False, True]), 0.2) == 0.1


@given(answers(), st.floats(0, 1))
def test_threshold_keeps_its_promise_and_no_larger_one_does(sample, risk):
    uncertainty, wrong = sample
    kept = [u for u in np.unique(uncertainty) if wrong[uncertainty <= u].mean() <= risk]
    if kept:
        threshold = threshold_for_risk(uncertainty, wrong, risk)
        assert threshold == max(kept)
        assert at_threshold(uncertainty, wrong, threshold)["error"] <= risk
    else:
        with pytest.raises(ModelError, match="least is"):
            threshold_for_risk(uncertainty, wrong, risk)


def test_unreachable_risk_names_the_least_there_is():
    with pytest.raises(ModelError, match=r"5 validation cases to 1\.0%; the least is 20\.0%, answering 100\.0%"):
        threshold_for_risk(np.full(5, 0.2), np.array([True, False, False, False, False]), 0.01)


def test_threshold_on_test_cases():
    uncertainty, wrong = np.array([0.1, 0.2, 0.9]), np.array([False, True, True])
    assert at_threshold(uncertainty, wrong, 0.2) == {"threshold": 0.2, "coverage": pytest.approx(2 / 3), "error": 0.5}
    assert at_threshold(uncertainty, wrong, 0.05) == {"threshold": 0.05, "coverage": 0, "error": None}


def test_long_curves_are_thinned():
    random = np.random.default_rng(3)
    curve = risk_coverage(random.random(5000), random.random(5000) < 0.2)
    assert len(curve["coverage"]) == len(curve["risk"]) <= 200
    assert curve["coverage"][-1] == 1
    assert sorted(curve["coverage"]) == curve["coverage"]


@pytest.mark.parametrize(
    ("uncertainty", "wrong"),
    [(np.zeros(2), np.zeros(3, bool)), (np.zeros(0), np.zeros(0, bool)), (np.array([np.nan]), np.zeros(1, bool))],
)
def test_senseless_arrays_are_refused(uncertainty, wrong):
    with pytest.raises(ValueError, match="must"):
        threshold_for_risk(uncertainty, wrong, 0.1)


@pytest.mark.parametrize("coverage", [0, 1.2])
def test_senseless_coverage_is_refused(coverage):
    with pytest.raises(ValueError, match="coverage"):
        selective_prediction(np.zeros(2), np.zeros(2, bool), coverage=coverage)
