"""The stage of a build that looks at the finished vectors: what calibrates predictions, and what checks films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index_builder.casebook import Layout, Space, SpaceRecord, read_table
from index_builder.datasets.base import Case
from index_builder.film_check.fit import fit_film_check
from index_builder.held_out import held_out_answers, write_answers
from index_builder.stores.faiss import FaissStore
from index_builder.systems.base import RetrievalSystem


def calibrate(
    layout: Layout,
    system: RetrievalSystem,
    dataset: str,
    cases: Sequence[Case],
    label_names: Sequence[str],
    spaces: Mapping[Space, SpaceRecord],
    vectors: Mapping[Space, NDArray[np.floating]],
    film_rows: NDArray[np.int64],
    film_features: NDArray[np.float16],
) -> None:
    """Write the answers on validation cases and the check of films, each where there are cases enough.

    Args:
        layout: Of a casebook whose thumbnails and indexes are written.
        system: That embedded the cases.
        dataset: Name of the dataset of the cases.
        cases: N cases.
        label_names: Labels of their dataset.
        spaces: Indexes there are.
        vectors: [N, D] per space.
        film_rows: [R], see `film_check.fit.reference_rows`.
        film_features: [R, F].
    """
    stores = {
        space: FaissStore.read(layout.index(space), layout.index_keys(space), record.index)
        for space, record in spaces.items()
    }
    answers = held_out_answers(system, dataset, cases, label_names, vectors, stores)
    write_answers(answers, layout.held_out)
    thumbnails = read_table(layout.thumbnails, ["thumbnail"]).column("thumbnail")
    check = fit_film_check(
        system, cases, film_rows, film_features, vectors["image"][film_rows], lambda row: thumbnails[row].as_py()
    )
    if check is not None:
        check.write(layout.film_check)
