"""What is chosen once the weights are trained, on validation cases alone: vote, uncertainty threshold, reranking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.calibration.held_out import Answers, classifier_answers
from index_builder.calibration.uncertainty import STATED_RISK, threshold_for_risk
from index_builder.calibration.voting import vote_settings
from index_builder.cases.case import Case
from index_builder.errors import ModelError
from index_builder.evaluation.prediction import classifier_logits
from index_builder.evaluation.retrieval import retrieval
from index_builder.reranking.case_vectors import ClassVectors
from index_builder.reranking.findings_graph import findings_graph
from index_builder.reranking.node_vectors import GraphMethod, embed_graph
from index_builder.reranking.ranking import Ranking
from index_builder.reranking.rerank import choose_weights
from index_builder.systems.base import RetrievalSystem
from index_builder.training.cases import Source, TrainingCases
from index_builder.training.validate import embed_cases, targets

_METHODS: tuple[GraphMethod, ...] = ("transe", "compgcn")


def choose_after_training(system: RetrievalSystem, cases: TrainingCases, sources: Sequence[Source]) -> None:
    """Set vote, threshold and reranking of a trained system; one without validation cases keeps its defaults.

    Only cases of the first dataset named are looked at: a casebook holds one dataset. The classifier's answers on
    validation cases are kept of all.
    """
    system.held_out = _answers_by_dataset(system, cases, sources)
    cases = replace(cases, examples=[example for example in cases.examples if example.group == 0])
    if not cases.of("val") or not cases.of("train"):
        return
    held = embed_cases(system, cases, "val")
    base = embed_cases(system, cases, "train")
    truth, known, _ = targets(cases, "val")
    labels, labels_known, _ = targets(cases, "train")
    columns = np.flatnonzero(known.any(0))
    truth_known, labels_known = known[:, columns], labels_known[:, columns]
    update: dict[str, Any] = vote_settings(held, base, truth[:, columns], labels[:, columns], truth_known, labels_known)
    if system.theta is not None and (filmed := held["image"].any(1)).any():
        update["theta"] = _theta(system, held["image"][filmed], truth[filmed])
    system.config = system.config.model_copy(update=update)
    if system.reranks and held["joint"].any() and base["joint"].any():
        system.ranking = _ranking(system, cases, sources[0], held["joint"], base["joint"])


def _answers_by_dataset(system: RetrievalSystem, cases: TrainingCases, sources: Sequence[Source]) -> dict[str, Answers]:
    kinds = {source.open().card.name: source.kind for source in reversed(sources)}
    found = {}
    for number, name in enumerate(cases.groups):
        own = replace(cases, examples=[example for example in cases.examples if example.group == number])
        if not own.of("val"):
            continue
        truth, known, _ = targets(own, "val")
        columns = np.flatnonzero(known.any(0))
        answers = classifier_answers(
            partial(classifier_logits, system),
            cases.label_names,
            [cases.label_names[column] for column in columns],
            embed_cases(system, own, "val"),
            truth[:, columns].astype(bool),
            known[:, columns],
        )
        if answers:
            found[kinds[name]] = answers
    return found


def _theta(system: RetrievalSystem, vectors: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Largest uncertainty at which answered validation cases still err no more than the stated risk; else 1."""
    probabilities = probabilities_of(system, vectors)
    wrong = probabilities.argmax(1) != truth.argmax(1)
    try:
        return threshold_for_risk(1 - probabilities.max(1), wrong, STATED_RISK)
    except ModelError:
        return 1.0


def _ranking(
    system: RetrievalSystem,
    cases: TrainingCases,
    source: Source,
    held: NDArray[np.float32],
    base: NDArray[np.float32],
) -> Ranking | None:
    """Embed the findings graph both ways and keep the way and weights with the best validation mAP.

    None where no two labels ever co-occur and no finding is coded: then there is no graph.
    """
    dataset = source.open()
    graph = findings_graph(_train_cases(dataset.cases()), dataset.label_names)
    if not graph.triples:
        return None
    truth, _, _ = targets(cases, "val")
    labels, _, _ = targets(cases, "train")
    columns = [cases.label_names.index(name) for name in dataset.label_names]
    queries = np.flatnonzero(held.any(1) & truth[:, columns].any(1))
    candidates = np.flatnonzero(base.any(1))
    predicted = probabilities_of(system, held[queries])[:, columns]
    cosine = held[queries] @ base[candidates].T
    relevant = truth[queries][:, columns] @ labels[candidates][:, columns].T > 0
    best: tuple[float, Ranking] | None = None
    for method in _METHODS:
        vectors = embed_graph(graph, method)
        classes = ClassVectors.of(graph, vectors)
        weights, score = choose_weights(
            lambda scores: float(retrieval(scores, relevant, resamples=1)["map"]),
            cosine,
            predicted,
            labels[candidates][:, columns],
            classes.for_labels(dataset.label_names),
        )
        if best is None or score > best[0]:
            best = score, Ranking(method, classes, weights)
    assert best is not None
    return best[1]


@torch.inference_mode()
def probabilities_of(system: RetrievalSystem, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Label probabilities of a system with a classifier, [N, C] float32."""
    device = next(system.parameters()).device
    found = system.label_probabilities(torch.from_numpy(vectors).to(device))
    assert found is not None
    return np.asarray(found.float().cpu().numpy(), np.float32)


def _train_cases(cases: Iterable[Case]) -> list[Case]:
    return [case for case in cases if case.split == "train"]
