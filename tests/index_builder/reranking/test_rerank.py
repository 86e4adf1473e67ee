"""Reranking against a loop written for reading; weights on their simplex; class vectors and case vectors."""

from __future__ import annotations

import math
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import ValidationError

from index_builder.reranking.case_vectors import ClassVectors, case_vectors
from index_builder.reranking.findings_graph import FindingsGraph, Node, Triple
from index_builder.reranking.rerank import RerankWeights, choose_weights, rerank_scores, soft_jaccard

WEIGHTS = RerankWeights(cosine=0.5, jaccard=0.3, graph=0.2)


def sample(
    queries: int, candidates: int, classes: int = 5, dim: int = 4, seed: int = 0
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Cosine, query probabilities, candidate labels (the first without any) and class vectors (the last unknown)."""
    random = np.random.default_rng(seed)
    labels = (random.random((candidates, classes)) < 0.3).astype(np.float32)
    labels[0] = 0
    vectors = random.normal(size=(classes, dim))
    vectors[-1] = 0
    return random.uniform(-1, 1, (queries, candidates)), random.random((queries, classes)), labels, vectors


def brute_force(cosine: NDArray, ours: NDArray, theirs: NDArray, vectors: NDArray, weights: RerankWeights) -> NDArray:
    scores = np.zeros(cosine.shape)
    for q, query in enumerate(ours):
        for n, candidate in enumerate(theirs):
            most = sum(max(a, b) for a, b in zip(query, candidate, strict=True))
            least = sum(min(a, b) for a, b in zip(query, candidate, strict=True))
            left, right = query @ vectors, candidate @ vectors
            length = np.linalg.norm(left) * np.linalg.norm(right)
            scores[q, n] = (
                weights.cosine * cosine[q, n]
                + weights.jaccard * (least / most if most else 0)
                + weights.graph * (left @ right / length if length else 0)
            )
    return scores


@pytest.mark.parametrize(("queries", "candidates"), [(7, 11), (1, 5), (1, 1), (3, 0)])
@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_scores_equal_a_plain_loop(queries: int, candidates: int, shares: tuple[float, float, float]) -> None:
    weights = RerankWeights(**dict(zip(("cosine", "jaccard", "graph"), shares, strict=True)))
    given_ = sample(queries, max(candidates, 1))
    cosine, ours, theirs, vectors = given_[0][:, :candidates], given_[1], given_[2][:candidates], given_[3]
    scores = rerank_scores(cosine, ours, theirs, vectors, weights)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, brute_force(cosine, ours, theirs, vectors, weights), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arguments_are_left_as_they_are(dtype: type[np.floating]) -> None:
    cosine, ours, theirs, vectors = (array.astype(dtype) for array in sample(3, 4))
    copies = [array.copy() for array in (cosine, ours, theirs, vectors)]
    rerank_scores(cosine, ours, theirs, vectors, WEIGHTS)
    for array, copy in zip((cosine, ours, theirs, vectors), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


label_weights = st.integers(1, 5).flatmap(
    lambda rows: arrays(np.float32, (rows, 4), elements=st.floats(0, 1, width=32, allow_subnormal=False))
)


@settings(max_examples=80, deadline=None)
@given(ours=label_weights, theirs=label_weights)
def test_jaccard_is_symmetric_bounded_and_one_of_itself(ours: NDArray, theirs: NDArray) -> None:
    found = soft_jaccard(ours, theirs)
    assert (found >= 0).all()
    assert (found <= 1).all()
    np.testing.assert_allclose(found, soft_jaccard(theirs, ours).T, atol=1e-5)
    itself = np.diag(soft_jaccard(ours, ours))
    np.testing.assert_allclose(itself, (ours.sum(1) > 0).astype(float), atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(ours=label_weights, theirs=label_weights, parts=st.tuples(*[st.integers(0, 9)] * 3), data=st.data())
def test_scores_stay_within_those_of_their_parts(
    ours: NDArray, theirs: NDArray, parts: tuple[int, int, int], data: st.DataObject
) -> None:
    total = sum(parts) or 1
    shares = parts if sum(parts) else (1, 0, 0)
    weights = RerankWeights(cosine=shares[0] / total, jaccard=shares[1] / total, graph=shares[2] / total)
    unit = st.floats(-1, 1, width=32)
    cosine = data.draw(arrays(np.float32, (len(ours), len(theirs)), elements=unit))
    vectors = data.draw(arrays(np.float32, (4, 3), elements=unit))
    scores = rerank_scores(cosine, ours, theirs, vectors, weights)
    assert np.isfinite(scores).all()
    assert (np.abs(scores) <= 1 + 1e-5).all()


@pytest.mark.parametrize(
    "shares", [(0.5, 0.5, 0.5), (1.5, -0.5, 0), (0, 0, 0), (float("nan"), 0, 1), (float("inf"), 0, 0)]
)
def test_shares_off_the_simplex_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValidationError):
        RerankWeights(cosine=shares[0], jaccard=shares[1], graph=shares[2])


def test_shapes_that_do_not_fit_and_bad_labels_are_refused() -> None:
    cosine, ours, theirs, vectors = sample(3, 4)
    with pytest.raises(ValueError, match="do not fit"):
        rerank_scores(cosine.T, ours, theirs, vectors, WEIGHTS)
    with pytest.raises(ValueError, match="do not fit"):
        rerank_scores(cosine, ours, theirs, vectors[:-1], WEIGHTS)
    for bad in (-0.1, np.nan, np.inf):
        wrong = ours.copy()
        wrong[1, 1] = bad
        with pytest.raises(ValueError, match="negative or not finite"):
            rerank_scores(cosine, wrong, theirs, vectors, WEIGHTS)


@pytest.mark.parametrize("name", ["cosine", "jaccard", "graph"])
def test_chosen_weights_find_the_part_that_ranks_well(name: str) -> None:
    cosine, ours, theirs, vectors = sample(6, 30)
    alone = RerankWeights(**{part: float(part == name) for part in ("cosine", "jaccard", "graph")})
    target = rerank_scores(cosine, ours, theirs, vectors, alone)

    def closeness(scores: NDArray[np.float32]) -> float:
        return -float(np.abs(scores - target).max())

    weights, value = choose_weights(closeness, cosine, ours, theirs, vectors, steps=4)
    assert weights == alone
    assert value == pytest.approx(0, abs=1e-6)


def test_every_grid_point_is_tried_once_and_equals_go_to_the_embeddings() -> None:
    cosine, ours, theirs, vectors = sample(2, 3)
    tried = []

    def indifferent(scores: NDArray[np.float32]) -> float:
        tried.append(scores.tobytes())
        return 0.5

    weights, value = choose_weights(indifferent, cosine, ours, theirs, vectors, steps=5)
    assert (weights, value) == (RerankWeights(cosine=1, jaccard=0, graph=0), 0.5)
    assert len(tried) == len(set(tried)) == 21


def test_a_metric_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="metric is nan"):
        choose_weights(lambda _: float("nan"), *sample(2, 3))


def test_thousands_of_pairs_take_seconds_and_little_memory() -> None:
    cosine, ours, theirs, vectors = sample(800, 4000, classes=22, dim=64)
    cosine = cosine.astype(np.float32)
    begun = time.process_time()
    rerank_scores(cosine, ours, theirs, vectors, WEIGHTS)
    assert time.process_time() - begun < 3
    tracemalloc.start()
    try:
        rerank_scores(cosine, ours, theirs, vectors, WEIGHTS)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_an_app_that_reranks_loads_neither_torch_nor_pykeen() -> None:
    program = "import sys, index_builder.reranking.rerank; print({'torch', 'pykeen', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "set()"


def test_a_case_lies_between_its_labels_as_they_weigh() -> None:
    vectors = np.eye(3, dtype=np.float32)
    found = case_vectors(np.array([[1, 0, 0], [1, 1, 0], [0.6, 0, 0.8], [0, 0, 0]]), vectors)
    half = math.sqrt(0.5)
    np.testing.assert_allclose(found, [[1.0, 0.0, 0.0], [half, half, 0.0], [0.6, 0.0, 0.8], [0.0, 0.0, 0.0]], atol=1e-6)
    assert found.dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(weights=label_weights)
def test_case_vectors_are_unit_or_zero(weights: NDArray) -> None:
    lengths = np.linalg.norm(case_vectors(weights, np.eye(4)), axis=1)
    assert (np.isclose(lengths, 1, atol=1e-4) | (lengths == 0)).all()


def test_class_vectors_are_picked_by_name_and_unknown_labels_add_nothing() -> None:
    nodes = (Node("class", "Mass"), Node("class", "Nodule"), Node("finding", "mass"))
    graph = FindingsGraph(nodes, (1, 1, 1), (Triple(nodes[2], "is_a", nodes[0], 1),), 2)
    held = ClassVectors.of(graph, np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32))
    assert held.names == ("Mass", "Nodule")
    assert held.vectors.dtype == np.float16
    found = held.for_labels(["Nodule", "Stage 1", "Mass"])
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]], atol=1e-3)
    assert found.dtype == np.float32
    with_unknown = case_vectors(np.array([[0, 1, 1], [0, 0, 1], [0, 1, 0]]), found)
    np.testing.assert_allclose(with_unknown, [[1, 0], [1, 0], [0, 0]], atol=1e-6)


def test_class_vectors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="class names"):
        ClassVectors(("Mass",), np.zeros((2, 4), np.float16))
    with pytest.raises(ValueError, match="twice"):
        ClassVectors(("Mass", "Mass"), np.zeros((2, 4), np.float16))
