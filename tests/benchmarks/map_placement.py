"""Error of placing new cases on a map: python tests/benchmarks/map_placement.py CASEBOOK [SPACE].

A fifth of the cases is left out, the maps are drawn of the rest, and the left-out cases are placed: by the mean of
their k nearest cases' places weighted by softmax(similarity / T) for several k and T, by UMAP's and openTSNE's own
transform, and at random. Figures, medians or means over the left-out cases:

  shared    share of the ten nearest on the map that share a finding; beside it that of cases the map was drawn with
  recall    share of the ten nearest by full vectors among the thirty nearest on the map; likewise
  distance  from the place the case has on a map drawn of all cases, moved and scaled onto this one (Procrustes), in
            median distances of two cases; "floor" is the same for cases of both maps: how much the maps differ anyway
  rank      share of cases nearer to the placed point than that place
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from sklearn.neighbors import KDTree

from explorer.casebook import Casebook
from index_builder.maps.layout import TSNE_REACH, tsne_layout, umap_layout
from index_builder.maps.neighbours import neighbour_graph
from index_builder.stores.faiss import FaissStore

_LEFT_OUT = 0.2
_CHOICES = ((1, 0.05), (3, 0.05), (5, 0.05), (10, 0.01), (10, 0.02), (10, 0.05), (10, 0.2), (15, 0.05), (30, 0.05))


def layouts(vectors: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """UMAP and t-SNE of vectors, as `build` draws them."""
    keys = np.arange(len(vectors), dtype=np.int64)
    graph = neighbour_graph(FaissStore.build(vectors, keys), keys, vectors, TSNE_REACH)

    def silent(done: int, total: int) -> None:
        """Nobody watches."""

    return {
        "umap": umap_layout(vectors, graph, 2, 0, silent),
        "umap3d": umap_layout(vectors, graph, 3, 0, silent),
        "tsne": tsne_layout(vectors, graph, 0, silent),
    }


def own_transforms(known: NDArray[np.float32], new: NDArray[np.float32]) -> dict[str, tuple[NDArray, NDArray]]:
    """Maps of `known` by the libraries alone, and `new` on them by their own transform."""
    import umap
    from openTSNE import TSNE

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = umap.UMAP(n_neighbors=15, min_dist=0.1, metric="cosine", random_state=0, init="pca").fit(known)
        found = {"umap": (model.embedding_, model.transform(new))}
    fitted = TSNE(n_jobs=1, random_state=0, metric="cosine", neighbors="exact", n_iter=250).fit(known)
    return found | {"tsne": (np.asarray(fitted), np.asarray(fitted.transform(new)))}


def placed(positions: NDArray, rows: NDArray, similarities: NDArray, k: int, temperature: float) -> NDArray:
    """Mean of the k nearest cases' places, weighted."""
    near = similarities[:, :k]
    weights = np.exp((near - near[:, :1]) / temperature)
    return (positions[rows[:, :k]] * (weights / weights.sum(1, keepdims=True))[..., None]).sum(1)


def aligned(source: NDArray, target: NDArray, moved: NDArray) -> NDArray:
    """`moved`, of the same map as `source`, moved, turned and scaled as brings `source` nearest to `target`."""
    middle, aim = source.mean(0), target.mean(0)
    rotation, scale = orthogonal_procrustes(source - middle, target - aim)
    return (moved - middle) @ rotation * scale / ((source - middle) ** 2).sum() + aim


def neighbourhood(tree: KDTree, at: NDArray, near: NDArray, share: NDArray[np.bool_], skip: int) -> tuple[float, float]:
    """Shared findings among the ten nearest, and recall of the ten nearest by full vectors among thirty."""
    on_map = tree.query(at, 30 + skip, return_distance=False)[:, skip:]
    shared = np.take_along_axis(share, on_map[:, :10], 1).mean()
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(near[:, :10], on_map, strict=True)])
    return float(shared), float(recall)


def main(folder: str, space: str) -> None:
    """Measure one space of a casebook."""
    casebook = Casebook.open(folder)
    held = np.flatnonzero(casebook.has_vector(space) & casebook.label_matrix.any(1))  # type: ignore[arg-type]
    vectors = casebook.vectors(space)[held].astype(np.float32)  # type: ignore[arg-type]
    labels = casebook.label_matrix[held].astype(np.float32)
    order = np.random.default_rng(0).permutation(len(held))
    new, known = np.sort(order[: int(_LEFT_OUT * len(held))]), np.sort(order[int(_LEFT_OUT * len(held)) :])
    similarity = vectors[new] @ vectors[known].T
    rows = np.argsort(-similarity, axis=1)[:, :30]
    similarities = np.take_along_axis(similarity, rows, 1)
    inside = vectors[known] @ vectors[known].T
    np.fill_diagonal(inside, -np.inf)
    inside_rows = np.argsort(-inside, axis=1)[:, :10]
    share_new, share_known = labels[new] @ labels[known].T > 0, labels[known] @ labels[known].T > 0
    random = np.random.default_rng(1)
    everything, partial = layouts(vectors), layouts(vectors[known])
    transforms = own_transforms(vectors[known], vectors[new])
    print(f"{casebook.name} {space}: {len(known)} cases drawn, {len(new)} placed")
    print(f"{'':26}shared  recall  distance  rank")
    for name, positions in partial.items():
        tree = KDTree(positions)
        pairs = random.integers(len(known), size=(2, 5000))
        typical = np.median(np.linalg.norm(positions[pairs[0]] - positions[pairs[1]], axis=1))
        truth = aligned(everything[name][known], positions, everything[name][new])
        floor = np.linalg.norm(aligned(everything[name][known], positions, everything[name][known]) - positions, axis=1)
        shared, recall = neighbourhood(tree, positions, inside_rows, share_known, 1)
        print(f"{name:<8}{'drawn (floor)':<18}{shared:6.3f}  {recall:6.3f}  {np.median(floor) / typical:8.3f}")
        ways = {f"k={k} T={t:g}": placed(positions, rows, similarities, k, t) for k, t in _CHOICES}
        ways["at random"] = positions[random.integers(len(known), size=len(new))]
        for way, at in ways.items():
            shared, recall = neighbourhood(tree, at, rows, share_new, 0)
            error = np.linalg.norm(at - truth, axis=1)
            rank = [(np.linalg.norm(positions - one, axis=1) < far).mean() for one, far in zip(at, error, strict=True)]
            off = np.median(error) / typical
            print(f"        {way:<18}{shared:6.3f}  {recall:6.3f}  {off:8.3f}  {np.median(rank):.3f}")
        if name in transforms:
            own, at = transforms[name]
            for way, found, share, skip, near in (
                ("library, drawn", own, share_known, 1, inside_rows),
                ("library, transform", at, share_new, 0, rows),
            ):
                shared, recall = neighbourhood(KDTree(own), found, near, share, skip)
                print(f"        {way:<18}{shared:6.3f}  {recall:6.3f}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else "image")
