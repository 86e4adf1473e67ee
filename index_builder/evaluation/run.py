"""Evaluate a system on a dataset, with baselines on the same cases: `cxr-explorer evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax

from index_builder.calibration.conformal import FindingThresholds, check_findings, check_stages, stage_threshold
from index_builder.calibration.temperature import calibrate_stages, calibration, fit_stage_temperature, fit_temperature
from index_builder.calibration.uncertainty import STATED_RISK, at_threshold, selective_prediction, threshold_for_risk
from index_builder.cases.case import Case
from index_builder.cases.space import Space
from index_builder.cases.table import cases_at
from index_builder.datasets import open_dataset
from index_builder.datasets.base import Dataset, DrawsFindings
from index_builder.disclaimer import DISCLAIMER
from index_builder.errors import ModelError
from index_builder.evaluation.baselines import baselines, frozen_encoder
from index_builder.evaluation.cross_modal import cross_modal, draw_pool
from index_builder.evaluation.embedding import Embedded, Vectors, embed_modality, whole
from index_builder.evaluation.explanation import measure_explanations
from index_builder.evaluation.prediction import Prediction, has_classifier, predict
from index_builder.evaluation.task import (
    Part,
    Protocol,
    Scores,
    Task,
    classify,
    cosines,
    protocols,
    rank_queries,
    set_task,
    spread,
    summarise_queries,
)
from index_builder.progress import Progress
from index_builder.systems.backbones.encoders import ImageEncoder, weights_digest
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.registry import load_system
from index_builder.systems.shipped import checkpoint_for

#: Where vectors come from: cases, modality and, for a baseline, a second encoder of the same films.
VectorSource = Callable[[Sequence[Case], Space, ImageEncoder | None], Embedded]


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """A request to evaluate.

    Attributes:
        system: A name of `system_names`, whose own checkpoint is meant, or a checkpoint folder.
        dataset: A name of `index_builder.datasets.dataset_names`.
        root: The dataset's folder, where it needs one.
        modality: What is read of a case; None: film and text where there are both, else what there is.
        split: The part that is scored. Thresholds always come from the validation part.
        baselines: Measure the baselines too.
        seed: Seed of phantoms and of all draws.
        explain: Measure explanations instead of predictions and retrieval.
        limit: Cases whose explanations are measured, drawn by the seed; None: all.
    """

    system: str
    dataset: str
    root: Path | None = None
    modality: Space | None = None
    split: Part = "test"
    baselines: bool = False
    seed: int = 0
    explain: bool = False
    limit: int | None = None


def evaluate(request: EvaluateRequest, progress: Progress) -> dict[str, Any]:
    """Open system and dataset, and measure. See `measure`, or `measure_explanations`, for the result.

    Raises:
        CxrError: No such system or dataset, damaged files, or nothing to be scored.
    """
    dataset = open_dataset(request.dataset, request.root, request.seed)
    checkpoint = checkpoint_for(request.dataset, request.system)
    system = load_system(checkpoint, "cuda" if torch.cuda.is_available() else "cpu")
    measured = (
        explanations(system, dataset, request, progress)
        if request.explain
        else measure(system, dataset, request, progress)
    )
    return {
        "system": system.name,
        "checkpoint": str(checkpoint),
        "weights_digest": weights_digest(system),
        **measured,
    }


def measure(
    system: RetrievalSystem,
    dataset: Dataset,
    request: EvaluateRequest,
    progress: Progress,
) -> dict[str, Any]:
    """Everything that can be measured of a system on a dataset, ready for JSON.

    Args:
        system: In evaluation mode.
        dataset: Read whole: training cases vote, are retrieved and teach baselines; validation cases decide F1
            thresholds, temperature and the uncertainty threshold.
        request: Modality, part, baselines, seed, and the folder where published predictions may lie.
        progress: Called as work is done.

    Returns:
        `dataset`, `synthetic`, `modality`, `split`, `seed`, `cases` scored, `left_out_cases` by
        reason, `labels`; `classification` and `classification_frequent` (see `task.classify`), `stages` and
        `uncertainty` where the labels are stages, `classification_visible` for drawn films (labels that the film
        shows), `calibration`, `conformal` (see there); `retrieval` by protocol, reranked where the system does that,
        then with `retrieval_cosine` beside it, and `diversity` likewise; `cross_modal` where films and texts can be
        paired; `baselines` by name; `per_case`, see `_per_case`; `disclaimer`.

    Raises:
        CxrError: Nothing to be scored, a film cannot be decoded, or a baseline cannot be had.
    """
    task, modality = task_of(system, dataset, request)
    embed = partial(_embedded, system, dataset, progress)
    return measure_task(system, dataset, request, task, modality, progress, embed)


def measure_task(
    system: RetrievalSystem,
    dataset: Dataset,
    request: EvaluateRequest,
    task: Task,
    modality: Space,
    progress: Progress,
    vectors_of: VectorSource,
) -> dict[str, Any]:
    """What `measure` gives, of a task that `task_of` has set and with vectors that may be there already."""
    frozen = frozen_encoder(system) if request.baselines and modality != "text" else None
    embedded = vectors_of(task.cases, modality, frozen)
    vectors = embedded.spaces[modality]
    prediction = predict(system, task, vectors, modality)
    temperature = _temperature(task, prediction.logits)
    visible = visible_task(task, dataset) if modality == "image" else None

    result: dict[str, Any] = {
        "dataset": dataset.card.name,
        "synthetic": dataset.card.synthetic,
        "modality": modality,
        "split": request.split,
        "seed": request.seed,
        "cases": len(task.scored),
        "left_out_cases": task.left_out,
        "labels": list(task.names),
        **classify(task, prediction.probabilities),
        "calibration": _calibration(task, prediction.logits, temperature),
        "conformal": _conformal(task, prediction.probabilities),
    }
    if visible is not None:
        columns = [task.names.index(name) for name in visible.names]
        result["classification_visible"] = classify(visible, prediction.probabilities[:, columns])["classification"]
    if task.stages:
        result["uncertainty"] = _uncertainty(task, prediction.probabilities)
    blocks, queries = _retrieval(system, task, vectors, prediction.probabilities)
    result |= blocks
    if modality != "text" and (pool := draw_pool(task)) is not None:
        texts = (
            embedded.spaces["text"][pool.rows]
            if modality == "joint"
            else whole(vectors_of(cases_at(task.cases, pool.rows), "text", None).spaces["text"])
        )
        result["cross_modal"] = cross_modal(task, pool, embedded.spaces["image"][pool.rows], texts)
    if request.baselines:
        result["baselines"] = baselines(system, task, visible, embedded, request.root, progress)
    return result | {"per_case": _per_case(task, prediction, temperature, queries), "disclaimer": DISCLAIMER}


def task_of(system: RetrievalSystem, dataset: Dataset, request: EvaluateRequest) -> tuple[Task, Space]:
    """What the system is asked, and what it reads of a case. Raises `CxrError` as `set_task` does."""
    known = system.config.label_names if has_classifier(system) else None
    return set_task(dataset, system.read, known, modality=request.modality, split=request.split, seed=request.seed)


def explanations(
    system: RetrievalSystem, dataset: Dataset, request: EvaluateRequest, progress: Progress
) -> dict[str, Any]:
    """How far the system's explanations can be trusted, ready for JSON: see `measure_explanations`.

    Raises:
        CxrError: No case to explain, or a film cannot be decoded.
    """
    return {
        "dataset": dataset.card.name,
        "synthetic": dataset.card.synthetic,
        **measure_explanations(
            system,
            dataset,
            modality=request.modality,
            split=request.split,
            limit=request.limit,
            seed=request.seed,
            progress=progress,
        ),
        "disclaimer": DISCLAIMER,
    }


def visible_task(task: Task, dataset: Dataset) -> Task | None:
    """The task of predicting what a drawn film shows, where the dataset says; classes seldom drawn are left out."""
    if not isinstance(dataset, DrawsFindings):
        return None
    names = [name for name in task.names if name in dataset.drawn_labels]
    shown = [set(dataset.visible_labels(case)) for case in task.cases]
    return task.with_truth(names, np.array([[name in labels for name in names] for labels in shown]))


def _embedded(
    system: RetrievalSystem,
    dataset: Dataset,
    progress: Progress,
    cases: Sequence[Case],
    modality: Space,
    frozen: ImageEncoder | None,
) -> Embedded:
    return embed_modality(system, dataset, cases, modality, progress, frozen=frozen)


def _temperature(task: Task, logits: NDArray[np.float64]) -> float:
    if task.stages:
        return fit_stage_temperature(logits[task.val], task.stage(task.val))
    return fit_temperature(logits[task.val], task.truth[task.val], task.known[task.val])


def _calibration(task: Task, logits: NDArray[np.float64], temperature: float) -> dict[str, Any]:
    scored = logits[task.scored]
    if task.stages:
        return calibrate_stages(scored, task.stage(task.scored), temperature)
    return calibration(scored, task.truth[task.scored], task.names, temperature, task.known[task.scored])


def _conformal(task: Task, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Whether sets with thresholds from the validation part hold the truth of the scored part as often as stated."""
    val, scored = probabilities[task.val], probabilities[task.scored]
    settings: dict[str, Any] = {"groups": task.patients[task.scored], "seed": task.seed}
    if task.stages:
        limit = stage_threshold(val, task.stage(task.val))
        return check_stages(limit, scored, task.stage(task.scored), task.names, **settings)
    thresholds = FindingThresholds.of(val, task.truth[task.val], known=task.known[task.val])
    known = task.known[task.scored]
    return check_findings(thresholds, scored, task.truth[task.scored], task.names, known=known, **settings)


