"""What every system and baseline is asked: the same cases, parts, labels and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.case import SPLITS, UNCODED, Case
from index_builder.cases.space import Space
from index_builder.cases.table import cases_at
from index_builder.datasets.base import Dataset
from index_builder.errors import DatasetError, ModelError
from index_builder.evaluation.classification import choose_thresholds, classification, classify_stages
from index_builder.evaluation.embedding import Vectors, similarities
from index_builder.evaluation.retrieval import diversity, nearest, query_metrics, shared_labels, summarise

#: Scores [rows, N] of all candidates of a protocol for some of its queries, higher is nearer.
Scores = Callable[[slice], NDArray[np.floating]]

Part = Literal["train", "val", "test", "all"]
PARTS: tuple[Part, ...] = ("train", "val", "test", "all")

#: A class with fewer positives among the scored cases has a wide interval; see `classification_frequent`.
FREQUENT = 10
#: Neighbours whose diversity is measured.
SHOWN = 5

#: Query–candidate pairs scored of a protocol: the queries of large datasets are a sample.
_MOST_PAIRS = 60_000_000
#: Of those, at a time.
_PAIRS_AT_ONCE = 2_000_000

_LACKING: dict[Space, str] = {"image": "no film", "text": "no text", "joint": "neither film nor text"}


@dataclass(frozen=True, slots=True)
class Task:
    """Cases, parts and labels.

    Attributes:
        cases: N cases in the order of their ids, so that nothing hangs on the order of a table.
        patients: [N] patient of each case.
        paired: [N] bool, cases with film and text.
        train: Rows of the training part: base of historical retrieval, voters, what baselines learn from.
        val: Rows of the validation part: thresholds, temperature and all other choices.
        scored: Rows of the part that is scored.
        labels: [N, L] bool, all labels of the dataset: two cases that share one are relevant to each other.
        judged: [N, L] bool, labels that somebody decided; the others are neither present nor absent.
        names: C labels that are predicted, each known of a case of every part that is needed.
        truth: [N, C] bool, False where unknown.
        known: [N, C] bool, as `judged`.
        stages: Whether the labels are stages of which each case has exactly one.
        left_out: Cases of the scored part that are not scored: reason to number.
        seed: Seed of all draws.
    """

    cases: Sequence[Case]
    patients: NDArray[np.str_]
    paired: NDArray[np.bool_]
    train: NDArray[np.intp]
    val: NDArray[np.intp]
    scored: NDArray[np.intp]
    labels: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    names: tuple[str, ...]
    truth: NDArray[np.bool_]
    known: NDArray[np.bool_]
    stages: bool
    left_out: dict[str, int]
    seed: int

    def stage(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Stage number of cases, where `stages`."""
        return self.truth[rows].argmax(axis=1)

    def with_truth(self, names: Sequence[str], truth: NDArray[np.bool_]) -> Task:
        """A task with the same cases and other labels to predict, known of all of them."""
        return replace(self, names=tuple(names), truth=truth, known=np.ones(truth.shape, bool))

    def restricted(self, held: Sequence[bool] | NDArray[np.bool_]) -> Task | None:
        """The task without cases that are not held [N]; None where it can then not be set."""
        kept = np.asarray(held)
        train, val, scored = (rows[kept[rows]] for rows in (self.train, self.val, self.scored))
        task = replace(self, train=train, val=val, scored=scored)
        return task if len(train) and self.truth[val].any() and self.labels[scored].any() and len(scored) > 1 else None


@dataclass(frozen=True, slots=True)
class Protocol:
    """A retrieval protocol: which cases query which.

    Attributes:
        name: "test_to_train" (historical) or "test_to_test" (generalisation), whichever part is scored.
        queries: Rows that query, each with a label.
        candidates: Rows that are ranked. Those without a label are among them, as they are in use.
        aligned: Query i is candidate i and is not ranked.
    """

    name: Literal["test_to_train", "test_to_test"]
    queries: NDArray[np.intp]
    candidates: NDArray[np.intp]
    aligned: bool


