"""Labels that nobody decided: every figure is what it would be if those cases had not been asked for the label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_samples import Some
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from index_builder.calibration.conformal import FindingThresholds, check_findings
from index_builder.calibration.held_out import HeldOut
from index_builder.calibration.temperature import calibration, fit_temperature, reliability
from index_builder.calibration.voting import choose_vote, vote
from index_builder.evaluation.classification import choose_thresholds, classification
from index_builder.evaluation.linear import fit_linear, macro_ap
from index_builder.evaluation.retrieval import query_metrics, retrieval, summarise
from index_builder.evaluation.task import cosines, protocols, rank_queries, set_task, summarise_queries

NAMES = ("a", "b", "c")
RANDOM = np.random.default_rng(0)
KNOWN = RANDOM.random((240, 3)) < [0.5, 0.8, 1.0]
TRUTH = (RANDOM.random((240, 3)) < 0.3) & KNOWN
SCORES = (RANDOM.random((240, 3)) + 0.6 * TRUTH).clip(0.01, 1.5) / 1.6
LOGITS = np.log(SCORES) - np.log1p(-SCORES)


def test_classification_scores_each_label_on_the_cases_it_is_known_of() -> None:
    thresholds = choose_thresholds(SCORES, TRUTH, KNOWN)
    found = classification(SCORES, TRUTH, NAMES, thresholds, known=KNOWN, resamples=50)
    for column, name in enumerate(NAMES):
        rows = KNOWN[:, column]
        truth, scores = TRUTH[rows, column], SCORES[rows, column]
        alone = choose_thresholds(scores[:, None], truth[:, None])[0]
        row = found["per_class"][name]
        assert thresholds[column] == row["threshold"] == alone
        assert row["auroc"] == pytest.approx(roc_auc_score(truth, scores))
        assert row["ap"] == pytest.approx(average_precision_score(truth, scores))
        assert row["f1"] == pytest.approx(f1_score(truth, scores >= alone))
        assert sum(row["confusion"].values()) == rows.sum()
        assert row.get("unknown", 0) == (~rows).sum()
        assert (row["positives"], "unknown" in row) == (truth.sum(), name != "c")
        low, high = row["auroc_interval"]
        assert low < row["auroc"] < high


def test_what_an_unknown_label_holds_and_scores_changes_nothing() -> None:
    thresholds = choose_thresholds(SCORES, TRUTH, KNOWN)
    found = classification(SCORES, TRUTH, NAMES, thresholds, known=KNOWN, resamples=20)
    other = np.where(KNOWN, SCORES, 0.999)
    assert classification(other, TRUTH, NAMES, thresholds, known=KNOWN, resamples=20) == found
    np.testing.assert_array_equal(choose_thresholds(other, TRUTH, KNOWN), thresholds)
    told = FindingThresholds.of(SCORES, TRUTH, known=KNOWN)
    again = FindingThresholds.of(other, TRUTH, known=KNOWN)
    np.testing.assert_array_equal((told.present, told.absent), (again.present, again.absent))
    logits = np.where(KNOWN, LOGITS, 9.0)
    assert fit_temperature(logits, TRUTH, KNOWN) == fit_temperature(LOGITS, TRUTH, KNOWN)
    assert calibration(logits, TRUTH, NAMES, 2.0, KNOWN) == calibration(LOGITS, TRUTH, NAMES, 2.0, KNOWN)
    assert HeldOut.of(NAMES, False, logits, TRUTH, KNOWN).temperature == pytest.approx(
        HeldOut.of(NAMES, False, LOGITS, TRUTH, KNOWN).temperature
    )


def test_all_known_is_the_same_as_nothing_said() -> None:
    everything = np.ones(TRUTH.shape, bool)
    thresholds = choose_thresholds(SCORES, TRUTH)
    np.testing.assert_array_equal(choose_thresholds(SCORES, TRUTH, everything), thresholds)
    plain = classification(SCORES, TRUTH, NAMES, thresholds, resamples=20)
    assert classification(SCORES, TRUTH, NAMES, thresholds, known=everything, resamples=20) == plain
    assert fit_temperature(LOGITS, TRUTH, everything) == fit_temperature(LOGITS, TRUTH)
    assert HeldOut.of(NAMES, False, LOGITS, TRUTH, everything).told is None


def test_calibration_and_sets_count_known_labels_only() -> None:
    bins = calibration(LOGITS, TRUTH, NAMES, 1.0, KNOWN)["before"]["per_class"]["a"]["bins"]
    rows = KNOWN[:, 0]
    expected = reliability(SCORES[rows, 0], TRUTH[rows, 0])
    assert [one["cases"] for one in bins] == [one["cases"] for one in expected]
    sets = check_findings(FindingThresholds.of(SCORES, TRUTH, known=KNOWN), SCORES, TRUTH, NAMES, known=KNOWN)
    assert sets["present"]["pairs"] == TRUTH.sum()
    assert sets["absent"]["pairs"] == (~TRUTH & KNOWN).sum()
    assert sets["per_class"]["a"]["absent"]["cases"] == (~TRUTH & KNOWN)[:, 0].sum()


def test_a_case_does_not_vote_on_what_is_unknown_of_it() -> None:
    similarity = np.array([[0.9, 0.8, 0.7, 0.6]])
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 1]])
    known = np.array([[True, False], [False, False], [True, False], [True, False]])
    found = vote(similarity, labels, 3, 0.1, known)
    weights = np.exp(np.array([0.9, 0.8, 0.7]) / 0.1)
    np.testing.assert_allclose(found.probabilities, [[1.0, 0.0]])  # of the first label all who know say yes
    np.testing.assert_allclose(found.weights, [weights / weights.sum()])
    four = vote(similarity, labels, 4, 0.1, known).probabilities[0, 0]
    nearness = np.exp(similarity[0] / 0.1)
    assert four == pytest.approx(nearness[[0, 2]].sum() / nearness[[0, 2, 3]].sum())


def test_a_vote_is_chosen_by_known_labels() -> None:
    similarity, labels = RANDOM.random((240, 200)), (RANDOM.random((200, 3)) < 0.4).astype(np.float32)
    chosen = choose_vote(similarity, labels, TRUTH, judged=KNOWN)
    assert choose_vote(similarity, labels, np.where(KNOWN, TRUTH, True), judged=KNOWN) == chosen


def test_candidates_of_which_it_is_unknown_whether_they_share_a_label_are_not_ranked() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5]])
    relevance = np.array([[False, True, False, False, True]])
    ranked = np.array([[False, True, True, False, True]])
    found = query_metrics(scores, relevance, ranked=ranked)
    without = query_metrics(scores[:, ranked[0]], relevance[:, ranked[0]])
    assert found.pop("candidates").tolist() == [3]
    for name, value in without.items():
        np.testing.assert_allclose(found[name], value, err_msg=name)
    both = {**found, "candidates": np.array([3])}
    expected = retrieval(scores[:, ranked[0]], relevance[:, ranked[0]])
    summary = summarise(both, 5, groups=None)
    assert summary.pop("chance") == pytest.approx(expected.pop("chance"))
    assert summary.pop("interval").keys() == expected.pop("interval").keys()
    assert summary == pytest.approx(expected)
    with pytest.raises(ValueError, match="whatever is relevant"):
        query_metrics(scores, relevance, ranked=np.zeros((1, 5), bool))


def hedged(films: Some) -> Some:
    """The films with the first label unknown of every third case, and all labels of every seventh."""
    first = films.label_names[0]

    def unknown(number: int) -> tuple[str, ...]:
        return films.label_names if number % 7 == 0 else (first,) if number % 3 == 0 else ()

    cases = [
        replace(case, unknown=unknown(number), labels=tuple(one for one in case.labels if one not in unknown(number)))
        for number, case in enumerate(films.cases())
    ]
    return Some(films, cases)


def test_a_task_knows_what_is_unknown(films: Some) -> None:
    dataset = hedged(films)
    task, _ = set_task(dataset, lambda case: case.report, None, modality=None, split="test", seed=0)
    by_id = {case.case_id: case for case in dataset.cases()}
    for row, case in enumerate(task.cases):
        unknown = {name for name, known in zip(task.names, task.known[row], strict=True) if not known}
        assert unknown == set(by_id[case.case_id].unknown)
    assert not (task.truth & ~task.known).any()
    shown = task.with_truth(task.names, task.truth)
    assert shown.known.all()


def test_unjudged_pairs_are_left_out_of_the_ranking(films: Some) -> None:
    task, _ = set_task(hedged(films), lambda case: case.report, None, modality=None, split="test", seed=0)
    vectors = np.random.default_rng(1).normal(size=(len(task.cases), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    protocol = protocols(task)[0]
    ranked = rank_queries(task, protocol, cosines(protocol, vectors))
    for place, query in enumerate(protocol.queries[:20].tolist()):
        kept = [
            row
            for row in protocol.candidates.tolist()
            if (task.labels[query] & task.labels[row]).any()
            or not ((task.labels[query] & ~task.judged[row]) | (~task.judged[query] & task.labels[row])).any()
        ]
        relevance = (task.labels[kept] & task.labels[query]).any(axis=1)[None]
        alone = query_metrics((vectors[kept] @ vectors[query])[None], relevance)
        assert ranked.metrics["candidates"][place] == len(kept)
        if relevance.any():
            assert ranked.metrics["map"][place] == pytest.approx(alone["map"][0])
            assert ranked.metrics["p@5"][place] == pytest.approx(alone["p@5"][0])
    summary = summarise_queries(task, protocol, ranked)
    assert summary["candidates"] < len(protocol.candidates)
    assert 0 < summary["chance"]["map"] < 1


def test_a_linear_baseline_learns_from_known_labels_only(films: Some) -> None:
    task, _ = set_task(hedged(films), lambda case: case.report, None, modality=None, split="test", seed=0)
    features = np.random.default_rng(2).normal(size=(len(task.cases), 4)).astype(np.float32)
    told = fit_linear(task, features, [1.0]).probabilities(features)
    lied = replace(task, truth=np.where(task.known, task.truth, True))
    np.testing.assert_allclose(fit_linear(lied, features, [1.0]).probabilities(features), told)
    assert macro_ap(told, lied.truth, task.known) == macro_ap(told, task.truth, task.known)
