"""Likely label errors, by confident learning (Northcutt, Jiang and Chuang, JAIR 70, 2021) as cleanlab does it.

A classifier that never saw a case, nor another of its patient, says how likely each label is. Where it contradicts a
label more often than the noise it estimates for the class would have it, the surest contradictions are suspects.
`tests/benchmarks/label_errors.py` measures how many planted errors are found, and docs/evaluation.md has the figures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FOLDS = 5
#: Inverse regularisation; on phantom-openi with planted errors it found more than 1 and than k-NN of 10 to 50.
_STRENGTH = 0.01
#: Cases a fold learns from at most; what bounds the time of large casebooks.
_MOST = 5_000
#: With fewer cases for or against, a label cannot be learnt.
LEAST = 10
_ITERATIONS = 300


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that may be wrong.

    Attributes:
        row: The case's.
        label: Which label.
        given: Whether the case carries it.
        probability: That it should, as out-of-sample classifiers say.
    """

    row: int
    label: str
    given: bool
    probability: float


def suspects(
    vectors: NDArray[np.float32],
    labels: NDArray[np.bool_],
    names: Sequence[str],
    patients: NDArray,
    progress: Callable[[int, int], None],
) -> tuple[list[Suspect], list[str]]:
    """Labels that may be wrong, the most suspicious first.

    Args:
        vectors: [N, D], L2-normalised.
        labels: [N, C].
        names: C labels.
        patients: [N]; all cases of a patient are judged by classifiers that saw none of them.
        progress: Called with folds or labels done, and all.

    Returns:
        The suspects, and the labels that too few cases carry, or lack, to be judged.
    """
    often = np.minimum(labels.sum(axis=0), (~labels).sum(axis=0)) >= LEAST
    skipped = [name for name, judged in zip(names, often, strict=True) if not judged]
    groups = np.unique(patients.astype(str), return_inverse=True)[1]
    if not often.any() or len(np.unique(groups)) < 2 * _FOLDS:
        return [], list(names)
    exclusive = bool((labels.sum(axis=1) == 1).all()) and labels.shape[1] > 1 and bool(often.all())
    features = vectors * vectors.shape[1] ** 0.5
    if exclusive:
        found = _of_exclusive(features, labels, names, groups, progress)
    else:
        found = []
        for done, column in enumerate(np.flatnonzero(often).tolist()):
            progress(done, int(often.sum()))
            found += _of_one(features, labels[:, column], names[column], groups)
    return sorted(found, key=lambda one: -abs(one.probability - one.given)), skipped


def out_of_sample(
    features: NDArray[np.float32], classes: NDArray[np.integer], groups: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Class probabilities by logistic regressions that saw no case of the group, [N, K] for classes 0 to K - 1."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    random = np.random.default_rng(0)
    probabilities = np.zeros((len(classes), int(classes.max()) + 1))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A label that hardly varies within few patients cannot be stratified better, nor fitted to the last digit.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        for learnt, judged in folds.split(features, classes, groups):
            taken = learnt if len(learnt) <= _MOST else random.choice(learnt, _MOST, replace=False)
            if len(np.unique(classes[taken])) < 2:
                probabilities[judged, classes[taken[0]]] = 1
                continue
            model = LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS).fit(features[taken], classes[taken])
            probabilities[np.ix_(judged, model.classes_)] = model.predict_proba(features[judged])
    return probabilities


def _of_exclusive(
    features: NDArray[np.float32],
    labels: NDArray[np.bool_],
    names: Sequence[str],
    groups: NDArray[np.integer],
    progress: Callable[[int, int], None],
) -> list[Suspect]:
    """Suspects where each case has exactly one label: the one given, and the one that is likelier."""
    progress(0, 1)
    given = labels.argmax(axis=1)
    probabilities = out_of_sample(features, given, groups)
    return [
        Suspect(row, names[given[row]], True, float(probabilities[row, given[row]]))
        for row in _contradicted(given, probabilities)
    ]


def _of_one(
    features: NDArray[np.float32], given: NDArray[np.bool_], name: str, groups: NDArray[np.integer]
) -> list[Suspect]:
    probabilities = out_of_sample(features, given.astype(np.intp), groups)
    return [
        Suspect(row, name, bool(given[row]), float(probabilities[row, 1]))
        for row in _contradicted(given.astype(np.intp), probabilities)
    ]


def _contradicted(given: NDArray[np.integer], probabilities: NDArray[np.float64]) -> list[int]:
    from cleanlab.filter import find_label_issues

    kept = probabilities.clip(1e-6, None)
    kept /= kept.sum(axis=1, keepdims=True)
    return np.flatnonzero(find_label_issues(given, kept, n_jobs=1)).tolist()