def set_task(
    dataset: Dataset,
    text_of: Callable[[Case], str],
    known: Sequence[str] | None,
    *,
    modality: Space | None,
    split: Part,
    seed: int,
) -> tuple[Task, Space]:
    """Choose cases, parts and labels.

    Args:
        dataset: Where the cases come from.
        text_of: The text that is read of a case.
        known: Labels that the system predicts; None: whatever its neighbours carry.
        modality: What is read of a case; None: both where there are films and texts, else what there is.
        split: The part that is scored.
        seed: Seed of all draws.

    Returns:
        The task and the modality.

    Raises:
        DatasetError: A part that is needed is empty or without labels.
        ModelError: The system knows none of the dataset's labels.
    """
    name = dataset.card.name
    seen = _Seen.of(dataset, text_of)
    if modality is None:
        modality = "joint" if seen.film.any() and seen.text.any() else "image" if seen.film.any() else "text"
    read: dict[Space, NDArray[np.bool_]] = {"image": seen.film, "text": seen.text, "joint": seen.film | seen.text}
    has = read[modality]
    asked = np.full(len(has), True) if split == "all" else seen.part == split
    staged = dataset.card.label_kind == "stages"
    told = seen.labels.any(axis=1) if staged else np.full(len(has), True)
    order = np.argsort(seen.case_id, kind="stable")
    kept = order[(seen.coded & has & told)[order]]
    counts = {
        f"not coded ({UNCODED})": int((asked & ~seen.coded).sum()),
        _LACKING[modality]: int((asked & seen.coded & ~has).sum()),
        "stage unknown": int((asked & seen.coded & has & ~told).sum()),
    }
    rows = {one: np.flatnonzero(seen.part[kept] == one) for one in SPLITS}
    scored = np.arange(len(kept)) if split == "all" else rows[split]
    for one, members in (("train", rows["train"]), ("val", rows["val"]), (split, scored)):
        if len(members) < 2:
            raise DatasetError(
                f"{name}: {len(members)} {one} cases with {_needed(modality)}. Evaluation learns from train, chooses "
                "on val and scores another part: give a dataset that has them, or another --modality."
            )
    labels, judged = seen.labels[kept], seen.judged[kept]
    decided = np.logical_and(judged[rows["val"]].any(axis=0), judged[scored].any(axis=0)).tolist()
    columns = [
        number
        for number, label in enumerate(dataset.label_names)
        if decided[number] and (known is None or label in known)
    ]
    if not columns:
        raise ModelError(
            f"the system knows none of the labels of {name} ({', '.join(dataset.label_names) or 'none'}); it knows "
            f"{', '.join(known or ()) or 'none'}. Train it on this dataset, or evaluate another."
        )
    names = tuple(dataset.label_names[column] for column in columns)
    truth = labels[:, columns]
    for one, found in (("val", truth[rows["val"]]), (split, labels[scored])):
        if not found.any():
            raise DatasetError(f"{name}: no {one} case carries a label that could be scored. Give labelled data.")
    # A system that knows some of the stages alone says of each whether it holds.
    stages = staged and len(names) == len(dataset.label_names)
    known_of = judged[:, columns]
    left_out = {reason: count for reason, count in counts.items() if count}
    task = Task(
        cases=cases_at(dataset.cases(), kept),
        patients=seen.patient[kept],
        paired=(seen.film & seen.text)[kept],
        train=rows["train"],
        val=rows["val"],
        scored=scored,
        labels=labels,
        judged=judged,
        names=names,
        truth=truth,
        known=known_of,
        stages=stages,
        left_out=left_out,
        seed=seed,
    )
    return task, modality


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a task asks of each of N cases, [N], found in one pass."""

    case_id: NDArray[np.str_]
    patient: NDArray[np.str_]
    part: NDArray[np.str_]
    coded: NDArray[np.bool_]
    film: NDArray[np.bool_]
    text: NDArray[np.bool_]
    labels: NDArray[np.bool_]
    judged: NDArray[np.bool_]

    @classmethod
    def of(cls, dataset: Dataset, text_of: Callable[[Case], str]) -> _Seen:
        cases = dataset.cases()
        column = {label: number for number, label in enumerate(dataset.label_names)}
        labels, judged = np.zeros((len(cases), len(column)), bool), np.ones((len(cases), len(column)), bool)
        ids, patients, parts = [], [], []
        told = np.zeros((len(cases), 3), bool)
        for row, case in enumerate(cases):
            labels[row, [column[label] for label in case.labels if label in column]] = True
            if case.unknown:
                judged[row, [column[label] for label in case.unknown if label in column]] = False
            ids.append(case.case_id)
            patients.append(case.patient_id)
            parts.append(case.split)
            told[row] = case.is_coded, case.image is not None, bool(text_of(case))
        coded, film, text = told.T
        named = np.array(ids, np.str_), np.array(patients, np.str_), np.array(parts, np.str_)
        return cls(*named, coded, film, text, labels, judged)


def classify(
    task: Task, probabilities: NDArray[np.floating], thresholds: NDArray[np.floating] | None = None
) -> dict[str, Any]:
    """Classification of the scored part, with thresholds from the validation part.

    Args:
        task: What is asked.
        probabilities: [N, C]; only rows of the validation and the scored part are read.
        thresholds: [C], instead of those; the validation part is then not read.

    Returns:
        `classification`; `classification_frequent`, the same without classes of fewer than `FREQUENT` positives, where
        there are such; `stages`, where the labels are stages.
    """
    if thresholds is None:
        thresholds = choose_thresholds(probabilities[task.val], task.truth[task.val], task.known[task.val])
    found, truth = probabilities[task.scored], task.truth[task.scored]
    settings: dict[str, Any] = {"groups": task.patients[task.scored], "seed": task.seed}
    known = task.known[task.scored]
    block = classification(found, truth, task.names, thresholds, frequent=FREQUENT, known=known, **settings)
    averages = block.pop("frequent", None)
    blocks = {"classification": block}
    if averages is not None:
        blocks["classification_frequent"] = averages
    if task.stages:
        blocks["stages"] = classify_stages(found, task.stage(task.scored), task.names, **settings)
        del blocks["stages"]["curves"]  # those of `classification`
    return blocks


def protocols(task: Task) -> tuple[Protocol, Protocol]:
    """The two retrieval protocols. For a large dataset the queries are chosen at random by the seed."""
    labelled = task.scored[task.labels[task.scored].any(axis=1)]

    def drawn(candidates: NDArray[np.intp]) -> NDArray[np.intp]:
        most = max(1, _MOST_PAIRS // len(candidates))
        if len(labelled) <= most:
            return labelled
        return np.sort(np.random.default_rng(task.seed).choice(labelled, most, replace=False))

    def own_first(queries: NDArray[np.intp], candidates: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.concatenate([queries, np.setdiff1d(candidates, queries)])

    queries = drawn(task.train)
    inside = bool(np.isin(queries, task.train).all())
    history = Protocol("test_to_train", queries, own_first(queries, task.train) if inside else task.train, inside)
    queries = drawn(task.scored)
    return history, Protocol("test_to_test", queries, own_first(queries, task.scored), True)


def cosines(protocol: Protocol, vectors: Vectors) -> Scores:
    """Scores by vectors of all cases."""
    return lambda rows: similarities(vectors, protocol.queries[rows], protocol.candidates)


@dataclass(frozen=True, slots=True)
class RankedQueries:
    """What Q queries found.

    Attributes:
        metrics: Each [Q], see `retrieval.query_metrics`; the gain of a candidate is the number of labels it shares with
            the query. A candidate that shares none as far as is known, but may share one that is unknown of either, is
            not ranked (condensed lists: Sakai, SIGIR 2007).
        shown: [Q, k] the first candidates, `SHOWN` or as many as there are.
    """

    metrics: dict[str, NDArray]
    shown: NDArray[np.intp]


def rank_queries(task: Task, protocol: Protocol, scores_of: Scores) -> RankedQueries:
    """Rank the candidates of every query, some queries at a time."""
    queries, candidates = protocol.queries, protocol.candidates
    own = _own(protocol)
    blocks = []
    for block in _blocks(protocol):
        scores = scores_of(block)
        gains = shared_labels(task.labels[queries[block]], task.labels[candidates])
        if (met := own[block] >= 0).any():
            place = np.flatnonzero(met), own[block][met]
            gains[place] = 0
            scores = scores.copy()
            scores[place] = scores.min() - 1
        first, itself = block.start, protocol.aligned
        shown = nearest(scores, min(SHOWN, len(candidates) - 1), exclude_self=itself, first=first)
        ranked = None if task.judged.all() else _comparable(task, queries[block], candidates) | (gains > 0)
        metrics = query_metrics(scores, gains > 0, gains, ranked=ranked, exclude_self=itself, first=first)
        blocks.append(RankedQueries(metrics, shown))
    return RankedQueries(
        {name: np.concatenate([block.metrics[name] for block in blocks]) for name in blocks[0].metrics},
        np.concatenate([block.shown for block in blocks]),
    )


def _comparable(task: Task, queries: NDArray[np.intp], candidates: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether it is known of a query and a candidate that they share no label, [Q, N]; read where they share none."""
    may_share = shared_labels(task.labels[queries], ~task.judged[candidates])
    may_share += shared_labels(~task.judged[queries], task.labels[candidates])
    return may_share == 0


