"""A system's label probabilities: from its classifier, or from the vote of training cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from index_builder.calibration.voting import vote, vote_logits
from index_builder.cases.space import Space
from index_builder.evaluation.embedding import Vectors, similarities
from index_builder.evaluation.task import Task
from index_builder.systems.base import RetrievalSystem

#: Cases classified at a time, and pairs of a case and a voter compared.
_CLASSIFIED_AT_ONCE = 4096
_PAIRS_AT_ONCE = 8_000_000


@dataclass(frozen=True, slots=True)
class Prediction:
    """Labels of a task's validation and scored cases; rows of the others are zero.

    Attributes:
        probabilities: [N, C] float64; rows sum to 1 where the labels are stages.
        logits: [N, C] float64, of a softmax where the labels are stages, else of a sigmoid each; see `vote_logits`.
    """

    probabilities: NDArray[np.float64]
    logits: NDArray[np.float64]


def has_classifier(system: RetrievalSystem) -> bool:
    """Whether the system has a classifier; otherwise it predicts by the vote of neighbours."""
    return classifier_logits(system, np.zeros((1, system.config.embedding_dim), np.float32)) is not None


@torch.inference_mode()
def classifier_logits(system: RetrievalSystem, vectors: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Logits of all labels the system knows, [N, `config.label_names`]; None without a classifier."""
    device = next(system.parameters()).device
    found = system.label_logits(torch.from_numpy(vectors).to(device))
    return None if found is None else found.float().cpu().numpy()


def predict(system: RetrievalSystem, task: Task, vectors: Vectors, modality: Space) -> Prediction:
    """Predict the task's labels.

    Args:
        system: Its classifier decides; without one the task's training cases vote, never a case on itself.
        task: Names the labels, and the training cases.
        vectors: [N, D] of the task's cases.
        modality: What they were embedded from.
    """
    if not has_classifier(system):
        return _voted(system, task, vectors, modality)
    columns = [system.config.label_names.index(name) for name in task.names]
    probabilities, logits = np.zeros(task.truth.shape), np.zeros(task.truth.shape)
    for block in _blocks(np.union1d(task.val, task.scored), _CLASSIFIED_AT_ONCE):
        found = classifier_logits(system, vectors[block])
        assert found is not None, "the system has a classifier"
        logits[block] = found[:, columns]
        probabilities[block] = np.exp(log_softmax(logits[block], axis=1)) if task.stages else expit(logits[block])
    return Prediction(probabilities, logits)


def _voted(system: RetrievalSystem, task: Task, vectors: Vectors, modality: Space) -> Prediction:
    neighbours, temperature = system.config.vote_neighbours, system.config.temperature_of(modality)
    rows = np.union1d(task.val, task.scored)
    labels, known = task.truth[task.train].astype(np.float32), task.known[task.train]
    probabilities, logits = np.zeros(task.truth.shape), np.zeros(task.truth.shape)
    for block in _blocks(rows, max(1, _PAIRS_AT_ONCE // len(task.train))):
        similarity = similarities(vectors, block, task.train)
        similarity[block[:, None] == task.train] = -np.inf
        probabilities[block] = vote(similarity, labels, neighbours, temperature, known).probabilities
    logits[rows] = vote_logits(probabilities[rows], len(task.train), stages=task.stages)
    return Prediction(probabilities, logits)


def _blocks(rows: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
