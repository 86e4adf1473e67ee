"""Retrieval metrics against ranx, all permutations of small rankings, and figures worked out by hand."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.evaluation import retrieval as module
from index_builder.evaluation.retrieval import diversity, nearest, paired_recall_at_k, retrieval, shared_labels

#: Name in ranx of each of our metrics. What the published mAP does is trec_eval's and ranx's map@5.
RANX = {
    "p@5": "precision@5",
    "p@10": "precision@10",
    "recall@5": "recall@5",
    "hit@5": "hit_rate@5",
    "mrr": "mrr",
    "mrr@5": "mrr@5",
    "ndcg@5": "ndcg@5",
    "ndcg@10": "ndcg@10",
    "map": "map",
    "map_published@5": "map@5",
}

_RANX_PROGRAM = """
import json, sys
from ranx import Qrels, Run, evaluate
task = json.load(sys.stdin)
scores = evaluate(Qrels.from_dict(task["qrels"]), Run.from_dict(task["run"]), task["metrics"])
print(json.dumps({name: float(value) for name, value in scores.items()}))
"""


def by_ranx(scores: np.ndarray, gains: np.ndarray) -> dict[str, float]:
    """Ranx's figures. In a process of its own: compiled, it takes a minute; interpreted, a second."""
    rows = range(len(scores))
    qrels = {str(q): {str(n): int(gain) for n, gain in enumerate(gains[q]) if gain > 0} for q in rows}
    run = {str(q): {str(n): float(score) for n, score in enumerate(scores[q])} for q in rows}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _RANX_PROGRAM],
        input=json.dumps({"qrels": qrels, "run": run, "metrics": list(RANX.values())}),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def labelled_sample(queries: int = 12, candidates: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Distinct scores, and gains with a relevant candidate for each query."""
    random = np.random.default_rng(3)
    labels = random.random((candidates, 6)) < 0.2
    query_labels = random.random((queries, 6)) < 0.2
    query_labels[~query_labels.any(axis=1), 0] = True
    labels[0] = True
    return random.random((queries, candidates)).astype(np.float32), shared_labels(query_labels, labels)


def test_agrees_with_ranx():
    scores, gains = labelled_sample()
    result = retrieval(scores, gains > 0, gains, resamples=10)
    theirs = by_ranx(scores, gains)
    for ours, name in RANX.items():
        assert result[ours] == pytest.approx(theirs[name], abs=1e-6), ours
    assert result["queries"] == 12
    assert result["candidates"] == 40


def test_one_query_by_hand():
    # Ranked: miss, hit, hit, miss, miss, miss, hit.
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]], np.float32)
    relevance = np.array([[0, 1, 1, 0, 0, 0, 1]], bool)
    result = retrieval(scores, relevance, resamples=5)
    assert (result["p@1"], result["p@5"], result["p@10"]) == (0, 0.4, pytest.approx(0.3))
    assert (result["recall@5"], result["recall@10"]) == (pytest.approx(2 / 3), 1)
    assert (result["hit@1"], result["hit@5"]) == (0, 1)
    assert (result["mrr"], result["mrr@1"], result["mrr@5"]) == (0.5, 0, 0.5)
    assert result["map"] == pytest.approx((1 / 2 + 2 / 3 + 3 / 7) / 3)
    assert result["map_published@5"] == pytest.approx((1 / 2 + 2 / 3) / 3)
    log = np.log2
    ideal = 1 + 1 / log(3) + 1 / log(4)
    assert result["ndcg@5"] == pytest.approx((1 / log(3) + 1 / log(4)) / ideal)
    assert result["interval"]["map"] == pytest.approx([result["map"]] * 2)


def test_graded_gains_change_ndcg_alone():
    scores = np.array([[0.9, 0.8, 0.7]], np.float32)
    gains = np.array([[1, 3, 0]], np.float32)
    graded, binary = retrieval(scores, gains > 0, gains, resamples=5), retrieval(scores, gains > 0, resamples=5)
    assert binary["ndcg@5"] == 1
    assert graded["ndcg@5"] == pytest.approx((1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)))
    assert {k: v for k, v in graded.items() if k in ("p@5", "map", "mrr")} == {
        k: v for k, v in binary.items() if k in ("p@5", "map", "mrr")
    }


@pytest.mark.parametrize("relevant", [1, 2, 4, 5])
def test_chance_is_the_mean_over_all_permutations(relevant):
    gains = np.zeros(5, np.float32)
    gains[:relevant] = np.arange(1, relevant + 1)
    orders = np.array(list(itertools.permutations(range(5))), np.float32)
    every = np.tile(gains, (len(orders), 1))
    result = retrieval(orders, every > 0, every, resamples=1)
    assert set(result["chance"]) == set(result["interval"])
    for metric, chance in result["chance"].items():
        assert result[metric] == pytest.approx(chance, rel=1e-5), metric


def test_chance_precision_is_the_share_of_relevant_cases():
    scores, gains = labelled_sample()
    assert retrieval(scores, gains > 0, resamples=1)["chance"]["p@5"] == pytest.approx((gains > 0).mean())


@given(st.integers(0, 10_000), st.booleans())
def test_bounds_monotone_transforms_and_order_of_candidates(seed, exclude_self):
    random = np.random.default_rng(seed)
    queries, candidates = int(random.integers(1, 6)), int(random.integers(6, 15))
    scores = random.permuted(np.tile(np.arange(candidates, dtype=np.float32), (queries, 1)), axis=1)
    gains = random.integers(0, 3, size=scores.shape).astype(np.float32)
    result = retrieval(scores, gains > 0, gains, exclude_self=exclude_self, resamples=3)
    transformed = retrieval(np.exp(scores / 9), gains > 0, gains, exclude_self=exclude_self, resamples=3)
    assert transformed == result
    if result["queries"]:
        assert all(0 <= result[metric] <= 1 + 1e-6 for metric in result["chance"])
        assert result["map_published@5"] <= result["map"] + 1e-9
        assert result["mrr@1"] == result["p@1"] == result["hit@1"]
        assert result["mrr@1"] <= result["mrr@5"] <= result["mrr@10"] <= result["mrr"] + 1e-9
    if not exclude_self:
        order = random.permutation(candidates)
        shuffled = retrieval(scores[:, order], gains[:, order] > 0, gains[:, order], resamples=3)
        assert shuffled["queries"] == result["queries"]
        for metric in result["chance"]:
            assert shuffled[metric] == pytest.approx(result[metric])


def test_perfect_ranking_scores_one_where_it_can():
    relevance = np.array([[True] * 6 + [False] * 6])
    result = retrieval(relevance.astype(np.float32), relevance, resamples=2)
    assert result["p@5"] == result["mrr"] == result["map"] == 1
    assert result["ndcg@5"] == pytest.approx(1)
    assert result["map_published@5"] == pytest.approx(5 / 6)


def test_a_query_is_not_its_own_neighbour():
    vectors = np.eye(4, dtype=np.float32)
    vectors[1] = vectors[0]
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool)
    gains = shared_labels(labels, labels)
    scores = vectors @ vectors.T
    result = retrieval(scores, gains > 0, gains, exclude_self=True, resamples=2)
    assert result["candidates"] == 3
    assert result["p@5"] == pytest.approx(1 / 5)
    # 0 and 1 find each other; 2 and 3 tie with all others, of which the third is right for 2 and for 3.
    assert result["mrr"] == pytest.approx((1 + 1 + 1 / 3 + 1 / 3) / 4)
    assert result["chance"]["p@1"] == pytest.approx(1 / 3)
    np.testing.assert_array_equal(nearest(scores, 1, exclude_self=True)[:, 0], [1, 0, 0, 0])
    np.testing.assert_array_equal(nearest(scores, 1)[:, 0], [0, 0, 2, 3])


def test_queries_that_cannot_succeed_are_left_out_and_counted():
    scores = np.array([[0.9, 0.1], [0.9, 0.1]], np.float32)
    relevance = np.array([[True, False], [False, False]])
    result = retrieval(scores, relevance, resamples=3)
    assert (result["mrr"], result["queries"], result["queries_left_out"]) == (1, 1, 1)
    nothing = retrieval(scores, np.zeros((2, 2), bool))
    assert nothing["p@5"] is None
    assert nothing["map"] is None
    assert (nothing["queries"], nothing["interval"], nothing["chance"]) == (0, {}, {})
    assert json.loads(json.dumps([result, nothing], allow_nan=False)) == [result, nothing]


def test_blocks_do_not_show(monkeypatch):
    scores, gains = labelled_sample(30, 31)
    whole = retrieval(scores, gains > 0, gains, exclude_self=True, resamples=5)
    monkeypatch.setattr(module, "_BLOCK", 70)
    in_blocks = retrieval(scores, gains > 0, gains, exclude_self=True, resamples=5)
    assert {metric: in_blocks[metric] for metric in whole["chance"]} == pytest.approx(
        {metric: whole[metric] for metric in whole["chance"]}
    )
    np.testing.assert_array_equal(nearest(scores, 3), np.argsort(-scores, axis=1)[:, :3])


def test_intervals_are_over_queries_or_their_patients():
    scores, gains = labelled_sample(20, 60)
    many, relevance = np.repeat(scores, 8, axis=0), np.repeat(gains > 0, 8, axis=0)
    patients = [str(number) for number in np.repeat(np.arange(20), 8)]
    by_query, by_patient = retrieval(many, relevance), retrieval(many, relevance, groups=patients)

    def width(result, metric):
        low, high = result["interval"][metric]
        assert low <= result[metric] <= high
        return high - low

    for metric in ("p@5", "mrr", "map"):
        assert width(by_patient, metric) > 2 * width(by_query, metric) > 0


def test_paired_recall_by_hand():
    scores = np.array([[0.9, 0.1, 0.2], [0.9, 0.1, 0.2], [0.1, 0.2, 0.9]], np.float32)
    result = paired_recall_at_k(scores, np.array([0, 1, 2]), resamples=100)
    assert result["recall@1"] == pytest.approx(2 / 3)
    assert result["recall@5"] == 1
    assert result["chance"] == {"recall@1": pytest.approx(1 / 3), "recall@5": 1, "recall@10": 1}
    low, high = result["interval"]["recall@1"]
    assert low < 2 / 3 < high
    assert (result["queries"], result["candidates"]) == (3, 3)


def test_paired_recall_chance_is_k_of_n():
    random = np.random.default_rng(0)
    result = paired_recall_at_k(random.random((50, 1000)), np.arange(50), resamples=2)
    assert result["chance"] == pytest.approx({"recall@1": 0.001, "recall@5": 0.005, "recall@10": 0.01})


def test_reports_of_the_same_words_count_as_found():
    scores = np.array([[0.1, 0.9, 0.5], [0.1, 0.2, 0.3]], np.float32)
    own, equals = np.array([0, 1]), np.array([[True, True, False], [False, False, False]])
    result = paired_recall_at_k(scores, own, equals, resamples=2)
    assert result["recall@1"] == 0.5
    assert paired_recall_at_k(scores, own, resamples=2)["recall@1"] == 0
    assert result["chance"]["recall@1"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert not equals[1, 1], "the caller's array is left alone"


def test_a_system_that_cannot_tell_cases_apart_scores_chance():
    result = paired_recall_at_k(np.zeros((100, 100), np.float32), np.arange(100), resamples=2)
    assert result["recall@5"] == pytest.approx(result["chance"]["recall@5"])


def test_diversity_by_hand():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    result = diversity(np.array([[0, 1, 2]]), vectors, labels, ["a", "a", "b"], resamples=2)
    assert result["embedding_diversity@3"] == pytest.approx((0 + 1 + 1) / 3)
    assert result["label_diversity@3"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert result["patients@3"] == 2
    assert result["interval"]["patients@3"] == [2, 2]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_cases_without_labels_do_not_differ():
    result = diversity(np.array([[0, 1]]), np.eye(2), np.zeros((2, 3), bool), ["a", "b"], resamples=2)
    assert result["label_diversity@2"] == 0
    assert result["embedding_diversity@2"] == 1


def test_senseless_arguments_are_refused():
    scores, relevance = np.zeros((3, 2), np.float32), np.zeros((3, 2), bool)
    with pytest.raises(ValueError, match="finite"):
        retrieval(np.full((3, 2), np.nan), relevance)
    with pytest.raises(ValueError, match="relevance must be bool"):
        retrieval(scores, relevance.astype(int))
    with pytest.raises(ValueError, match="gains"):
        retrieval(scores, relevance, np.ones((3, 2)))
    with pytest.raises(ValueError, match="3 queries cannot each be one of 2 candidates"):
        retrieval(scores, relevance, exclude_self=True)
    with pytest.raises(ValueError, match="0 to 1"):
        paired_recall_at_k(scores, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="equals"):
        paired_recall_at_k(scores, np.array([0, 1, 1]), np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="k = 3 of 2"):
        nearest(scores, 3)
    with pytest.raises(ValueError, match="at least two"):
        diversity(np.zeros((1, 1), int), np.eye(1), np.zeros((1, 1), bool), ["a"])
