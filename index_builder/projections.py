"""Two-dimensional maps of a space."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: Below this many cases a neighbour graph means nothing; the plane of largest variance is shown instead.
UMAP_MINIMUM = 12

Method = Literal["umap", "pca"]


def project(vectors: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float32], Method]:
    """Lay vectors out in the plane.

    UMAP (McInnes et al. 2018) with cosine distance, one thread and a fixed seed, so that the same vectors give the
    same map; PCA for fewer than `UMAP_MINIMUM` cases.

    Args:
        vectors: [N, D] float32, L2-normalised.
        seed: Random state.

    Returns:
        Coordinates [N, 2] float32 and the method used.
    """
    if len(vectors) < UMAP_MINIMUM:
        return _principal_plane(vectors), "pca"
    import umap

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")  # a fixed seed means one thread: intended
        model = umap.UMAP(
            n_neighbors=min(15, len(vectors) - 1),
            min_dist=0.1,
            metric="cosine",
            random_state=seed,
            init="pca",
        )
        return np.asarray(model.fit_transform(vectors), np.float32), "umap"


def place(neighbours: NDArray[np.float32], similarities: NDArray[np.float32]) -> tuple[float, float]:
    """Where a query belongs on a map: the mean of its neighbours' positions, weighted by softmax(similarity / 0.05).

    Args:
        neighbours: [k, 2] float32, map positions of the nearest cases.
        similarities: [k] float32, cosines to the query.
    """
    weights = np.exp((similarities - similarities.max()) / 0.05)
    x, y = (neighbours * (weights / weights.sum())[:, None]).sum(0)
    return float(x), float(y)


def _principal_plane(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    plane = np.zeros((len(vectors), 2), np.float32)
    if len(vectors) > 1:
        left, scale, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
        found = (left * scale)[:, :2]
        plane[:, : found.shape[1]] = found
    return plane
