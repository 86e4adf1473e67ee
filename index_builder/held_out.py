"""What classifier and vote say of validation cases: what calibrates predictions in the app.

The cases are those of the validation part: no weight was fitted to them, whoever trained the system. All cases of the
casebook vote on them as they would on a new film, but none of their own patient.

A checkpoint carries its classifier's answers on all validation cases of the first dataset it was trained on; a casebook
of that dataset takes them where it holds fewer itself (`--limit`). A vote depends on who may vote, so it is never
carried.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from index_builder.case_table import CaseRows, carried_labels, label_matrix
from index_builder.casebook import SPACES, Space, SystemRecord
from index_builder.errors import CasebookError
from index_builder.labels import DUST_STAGES
from index_builder.stores.base import VectorStore, case_keys
from index_builder.systems.voting import vote, vote_logits

Source = Literal["classifier", "vote"]
SOURCES: tuple[Source, ...] = ("classifier", "vote")

#: Fewer validation cases than this calibrate nothing.
FEWEST = 20

_Vectors = Mapping[Space, NDArray[np.floating]]
#: Vectors [V, D] to logits of all labels a classifier knows, [V, L]; None where there is no classifier.
Classify = Callable[[NDArray[np.float32]], NDArray[np.float32] | None]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One source's answers on the validation cases of one space.

    Attributes:
        names: C labels.
        stages: Whether they are stages of which each case has exactly one.
        logits: [V, C] float32, of a softmax where the labels are stages, else of a sigmoid each.
        truth: [V, C] bool.
        temperature: What the logits are divided by, fitted on these cases.
    """

    names: tuple[str, ...]
    stages: bool
    logits: NDArray[np.float32]
    truth: NDArray[np.bool_]
    temperature: float

    @classmethod
    def of(cls, names: Sequence[str], stages: bool, logits: NDArray, truth: NDArray[np.bool_]) -> HeldOut:
        """Fit the temperature of the answers on at least `FEWEST` cases.

        One imagined answer that was wrong, as sure as the average, is added: a source that is right on all of few cases
        would else be called certain.
        """
        from index_builder.evaluation.calibration import fit_stage_temperature, fit_temperature

        kept = np.ascontiguousarray(logits, np.float32)
        if stages:
            average = np.sort(kept, axis=1)[:, ::-1].mean(axis=0)
            temperature = fit_stage_temperature(np.vstack([kept, average]), np.append(truth.argmax(axis=1), 1))
        else:
            answers = np.append(kept.ravel(), np.abs(kept).mean())[:, None]
            temperature = fit_temperature(answers, np.append(truth.ravel(), False)[:, None])
        return cls(tuple(names), stages, kept, np.ascontiguousarray(truth), temperature)


Answers = dict[tuple[Space, Source], HeldOut]


def are_stages(labels: Iterable[Sequence[str]], label_names: Sequence[str]) -> bool:
    """Whether a dataset's labels are stages and every case, whose labels are given, has exactly one."""
    return set(label_names) == set(DUST_STAGES) and all(len(own) == 1 for own in labels)


def classifier_answers(
    classify: Classify, known: Sequence[str], names: Sequence[str], vectors: _Vectors, truth: NDArray[np.bool_]
) -> Answers:
    """What a checkpoint carries: its classifier's answers on validation cases, space by space.

    Args:
        classify: The classifier.
        known: Labels it knows.
        names: C labels among them that the cases' dataset decides.
        vectors: [V, D] of every space, zero where a case lacks the modality.
        truth: [V, C].
    """
    stages = set(names) == set(DUST_STAGES) and bool((truth.sum(axis=1) == 1).all())
    answers: Answers = {}
    for space in vectors:
        rows = _with_modality(vectors, space)
        if len(rows) < FEWEST or not truth[rows].any():
            continue
        if (logits := classify(vectors[space][rows].astype(np.float32))) is not None:
            columns = [known.index(name) for name in names]
            answers[space, "classifier"] = HeldOut.of(names, stages, logits[:, columns], truth[rows])
    return answers


def held_out_answers(
    record: SystemRecord,
    cases: CaseRows,
    label_names: Sequence[str],
    vectors: _Vectors,
    stores: Mapping[Space, VectorStore],
    classify: Classify | None,
) -> Answers:
    """Ask classifier and vote about the validation cases, space by space.

    Args:
        record: The system that embedded the cases.
        cases: All cases of the casebook, N.
        label_names: Labels of its dataset.
        vectors: [N, D] of every space, zero where a case lacks the modality.
        stores: Index per space.
        classify: The system's classifier; None: only the vote is asked.

    Returns:
        Nothing for a space with fewer than `FEWEST` labelled validation cases, for a source that does not answer, or
        where no validation case has a label. In the joint space only cases with film and text count: that is what a
        query of both is compared with.
    """
    from index_builder.datasets.phantom.openi_cohort import UNCODED

    stages = are_stages((case.labels for case in cases), label_names)
    labels = cases.column("labels")
    carried = carried_labels(labels)
    names = [name for name in label_names if stages or name in carried]
    truth = label_matrix(labels, names)
    known = [name for name in names if name in record.label_names]
    asked = np.array([case.split == "val" and UNCODED not in case.codes for case in cases])
    answers: Answers = {}
    for space, store in stores.items():
        rows = np.intersect1d(np.flatnonzero(asked), _with_modality(vectors, space))
        if len(rows) < FEWEST or not truth[rows].any():
            continue
        found = vectors[space][rows].astype(np.float32)
        shares = _votes(record, space, cases, truth, rows, found, store)
        answers[space, "vote"] = HeldOut.of(names, stages, vote_logits(shares, len(store), stages=stages), truth[rows])
        if classify is None or not known or (stages and known != names):
            continue
        if (logits := classify(found)) is not None:
            columns = [names.index(name) for name in known]
            outputs = [record.label_names.index(name) for name in known]
            answers[space, "classifier"] = HeldOut.of(known, stages, logits[:, outputs], truth[rows][:, columns])
    return answers