def _per_case(
    task: Task, prediction: Prediction, temperature: float, queries: dict[str, dict[str, NDArray]]
) -> dict[str, Any]:
    """What was said of each scored case, column by column.

    Returns:
        `case_id`; `labels`, all that each case carries; `unknown`, those nobody decided, where there are any;
        `probabilities` and, with the temperature, `calibrated`, by label; `retrieval` by protocol, `p@5` and `map` of
        the case as a query, None where it was none.
    """
    cases = cases_at(task.cases, task.scored)
    scaled = prediction.logits[task.scored] / temperature
    calibrated = softmax(scaled, axis=1) if task.stages else expit(scaled)

    def by_label(values: NDArray[np.float64]) -> dict[str, list[float]]:
        return {name: np.round(column, 6).tolist() for name, column in zip(task.names, values.T, strict=True)}

    return {
        "case_id": [case.case_id for case in cases],
        "labels": [list(case.labels) for case in cases],
        **({} if task.judged.all() else {"unknown": [list(case.unknown) for case in cases]}),
        "probabilities": by_label(prediction.probabilities[task.scored]),
        "calibrated": by_label(calibrated),
        "retrieval": queries,
    }


def _uncertainty(task: Task, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Risk against coverage, with the uncertainty 1 - max p, and a threshold from the validation part."""
    uncertainty = 1 - probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != task.truth.argmax(axis=1)
    val, scored = task.val, task.scored
    found = selective_prediction(uncertainty[scored], wrong[scored], groups=task.patients[scored], seed=task.seed)
    try:
        threshold = threshold_for_risk(uncertainty[val], wrong[val], STATED_RISK)
    except ModelError as error:
        return {**found, "risk": STATED_RISK, "at_threshold": None, "no_threshold": str(error)}
    return {**found, "risk": STATED_RISK, "at_threshold": at_threshold(uncertainty[scored], wrong[scored], threshold)}


def _retrieval(
    system: RetrievalSystem, task: Task, vectors: Vectors, probabilities: NDArray[np.float64]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Retrieval blocks of `measure`, and of the ranking in use `p@5` and `map` of each scored case by protocol."""
    plain: dict[str, dict[str, Any]] = {"retrieval": {}, "diversity": {}}
    reranked: dict[str, dict[str, Any]] = {"retrieval": {}, "diversity": {}}
    queries: dict[str, Any] = {}
    for protocol in protocols(task):
        cosine = cosines(protocol, vectors)
        found = _reranked(system, task, protocol, cosine, probabilities)
        for blocks, scores_of in ((plain, cosine), (reranked, found)):
            if scores_of is not None:
                ranked = rank_queries(task, protocol, scores_of)
                blocks["retrieval"][protocol.name] = summarise_queries(task, protocol, ranked)
                blocks["diversity"][protocol.name] = spread(task, protocol, ranked, vectors)
                queries[protocol.name] = {
                    name: _by_case(task, protocol, ranked.metrics, name) for name in ("p@5", "map")
                }
    if not reranked["retrieval"]:
        return plain, queries
    return {
        "retrieval": reranked["retrieval"],
        "retrieval_cosine": plain["retrieval"],
        "diversity": reranked["diversity"],
        "diversity_cosine": plain["diversity"],
    }, queries


def _by_case(task: Task, protocol: Protocol, measured: dict[str, NDArray], metric: str) -> list[float | None]:
    """A figure of each query, in the order of the scored cases; None for a case without one."""
    asked = measured["relevant"] > 0
    values = np.round(measured[metric][asked], 6).tolist()
    of_row = dict(zip(protocol.queries[asked].tolist(), values, strict=True))
    return [of_row.get(row) for row in task.scored.tolist()]


def _reranked(
    system: RetrievalSystem, task: Task, protocol: Protocol, cosine: Scores, probabilities: NDArray[np.float64]
) -> Scores | None:
    """Scores of a system that reranks, else None.

    Labels of training cases are known, as they are of the cases of a casebook; those of scored cases are predicted.
    """
    ranking = system.ranking
    if ranking is None:
        return None
    known = protocol.name == "test_to_train"
    candidates = (task.truth.astype(np.float32) if known else probabilities)[protocol.candidates]
    queries = probabilities[protocol.queries]
    return lambda rows: ranking.scores(cosine(rows), queries[rows], candidates, task.names)
