"""Classification metrics against scikit-learn, torchmetrics and figures worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference

from index_builder import vision_compat  # noqa: F401  must precede torchmetrics
from index_builder.calibration.bootstrap import interval, resampled_weights
from index_builder.calibration.ranks import auroc_and_ap, best_f1_threshold, curves
from index_builder.errors import DatasetError
from index_builder.evaluation.classification import choose_thresholds, classification, classify_stages

METRICS = ("auroc", "ap", "f1", "sensitivity", "specificity", "accuracy")


@st.composite
def scored_cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with many ties, truth with both kinds, and whole-number weights that keep both."""
    count = draw(st.integers(2, 30))
    scores = draw(arrays(np.float64, count, elements=st.integers(0, 6).map(lambda step: step / 7)))
    truth = draw(arrays(np.bool_, count))
    truth[:2] = (True, False)
    weights = draw(arrays(np.int64, count, elements=st.integers(0, 3)))
    weights[:2] = np.maximum(weights[:2], 1)
    return scores, truth, weights


def multilabel_sample(cases: int = 300, classes: int = 5) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Probabilities rounded so that they tie, and labels they have something to do with."""
    random = np.random.default_rng(4)
    labels = random.random((cases, classes)) < 0.2
    probabilities = 1 / (1 + np.exp(-random.normal(2 * labels - 1.5, 1.2)))
    return probabilities.round(2).astype(np.float32), labels, [f"class {number}" for number in range(classes)]


@given(scored_cases())
def test_weighted_auroc_and_ap_are_those_of_scikit_learn(sample):
    scores, truth, weights = sample
    auroc, ap = auroc_and_ap(scores, truth, np.stack([np.ones_like(weights), weights]).astype(np.float32))
    assert auroc[0] == pytest.approx(reference.roc_auc_score(truth, scores))
    assert ap[0] == pytest.approx(reference.average_precision_score(truth, scores))
    assert auroc[1] == pytest.approx(reference.roc_auc_score(truth, scores, sample_weight=weights))
    assert ap[1] == pytest.approx(reference.average_precision_score(truth, scores, sample_weight=weights))


@given(scored_cases(), st.randoms(use_true_random=False))
def test_ranking_metrics_ignore_order_of_cases_and_monotone_transforms(sample, shuffler):
    scores, truth, _ = sample
    shuffled = list(range(len(scores)))
    shuffler.shuffle(shuffled)
    weights = np.ones((1, len(scores)), np.float32)
    plainly = auroc_and_ap(scores, truth, weights)
    np.testing.assert_allclose(plainly, auroc_and_ap(scores[shuffled], truth[shuffled], weights))
    np.testing.assert_allclose(plainly, auroc_and_ap(np.exp(3 * scores) - 5, truth, weights))
    assert all(0 <= value[0] <= 1 for value in plainly)


def test_ranking_metrics_by_hand():
    # Ranked: + - + (tied with -) : pairs won 1 + 1, 0.5 + 0 of 4; AP = 1/2 · 1 + 1/2 · 2/4.
    scores, truth = np.array([0.9, 0.8, 0.3, 0.3]), np.array([True, False, True, False])
    auroc, ap = auroc_and_ap(scores, truth, np.ones((1, 4), np.float32))
    assert auroc[0] == pytest.approx(2.5 / 4)
    assert ap[0] == pytest.approx(0.75)


def test_resamples_without_a_positive_or_a_negative_are_undefined():
    weights = np.array([[1, 1], [2, 0], [0, 2]], np.float32)
    for values in auroc_and_ap(np.array([0.7, 0.2]), np.array([True, False]), weights):
        np.testing.assert_array_equal(np.isnan(values), [False, True, True])


@given(scored_cases())
def test_threshold_reaches_the_best_f1_there_is(sample):
    scores, truth, _ = sample
    threshold = best_f1_threshold(scores, truth)
    best = max(reference.f1_score(truth, scores >= candidate) for candidate in np.unique(scores))
    assert reference.f1_score(truth, scores >= threshold) == pytest.approx(best)


def test_threshold_lies_between_scores_and_is_the_highest_of_equals():
    assert best_f1_threshold(np.array([0.9, 0.6, 0.2]), np.array([True, True, False])) == pytest.approx(0.4)
    # Taking one gives F1 2·1/(1+2), taking four 2·2/(4+2): equal, so the stricter one.
    assert best_f1_threshold(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, False, True])) == pytest.approx(
        0.85
    )
    assert best_f1_threshold(np.array([0.3, 0.1]), np.array([False, True])) == pytest.approx(0.1)


def test_threshold_survives_neighbouring_floating_point_numbers():
    low = 0.1
    high = np.nextafter(low, 1)
    assert best_f1_threshold(np.array([low, high]), np.array([False, True])) == high


def test_class_without_validation_positives_gets_the_pooled_threshold():
    probabilities = np.array([[0.9, 0.3, 0.99], [0.2, 0.7, 0.1], [0.1, 0.1, 0.5]])
    labels = np.array([[True, False, False], [False, True, False], [False, False, False]])
    np.testing.assert_allclose(choose_thresholds(probabilities, labels), [0.55, 0.5, 0.5])


def test_thresholds_need_a_label_somewhere():
    with pytest.raises(DatasetError, match="None of the 4 validation cases"):
        choose_thresholds(np.full((4, 2), 0.5), np.zeros((4, 2), bool))


def test_multilabel_example_by_hand():
    probabilities = np.array([[0.9, 0.9, 0.2], [0.8, 0.1, 0.4], [0.3, 0.2, 0.1], [0.1, 0.3, 0.3]])
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    result = classification(probabilities, labels, ["a", "b", "never"], np.array([0.5, 0.25, 0.5]), resamples=50)
    a, b, never = result["per_class"].values()
    assert a["confusion"] == {"tp": 1, "fp": 1, "fn": 1, "tn": 1}
    assert (a["auroc"], a["f1"], a["sensitivity"], a["specificity"], a["accuracy"]) == (0.75, 0.5, 0.5, 0.5, 0.5)
    assert a["ap"] == pytest.approx((1 + 2 / 3) / 2)
    assert a["positives"] == 2
    assert a["threshold"] == 0.5
    assert b["confusion"] == {"tp": 0, "fp": 2, "fn": 2, "tn": 0}
    assert b["auroc"] == 0
    assert b["f1"] == 0
    assert result["macro"]["auroc"] == pytest.approx(0.375)
    assert result["macro"]["f1"] == pytest.approx(0.25)
    assert result["left_out"] == ["never"]
    assert all(never[metric] is None and never[f"{metric}_interval"] is None for metric in METRICS)
    assert set(result["curves"]) == {"a", "b"}


def test_agrees_with_scikit_learn_and_torchmetrics():
    from torchmetrics.classification import MultilabelAUROC, MultilabelAveragePrecision

    probabilities, labels, names = multilabel_sample()
    thresholds = choose_thresholds(probabilities, labels)
    result = classification(probabilities, labels, names, thresholds, resamples=10)
    given_, wanted = torch.from_numpy(probabilities), torch.from_numpy(labels.astype(np.int64))
    macro = result["macro"]
    assert macro["auroc"] == pytest.approx(float(MultilabelAUROC(len(names))(given_, wanted)), abs=1e-6)
    assert macro["ap"] == pytest.approx(float(MultilabelAveragePrecision(len(names))(given_, wanted)), abs=1e-6)
    predicted = probabilities >= thresholds
    assert macro["f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert macro["sensitivity"] == pytest.approx(reference.recall_score(labels, predicted, average="macro"))
    assert macro["specificity"] == pytest.approx(reference.recall_score(~labels, ~predicted, average="macro"))
    assert macro["accuracy"] == pytest.approx(np.mean(predicted == labels))
    for column, row in enumerate(result["per_class"].values()):
        assert row["auroc"] == pytest.approx(reference.roc_auc_score(labels[:, column], probabilities[:, column]))


def test_intervals_are_those_of_resampled_copies():
    probabilities, labels, names = multilabel_sample(cases=120, classes=3)
    thresholds = np.full(3, 0.4)
    result = classification(probabilities, labels, names, thresholds, resamples=40, seed=9)
    copies = [np.repeat(np.arange(120), row.astype(int)) for row in resampled_weights(120, resamples=40, seed=9)]
    aps = [reference.average_precision_score(labels[copy], probabilities[copy], average="macro") for copy in copies]
    f1s = [reference.f1_score(labels[copy], probabilities[copy] >= thresholds, average="macro") for copy in copies]
    assert result["macro_interval"]["ap"] == pytest.approx(np.percentile(aps[1:], [2.5, 97.5]))
    assert result["macro_interval"]["f1"] == pytest.approx(np.percentile(f1s[1:], [2.5, 97.5]))


def test_every_estimate_is_plain_json_with_its_interval_around_it():
    probabilities, labels, names = multilabel_sample()
    result = classification(probabilities, labels, names, np.full(5, 0.4), resamples=200)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for metric in METRICS:
        for value, (low, high) in [
            (result["macro"][metric], result["macro_interval"][metric]),
            *((row[metric], row[f"{metric}_interval"]) for row in result["per_class"].values()),
        ]:
            assert 0 <= low <= value <= high <= 1
            assert low < high


def test_the_seed_decides_the_intervals():
    probabilities, labels, names = multilabel_sample(cases=60)
    first, again, other = (
        classification(probabilities, labels, names, np.full(5, 0.4), resamples=50, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first["macro"] == other["macro"]
    assert first["macro_interval"] != other["macro_interval"]


def test_patients_with_many_alike_films_widen_the_interval():
    probabilities, labels, names = multilabel_sample(cases=60)
    films, patients = np.repeat(probabilities, 9, axis=0), np.repeat(np.arange(60), 9)
    arguments = (films, np.repeat(labels, 9, axis=0), names, np.full(5, 0.4))

    def width(result):
        low, high = result["macro_interval"]["auroc"]
        return high - low

    by_film = classification(*arguments, resamples=200)
    by_patient = classification(*arguments, groups=patients, resamples=200)
    assert by_patient["macro"] == by_film["macro"]
    assert width(by_patient) > 2 * width(by_film)


def test_weights_draw_whole_patients():
    patients = ["b", "a", "b", "c", "a"]
    weights = resampled_weights(5, resamples=30, groups=patients)
    assert weights.shape == (31, 5)
    assert (weights[0] == 1).all()
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 4])
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    with pytest.raises(ValueError, match="2 groups for 3 cases"):
        resampled_weights(3, groups=["a", "b"])


def test_interval_leaves_the_estimate_and_undefined_resamples_out():
    assert interval([99, 1, np.nan, 1]) == [1, 1]
    assert interval([1, np.nan]) is None


def test_curves_are_thin_and_keep_their_area():
    random = np.random.default_rng(2)
    truth = random.random(5000) < 0.02
    scores = random.normal(truth * 2.0)
    drawn = curves(scores, truth, 200)
    fpr, tpr = drawn["roc"]["fpr"], drawn["roc"]["tpr"]
    assert len(fpr) == len(tpr) <= 200
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(reference.roc_auc_score(truth, scores), abs=0.002)
    recall, precision = np.array(drawn["pr"]["recall"]), np.array(drawn["pr"]["precision"])
    assert len(recall) == len(precision) <= 200
    assert (recall[0], precision[0], recall[-1]) == (0, 1, 1)
    steps = np.sum(np.diff(recall) * precision[1:])
    assert steps == pytest.approx(reference.average_precision_score(truth, scores), abs=0.02)


def test_short_curves_are_scikit_learns():
    scores, truth = np.array([0.9, 0.8, 0.8, 0.3, 0.1]), np.array([True, False, True, True, False])
    drawn = curves(scores, truth, 200)
    fpr, tpr, _ = reference.roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose([drawn["roc"]["fpr"], drawn["roc"]["tpr"]], [fpr, tpr], atol=1e-5)
    precision, recall, _ = reference.precision_recall_curve(truth, scores)
    assert drawn["pr"]["recall"] == pytest.approx(recall[::-1], abs=1e-5)
    assert drawn["pr"]["precision"] == pytest.approx(precision[::-1], abs=1e-5)


def test_stages_by_hand():
    stages = np.array([0, 0, 1, 1, 2, 2])
    chosen = np.array([0, 1, 1, 1, 2, 0])
    probabilities = np.full((6, 4), 0.1)
    probabilities[np.arange(6), chosen] = 0.7
    result = classify_stages(probabilities, stages, ["0", "1", "2", "3"], resamples=100)
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["accuracy_interval"][0] <= 4 / 6 <= result["accuracy_interval"][1]
    assert result["confusion"] == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert result["left_out"] == ["3"]
    one = result["per_class"]["1"]
    assert (one["sensitivity"], one["specificity"], one["f1"]) == (1, 0.75, pytest.approx(0.8))
    assert one["auroc"] == pytest.approx(reference.roc_auc_score(stages == 1, probabilities[:, 1]))
    assert result["macro"]["sensitivity"] == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert result["macro"]["f1"] == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)
    assert "accuracy" not in one
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_stages_agree_with_scikit_learn():
    random = np.random.default_rng(8)
    stages = random.integers(4, size=200)
    logits = random.normal(size=(200, 4)) + 1.5 * np.eye(4)[stages]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    result = classify_stages(probabilities, stages, list("0123"), resamples=10)
    chosen = probabilities.argmax(axis=1)
    assert result["confusion"] == reference.confusion_matrix(stages, chosen).tolist()
    assert result["macro"]["f1"] == pytest.approx(reference.f1_score(stages, chosen, average="macro"))
    auroc = reference.roc_auc_score(stages, probabilities, multi_class="ovr", average="macro")
    assert result["macro"]["auroc"] == pytest.approx(auroc)


@pytest.mark.parametrize(
    ("probabilities", "labels", "complaint"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3), bool), "must both be"),
        (np.zeros((3, 2)), np.zeros((3, 2), int), "bool"),
        (np.full((3, 2), np.nan), np.zeros((3, 2), bool), "finite"),
        (np.zeros((0, 2)), np.zeros((0, 2), bool), "no cases"),
    ],
)
def test_senseless_arrays_are_refused(probabilities, labels, complaint):
    with pytest.raises(ValueError, match=complaint):
        classification(probabilities, labels, ["a", "b"], np.array([0.5, 0.5]))


def test_a_stage_without_a_column_is_refused():
    with pytest.raises(ValueError, match="0 to 1"):
        classify_stages(np.full((2, 2), 0.5), np.array([0, 2]), ["0", "1"])
