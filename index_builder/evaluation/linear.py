"""Logistic regression, one class against the rest, its strength chosen on validation cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.ranks import auroc_and_ap
from index_builder.evaluation.task import Task

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    Features: TypeAlias = csr_matrix | NDArray[np.float32]

_ITERATIONS = 500


@dataclass(frozen=True, slots=True)
class LinearModel:
    """One classifier per class.

    Attributes:
        classifiers: Fitted; a number where training cases all, or none, carry the label: its probability.
        strength: C, the inverse of the regularisation.
        exclusive: Whether a case carries exactly one label, so that probabilities sum to 1.
    """

    classifiers: list[Any]
    strength: float
    exclusive: bool

    def probabilities(self, features: Features) -> NDArray[np.float64]:
        """Features [N, F] to probabilities [N, C]."""
        count = features.shape[0]
        columns = [
            np.full(count, one) if isinstance(one, float) else one.predict_proba(features)[:, 1]
            for one in self.classifiers
        ]
        found = np.stack(columns, axis=1)
        return found / found.sum(axis=1, keepdims=True) if self.exclusive else found


def fit_linear(task: Task, features: Features, strengths: Sequence[float]) -> LinearModel:
    """Fit on training cases, with the C of highest macro average precision on validation cases.

    Args:
        task: Parts and labels.
        features: [N, F] of the task's cases, sparse or dense.
        strengths: Values of C to try.
    """
    models = [_fit(task, features, strength) for strength in strengths]
    truth, told = task.truth[task.val], task.known[task.val]
    scores = [macro_ap(model.probabilities(features[task.val]), truth, told) for model in models]
    return models[int(np.argmax(scores))]


def macro_ap(scores: NDArray[np.floating], truth: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
    """Mean average precision over classes that have cases for and against; 0 when none has. All [N, C]."""
    found = [
        auroc_and_ap(scores[:, column], truth[:, column], known[None, :, column].astype(np.float32))[1][0]
        for column in range(truth.shape[1])
    ]
    defined = [one for one in found if not np.isnan(one)]
    return float(np.mean(defined)) if defined else 0.0


def _fit(task: Task, features: Features, strength: float) -> LinearModel:
    from sklearn.linear_model import LogisticRegression

    learnt = features[task.train]
    classifiers: list[Any] = []
    for carried, told in zip(task.truth[task.train].T, task.known[task.train].T, strict=True):
        truth = carried[told]
        if not len(truth):
            classifiers.append(0.0)
            continue
        if truth.all() or not truth.any():
            classifiers.append(float(truth[0]))
            continue
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=_ITERATIONS)
        classifiers.append(model.fit(learnt[told], truth))
    return LinearModel(classifiers, strength, task.stages)
