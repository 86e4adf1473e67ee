"""Evaluate a system on a dataset, with baselines on the same cases: `cxr-explorer evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.casebook import Space
from index_builder.datasets import open_dataset
from index_builder.datasets.base import Dataset
from index_builder.datasets.phantom import PhantomOpenI
from index_builder.errors import ModelError
from index_builder.evaluation.baselines import baselines, frozen_encoder
from index_builder.evaluation.calibration import calibrate_stages, calibration, fit_stage_temperature, fit_temperature
from index_builder.evaluation.conformal import FindingThresholds, check_findings, check_stages, stage_threshold
from index_builder.evaluation.cross_modal import cross_modal, draw_pool
from index_builder.evaluation.embedding import Progress, embed_modality
from index_builder.evaluation.prediction import has_classifier, predict
from index_builder.evaluation.task import Part, Protocol, Task, classify, cosines, protocols, rank, set_task, spread
from index_builder.evaluation.uncertainty import at_threshold, selective_prediction, threshold_for_risk
from index_builder.resources import checkpoint_for
from index_builder.systems.base import RetrievalSystem, load_system
from index_builder.systems.encoders import weights_digest

DISCLAIMER = "For education and research, not for diagnosis."

#: Error rate that the uncertainty threshold is chosen for on validation cases.
RISK = 0.05


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """What to evaluate.

    Attributes:
        system: A name of `SYSTEMS`, whose shipped checkpoint is meant, or a checkpoint folder.
        dataset: A name of `index_builder.datasets.DATASETS`.
        root: The dataset's folder, where it needs one.
        modality: What is read of a case; None: film and text where there are both, else what there is.
        split: The part that is scored. Thresholds always come from the validation part.
        baselines: Measure the baselines too.
        seed: Of phantoms and of all draws.
    """

    system: str
    dataset: str
    root: Path | None = None
    modality: Space | None = None
    split: Part = "test"
    baselines: bool = False
    seed: int = 0


def evaluate(request: EvaluateRequest, progress: Progress) -> dict[str, Any]:
    """Open system and dataset, and measure. See `measure` for the result.

    Raises:
        CxrError: No such system or dataset, damaged files, or nothing to be scored.
    """
    dataset = open_dataset(request.dataset, request.root, request.seed)
    checkpoint = checkpoint_for(request.dataset, request.system)
    system = load_system(checkpoint, "cuda" if torch.cuda.is_available() else "cpu")
    measured = measure(system, dataset, request, progress)
    return {"system": system.name, "checkpoint": str(checkpoint), **measured}


def measure(system: RetrievalSystem, dataset: Dataset, request: EvaluateRequest, progress: Progress) -> dict[str, Any]:
    """Everything that can be measured of a system on a dataset, ready for JSON.

    Args:
        system: In evaluation mode.
        dataset: Read whole: training cases vote, are retrieved and teach baselines; validation cases decide F1
            thresholds, temperature and the uncertainty threshold.
        request: Modality, part, baselines, seed, and the folder where published predictions may lie.
        progress: Called as work is done.

    Returns:
        `weights_digest`, `dataset`, `synthetic`, `modality`, `split`, `seed`, `cases` scored, `left_out_cases` by
        reason, `labels`; `classification` and `classification_frequent` (see `task.classify`), `stages` and
        `uncertainty` where the labels are stages, `classification_visible` for drawn films (labels that the film
        shows), `calibration`, `conformal` (see there); `retrieval` by protocol, reranked where the system does that,
        then with `retrieval_cosine` beside it, and `diversity` likewise; `cross_modal` where films and texts can be
        paired; `baselines` by name; `disclaimer`.

    Raises:
        CxrError: Nothing to be scored, a film cannot be decoded, or a baseline cannot be had.
    """
    text_of = system.text_of
    known = system.config.label_names if has_classifier(system) else None
    task, modality = set_task(
        dataset, text_of, known, modality=request.modality, split=request.split, seed=request.seed
    )
    frozen = frozen_encoder(system) if request.baselines and modality != "text" else None
    embedded = embed_modality(system, dataset, task.cases, modality, progress, frozen=frozen)
    vectors = embedded.spaces[modality]
    prediction = predict(system, task, vectors)
    visible = visible_task(task, dataset) if modality == "image" else None

    result: dict[str, Any] = {
        "weights_digest": weights_digest(system),
        "dataset": dataset.card.name,
        "synthetic": dataset.card.synthetic,
        "modality": modality,
        "split": request.split,
        "seed": request.seed,
        "cases": len(task.scored),
        "left_out_cases": task.left_out,
        "labels": list(task.names),
        **classify(task, prediction.probabilities),
        "calibration": _calibration(task, prediction.logits),
        "conformal": _conformal(task, prediction.probabilities),
    }
    if visible is not None:
        columns = [task.names.index(name) for name in visible.names]
        result["classification_visible"] = classify(visible, prediction.probabilities[:, columns])["classification"]
    if task.stages:
        result["uncertainty"] = _uncertainty(task, prediction.probabilities)
    result |= _retrieval(system, task, vectors, prediction.probabilities)
    if modality != "text" and (pool := draw_pool(task, text_of)) is not None:
        texts = (
            embedded.spaces["text"][pool.rows]
            if modality == "joint"
            else embed_modality(system, dataset, [task.cases[row] for row in pool.rows], "text", progress).spaces[
                "text"
            ]
        )
        result["cross_modal"] = cross_modal(task, pool, embedded.spaces["image"][pool.rows], texts)
    if request.baselines:
        result["baselines"] = baselines(system, task, visible, embedded, dataset, request.root, progress)
    return result | {"disclaimer": DISCLAIMER}


def visible_task(task: Task, dataset: Dataset) -> Task | None:
    """The task of predicting what a drawn film shows, where the dataset tells; classes seldom drawn are left out."""
    if not isinstance(dataset, PhantomOpenI):
        return None
    names = [name for name in task.names if name in dataset.drawn_labels]
    shown = [set(dataset.visible_labels(case)) for case in task.cases]
    return task.with_truth(names, np.array([[name in labels for name in names] for labels in shown]))


def _calibration(task: Task, logits: NDArray[np.float64]) -> dict[str, Any]:
    val, scored = logits[task.val], logits[task.scored]
    if task.stages:
        temperature = fit_stage_temperature(val, task.stage(task.val))
        return calibrate_stages(scored, task.stage(task.scored), temperature)
    temperature = fit_temperature(val, task.truth[task.val])
    return calibration(scored, task.truth[task.scored], task.names, temperature)


def _conformal(task: Task, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Whether sets with thresholds from the validation part hold the truth of the scored part as often as stated."""
    val, scored = probabilities[task.val], probabilities[task.scored]
    settings: dict[str, Any] = {"groups": task.patients[task.scored], "seed": task.seed}
    if task.stages:
        limit = stage_threshold(val, task.stage(task.val))
        return check_stages(limit, scored, task.stage(task.scored), task.names, **settings)
    thresholds = FindingThresholds.of(val, task.truth[task.val])
    return check_findings(thresholds, scored, task.truth[task.scored], task.names, **settings)


