"""Maps: neighbours stay neighbours, small casebooks work, queries land among theirs."""

import numpy as np
import pytest

from index_builder.projections import UMAP_MINIMUM, place, project


def clusters(count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    member = random.integers(3, size=count)
    vectors = 4 * np.eye(3, 16)[member] + 0.3 * random.normal(size=(count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), member


def test_clusters_stay_apart_and_the_map_repeats() -> None:
    vectors, member = clusters(150)
    found, method = project(vectors, seed=1)
    assert method == "umap"
    nearest = np.argsort(((found[:, None] - found[None]) ** 2).sum(-1), axis=1)[:, 1:6]
    assert (member[nearest] == member[:, None]).mean() > 0.95
    np.testing.assert_array_equal(project(vectors, seed=1)[0], found)


@pytest.mark.parametrize("count", [1, 2, 3, UMAP_MINIMUM - 1, UMAP_MINIMUM])
def test_few_cases_are_laid_out_too(count: int) -> None:
    found, method = project(clusters(count)[0], seed=0)
    assert found.shape == (count, 2)
    assert np.isfinite(found).all()
    assert method == ("umap" if count >= UMAP_MINIMUM else "pca")


def test_a_query_lands_on_a_copy_and_between_equals() -> None:
    positions = np.array([[0, 0], [10, 10]], np.float32)
    assert place(positions, np.array([0.99, 0.1], np.float32)) == pytest.approx((0, 0), abs=1e-4)
    assert place(positions, np.array([0.5, 0.5], np.float32)) == pytest.approx((5, 5))
