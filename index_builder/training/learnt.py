"""Counts what taught a system each label, and measures how well it predicts the label on validation cases."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.calibration.bootstrap import interval, plain, resampled_weights
from index_builder.calibration.held_out import write_answers
from index_builder.calibration.learnt import Learnt, LearntLabel, Measured, Taught, dataset_title
from index_builder.calibration.ranks import auroc_and_ap
from index_builder.cases.space import SPACES, Space
from index_builder.errors import ModelError
from index_builder.evaluation.prediction import has_classifier
from index_builder.systems.base import RetrievalSystem, held_out_file
from index_builder.systems.registry import load_system
from index_builder.training.card import replace_learnt
from index_builder.training.cases import Source, TrainingCases, gather, vocabulary
from index_builder.training.choices import answers_by_dataset
from index_builder.training.films import Progress
from index_builder.training.validate import embed_cases, targets, voted_shares

#: More digits than a figure of some hundred cases has.
_DIGITS = 4

Floats = NDArray[np.float32]


def learnt_record(system: RetrievalSystem, cases: TrainingCases, sources: Sequence[Source]) -> Learnt:
    """The record of what the cases taught a system trained on them, and how well it predicts each label.

    Labels are those that training used, as each dataset decides them. A system without a classifier tells them by the
    vote of a dataset's training cases.

    Args:
        system: After training; in evaluation mode when this returns.
        cases: Training examples are counted, validation cases measured.
        sources: Where the cases come from.
    """
    system.eval()
    names = cases.label_names
    taught: dict[str, list[Taught]] = {name: [] for name in names}
    measured: dict[str, list[Measured]] = {name: [] for name in names}
    titles, synthetic = _titles(cases, sources)
    labels, known, group = targets(cases, "train")
    for number, title in enumerate(titles):
        own, told = labels[group == number] > 0, known[group == number]
        positives, negatives = (own & told).sum(0), (~own & told).sum(0)
        for column in np.flatnonzero(told.any(0)).tolist():
            taught[names[column]].append(Taught(title, int(positives[column]), int(negatives[column])))
    for number, space, scores, rows in _scored(system, cases):
        for name, found in _figures(titles[number], space, scores, rows, cases):
            measured[name].append(found)
    return Learnt(
        {name: LearntLabel(tuple(taught[name]), tuple(measured[name])) for name in names},
        tuple(title for title, drawn in zip(titles, synthetic, strict=True) if drawn),
    )


def record_learnt(folder: Path, sources: Sequence[Source], progress: Progress, *, skip_unreadable: bool) -> Learnt:
    """Count and measure a finished checkpoint on the datasets that taught it, and keep the record in it.

    Written are `learnt.json`, the table of the model card, and the classifier's answers on validation cases of these
    datasets, as `train` writes them. What is known of other datasets stays.

    Args:
        folder: The checkpoint.
        sources: Datasets it was trained on, all draws of a synthetic one.
        progress: Called as films are read.
        skip_unreadable: Go on without films that cannot be decoded.

    Raises:
        CxrError: The checkpoint or a dataset cannot be read, or a dataset has a label that the system does not know.
    """
    system = load_system(folder)
    known = system.config.label_names
    if unknown := [name for name in vocabulary([source.open() for source in sources]) if name not in known]:
        raise ModelError(
            f"{folder}: {system.name} was not trained on {', '.join(unknown[:5])}. Name the data it was trained on."
        )
    with tempfile.TemporaryDirectory() as scratch:
        cases = gather(
            sources,
            type(system),
            system.config.image_size,
            Path(scratch) / "films.npy",
            progress,
            skip_unreadable=skip_unreadable,
            label_names=known,
            training_films=not has_classifier(system),
        )
        learnt = learnt_record(system, cases, sources).after(system.learnt, same_weights=True)
        answers = answers_by_dataset(system, cases, sources)
    try:
        learnt.save(folder)
        replace_learnt(folder, learnt, known)
        for kind, found in answers.items():
            write_answers(found, held_out_file(folder, kind))
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written ({error.strerror}). Copy the checkpoint elsewhere.") from None
    return learnt


def _titles(cases: TrainingCases, sources: Sequence[Source]) -> tuple[list[str], list[bool]]:
    """Title of each dataset, and whether its films are drawn, by number of the dataset."""
    cards = {}
    for source in reversed(sources):
        card = source.open().card
        cards[card.name] = dataset_title(card.title, source.kind, source.root), card.synthetic
    found = [cards[name] for name in cases.groups]
    return [title for title, _ in found], [drawn for _, drawn in found]


def _scored(system: RetrievalSystem, cases: TrainingCases) -> Iterator[tuple[int, Space, Floats, NDArray[np.intp]]]:
    """Scores [n, C] of all labels and rows [n] among the validation cases, by number of the dataset and space."""
    if not cases.of("val"):
        return
    held, group = embed_cases(system, cases, "val"), targets(cases, "val")[2]
    by_vote = not has_classifier(system)
    voters = embed_cases(system, cases, "train") if by_vote else {}
    for number in range(len(cases.groups)):
        for space in SPACES:
            rows = np.flatnonzero(held[space].any(1) & (group == number))
            if not len(rows):
                continue
            if by_vote:
                scores = voted_shares(system, cases, space, held[space][rows], voters[space], number)
            else:
                scores = _log_odds(system, held[space][rows])
            if scores is not None:
                yield number, space, scores, rows


def _figures(
    title: str, space: Space, scores: Floats, rows: NDArray[np.intp], cases: TrainingCases
) -> Iterator[tuple[str, Measured]]:
    """Figures of each label that the cases at `rows` decide."""
    labels, known, _ = targets(cases, "val")
    truth, told = labels[rows] > 0, known[rows]
    patients = np.array([example.patient for example in cases.of("val")])[rows]
    weights = resampled_weights(len(rows), groups=patients)
    for column in np.flatnonzero(told.any(0)).tolist():
        with_it = int((truth[:, column] & told[:, column]).sum())
        without = int(told[:, column].sum()) - with_it
        if with_it and without:
            counted = told[:, column]
            auroc, ap = auroc_and_ap(scores[counted, column], truth[counted, column], weights[:, counted])
            between = interval(auroc)
            measures = (
                _rounded(auroc[0]),
                None if between is None else (round(between[0], _DIGITS), round(between[1], _DIGITS)),
                _rounded(ap[0]),
            )
        else:
            measures = (None, None, None)
        yield cases.label_names[column], Measured(title, space, with_it, without, *measures)


@torch.inference_mode()
def _log_odds(system: RetrievalSystem, vectors: Floats) -> Floats | None:
    """Log-odds of all labels, [N, C]: comparable between cases also where a system's labels exclude one another."""
    device = next(system.parameters()).device
    found = system.label_log_odds(torch.from_numpy(vectors).to(device))
    return None if found is None else np.asarray(found.float().cpu().numpy(), np.float32)


def _rounded(value: float) -> float | None:
    shown = plain(float(value))
    return None if shown is None else round(shown, _DIGITS)
