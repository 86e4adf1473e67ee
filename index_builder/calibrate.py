"""The stage of a build that looks at the finished vectors: what calibrates predictions, and what checks films."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from index_builder.case_table import CaseRows
from index_builder.casebook import DatasetRecord, Layout, Space, SystemRecord
from index_builder.evaluation.prediction import classifier_logits
from index_builder.film_check.fit import fit_film_check
from index_builder.held_out import carried_answers, held_out_answers, write_answers
from index_builder.stores.base import VectorStore
from index_builder.systems.base import RetrievalSystem
from index_builder.thumbnails import ThumbnailReader


def calibrate(
    layout: Layout,
    system: RetrievalSystem,
    record: SystemRecord,
    dataset: DatasetRecord,
    cases: CaseRows,
    stores: Mapping[Space, VectorStore],
    vectors: Mapping[Space, NDArray[np.floating]],
    film_rows: NDArray[np.int64],
    film_features: NDArray[np.float16],
) -> None:
    """Write the answers on validation cases and the check of films, each where there are cases enough.

    Args:
        layout: Of a casebook whose thumbnails are written.
        system: That embedded the cases.
        record: Of it.
        dataset: Of the cases.
        cases: N cases.
        stores: Index per space.
        vectors: [N, D] per space.
        film_rows: [R], see `film_check.fit.reference_rows`.
        film_features: [R, F].
    """

    def classify(found: NDArray[np.float32]) -> NDArray[np.float32] | None:
        return classifier_logits(system, found)

    answers = held_out_answers(record, cases, dataset.label_names, vectors, stores, classify)
    if system.config.held_out_dataset == dataset.kind:
        answers |= carried_answers(system.held_out, answers, dataset.kind, record.label_names)
    write_answers(answers, layout.held_out)
    thumbnails = ThumbnailReader(layout.thumbnails)

    def thumbnail(row: int) -> bytes:
        found = thumbnails[row]
        assert found is not None, "only rows with a film are asked for"
        return found

    check = fit_film_check(system, cases, film_rows, film_features, vectors["image"][film_rows], thumbnail)
    if check is not None:
        check.write(layout.film_check)
