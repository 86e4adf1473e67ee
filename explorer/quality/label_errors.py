"""Likely label errors, by confident learning (Northcutt, Jiang and Chuang, JAIR 70, 2021) as cleanlab does it.

A classifier that never saw a case, nor another of its patient, says how likely each label is. Where it contradicts a
label more often than the noise it estimates for the class would have it, the most confident ones are suspects.
`tests/benchmarks/label_errors.py` measures how many planted errors are found; docs/reference/evaluation.md has the
figures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.ranks import auroc_and_ap

_FOLDS = 5
#: Inverse regularisation; on phantom-openi with planted errors it found more than 1 and than k-NN of 10 to 50.
_STRENGTH = 0.01
#: Cases a fold learns from at most; what bounds the time of large casebooks.
_MOST = 5_000
#: With fewer cases for or against, a label cannot be learnt.
LEAST = 10
#: A classifier of lower AUROC contradicts true labels too often for its word to count.
LEARNT = 0.8
_ITERATIONS = 300


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that may be wrong.

    Attributes:
        row: The case's.
        label: Which label.
        given: Whether the case carries it.
        probability: Probability that it should, as out-of-sample classifiers say.
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
    known: NDArray[np.bool_] | None = None,
) -> tuple[list[Suspect], dict[str, str]]:
    """Labels that may be wrong, the most suspicious first.

    Args:
        vectors: [N, D], L2-normalised.
        labels: [N, C].
        names: C labels.
        patients: [N]; all cases of a patient are judged by classifiers that saw none of them.
        progress: Called with folds or labels done, and all.
        known: [N, C], the labels that are known, the only ones that are judged and learnt from; None: all.

    Returns:
        The suspects, and the reason by label for those that cannot be judged.
    """
    told = np.ones(labels.shape, bool) if known is None else known
    rarer = np.minimum(labels.sum(axis=0), (~labels & told).sum(axis=0))
    often = rarer >= LEAST
    not_judged = {name: f"{count} cases" for name, count in zip(names, rarer.tolist(), strict=True) if count < LEAST}
    groups = np.unique(patients.astype(str), return_inverse=True)[1]
    if not often.any() or len(np.unique(groups)) < 2 * _FOLDS:
        return [], dict.fromkeys(names, "too few patients") | not_judged
    exclusive = bool((labels.sum(axis=1) == 1).all()) and labels.shape[1] > 1 and bool(often.all() and told.all())
    features = vectors * vectors.shape[1] ** 0.5
    found: list[Suspect] = []
    if exclusive:
        progress(0, 1)
        stages = labels.argmax(axis=1)
        probabilities = out_of_sample(features, stages, groups)
        if (auroc := _auroc(probabilities, labels)) < LEARNT:
            return [], dict.fromkeys(names, f"classifier's AUROC {auroc:.2f}")
        found = [
            Suspect(row, names[stages[row]], True, float(probabilities[row, stages[row]]))
            for row in _contradicted(stages, probabilities)
        ]
    else:
        for done, column in enumerate(np.flatnonzero(often).tolist()):
            progress(done, int(often.sum()))
            rows = np.flatnonzero(told[:, column])
            given = labels[rows, column]
            if len(np.unique(groups[rows])) < 2 * _FOLDS:
                not_judged[names[column]] = "too few patients"
                continue
            probabilities = out_of_sample(features[rows], given.astype(np.intp), groups[rows])
            if (auroc := _auroc(probabilities[:, 1:], given[:, None])) < LEARNT:
                not_judged[names[column]] = f"classifier's AUROC {auroc:.2f}"
                continue
            found += [
                Suspect(int(rows[row]), names[column], bool(given[row]), float(probabilities[row, 1]))
                for row in _contradicted(given.astype(np.intp), probabilities)
            ]
    return sorted(found, key=lambda one: -abs(one.probability - one.given)), not_judged


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


def _auroc(probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Mean over labels [N, C] of one against the rest."""
    once = np.ones((1, len(labels)), np.float32)
    columns = range(labels.shape[1])
    return float(np.mean([auroc_and_ap(probabilities[:, one], labels[:, one], once)[0][0] for one in columns]))


def _contradicted(given: NDArray[np.integer], probabilities: NDArray[np.float64]) -> list[int]:
    from cleanlab.filter import find_label_issues

    kept = probabilities.clip(1e-6, None)
    kept /= kept.sum(axis=1, keepdims=True)
    return np.flatnonzero(find_label_issues(given, kept, n_jobs=1)).tolist()
