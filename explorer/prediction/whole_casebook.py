"""What the system says of a casebook's own cases: the likeliest label of each, how unsure, and whether it is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from index_builder.calibration.voting import count_votes
from index_builder.cases.space import Space
from index_builder.errors import QueryError
from index_builder.maps.neighbours import neighbour_graph

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class CasePredictions:
    """Predictions for N cases; those without the modality have none.

    Attributes:
        names: Labels that can be predicted.
        likeliest: [N] int64, column of `names`; -1 where there is no prediction.
        uncertainty: [N] float64, 1 - probability of the likeliest label, NaN where there is none.
        wrong: [N] int8: 1 the likeliest label is not one of the case's, 0 it is, -1 the case has no label to tell by,
            or this one is unknown of it.
    """

    names: tuple[str, ...]
    likeliest: NDArray[np.int64]
    uncertainty: NDArray[np.float64]
    wrong: NDArray[np.int8]


def predictable_labels(casebook: Casebook) -> tuple[str, ...]:
    """Labels of the casebook that its system can predict: those its classifier knows, or all where neighbours vote."""
    record = casebook.manifest.system
    if record.predicts_by == "vote":
        return casebook.label_names
    return tuple(name for name in casebook.label_names if name in record.label_names)


def case_predictions(casebook: Casebook, space: Space) -> CasePredictions:
    """Predict every case from its vector: by the classifier, or by the vote of its nearest other cases.

    The cases that the system learnt from are among them, and on those it is right more often than on new ones.

    Raises:
        QueryError: No such space, or no label that could be predicted.
    """
    names = predictable_labels(casebook)
    if not names:
        raise QueryError(f"the system of casebook {casebook.name!r} predicts none of its labels.")
    held = np.flatnonzero(casebook.has_vector(space))
    vectors = casebook.vectors(space)[held].astype(np.float32)
    voted = casebook.manifest.system.predicts_by == "vote"
    probabilities = _voted(casebook, space, vectors, held) if voted else _classified(casebook, vectors, names)
    likeliest = np.full(len(casebook), -1, np.int64)
    uncertainty = np.full(len(casebook), np.nan)
    likeliest[held] = probabilities.argmax(1)
    uncertainty[held] = 1 - probabilities.max(1)
    columns = [casebook.label_names.index(name) for name in names]
    truth = casebook.label_matrix[:, columns]
    wrong = np.full(len(casebook), -1, np.int8)
    known = casebook.known_matrix[:, columns]
    judged = held[truth[held].any(1) & known[held, likeliest[held]]]
    wrong[judged] = ~truth[judged, likeliest[judged]]
    return CasePredictions(names, likeliest, uncertainty, wrong)


def _classified(casebook: Casebook, vectors: NDArray[np.float32], names: tuple[str, ...]) -> NDArray[np.float32]:
    columns = [casebook.manifest.system.label_names.index(name) for name in names]
    blocks = []
    for start in range(0, len(vectors), _BLOCK):
        answers = casebook.encoder.label_answers(vectors[start : start + _BLOCK])
        assert answers is not None, "the manifest says that there is a classifier"
        blocks.append(answers[1][:, columns])
    return np.concatenate(blocks)


def _voted(
    casebook: Casebook, space: Space, vectors: NDArray[np.float32], held: NDArray[np.int64]
) -> NDArray[np.float64]:
    record = casebook.manifest.system
    graph = neighbour_graph(casebook.store(space), casebook.keys[held], vectors, record.vote_neighbours)
    labels, known = casebook.label_matrix[held], casebook.known_matrix[held]
    temperature = record.temperature_of(space)
    found = [
        count_votes(graph.similarities[rows], graph.rows[rows], labels, temperature, known).probabilities
        for rows in np.split(np.arange(len(held)), range(_BLOCK, len(held), _BLOCK))
    ]
    return np.concatenate(found)
