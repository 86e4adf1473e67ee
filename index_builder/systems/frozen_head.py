"""What a casebook teaches a published encoder: a linear head and the vote, from its own vectors, in seconds.

The head is a logistic regression of each label on the vectors of the training part, of every modality there is. How
strongly it is held back, how many neighbours vote and how much nearness counts are chosen on the validation part; both
are then calibrated as every system's answers are (`calibrate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from index_builder.calibration.held_out import with_modality
from index_builder.calibration.voting import vote_settings
from index_builder.cases.space import SPACES, Space
from index_builder.cases.table import CaseRows, label_matrix
from index_builder.systems.frozen import Frozen
from index_builder.systems.towers import Classifier

#: Training and validation cases that are looked at, at most; evenly spread.
_MOST_TRAIN, _MOST_VAL = 10_000, 2_000
#: A label with fewer training cases for or against it is left to the vote.
_FEWEST = 5
#: Weights of the penalty on the head's weights that are tried, strongest first.
_PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4)
_ITERATIONS = 80

_Vectors = Mapping[Space, NDArray[np.floating]]


def fit_on_casebook(system: Frozen, cases: CaseRows, label_names: Sequence[str], vectors: _Vectors) -> None:
    """Fit head and vote; where the training part tells too little, the system keeps its vote's defaults and no head.

    Args:
        system: Gets `head`, and in its configuration the labels and the vote.
        cases: All N of a casebook.
        label_names: Labels of their dataset.
        vectors: [N, D] per space, zero where a case lacks the modality.
    """
    truth, told = label_matrix(cases.column("labels"), label_names), cases.known(label_names)
    split = np.array(cases.column("split").to_pylist())
    coded = np.array([case.is_coded for case in cases])
    coded &= told.any(axis=1) if len(label_names) else False
    train, val = (_spread(np.flatnonzero(coded & (split == one)), most) for one, most in _PARTS)
    if not len(train):
        return
    base = {space: np.asarray(vectors[space][train], np.float32) for space in SPACES}
    held = {space: np.asarray(vectors[space][val], np.float32) for space in SPACES}
    update: dict[str, Any] = {}
    if len(val):
        update |= vote_settings(held, base, truth[val], truth[train], told[val], told[train])
    enough = [_enough(truth[train, column], told[train, column]) for column in range(len(label_names))]
    columns = [
        column for column, name in enumerate(label_names) if enough[column] and name not in system.config.findings
    ]
    if columns:
        names = tuple(label_names[column] for column in columns)
        system.head = _fitted(base, held, truth[:, columns], told[:, columns], train, val)
        update |= {"fitted": names, "label_names": (*system.config.findings, *names)}
    system.config = system.config.model_copy(update=update)


_PARTS = (("train", _MOST_TRAIN), ("val", _MOST_VAL))


def _enough(truth: NDArray[np.bool_], told: NDArray[np.bool_]) -> bool:
    return min(int((truth & told).sum()), int((~truth & told).sum())) >= _FEWEST


def _spread(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))] if len(rows) else rows


def _fitted(
    base: _Vectors,
    held: _Vectors,
    truth: NDArray[np.bool_],
    told: NDArray[np.bool_],
    train: NDArray[np.intp],
    val: NDArray[np.intp],
) -> Classifier:
    """The head of least log-loss on validation cases; without any, the one most held back."""
    learnt = _stacked(base, truth[train], told[train])
    judged = _stacked(held, truth[val], told[val]) if len(val) else None
    best: tuple[float, Classifier] | None = None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of several threads differ in their last bits from run to run
    try:
        for penalty in _PENALTIES:
            head = _regression(*learnt, penalty)
            if judged is None or not judged[2].any():
                return head
            with torch.no_grad():
                loss = float(_log_loss(head(judged[0]), judged[1], judged[2]))
            if best is None or loss < best[0]:
                best = loss, head
    finally:
        torch.set_num_threads(threads)
    assert best is not None, "there are penalties"
    return best[1]


def _stacked(vectors: _Vectors, truth: NDArray[np.bool_], told: NDArray[np.bool_]) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors of every modality that cases have, one below the other, with labels and which of them are known."""
    rows = {space: with_modality(vectors, space) for space in SPACES}
    found = np.concatenate([vectors[space][rows[space]] for space in SPACES])
    labels, known = (np.concatenate([one[rows[space]] for space in SPACES]).astype(np.float32) for one in (truth, told))
    return torch.from_numpy(found), torch.from_numpy(labels), torch.from_numpy(known)


def _regression(vectors: Tensor, truth: Tensor, told: Tensor, penalty: float) -> Classifier:
    """Logistic regression of all labels at once, by L-BFGS on standardised vectors."""
    mean, spread = vectors.mean(0), vectors.std(0).clamp(min=1e-6)
    inputs = (vectors - mean) / spread
    weight = torch.zeros(truth.shape[1], vectors.shape[1], requires_grad=True)
    share = ((truth * told).sum(0) + 1) / (told.sum(0) + 2)
    bias = share.logit().requires_grad_()
    solver = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        found = _log_loss(functional.linear(inputs, weight, bias), truth, told) + penalty * (weight**2).sum(1).mean()
        found.backward()
        return found

    solver.step(loss)
    head = Classifier(vectors.shape[1], truth.shape[1])
    with torch.no_grad():
        own = weight / spread
        head.weight.copy_(own / vectors.shape[1] ** 0.5)
        head.bias.copy_(bias - own @ mean)
        # As it is kept: in half precision.
        for parameter in head.parameters():
            parameter.copy_(parameter.half().float())
    return head.requires_grad_(False)


def _log_loss(logits: Tensor, truth: Tensor, told: Tensor) -> Tensor:
    losses = functional.binary_cross_entropy_with_logits(logits, truth, told, reduction="sum")
    return losses / told.sum().clamp(min=1)
