"""How good a system is on validation cases: what early stopping and the choice of the epoch look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.voting import vote
from index_builder.cases.case import Split
from index_builder.cases.space import SPACES, Space
from index_builder.evaluation.prediction import classifier_logits, has_classifier
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.graphs.cases import encode_cases
from index_builder.systems.running.parts import torch_encoder
from index_builder.training.cases import TrainingCases

_BATCH = 64
#: Fewer validation cases than this with a label say nothing about it.
_FEWEST = 3


def embed_cases(system: RetrievalSystem, cases: TrainingCases, split: Split) -> dict[Space, NDArray[np.float32]]:
    """Vectors of a part's cases per space, [N, D] float32, zero where a case lacks the modality (joint: either)."""
    rows: dict[Space, list[NDArray[np.float32]]] = {space: [] for space in SPACES}
    encoder = torch_encoder(system)
    for batch in cases.batches(split, _BATCH):
        has_film = batch.has_film.numpy()
        found = encode_cases(encoder, batch.films.numpy()[has_film], has_film.astype(np.int64), batch.texts).spaces
        found["joint"][~(has_film & batch.has_text.numpy())] = 0
        for space in SPACES:
            rows[space].append(found[space])
    return {space: np.concatenate(parts) for space, parts in rows.items()}


def validation_scores(system: RetrievalSystem, cases: TrainingCases) -> dict[str, float]:
    """Macro average precision per dataset and space on the validation part, e.g. {"nih/image": 0.31}.

    From the classifier, or, for a system without one, from the vote of training cases. Labels with fewer than three
    positives or negatives are left out.
    """
    system.eval()
    if not cases.of("val"):
        return {}
    held = embed_cases(system, cases, "val")
    labels, known, group = targets(cases, "val")
    voters = None if has_classifier(system) else embed_cases(system, cases, "train")
    scores = {}
    for number, name in enumerate(cases.groups):
        for space, vectors in held.items():
            rows = np.flatnonzero(vectors.any(1) & (group == number))
            if not len(rows):
                continue
            columns = np.flatnonzero(known[rows].any(0))
            truth, told = labels[rows][:, columns], known[rows][:, columns]
            if voters is None:
                found = classifier_logits(system, vectors[rows])
            else:
                found = voted_shares(system, cases, space, vectors[rows], voters[space], number)
            score = None if found is None else macro_average_precision(found[:, columns], truth, told)
            if score is not None:
                scores[f"{name}/{space}"] = score
    return scores


def macro_average_precision(
    scores: NDArray[np.float32], truth: NDArray[np.float32], known: NDArray[np.bool_]
) -> float | None:
    """Mean average precision over labels that have enough cases for and against; None when none has. All [N, C]."""
    from sklearn.metrics import average_precision_score

    positives, negatives = ((truth == one) & known for one in (1, 0))
    usable = np.flatnonzero((positives.sum(0) >= _FEWEST) & (negatives.sum(0) >= _FEWEST))
    if not len(usable):
        return None
    found = [average_precision_score(truth[known[:, one], one], scores[known[:, one], one]) for one in usable.tolist()]
    return float(np.mean(found))


def targets(cases: TrainingCases, split: Split) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """Labels [N, C] and which of them are known of a part's cases, and the number of the dataset of each."""
    examples = cases.of(split)
    width = len(cases.label_names)
    labels = np.stack([example.labels for example in examples]) if examples else np.zeros((0, width), np.float32)
    known = np.stack([example.known for example in examples]) if examples else np.zeros((0, width), np.bool_)
    return labels, known, np.array([example.group for example in examples], np.int64)


def voted_shares(
    system: RetrievalSystem,
    cases: TrainingCases,
    space: Space,
    queries: NDArray[np.float32],
    base: NDArray[np.float32],
    group: int,
) -> NDArray[np.float32] | None:
    """Shares of the vote of a dataset's training cases, [Q, C]; None where it has none."""
    labels, known, groups = targets(cases, "train")
    rows = np.flatnonzero(base.any(1) & (groups == group))
    if not len(rows):
        return None
    config = system.config
    temperature = config.temperature_of(space)
    found = vote(queries @ base[rows].T, labels[rows], config.vote_neighbours, temperature, known[rows])
    return np.asarray(found.probabilities, np.float32)