def _uncertainty(task: Task, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Risk against coverage, with the uncertainty 1 - max p, and a threshold from the validation part."""
    uncertainty = 1 - probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != task.truth.argmax(axis=1)
    val, scored = task.val, task.scored
    found = selective_prediction(uncertainty[scored], wrong[scored], groups=task.patients[scored], seed=task.seed)
    try:
        threshold = threshold_for_risk(uncertainty[val], wrong[val], RISK)
    except ModelError as error:
        return {**found, "risk": RISK, "at_threshold": None, "no_threshold": str(error)}
    return {**found, "risk": RISK, "at_threshold": at_threshold(uncertainty[scored], wrong[scored], threshold)}


def _retrieval(
    system: RetrievalSystem, task: Task, vectors: NDArray[np.float32], probabilities: NDArray[np.float64]
) -> dict[str, Any]:
    plain: dict[str, dict[str, Any]] = {"retrieval": {}, "diversity": {}}
    reranked: dict[str, dict[str, Any]] = {"retrieval": {}, "diversity": {}}
    for protocol in protocols(task):
        cosine = cosines(protocol, vectors)
        found = _rerank(system, task, protocol, cosine, probabilities)
        for blocks, scores in ((plain, cosine), (reranked, found)):
            if scores is not None:
                blocks["retrieval"][protocol.name] = rank(task, protocol, scores)
                blocks["diversity"][protocol.name] = spread(task, protocol, scores, vectors)
    if not reranked["retrieval"]:
        return plain
    return {
        "retrieval": reranked["retrieval"],
        "retrieval_cosine": plain["retrieval"],
        "diversity": reranked["diversity"],
        "diversity_cosine": plain["diversity"],
    }


def _rerank(
    system: RetrievalSystem,
    task: Task,
    protocol: Protocol,
    cosine: NDArray[np.float32],
    probabilities: NDArray[np.float64],
) -> NDArray[np.float32] | None:
    """Scores [Q, N] of a system that reranks, else None.

    Labels of training cases are known, as they are of the cases of a casebook; those of scored cases are predicted.
    """
    if system.ranking is None:
        return None
    known = protocol.name == "test_to_train"
    candidates = (task.truth.astype(np.float32) if known else probabilities)[protocol.candidates]
    return system.ranking.scores(cosine, probabilities[protocol.queries], candidates, task.names)
