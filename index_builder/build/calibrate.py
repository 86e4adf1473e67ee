"""The stage of a build that looks at the finished vectors: what calibrates predictions, and what checks films."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.held_out import carried_answers, held_out_answers, write_answers
from index_builder.casebook.films import FilmTable
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import DatasetRecord, SystemRecord
from index_builder.casebook.thumbnails import ThumbnailReader
from index_builder.cases.space import Space
from index_builder.cases.table import CaseRows
from index_builder.evaluation.prediction import classifier_logits
from index_builder.film_check.fit import References, fit_film_check
from index_builder.stores.base import VectorStore
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.graphs.encoder import Encoder


def calibrate(
    layout: Layout,
    system: RetrievalSystem,
    encoder: Encoder,
    record: SystemRecord,
    dataset: DatasetRecord,
    cases: CaseRows,
    stores: Mapping[Space, VectorStore],
    vectors: Mapping[Space, NDArray[np.floating]],
    films: FilmTable | None,
    references: References,
    film_features: NDArray[np.float16],
) -> None:
    """Write the answers on validation cases and the check of films, each where there are cases enough.

    Args:
        layout: Layout of a casebook whose thumbnails are written.
        system: System that embedded the cases.
        encoder: Its encoder.
        record: Record of it.
        dataset: Dataset of the cases.
        cases: N cases.
        stores: Index per space.
        vectors: [N, D] per space.
        films: Each film by itself; None: no case has several.
        references: R films that others are compared with.
        film_features: [R, F], of these.
    """

    def classify(found: NDArray[np.float32]) -> NDArray[np.float32] | None:
        return classifier_logits(system, found)

    answers = held_out_answers(record, cases, dataset, vectors, stores, classify, films)
    answers |= carried_answers(system.held_out.get(dataset.kind, {}), answers, dataset.kind, record.label_names)
    write_answers(answers, layout.held_out)
    primary = ThumbnailReader(layout.thumbnails)
    others = None if films is None else ThumbnailReader(layout.film_thumbnails)

    def thumbnail(place: int) -> bytes:
        if others is None or references.places[place] == 0:
            found = primary[int(references.rows[place])]
        else:
            found = others[int(references.films[place])]
        assert found is not None, "of every film a small copy is kept"
        return found

    alone = vectors["image"][references.rows] if films is None else films.vectors[references.films]
    check = fit_film_check(encoder, cases, references, film_features, alone, thumbnail, numbered=films is not None)
    if check is not None:
        check.write(layout.film_check)
