"""Votes of the nearest cases, against the definition written out."""

import math

import numpy as np
import pytest

from index_builder.calibration.voting import NEIGHBOURS, TEMPERATURES, choose_vote, vote


def voted_by_hand(row: list[float], labels: list[list[float]], k: int, temperature: float) -> list[float]:
    nearest = sorted(range(len(row)), key=lambda case: (-row[case], case))[:k]
    weights = [math.exp(row[case] / temperature) for case in nearest]
    return [
        sum(weight * labels[case][column] for weight, case in zip(weights, nearest, strict=True)) / sum(weights)
        for column in range(len(labels[0]))
    ]


@pytest.mark.parametrize("k", [1, 4, 29, 30, 200])
def test_a_vote_is_the_weighted_share_of_the_nearest(k: int) -> None:
    random = np.random.default_rng(k)
    similarity = random.uniform(-1, 1, (7, 30)).astype(np.float32)
    labels = (random.random((30, 5)) < 0.3).astype(np.float32)
    result = vote(similarity, labels, k, 0.1)
    by_hand = [voted_by_hand(row, labels.tolist(), k, 0.1) for row in similarity.tolist()]
    np.testing.assert_allclose(result.probabilities, by_hand, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.weights.sum(1), 1)
    assert result.voters.shape == result.weights.shape == (7, min(k, 30))
    assert (np.diff(np.take_along_axis(similarity, result.voters, 1)) <= 0).all()
    assert (np.diff(result.weights) <= 0).all()


def test_found_neighbours_of_one_query_vote_as_the_whole_base_does() -> None:
    random = np.random.default_rng(0)
    similarity, labels = random.uniform(-1, 1, (1, 50)), random.integers(0, 2, (50, 3))
    whole = vote(similarity, labels, 8, 0.05)
    hits = whole.voters[0]
    again = vote(similarity[:, hits], labels[hits], 8, 0.05)
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)
    np.testing.assert_array_equal(hits[again.voters[0]], hits)


def test_the_temperature_decides_between_the_nearest_alone_and_all_alike() -> None:
    similarity, labels = np.array([[0.9, 0.8, -0.9]], np.float32), np.eye(3)
    np.testing.assert_allclose(vote(similarity, labels, 3, 1e-4).probabilities, [[1, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(vote(similarity, labels, 3, 1e6).probabilities, [[1 / 3] * 3], atol=1e-5)


def test_who_may_not_vote_counts_nothing() -> None:
    similarity = np.array([[-np.inf, 0.2, -np.inf, 0.1]], np.float32)
    result = vote(similarity, np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), 3, 0.1)
    np.testing.assert_allclose(result.probabilities, [[0, 1]])
    assert result.weights[0, 2] == 0
    with pytest.raises(ValueError, match="no case that may vote"):
        vote(np.full((1, 4), -np.inf), np.ones((4, 1)), 2, 0.1)
    with pytest.raises(ValueError, match="no case that may vote"):
        vote(np.zeros((1, 0)), np.ones((0, 1)), 2, 0.1)


@pytest.mark.parametrize(("k", "temperature", "cases"), [(0, 0.1, 4), (3, 0.0, 4), (3, 0.1, 5)])
def test_what_makes_no_sense_is_refused(k: int, temperature: float, cases: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        vote(np.zeros((2, 4)), np.ones((cases, 2)), k, temperature)
    with pytest.raises(ValueError, match="truth"):
        choose_vote(np.zeros((2, 4)), np.ones((4, 2)), np.ones((3, 2)))


def log_loss(probabilities: np.ndarray, truth: np.ndarray, cases: int) -> float:
    edge = 1 / (cases + 1)
    return float(-np.log(np.where(truth == 1, probabilities, 1 - probabilities).clip(edge, 1 - edge)).mean())


def test_the_choice_has_the_least_log_loss_of_the_grid() -> None:
    random = np.random.default_rng(3)
    base, queries = random.normal(size=(120, 6)), random.normal(size=(40, 6))
    similarity = queries @ base.T / 10
    labels, truth = ((vectors[:, :2] + random.normal(size=(len(vectors), 2)) > 0) for vectors in (base, queries))
    chosen = choose_vote(similarity, labels, truth)
    losses = {
        (k, temperature): log_loss(vote(similarity, labels, k, temperature).probabilities, truth, 120)
        for k in NEIGHBOURS
        for temperature in TEMPERATURES
    }
    assert losses[chosen] == pytest.approx(min(losses.values()), rel=1e-9)
    assert chosen[0] > NEIGHBOURS[0]


def test_the_temperature_alone_is_chosen_for_a_given_number_of_voters() -> None:
    random = np.random.default_rng(4)
    similarity = random.uniform(-1, 1, (40, 120))
    labels, truth = random.random((120, 2)) < 0.5, random.random((40, 2)) < 0.5
    k, temperature = choose_vote(similarity, labels, truth, [20])
    losses = {one: log_loss(vote(similarity, labels, 20, one).probabilities, truth, 120) for one in TEMPERATURES}
    assert (k, temperature) == (20, min(losses, key=lambda one: losses[one]))


def test_a_small_base_is_never_asked_for_more_voters_than_it_has() -> None:
    k, _ = choose_vote(np.array([[0.9, 0.1], [0.1, 0.9]]), np.eye(2), np.eye(2))
    assert k <= 2
