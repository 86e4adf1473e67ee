"""Figures of trust, by hand and by chance; placing; clusters; words."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.manifold
from hypothesis import given
from hypothesis import strategies as st
from map_samples import graph_of

from index_builder.cases.case import Case
from index_builder.maps import quality
from index_builder.maps.clusters import case_terms, characteristic_words, find_clusters, largest_first
from index_builder.maps.placing import PLACING_NEIGHBOURS, place
from index_builder.maps.quality import NEIGHBOURS, map_quality, trustworthiness


def test_a_map_that_loses_nothing_is_trusted_and_a_random_one_is_not() -> None:
    random = np.random.default_rng(0)
    angle = random.uniform(0, 2 * np.pi, 400)
    vectors = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    labels = np.stack([angle < np.pi, angle >= np.pi], 1)
    graph = graph_of(vectors, NEIGHBOURS)
    kept = map_quality(vectors, vectors, graph, labels, 0)
    assert kept.trustworthiness == pytest.approx(1, abs=1e-3)
    assert kept.continuity == pytest.approx(1, abs=1e-3)
    assert kept.purity == pytest.approx(kept.purity_full, abs=1e-3)
    assert kept.purity_chance == pytest.approx(0.5, abs=0.02)
    assert kept.placement_distance is not None
    assert kept.placement_distance < 0.03
    lost = map_quality(vectors, random.normal(size=(400, 2)).astype(np.float32), graph, labels, 0)
    assert lost.trustworthiness == pytest.approx(0.5, abs=0.05)
    assert lost.continuity == pytest.approx(0.5, abs=0.05)
    assert lost.purity == pytest.approx(0.5, abs=0.05)
    assert lost.placement_rank == pytest.approx(0.45, abs=0.1)


@given(count=st.integers(3, 60), dims=st.integers(1, 5), seed=st.integers(0, 2**32 - 1), draw=st.data())
def test_trustworthiness_is_that_of_scikit_learn(count: int, dims: int, seed: int, draw: st.DataObject) -> None:
    k = draw.draw(st.integers(1, (count - 1) // 2))
    random = np.random.default_rng(seed)
    original = random.normal(size=(count, dims + 1))
    mapped = original[:, :dims] + random.normal(size=(count, dims))
    expected = sklearn.manifold.trustworthiness(original, mapped, n_neighbors=k)
    assert trustworthiness(original, mapped, k) == pytest.approx(expected, abs=1e-12)


def test_of_copies_each_has_the_best_rank() -> None:
    copies = np.repeat(np.random.default_rng(0).normal(size=(20, 4)), 6, axis=0)
    apart = copies + 1e-6 * np.random.default_rng(1).normal(size=copies.shape)
    # Whichever of five copies the map puts nearest, none is nearer by full vectors.
    assert trustworthiness(copies, apart, 2) == 1


def test_trustworthiness_in_parts_is_that_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    original = random.normal(size=(400, 8))
    monkeypatch.setattr(quality, "_PAIRS_MEBIBYTES", 0.1)  # some 30 cases at a time
    expected = sklearn.manifold.trustworthiness(original, original[:, :2], n_neighbors=10)
    assert trustworthiness(original, original[:, :2], 10) == pytest.approx(expected, abs=1e-12)


def test_continuity_falls_where_neighbours_are_torn_apart_and_trust_where_strangers_meet() -> None:
    angle = np.linspace(0, np.pi, 200, dtype=np.float32)
    vectors = np.stack([np.cos(angle), np.sin(angle)], 1)
    graph = graph_of(vectors, NEIGHBOURS)
    labels = np.zeros((200, 0), bool)
    torn = np.stack([angle + 100 * (np.arange(200) % 2), 0 * angle], 1)
    folded = np.stack([np.abs(angle - np.pi / 2), 0 * angle], 1)
    a, b = (map_quality(vectors, positions, graph, labels, 0) for positions in (torn, folded))
    assert a.trustworthiness is not None
    assert a.continuity is not None
    assert b.trustworthiness is not None
    assert b.continuity is not None
    assert a.continuity < a.trustworthiness
    assert b.trustworthiness < b.continuity
    assert a.purity is None


def test_purity_by_hand() -> None:
    vectors = np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1]], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], bool)
    found = map_quality(vectors, vectors, graph_of(vectors, 1), labels, 0)
    # Nearest others: 0 and 1 of each other, both labelled; 2's is 3, which shares nothing; 3 is not asked.
    assert found.purity == pytest.approx(2 / 3, abs=1e-4)
    assert found.purity_full == pytest.approx(2 / 3, abs=1e-4)
    assert found.placement_rank is None


def test_a_query_lands_on_a_copy_and_between_equals() -> None:
    positions = np.array([[0, 0], [10, 10]], np.float32)
    assert place(positions, np.array([0.99, 0.1], np.float32)) == pytest.approx([0, 0], abs=1e-4)
    assert place(positions, np.array([0.5, 0.5], np.float32)) == pytest.approx([5, 5])
    many = place(np.stack([positions, positions]), np.array([[0.99, 0.1], [0.5, 0.5]], np.float32))
    assert many.shape == (2, 2)
    assert many[1] == pytest.approx([5, 5])


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=PLACING_NEIGHBOURS), st.integers(0, 100))
def test_a_query_never_leaves_the_hull_of_its_neighbours(similarities: list[float], seed: int) -> None:
    positions = np.random.default_rng(seed).normal(size=(len(similarities), 3)).astype(np.float32)
    found = place(positions, np.array(similarities, np.float32))
    assert (found >= positions.min(0) - 1e-5).all()
    assert (found <= positions.max(0) + 1e-5).all()


def test_clusters_by_size_and_of_large_sets_by_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index_builder.maps.clusters.SAMPLE", 500)
    random = np.random.default_rng(0)
    member = random.choice(3, 900, p=[0.2, 0.5, 0.3])
    positions = (20 * np.eye(3)[member] + random.normal(size=(len(member), 3))).astype(np.float32)
    found = find_clusters(positions, 0)
    assert found.max() == 2
    inside = found >= 0
    assert inside.mean() > 0.95
    assert (np.array([1, 2, 0])[found[inside]] == member[inside]).all()
    np.testing.assert_array_equal(find_clusters(positions, 0), found)
    assert (find_clusters(positions[:5], 0) == -1).all()


def test_clusters_are_numbered_by_size_without_gaps() -> None:
    assert largest_first(np.array([4, -1, 2, 2, 4, 4, 7])).tolist() == [0, -1, 1, 1, 0, 0, 2]
    assert largest_first(np.array([-1, -1])).tolist() == [-1, -1]
    assert largest_first(np.array([], np.int64)).tolist() == []


def test_words_tell_clusters_apart() -> None:
    terms = [["heart", "large", "large heart"]] * 6 + [["heart", "effusion"]] * 5 + [["heart"]]
    groups = np.array([0] * 6 + [1] * 5 + [-1], np.int32)
    assert characteristic_words(terms, groups) == [("large heart",), ("effusion",)]
    assert characteristic_words([[]] * 12, groups) == [(), ()]
    assert characteristic_words([["x"]], np.array([-1], np.int32)) == []


def test_words_of_a_report_leave_out_denials_and_a_profile_stands_in() -> None:
    case = Case(
        "a",
        "p",
        "train",
        ("Pleural_Thickening",),
        sections={"findings": "No pneumothorax. Left basilar atelectasis is seen."},
        profile={"age": 57, "sex": "F", "cough": True, "fever": False, "location": "Ward 3", "notes": "x" * 99},
    )
    assert case_terms(case, "report") == ["left", "basilar", "atelectasis", "left basilar", "basilar atelectasis"]
    assert case_terms(case, "profile") == ["Pleural Thickening", "age 50s", "sex F", "cough"]