def rank(task: Task, protocol: Protocol, scores_of: Scores) -> dict[str, Any]:
    """Retrieval metrics, see `retrieval`."""
    return summarise_queries(task, protocol, rank_queries(task, protocol, scores_of))


def summarise_queries(task: Task, protocol: Protocol, ranked: RankedQueries) -> dict[str, Any]:
    """What `rank` gives, from `rank_queries`."""
    candidates = len(protocol.candidates) - protocol.aligned
    return summarise(dict(ranked.metrics), candidates, groups=task.patients[protocol.queries], seed=task.seed)


def spread(task: Task, protocol: Protocol, ranked: RankedQueries, vectors: Vectors) -> dict[str, Any]:
    """Diversity of the first candidates of each query."""
    if ranked.shown.shape[1] < 2:
        return {}
    shown, places = np.unique(ranked.shown, return_inverse=True)
    rows = protocol.candidates[shown]
    places = places.reshape(ranked.shown.shape)
    return diversity(places, vectors[rows], task.labels[rows], task.patients[rows], seed=task.seed)


def _blocks(protocol: Protocol) -> Iterator[slice]:
    """Queries, as many at a time as `_PAIRS_AT_ONCE` allows."""
    step = max(1, _PAIRS_AT_ONCE // len(protocol.candidates))
    for start in range(0, len(protocol.queries), step):
        yield slice(start, start + step)


def _own(protocol: Protocol) -> NDArray[np.intp]:
    """[Q] where a query meets itself among the candidates without both being aligned; -1: nowhere."""
    place = np.full(len(protocol.queries), -1, np.intp)
    if not protocol.aligned:
        _, queries, candidates = np.intersect1d(protocol.queries, protocol.candidates, return_indices=True)
        place[queries] = candidates
    return place


def _needed(modality: Space) -> str:
    return {"image": "a film", "text": "a text", "joint": "a film or a text"}[modality]
