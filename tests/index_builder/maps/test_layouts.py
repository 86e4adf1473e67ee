"""Maps: neighbours stay neighbours, few cases work, the same vectors give the same map."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from map_samples import clusters, graph_of, mapped

from index_builder.maps import maps
from index_builder.maps.layout import TSNE_REACH, UMAP_REACH, tsne_layout, umap_layout
from index_builder.maps.maps import LEAST_CASES, MEASURED_REACH, MappedCases, describe_maps, draw_maps, map_names
from index_builder.maps.neighbours import neighbour_graph
from index_builder.stores.faiss import FaissStore


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


def test_neighbours_are_the_nearest_others() -> None:
    vectors, _ = clusters(60)
    vectors[7] = vectors[3]  # a copy: neither may be its own neighbour
    graph = graph_of(vectors, 5)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    np.testing.assert_allclose(
        graph.similarities, -np.sort(-similarity, axis=1)[:, :5], atol=5e-4
    )  # stored in half precision
    np.testing.assert_allclose(np.take_along_axis(similarity, graph.rows, 1), graph.similarities, atol=5e-4)
    assert graph.rows[3, 0] == 7
    assert graph.rows[7, 0] == 3
    assert not (graph.rows == np.arange(60)[:, None]).any()


def test_neighbours_follow_keys_not_positions() -> None:
    vectors, _ = clusters(40)
    keys = np.random.default_rng(2).permutation(1000)[:40].astype(np.int64)
    order = np.random.default_rng(3).permutation(40)
    shuffled = FaissStore.build(vectors[order], keys[order])
    np.testing.assert_array_equal(neighbour_graph(shuffled, keys, vectors, 4).rows, graph_of(vectors, 4).rows)


def test_neighbours_an_approximate_index_misses_are_filled_with_the_last_found() -> None:
    class Forgetful:
        def search_many(self, queries: np.ndarray, k: int):
            from index_builder.stores.base import NO_CASE, Hits

            keys = np.tile(np.array([10, 11, NO_CASE], np.int64), (3, 1))
            return Hits(keys, np.tile(np.array([0.9, 0.8, -1], np.float32), (3, 1)))

    graph = neighbour_graph(Forgetful(), np.array([10, 11, 12]), np.zeros((3, 2), np.float32), 2)  # type: ignore[arg-type]
    assert graph.rows.tolist() == [[1, 1], [0, 0], [0, 1]]
    np.testing.assert_allclose(graph.similarities, [[0.8, 0.8], [0.9, 0.9], [0.9, 0.8]])


@pytest.mark.parametrize("count", [1, 2, 11, 12, 40])
@pytest.mark.parametrize("rounding", [0, 2e-4])
def test_equal_vectors_lie_at_random_in_no_cluster(count: int, rounding: float) -> None:
    """Halves of half precision apart, too, as batches of two sizes give them."""
    vectors = np.tile(np.eye(1, 16, dtype=np.float32), (count, 1))
    vectors[::2, 1] += rounding
    cases = MappedCases(graph_of(vectors, TSNE_REACH), vectors, np.zeros((count, 0), bool), [["same"]] * count)
    drawn, again = (draw_maps(cases, 3, lambda *step: None) for _ in range(2))
    assert set(drawn.positions) == set(map_names(count))
    for name, places in drawn.positions.items():
        assert np.isfinite(places).all()
        assert len(np.unique(places, axis=0)) == count
        np.testing.assert_array_equal(places, again.positions[name])
    assert (drawn.clusters == -1).all()


@pytest.mark.parametrize("others", [1, 20])
def test_copies_of_two_kinds_lie_apart(others: int) -> None:
    vectors = np.eye(2, 16, dtype=np.float32)[[0] * 20 + [1] * others]
    cases = MappedCases(graph_of(vectors, TSNE_REACH), vectors, np.zeros((len(vectors), 0), bool), [[]] * len(vectors))
    drawn = draw_maps(cases, 0, lambda *step: None)
    for places in drawn.positions.values():
        assert np.isfinite(places).all()
        first, second = places[:20], places[20:]
        assert np.linalg.norm(first.mean(0) - second.mean(0)) > 0.5


@pytest.mark.parametrize("dims", [2, 3])
def test_umap_keeps_clusters_apart_and_repeats(dims: int) -> None:
    vectors, member = clusters(150)
    graph = graph_of(vectors, 14)
    said: list[tuple[int, int]] = []
    found = umap_layout(vectors, graph, dims, 1, lambda done, total: said.append((done, total)))
    assert found.shape == (150, dims)
    _assert_apart(found, member)
    np.testing.assert_array_equal(umap_layout(vectors, graph, dims, 1, silent), found)
    assert said[-1][0] == said[-1][1]


def test_a_layout_that_was_stopped_keeps_no_other_waiting() -> None:
    """An app stops by raising from `progress`, and lays out in another thread the next time."""
    vectors, _ = clusters(150)
    graph = graph_of(vectors, UMAP_REACH)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        umap_layout(vectors, graph, 2, 1, stop)
    found: list[np.ndarray] = []
    other = threading.Thread(target=lambda: found.append(umap_layout(vectors, graph, 2, 1, silent)), daemon=True)
    other.start()
    other.join(60)
    assert len(found) == 1


def test_tsne_keeps_clusters_apart_and_repeats() -> None:
    vectors, member = clusters(150)
    graph = graph_of(vectors, TSNE_REACH)
    said: list[tuple[int, int]] = []
    found = tsne_layout(vectors, graph, 1, lambda done, total: said.append((done, total)))
    _assert_apart(found, member)
    np.testing.assert_array_equal(tsne_layout(vectors, graph, 1, silent), found)
    assert said[-1][0] == said[-1][1]
    assert said == sorted(said)


@pytest.mark.parametrize("count", [1, 2, 3, LEAST_CASES - 1, LEAST_CASES, 25])
def test_few_cases_are_laid_out_too(count: int) -> None:
    cases, _ = mapped(count)
    drawn = draw_maps(cases, 0, lambda name, done, total: None)
    assert tuple(drawn.positions) == map_names(count)
    assert all(np.isfinite(found).all() and len(found) == count for found in drawn.positions.values())
    assert drawn.clusters.shape == (count,)
    assert all(record.cases == count for record in drawn.record.maps.values())


def test_of_many_cases_a_sample_is_laid_out_and_the_others_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "FITTED_CASES", 100)
    cases, member = mapped(400)
    drawn = draw_maps(cases, 0, lambda name, done, total: None)
    again = draw_maps(cases, 0, lambda name, done, total: None)
    sample = np.sort(np.random.default_rng(0).choice(400, 100, replace=False))
    alone = umap_layout(cases.vectors[sample], graph_of(cases.vectors[sample], UMAP_REACH), 2, 0, silent)
    np.testing.assert_allclose(drawn.positions["umap"][sample], alone, atol=1e-4)
    assert tuple(drawn.positions) == map_names(400)
    for name, found in drawn.positions.items():
        _assert_apart(found, member)
        np.testing.assert_array_equal(again.positions[name], found)
        assert drawn.record.maps[name].cases == 400
    assert drawn.record.maps["umap"].trustworthiness > 0.8


def test_maps_are_measured_and_clusters_named() -> None:
    cases, member = mapped(150)
    drawn = draw_maps(cases, 0, lambda name, done, total: None)
    assert len(drawn.record.clusters) == 3
    for number, record in enumerate(drawn.record.clusters):
        kinds = set(member[drawn.clusters == number])
        assert len(kinds) == 1
        assert record.words == (f"word {kinds.pop()}",)
        assert record.cases == (drawn.clusters == number).sum()
    for record in drawn.record.maps.values():
        assert record.purity == pytest.approx(1, abs=0.02)
        assert record.purity_full == 1
        assert record.purity_chance == pytest.approx(1 / 3, abs=0.05)


def test_part_of_a_map_is_measured_on_that_part() -> None:
    cases, member = mapped(150)
    drawn = draw_maps(cases, 0, lambda name, done, total: None)
    kept = np.flatnonzero(member != member[drawn.clusters == 0][0])  # without the largest cluster
    part = MappedCases(
        graph_of(cases.vectors[kept], MEASURED_REACH),
        cases.vectors[kept],
        cases.labels[kept],
        [cases.terms[row] for row in kept],
    )
    described = describe_maps(part, {"umap": drawn.positions["umap"][kept]}, drawn.clusters[kept], 0)
    assert len(described.record.clusters) == 2
    assert described.clusters.max() == 1
    assert [one.cases for one in described.record.clusters] == np.bincount(described.clusters).tolist()
    assert described.record.maps["umap"].cases == len(kept)


def _assert_apart(found: np.ndarray, member: np.ndarray) -> None:
    nearest = np.argsort(((found[:, None] - found[None]) ** 2).sum(-1), axis=1)[:, 1:6]
    assert (member[nearest] == member[:, None]).mean() > 0.95
