"""What simpler means reach on the same cases: a system that does not beat these lines is not worth its weights."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.space import Space
from index_builder.errors import DatasetError
from index_builder.evaluation.embedding import Embedded, whole
from index_builder.evaluation.linear import LinearModel, fit_linear, macro_ap
from index_builder.evaluation.prediction import predict
from index_builder.evaluation.task import Protocol, Scores, Task, classify, cosines, protocols, rank
from index_builder.progress import Progress
from index_builder.systems.backbones.encoders import ImageEncoder
from index_builder.systems.base import RetrievalSystem

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHEXNET_FILE = "chexnet_test_predictions.csv"

_SINGLE: tuple[Space, ...] = ("image", "text")
_TEXT_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
_IMAGE_STRENGTHS = (0.0001, 0.001, 0.01, 0.1)
_NEIGHBOURS = (1, 3, 5, 10, 20, 50, 100)


def frozen_encoder(system: RetrievalSystem) -> ImageEncoder:
    """The image encoder that the system started from, with its published weights.

    Raises:
        ModelError: They cannot be had.
    """
    config = system.config
    encoder = ImageEncoder(config.image_encoder, config.image_size, pretrained=True)
    return encoder.to(next(system.parameters()).device).eval()


def baselines(
    system: RetrievalSystem,
    task: Task,
    visible: Task | None,
    embedded: Embedded,
    root: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Measure every baseline that the data allow.

    All are fitted on the training part, choose C, k and thresholds on the validation part and are scored on the same
    cases as the system, but for those that lack what a baseline reads; each block of figures says how many `cases`.

    Args:
        system: For the text it reads, and for itself with one modality alone.
        task: What is asked.
        visible: The same cases with the labels that their films show; None: not told.
        embedded: The system's vectors, and those of `frozen_encoder`.
        root: Where `CHEXNET_FILE` may lie.
        progress: Called after each baseline.

    Returns:
        By name: `title`, `chosen` (C or k), the blocks of `task.classify`, `retrieval` by protocol. Of texts
        `tfidf_logistic` (retrieval: cosine of label probabilities) and `tfidf_cosine`; of films `frozen_linear` and
        `frozen_knn` (retrieval: cosine of features), both with `classification_visible` where told; `image_only` and
        `text_only`, the system itself; `chexnet`, published predictions.

    Raises:
        DatasetError: Training texts are too few or too short, or `CHEXNET_FILE` does not fit the films.
    """
    jobs: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    texts = [system.read(case) for case in task.cases]
    spaces = embedded.spaces
    if "text" in spaces and (textual := task.restricted([bool(text) for text in texts])) is not None:
        words = _tfidf(textual, texts)
        jobs.append(("tfidf_logistic", partial(_tfidf_logistic, textual, words)))
        jobs.append(("tfidf_cosine", partial(_tfidf_cosine, textual, words)))
    frozen = embedded.frozen
    if frozen is not None and (filmed := task.restricted(np.any(frozen, axis=1))) is not None:
        features = _standardised(frozen, filmed.train)
        jobs.append(("frozen_linear", partial(_frozen_linear, filmed, visible, features)))
        jobs.append(("frozen_knn", partial(_frozen_knn, filmed, visible, features)))
    if "joint" in spaces:
        for space in _SINGLE:
            vectors = whole(spaces[space])
            if (single := task.restricted(np.any(vectors, axis=1))) is not None:
                jobs.append((f"{space}_only", partial(_single, system, single, space, vectors)))
    published = root / CHEXNET_FILE if root is not None else None
    of_test = all(task.cases[row].split == "test" for row in task.scored)
    if published is not None and published.is_file() and of_test:
        jobs.append(("chexnet", partial(_chexnet, task, published)))
    found = {}
    for number, (name, job) in enumerate(jobs, start=1):
        found[name] = job()
        progress("Measuring baselines", number, len(jobs))
    return found


