"""Conformal sets: the promise itself, exactly, and figures worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from index_builder.calibration.conformal import (
    FindingThresholds,
    check_findings,
    check_stages,
    fewest_cases,
    stage_sets,
    stage_threshold,
    threshold,
)

coverages = st.sampled_from([0.5, 0.8, 0.9, 0.95])


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=60, unique=True), coverages)
def test_of_exchangeable_scores_exactly_the_stated_share_is_covered(scores, coverage):
    """Each of n + 1 cases in turn is the new one: their average is the coverage over all orders of them."""
    values = np.array(scores, float)
    covered = sum(values[new] <= threshold(np.delete(values, new), coverage) for new in range(len(values)))
    assert covered == min(math.ceil(len(values) * coverage - 1e-9), len(values))
    assert covered / len(values) >= coverage - 1e-9


@given(arrays(np.float64, st.integers(2, 60), elements=st.integers(0, 5).map(float)), coverages)
def test_ties_only_add_coverage(scores, coverage):
    covered = sum(scores[new] <= threshold(np.delete(scores, new), coverage) for new in range(len(scores)))
    assert covered / len(scores) >= coverage - 1e-9


@pytest.mark.parametrize(("coverage", "fewest"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19)])
def test_fewest_cases_are_just_enough(coverage, fewest):
    assert fewest_cases(coverage) == fewest
    assert threshold(np.arange(fewest, dtype=float), coverage) == fewest - 1
    assert threshold(np.arange(fewest - 1, dtype=float), coverage) == math.inf


def test_verdicts_by_hand():
    probabilities = np.array([[0.9], [0.8], [0.6], [0.3], [0.7], [0.4], [0.2], [0.1]])
    truth = np.array([[True]] * 4 + [[False]] * 4)
    found = FindingThresholds.of(probabilities, truth, 0.6)
    # Of four, the ceil(5 * 0.6) = 3rd smallest: of 0.1 0.2 0.4 0.7 and of 0.1 0.2 0.4 0.7.
    assert found.present == pytest.approx([0.4])
    assert found.absent == pytest.approx([0.4])
    present, absent = found.sets(np.array([[0.61], [0.5], [0.39]]))
    assert present.ravel().tolist() == [True, True, False]
    assert absent.ravel().tolist() == [False, True, True]


def test_the_less_likely_answer_never_stands_alone():
    probabilities = np.concatenate([np.linspace(0.02, 0.3, 20), np.linspace(0.0001, 0.01, 80)])[:, None]
    found = FindingThresholds.of(probabilities, np.arange(100)[:, None] < 20, 0.9)
    asked = np.array([[0.2], [0.005], [0.6]])
    assert (1 - asked <= found.present).ravel().tolist() == [True, False, True]
    assert (asked <= found.absent).ravel().tolist() == [False, True, False]
    present, absent = found.sets(asked)
    assert present.ravel().tolist() == [True, False, True]
    assert absent.ravel().tolist() == [True, True, False]


def test_a_finding_of_which_too_few_cases_tell_stays_undecided():
    random = np.random.default_rng(0)
    truth = np.zeros((50, 1), bool)
    truth[:3] = True
    found = FindingThresholds.of(random.random((50, 1)), truth, 0.9)
    assert found.present == [np.inf]
    assert np.isfinite(found.absent).all()
    for probability in (0.0, 1.0):
        assert all(one.all() for one in found.sets(np.full((1, 1), probability)))
    result = check_findings(found, random.random((20, 1)), np.ones((20, 1), bool), ["rare"])
    assert (result["findings"], result["per_class"], result["decided"]) == (0, {}, None)
    assert result["present"] == {"coverage": None, "interval": None, "pairs": 0}


def honest(random: np.random.Generator, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three findings, one of them rare, and findings drawn from them."""
    probabilities = 1 / (1 + np.exp(-random.normal([0, 1, -3], 1.5, (cases, 3))))
    return probabilities, random.random((cases, 3)) < probabilities


def test_sets_of_findings_keep_their_promise_on_new_cases():
    random = np.random.default_rng(2)
    found = FindingThresholds.of(*honest(random, 4000), 0.9)
    probabilities, truth = honest(random, 4000)
    result = check_findings(found, probabilities, truth, ["even", "often", "rare"], coverage=0.9)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    # By the thresholds alone coverage is as stated; the likelier answer, which is always in a set, only adds to it.
    assert (1 - probabilities <= found.present)[truth].mean() == pytest.approx(0.9, abs=0.02)
    assert (probabilities <= found.absent)[~truth].mean() == pytest.approx(0.9, abs=0.02)
    for kind in ("present", "absent"):
        assert result[kind]["coverage"] >= 0.88
        low, high = result[kind]["interval"]
        assert low < result[kind]["coverage"] < high
        for row in result["per_class"].values():
            assert row[kind]["coverage"] >= 0.85
    assert result["present"]["pairs"] == truth.sum()
    assert 0.2 < result["decided"] < 0.8


def test_sets_of_stages_by_hand_and_on_new_cases():
    assert stage_threshold(np.array([[0.7, 0.3], [0.2, 0.8], [0.4, 0.6]]), np.array([0, 1, 0]), 0.75) == pytest.approx(
        0.6
    )
    sets = stage_sets(np.array([[0.7, 0.3], [0.5, 0.5], [0.3, 0.3]]), 0.5)
    assert sets.tolist() == [[True, False], [True, True], [True, False]]

    random = np.random.default_rng(3)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        logits = random.normal(0, 2, (3000, 4))
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return shares, (logits + random.gumbel(size=logits.shape)).argmax(1)

    limit = stage_threshold(*draw(), 0.9)
    result = check_stages(limit, *draw(), ["a", "b", "c", "d"])
    assert result["coverage"] == pytest.approx(0.9, abs=0.02)
    assert 1 < result["size"] < 3
    assert set(result["per_stage"]) == {"a", "b", "c", "d"}
    wider = check_stages(stage_threshold(*draw(), 0.99), *draw(), ["a", "b", "c", "d"])
    assert wider["size"] > result["size"]


@pytest.mark.parametrize("coverage", [0, 1, 1.5])
def test_senseless_coverage_has_no_threshold(coverage):
    with pytest.raises(ValueError, match="coverage"):
        threshold(np.zeros(3), coverage)
