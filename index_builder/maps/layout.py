"""Vectors laid out in two or three dimensions."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from index_builder.maps.neighbours import NeighbourGraph

#: (steps done, steps in all)
Steps = Callable[[int, int], None]

_UMAP_NEIGHBOURS = 15
_UMAP_EPOCHS = {2: 500, 3: 200}
#: Above this many cases UMAP's own advice is fewer epochs, and t-SNE interpolates instead of building a tree.
_LARGE = 10_000
_LARGE_EPOCHS = 200

_PERPLEXITY = 30
_EARLY_STEPS = 125
_STEPS = 250
_REPORT_EVERY = 25
#: Barnes-Hut tolerance. On the demo's spaces 0.8 costs a quarter less than the usual 0.5 and the trustworthiness is the
#: same within 0.003; half the usual number of steps lowers it by at most 0.007.
_THETA = 0.8

#: Range of a component, of at most 1, that half precision and batches of another size may make of equal vectors.
_ROUNDING = 1e-3
_FEW = 64
#: A layout smaller than this, in units of which others have some ten, is one point.
_SPOT = 1e-3

#: Neighbours per case that each layout reads.
UMAP_REACH = _UMAP_NEIGHBOURS - 1
TSNE_REACH = 3 * _PERPLEXITY


def umap_layout(
    vectors: NDArray[np.float32], graph: NeighbourGraph, dims: int, seed: int, progress: Steps
) -> NDArray[np.float32]:
    """UMAP (McInnes, Healy and Melville 2018) by cosine, one thread and a fixed seed: the same vectors, the same map.

    The neighbours are given, so nothing is searched or compiled for searching.

    Args:
        vectors: [N, D] float32, L2-normalised.
        graph: At least `UMAP_REACH` neighbours of each, all there are in smaller sets.
        dims: 2 or 3.
        seed: Random state.
        progress: Told of epochs.

    Returns:
        [N, dims] float32.
    """
    import umap

    count = min(_UMAP_NEIGHBOURS, len(vectors) - 1)
    own = np.arange(len(vectors))[:, None]
    rows = np.hstack([own, graph.rows[:, : count - 1]])
    distances = np.hstack([np.zeros_like(own, np.float32), 1 - graph.similarities[:, : count - 1]])
    epochs = _UMAP_EPOCHS[dims] if len(vectors) <= _LARGE else _LARGE_EPOCHS
    with warnings.catch_warnings(), _lock_released():
        warnings.filterwarnings("ignore", message="n_jobs value")  # a fixed seed means one thread: intended
        warnings.filterwarnings("ignore", message="precomputed_knn")  # without an index it cannot transform: not used
        model = umap.UMAP(
            n_neighbors=count,
            n_components=dims,
            n_epochs=epochs,
            min_dist=0.1,
            metric="cosine",
            random_state=seed,
            init="pca",
            precomputed_knn=(rows.astype(np.int32), np.clip(distances, 0, None).astype(np.float32)),
            force_approximation_algorithm=True,  # otherwise small sets are compared all with all once more
            tqdm_kwds={
                "disable": False,
                "file": _Epochs(epochs, progress),
                "bar_format": "{n_fmt}",
                "mininterval": 0.3,
                "miniters": 1,  # or tqdm's own thread would call `progress` at times
            },
        )
        return np.asarray(model.fit_transform(vectors), np.float32)


def tsne_layout(vectors: NDArray[np.float32], graph: NeighbourGraph, seed: int, progress: Steps) -> NDArray[np.float32]:
    """t-SNE (van der Maaten and Hinton 2008; openTSNE, Poličar et al. 2019) in the plane, one thread, fixed seed.

    It starts from the principal plane (Kobak and Berens 2019), so that the place of a cluster means something too.

    Args:
        vectors: [N, D] float32, L2-normalised.
        graph: At least `TSNE_REACH` neighbours of each, all there are in smaller sets.
        seed: Random state.
        progress: Told of steps.

    Returns:
        [N, 2] float32.
    """
    from openTSNE import TSNEEmbedding, affinity, initialization
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    reach = min(int(3 * perplexity), graph.rows.shape[1])
    neighbours = PrecomputedNeighbors(graph.rows[:, :reach], graph.distances[:, :reach].astype(np.float64))
    affinities = affinity.PerplexityBasedNN(perplexity=perplexity, knn_index=neighbours, n_jobs=1)
    start = initialization.pca(vectors, random_state=seed)
    method = "bh" if len(vectors) <= _LARGE else "fft"
    embedding = TSNEEmbedding(
        start, affinities, negative_gradient_method=method, theta=_THETA, n_jobs=1, random_state=seed
    )
    total = _EARLY_STEPS + _STEPS

    def advance(before: int) -> Callable[[int, float, NDArray[np.float64]], None]:
        return lambda step, error, positions: progress(before + step, total)

    for steps, before, settings in (
        (_EARLY_STEPS, 0, {"exaggeration": 12, "momentum": 0.5}),
        (_STEPS, _EARLY_STEPS, {"momentum": 0.8}),
    ):
        told = {"callbacks": advance(before), "callbacks_every_iters": _REPORT_EVERY}
        embedding = embedding.optimize(steps, **settings, **told)
    found = np.asarray(embedding, np.float32)
    # Few cases, nearly all of them copies, are drawn together into one point; their principal plane tells more.
    return found if np.ptp(found, axis=0).max() > _SPOT else principal_axes(vectors, 2)


def are_equal(vectors: NDArray[np.floating]) -> bool:
    """Whether vectors [N, D] are one vector but for rounding, so that no layout of them says anything."""
    few = vectors[:_FEW]  # nearly always enough to see that they are not
    return not any(np.ptp(some, axis=0).max(initial=0) > _ROUNDING for some in (few, vectors))


def scattered(count: int, dims: int, seed: int) -> NDArray[np.float32]:
    """Places [N, dims] float32 of cases whose vectors are equal: at random, so that each can be seen and chosen.

    UMAP and t-SNE start from the axes of largest variance and divide by their length, which is zero; t-SNE from any
    other start draws such cases together into one point.
    """
    return np.random.default_rng(seed).normal(size=(count, dims)).astype(np.float32)


def principal_axes(vectors: NDArray[np.float32], dims: int) -> NDArray[np.float32]:
    """The `dims` directions of largest variance, [N, dims] float32; zero where there are fewer."""
    axes = np.zeros((len(vectors), dims), np.float32)
    if len(vectors) > 1:
        left, scale, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
        found = (left * scale)[:, :dims]
        axes[:, : found.shape[1]] = found
    return axes


@contextmanager
def _lock_released() -> Iterator[None]:
    """Let go of tqdm's lock, kept when `progress` raises, as an app does to stop: no thread could draw a bar again.

    Until tqdm does it itself: https://github.com/tqdm/tqdm/pull/1649.
    """
    from tqdm import tqdm

    try:
        yield
    except BaseException:
        with suppress(RuntimeError):  # not held by this thread
            tqdm.get_lock().release()
        raise


class _Epochs(io.TextIOBase):
    """Where UMAP's progress bar is drawn: as calls of `progress`."""

    def __init__(self, total: int, progress: Steps) -> None:
        self._total, self._progress = total, progress

    def write(self, text: str) -> int:
        if (number := text.strip()).isdigit():
            self._progress(int(number), self._total)
        return len(text)
