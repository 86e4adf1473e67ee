"""Maps of many cases, laid out whole or by a sample: python tests/benchmarks/map_sampling.py CASEBOOK [COUNT] [SPACE].

COUNT vectors are drawn around those of the casebook (see stores.py), each with the labels of the case it was drawn
from. Both maps are measured on all cases, as `build` does. Times are the processor's.
"""

from __future__ import annotations

import sys
from time import process_time

import numpy as np
from stores import vectors_like

from explorer.casebook import Casebook
from index_builder.maps import maps
from index_builder.maps.neighbours import neighbour_graph
from index_builder.stores.faiss import FaissStore


def main(folder: str, count: int, space: str) -> None:
    """Print figures of each map."""
    casebook = Casebook.open(folder)
    rows = np.flatnonzero(casebook.has_vector(space))
    seeds = casebook.vectors(space)[rows].astype(np.float32)
    vectors, origin = vectors_like(seeds / np.linalg.norm(seeds, axis=1, keepdims=True), count, 0)
    keys = np.arange(count, dtype=np.int64)
    labels = casebook.label_matrix[rows][origin].astype(bool)
    graph = neighbour_graph(FaissStore.build(vectors, keys), keys, vectors, maps.reach(maps.FITTED_CASES))
    cases = maps.MappedCases(graph, vectors, labels, [()] * count)
    print(f"{'laid out':>9} {'map':<7} {'trust':>6} {'contin.':>7}  of ten share: map, full, chance")
    for fitted in (count, maps.FITTED_CASES):
        maps.FITTED_CASES = fitted
        began = process_time()
        drawn = maps.draw_maps(cases, 0, lambda name, done, total: None)
        for name, one in drawn.record.maps.items():
            shared = " ".join(f"{10 * (share or 0):5.1f}" for share in (one.purity, one.purity_full, one.purity_chance))
            print(f"{fitted:>9,} {name:<7} {one.trustworthiness:>6.3f} {one.continuity:>7.3f}  {shared}")
        print(f"{fitted:>9,} all maps: {process_time() - began:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60_000, sys.argv[3] if len(sys.argv) > 3 else "image")