def _tfidf(task: Task, texts: list[str]) -> csr_matrix:
    """[N, V] TF-IDF of 1- to 3-grams seen in two training texts or more, sublinear; the redaction mark left out."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    cleaned = np.array([text.lower().replace("xxxx", " ") for text in texts], object)
    try:
        vectoriser = TfidfVectorizer(ngram_range=(1, 3), min_df=2, sublinear_tf=True).fit(cleaned[task.train])
    except ValueError as error:
        raise DatasetError(
            f"no TF-IDF baseline of {len(task.train)} training texts ({error}). Leave out --baselines."
        ) from None
    return vectoriser.transform(cleaned)


def _tfidf_logistic(task: Task, features: csr_matrix) -> dict[str, Any]:
    model = fit_linear(task, features, _TEXT_STRENGTHS)
    probabilities = model.probabilities(features)
    return {
        "title": "TF-IDF + logistic regression",
        "chosen": {"C": model.strength},
        **_without_curves(classify(task, probabilities)),
        "retrieval": _ranked_by_cosine(task, _unit(probabilities.astype(np.float32))),
    }


def _tfidf_cosine(task: Task, features: csr_matrix) -> dict[str, Any]:
    def scores(protocol: Protocol) -> Scores:
        candidates = features[protocol.candidates].T
        return lambda rows: (features[protocol.queries[rows]] @ candidates).toarray()

    found = {protocol.name: rank(task, protocol, scores(protocol)) for protocol in protocols(task)}
    return {"title": "TF-IDF cosine", "retrieval": found}


def _frozen_linear(task: Task, visible: Task | None, features: NDArray[np.float32]) -> dict[str, Any]:
    def probabilities(asked: Task) -> tuple[LinearModel, NDArray[np.float64]]:
        model = fit_linear(asked, features, _IMAGE_STRENGTHS)
        return model, model.probabilities(features)

    model, found = probabilities(task)
    blocks = _without_curves(classify(task, found))
    if visible is not None:
        blocks["classification_visible"] = _without_curves(classify(visible, probabilities(visible)[1]))[
            "classification"
        ]
    return {"title": "frozen encoder + linear head", "chosen": {"C": model.strength}, **blocks}


def _frozen_knn(task: Task, visible: Task | None, features: NDArray[np.float32]) -> dict[str, Any]:
    unit = _unit(features)
    rows = np.union1d(task.val, task.scored)
    most = min(max(_NEIGHBOURS), len(task.train) - 1)
    nearest = np.empty((len(rows), most), np.intp)
    for start in range(0, len(rows), 1024):
        block = rows[start : start + 1024]
        similarity = unit[block] @ unit[task.train].T
        similarity[block[:, None] == task.train] = -10  # a case is no neighbour of its own
        nearest[start : start + 1024] = np.argsort(-similarity, axis=1, kind="stable")[:, :most]

    def shares(asked: Task, k: int) -> NDArray[np.float64]:
        found = np.zeros(asked.truth.shape)
        known = asked.known[asked.train][nearest[:, :k]]
        found[rows] = asked.truth[asked.train][nearest[:, :k]].sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return found

    def best(asked: Task) -> int:
        possible = [k for k in _NEIGHBOURS if k <= most]
        return max(
            possible,
            key=lambda k: macro_ap(shares(asked, k)[asked.val], asked.truth[asked.val], asked.known[asked.val]),
        )

    k = best(task)
    blocks = _without_curves(classify(task, shares(task, k)))
    if visible is not None:
        shown = classify(visible, shares(visible, best(visible)))
        blocks["classification_visible"] = _without_curves(shown)["classification"]
    return {
        "title": "frozen encoder + k-NN",
        "chosen": {"k": k},
        **blocks,
        "retrieval": _ranked_by_cosine(task, unit),
    }


def _single(system: RetrievalSystem, task: Task, space: Space, vectors: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "title": f"the system, {space} only",
        **_without_curves(classify(task, predict(system, task, vectors, space).probabilities)),
        "retrieval": _ranked_by_cosine(task, vectors),
    }


def _chexnet(task: Task, path: Path) -> dict[str, Any]:
    """Published probabilities of CheXNet (Rajpurkar et al., 2017) on test films.

    There are none of validation films, so no threshold can be chosen: AUROC and AP only.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = {row["Image Index"].rsplit(".", 1)[0]: row for row in csv.DictReader(stream)}
        cases = [task.cases[row] for row in task.scored]
        found = np.array([[float(rows[case.case_id][f"prob_{name}"]) for name in task.names] for case in cases])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: no probability of {error} there. Restore the file or move it out of the folder."
        ) from None
    probabilities = np.zeros(task.truth.shape)
    probabilities[task.scored] = found
    # Any threshold will do: what hangs on it is dropped.
    blocks = classify(task, probabilities, thresholds=np.full(len(task.names), 0.5))
    return {
        "title": "CheXNet, published predictions",
        **{name: _without_thresholds(block) for name, block in blocks.items()},
    }


def _without_thresholds(block: dict[str, Any]) -> dict[str, Any]:
    kept = ("auroc", "ap", "auroc_interval", "ap_interval", "positives")
    figures = {part: {metric: block[part][metric] for metric in kept[:2]} for part in ("macro", "macro_interval")}
    if "per_class" in block:
        figures["per_class"] = {name: {key: row[key] for key in kept} for name, row in block["per_class"].items()}
    return figures | {key: block[key] for key in ("cases", "classes", "left_out") if key in block}


def _standardised(features: NDArray[np.float32], train: NDArray[np.intp]) -> NDArray[np.float32]:
    """Features with mean 0 and variance 1 over training cases."""
    mean, deviation = features[train].mean(axis=0), features[train].std(axis=0)
    return (features - mean) / np.maximum(deviation, 1e-6)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _ranked_by_cosine(task: Task, unit: NDArray[np.float32]) -> dict[str, Any]:
    return {protocol.name: rank(task, protocol, cosines(protocol, unit)) for protocol in protocols(task)}


def _without_curves(blocks: dict[str, Any]) -> dict[str, Any]:
    return {name: {key: value for key, value in block.items() if key != "curves"} for name, block in blocks.items()}