def carried_answers(carried: Answers, own: Answers, dataset: str, known: Sequence[str]) -> Answers:
    """The checkpoint's own answers for spaces in which they are on more cases than the casebook's.

    Args:
        carried: By a checkpoint that was trained on `dataset`.
        own: Of the casebook.
        dataset: Name of the casebook's dataset.
        known: Labels that the classifier knows.
    """
    # One manifest is not another: they are of one kind, but not of one source.
    if dataset == "manifest":
        return {}
    return {
        place: answers
        for place, answers in carried.items()
        if set(answers.names) <= set(known) and (place not in own or len(own[place].truth) < len(answers.truth))
    }


def _with_modality(vectors: _Vectors, space: Space) -> NDArray[np.intp]:
    """Rows of cases that have the modality of a space; both, for the joint space."""
    needed: tuple[Space, ...] = ("image", "text") if space == "joint" else (space,)
    return np.flatnonzero(np.all([np.asarray(vectors[one]).any(axis=1) for one in needed], axis=0))


def _votes(
    record: SystemRecord,
    space: Space,
    cases: CaseRows,
    truth: NDArray[np.bool_],
    rows: NDArray[np.intp],
    vectors: NDArray[np.float32],
    store: VectorStore,
) -> NDArray[np.float64]:
    """Shares of the vote on each case of `rows`, [V, C], without voters of its own patient."""
    k, temperature = record.vote_neighbours, record.temperature_of(space)
    keys = case_keys(cases.column("case_id").to_pylist())
    order = np.argsort(keys)
    keys = keys[order]
    patient = np.unique(cases.column("patient_id").to_pylist(), return_inverse=True)[1]
    studies = np.bincount(patient)
    shares = np.zeros((len(rows), truth.shape[1]))
    for number, (own, vector) in enumerate(zip(patient[rows].tolist(), vectors, strict=True)):
        hits = store.search(vector, k + int(studies[own]))
        found = order[np.searchsorted(keys, hits.keys)]
        voters = np.flatnonzero(patient[found] != own)[:k]
        if len(voters):
            shares[number] = vote(hits.scores[voters][None], truth[found[voters]], k, temperature).probabilities[0]
    return shares


def write_answers(answers: Answers, path: Path) -> None:
    """Write as safetensors; nothing is written where there are none."""
    from safetensors.numpy import save_file

    if not answers:
        return
    tensors: dict[str, NDArray] = {}
    notes = {}
    for (space, source), found in answers.items():
        key = f"{space}/{source}"
        tensors |= {f"{key}/logits": found.logits, f"{key}/truth": found.truth}
        notes[key] = {"names": found.names, "stages": found.stages, "temperature": found.temperature}
    save_file(tensors, path, metadata={"answers": json.dumps(notes)})


def read_answers(path: Path) -> Answers:
    """Read what `write_answers` wrote; empty where there is no file.

    Raises:
        CasebookError: The file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return {}
    answers: Answers = {}
    try:
        with safe_open(path, "numpy") as opened:
            notes = json.loads(opened.metadata()["answers"])
            for space in SPACES:
                for source in SOURCES:
                    if note := notes.get(f"{space}/{source}"):
                        logits, truth = (opened.get_tensor(f"{space}/{source}/{part}") for part in ("logits", "truth"))
                        answers[space, source] = HeldOut(
                            tuple(note["names"]), bool(note["stages"]), logits, truth, float(note["temperature"])
                        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CasebookError(f"{path}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error
    return answers


def require_labels(answers: Answers, labels: Iterable[str], known: Iterable[str], path: Path) -> None:
    """Refuse answers that say nothing of a label which they will be asked about.

    Args:
        answers: What `read_answers` gave.
        labels: That the casebook's cases carry.
        known: Labels that the classifier knows.
        path: Where the answers were read from.

    Raises:
        CasebookError: A label is lacking.
    """
    needed: dict[Source, set[str]] = {"vote": set(labels), "classifier": set(labels) & set(known)}
    for (space, source), found in answers.items():
        if lacking := sorted(needed[source] - set(found.names)):
            raise CasebookError(
                f"{path}: no answers on {', '.join(lacking)} ({space}, {source}), which cases carry. "
                "Rebuild the casebook."
            )
