"""How good a system is on validation cases: what early stopping and the choice of the epoch look at."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.casebook import SPACES, Space
from index_builder.systems.base import Batch, RetrievalSystem
from index_builder.systems.joining import join_cases
from index_builder.systems.voting import vote
from index_builder.training.cases import TrainingCases

_BATCH = 64
#: Fewer validation cases than this with a label say nothing about it.
_FEWEST = 3


@torch.inference_mode()
def embed_cases(system: RetrievalSystem, batches: Iterable[Batch]) -> dict[Space, NDArray[np.float32]]:
    """Vectors of all cases per space, [N, D] float32, zero where a case lacks the modality (joint: either)."""
    device = next(system.parameters()).device
    rows: dict[Space, list[NDArray[np.float32]]] = {space: [] for space in SPACES}
    for batch in batches:
        has_film, has_text = batch.has_film, batch.has_text
        found = {space: torch.zeros(len(has_film), system.config.embedding_dim) for space in SPACES}
        image = system.encode_images(batch.films[has_film].to(device)) if has_film.any() else None
        text = system.encode_texts([text for text in batch.texts if text]) if has_text.any() else None
        if image is not None:
            found["image"][has_film] = image.vector.float().cpu()
        if text is not None:
            found["text"][has_text] = text.vector.float().cpu()
        if (both := has_film & has_text).any():
            joint = join_cases(system, image, has_film.to(device), text, has_text.to(device)).cpu()
            found["joint"][both] = joint[both]
        for space in SPACES:
            rows[space].append(found[space].numpy())
    return {space: np.concatenate(parts) for space, parts in rows.items()}


def validation_scores(system: RetrievalSystem, cases: TrainingCases) -> dict[str, float]:
    """Macro average precision per dataset and space on the validation part, e.g. {"nih/image": 0.31}.

    From the classifier, or, for a system without one, from the vote of training cases. Labels with fewer than three
    positives or negatives are left out.
    """
    system.eval()
    held = embed_cases(system, cases.batches("val", _BATCH))
    examples = cases.of("val")
    labels, known, group = targets(cases, "val")
    voters = None
    if system.label_logits(torch.zeros(1, system.config.embedding_dim, device=_device(system))) is None:
        voters = embed_cases(system, cases.batches("train", _BATCH))
    scores = {}
    for number, name in enumerate(cases.groups):
        for space, vectors in held.items():
            rows = np.flatnonzero(vectors.any(1) & (group == number))
            if not len(rows):
                continue
            columns = np.flatnonzero(known[rows[0]])
            truth = labels[rows][:, columns]
            if voters is None:
                found = _classified(system, vectors[rows])[:, columns]
            else:
                found = _voted(system, cases, vectors[rows], voters[space], number)[:, columns]
            if (score := macro_average_precision(found, truth)) is not None:
                scores[f"{name}/{space}"] = score
    if not examples or not scores:
        return {}
    return scores


def macro_average_precision(scores: NDArray[np.float32], truth: NDArray[np.float32]) -> float | None:
    """Mean average precision over labels that have enough cases for and against; None when none has."""
    from sklearn.metrics import average_precision_score

    positives = truth.sum(0)
    usable = (positives >= _FEWEST) & (len(truth) - positives >= _FEWEST)
    if not usable.any():
        return None
    return float(np.mean([average_precision_score(truth[:, one], scores[:, one]) for one in np.flatnonzero(usable)]))


def targets(cases: TrainingCases, split: str) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    examples = [example for example in cases.examples if example.split == split]
    width = len(cases.label_names)
    labels = np.stack([example.labels for example in examples]) if examples else np.zeros((0, width), np.float32)
    known = np.stack([example.known for example in examples]) if examples else np.zeros((0, width), np.bool_)
    return labels, known, np.array([example.group for example in examples], np.int64)


@torch.inference_mode()
def _classified(system: RetrievalSystem, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    logits = system.label_logits(torch.from_numpy(vectors).to(_device(system)))
    assert logits is not None
    return logits.float().cpu().numpy()


def _voted(
    system: RetrievalSystem,
    cases: TrainingCases,
    queries: NDArray[np.float32],
    base: NDArray[np.float32],
    group: int,
) -> NDArray[np.float32]:
    labels, _, groups = targets(cases, "train")
    rows = np.flatnonzero(base.any(1) & (groups == group))
    config = system.config
    similarity = queries @ base[rows].T
    k = min(config.vote_neighbours, len(rows))
    return np.asarray(vote(similarity, labels[rows], k, config.vote_temperature).probabilities, np.float32)


def _device(system: RetrievalSystem) -> torch.device:
    return next(system.parameters()).device
