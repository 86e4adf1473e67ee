"""Parts, labels and rankings that every system and baseline is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_samples import Some

from index_builder.evaluation import task as module
from index_builder.evaluation.cross_modal import cross_modal, draw_pool
from index_builder.evaluation.task import (
    PARTS,
    RankedQueries,
    Task,
    classify,
    cosines,
    protocols,
    rank,
    rank_queries,
    set_task,
    spread,
    summarise_queries,
)


def task_of(films: Some, split: module.Part = "test") -> Task:
    return set_task(films, lambda case: case.report, None, modality=None, split=split, seed=0)[0]


@pytest.mark.parametrize("split", PARTS)
def test_a_query_never_finds_itself(films: Some, split: module.Part) -> None:
    task = task_of(films, split)
    unit = np.eye(len(task.cases), dtype=np.float32)
    for protocol in protocols(task):
        # Nothing but the query itself is near: were it ranked, it would be first and a hit.
        ranked = rank_queries(task, protocol, cosines(protocol, unit))
        found = summarise_queries(task, protocol, ranked)
        assert found["p@1"] == pytest.approx(_share_of_first_others(task, protocol))
        assert spread(task, protocol, ranked, unit)["embedding_diversity@5"] == pytest.approx(1)


def _share_of_first_others(task: Task, protocol: module.Protocol) -> float:
    """P@1 when all scores are equal: the first candidate that is not the query."""
    hits = []
    for query in protocol.queries:
        others = protocol.candidates[protocol.candidates != query]
        shares = (task.labels[others] & task.labels[query]).any(axis=1)
        hits += [shares[0]] if shares.any() else []
    return float(np.mean(hits))


@pytest.mark.parametrize("split", PARTS)
def test_ranking_some_queries_at_a_time_changes_nothing(
    films: Some, split: module.Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(films, split)
    scores = np.random.default_rng(0).random((len(task.cases), len(task.cases))).round(1)

    def ranked() -> list[RankedQueries]:
        return [
            rank_queries(task, one, lambda rows, one=one: scores[one.queries[rows]][:, one.candidates])
            for one in protocols(task)
        ]

    whole = ranked()
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 3 * len(task.cases))
    for after, before in zip(ranked(), whole, strict=True):
        np.testing.assert_array_equal(after.shown, before.shown)
        for name, values in before.metrics.items():
            np.testing.assert_allclose(after.metrics[name], values, err_msg=name)


def test_only_labelled_cases_query_but_all_are_ranked(films: Some) -> None:
    task = task_of(films)
    history, generalisation = protocols(task)
    assert set(history.candidates) == set(task.train)
    assert set(generalisation.candidates) == set(task.scored)
    for protocol in (history, generalisation):
        assert {len(task.cases[row].labels) > 0 for row in protocol.queries} == {True}
        assert any(not task.cases[row].labels for row in protocol.candidates)


def test_large_datasets_are_queried_by_a_sample(films: Some, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(films)
    whole = protocols(task)
    monkeypatch.setattr(module, "_MOST_PAIRS", 5 * len(task.train))
    history, generalisation = protocols(task)
    assert len(history.queries) == 5
    assert set(history.queries) < set(whole[0].queries)
    assert set(generalisation.candidates) == set(task.scored)
    found = rank(task, generalisation, cosines(generalisation, np.eye(len(task.cases), dtype=np.float32)))
    assert found["candidates"] == len(task.scored) - 1


def test_classes_too_rare_for_a_narrow_interval_are_told_apart(films: Some) -> None:
    task = task_of(films)
    random = np.random.default_rng(0)
    rare = task.truth.copy()
    rare[task.scored[3:], 0] = False
    rare[task.scored[:3], 0] = True
    rare[task.val[:2], 0] = True
    blocks = classify(task.with_truth(task.names, rare), random.random(rare.shape))
    assert blocks["classification_frequent"]["classes"] == list(task.names[1:])
    kept = [blocks["classification"]["per_class"][name]["auroc"] for name in task.names[1:]]
    assert blocks["classification_frequent"]["macro"]["auroc"] == pytest.approx(np.mean(kept))


def test_perfect_vectors_find_every_counterpart(films: Some) -> None:
    task = task_of(films)
    pool = draw_pool(task)
    assert pool is not None
    assert len(set(pool.rows.tolist())) == len(pool.rows) == sum(pool.parts.values())
    assert set(pool.rows[: pool.queries]) <= set(task.scored)
    assert all(task.cases[row].image and task.cases[row].report for row in pool.rows)
    unit = np.eye(len(pool.rows), dtype=np.float32)
    assert cross_modal(task, pool, unit, unit)["image_to_report"]["recall@1"] == 1
    wrong = cross_modal(task, pool, unit, np.roll(unit, 1, axis=0))
    assert wrong["report_to_image"]["recall@1"] == 0
    by_labels = cross_modal(task, pool, task.labels[pool.rows].astype(np.float32), task.labels[pool.rows] * 1.0)
    assert by_labels["image_to_report"]["same_labels"]["recall@10"] > by_labels["image_to_report"]["recall@1"]


def test_pool_has_the_stated_size_where_there_are_enough_pairs(films: Some, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(films)
    monkeypatch.setattr("index_builder.evaluation.cross_modal.POOL", 30)
    pool = draw_pool(task)
    assert pool is not None
    assert len(pool.rows) == 30
    assert pool.parts["train"] == 0 or pool.parts["scored"] + pool.parts["val"] < 30
