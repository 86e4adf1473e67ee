"""What classifier and vote say of validation cases: what calibrates predictions in the app.

The cases are those of the validation part: no weight was fitted to them, whoever trained the system. All cases of the
casebook vote on them as they would on a new film, but none of their own patient.

A checkpoint carries its classifier's answers on all validation cases of each dataset it was trained on; a casebook of
one of them takes them where it holds fewer itself (`--limit`). A vote depends on who may vote, so it is never carried.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.voting import vote, vote_logits
from index_builder.casebook.films import FilmTable
from index_builder.casebook.manifest import DatasetRecord, SystemRecord
from index_builder.cases.labels import DUST_STAGES, LabelKind
from index_builder.cases.space import SPACES, Space
from index_builder.cases.table import CaseRows, carried_labels, label_matrix
from index_builder.errors import CasebookError
from index_builder.stores.base import VectorStore, case_keys

Source = Literal["classifier", "vote"]
SOURCES: tuple[Source, ...] = ("classifier", "vote")

#: What is asked with: a film, a text, a film with a text, or all films of a study that has several.
Given = Literal["image", "text", "joint", "films"]
GIVEN: tuple[Given, ...] = (*SPACES, "films")

#: Fewer validation cases than this calibrate nothing.
FEWEST = 20

_Vectors = Mapping[Space, NDArray[np.floating]]
#: Vectors [V, D] to logits of all labels a classifier knows, [V, L]; None where there is no classifier.
Classify = Callable[[NDArray[np.float32]], NDArray[np.float32] | None]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One source's answers on the validation cases of one kind.

    Attributes:
        names: C labels.
        stages: Whether they are stages of which each case has exactly one.
        logits: [V, C] float32, of a softmax where the labels are stages, else of a sigmoid each.
        truth: [V, C] bool, False where unknown.
        temperature: What the logits are divided by, fitted on these cases.
        told: [V, C] bool, the truth that somebody decided, the only one that counts; None: all.
    """

    names: tuple[str, ...]
    stages: bool
    logits: NDArray[np.float32]
    truth: NDArray[np.bool_]
    temperature: float
    told: NDArray[np.bool_] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which truth is known, [V, C]."""
        return np.ones(self.truth.shape, bool) if self.told is None else self.told

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        stages: bool,
        logits: NDArray,
        truth: NDArray[np.bool_],
        known: NDArray[np.bool_] | None = None,
    ) -> HeldOut:
        """Fit the temperature of the answers on at least `FEWEST` cases.

        One imagined answer that was wrong, as sure as the average, is added: a source that is right on all of few cases
        would else be called certain.
        """
        from index_builder.calibration.temperature import fit_stage_temperature, fit_temperature

        kept = np.ascontiguousarray(logits, np.float32)
        told = None if known is None or known.all() else np.ascontiguousarray(known)
        if stages:
            average = np.sort(kept, axis=1)[:, ::-1].mean(axis=0)
            temperature = fit_stage_temperature(np.vstack([kept, average]), np.append(truth.argmax(axis=1), 1))
        else:
            given, held = (kept.ravel(), truth.ravel()) if told is None else (kept[told], truth[told])
            answers = np.append(given, np.abs(given).mean())[:, None]
            temperature = fit_temperature(answers, np.append(held, False)[:, None])
        return cls(tuple(names), stages, kept, np.ascontiguousarray(truth), temperature, told)


#: By what was asked with, and who answered.
Answers = dict[tuple[Given, Source], HeldOut]


def are_stages(kind: LabelKind | None, labels: Iterable[Sequence[str]], label_names: Sequence[str]) -> bool:
    """Whether a casebook's labels are stages.

    Args:
        kind: What its record says. None, of casebooks of before 2026-12: stages were those of phantom-dust alone.
        labels: Labels of every case, read only where the record does not say.
        label_names: Label names of the dataset.
    """
    if kind is not None:
        return kind == "stages"
    return set(label_names) == set(DUST_STAGES) and all(len(own) == 1 for own in labels)


def classifier_answers(
    classify: Classify,
    known: Sequence[str],
    names: Sequence[str],
    vectors: _Vectors,
    truth: NDArray[np.bool_],
    truth_known: NDArray[np.bool_] | None = None,
    *,
    stages: bool = False,
) -> Answers:
    """What a checkpoint carries: its classifier's answers on validation cases, space by space.

    Args:
        classify: The classifier.
        known: Labels it knows.
        names: C labels among them that the cases' dataset decides.
        vectors: [V, D] of every space, zero where a case lacks the modality.
        truth: [V, C].
        truth_known: [V, C], see `HeldOut.told`.
        stages: Whether they are stages; cases whose stage is unknown are then not asked about.
    """
    answers: Answers = {}
    for space in vectors:
        rows = with_modality(vectors, space)
        if stages:
            rows = rows[truth[rows].any(axis=1)]
        if len(rows) < FEWEST or not truth[rows].any():
            continue
        if (logits := classify(vectors[space][rows].astype(np.float32))) is not None:
            columns = [known.index(name) for name in names]
            answers[space, "classifier"] = HeldOut.of(
                names, stages, logits[:, columns], truth[rows], None if truth_known is None else truth_known[rows]
            )
    return answers


def held_out_answers(
    record: SystemRecord,
    cases: CaseRows,
    dataset: DatasetRecord,
    vectors: _Vectors,
    stores: Mapping[Space, VectorStore],
    classify: Classify | None,
    films: FilmTable | None = None,
) -> Answers:
    """Ask classifier and vote about the validation cases, space by space.

    In the image space one film asks, the primary one, as a query of one film does; where cases have several, all films
    of those ask too, as a query of two films does.

    Args:
        record: The system that embedded the cases.
        cases: All cases of the casebook, N.
        dataset: Dataset of the cases.
        vectors: [N, D] of every space, zero where a case lacks the modality.
        stores: Index per space.
        classify: The system's classifier; None: only the vote is asked.
        films: Each film by itself; None: no case has several.

    Returns:
        Nothing for a kind with fewer than `FEWEST` labelled validation cases, for a source that does not answer, or
        where no validation case has a label. In the joint space only cases with film and text count: that is what a
        query of both is compared with.
    """
    label_names = dataset.label_names
    stages = are_stages(dataset.label_kind, (case.labels for case in cases), label_names)
    labels = cases.column("labels")
    carried = carried_labels(labels)
    names = [name for name in label_names if stages or name in carried]
    truth, told = label_matrix(labels, names), cases.known(names)
    known = [name for name in names if name in record.label_names]
    asked = np.array([case.split == "val" and case.is_coded for case in cases])
    # A case without a stage, whether or not it is said to be unknown, tells nothing of stages.
    asked &= (truth if stages else told).any(axis=1) if names else True
    answers: Answers = {}
    for space, store in stores.items():
        for given, rows, found in _asking(space, vectors, films, np.flatnonzero(asked)):
            if len(rows) < FEWEST or not truth[rows].any():
                continue
            shares = _votes(record, space, cases, truth, told, rows, found, store)
            voted = vote_logits(shares, len(store), stages=stages)
            answers[given, "vote"] = HeldOut.of(names, stages, voted, truth[rows], told[rows])
            if classify is None or not known or (stages and known != names):
                continue
            if (logits := classify(found)) is not None:
                columns = [names.index(name) for name in known]
                outputs = [record.label_names.index(name) for name in known]
                answers[given, "classifier"] = HeldOut.of(
                    known, stages, logits[:, outputs], truth[rows][:, columns], told[rows][:, columns]
                )
    return answers


def _asking(
    space: Space, vectors: _Vectors, films: FilmTable | None, asked: NDArray[np.intp]
) -> Iterator[tuple[Given, NDArray[np.intp], NDArray[np.float32]]]:
    """What of the `asked` cases asks in a space: the kind, rows [V] and vectors [V, D]."""
    rows = np.intersect1d(asked, with_modality(vectors, space))
    if space != "image" or films is None:
        yield space, rows, vectors[space][rows].astype(np.float32)
        return
    first = films.primary[np.searchsorted(films.rows[films.primary], rows)]
    yield "image", rows, films.vectors[first].astype(np.float32)
    several = rows[np.bincount(films.rows, minlength=len(vectors[space]))[rows] > 1]
    yield "films", several, vectors[space][several].astype(np.float32)


def carried_answers(carried: Answers, own: Answers, dataset: str, known: Sequence[str]) -> Answers:
    """The checkpoint's own answers for spaces in which they are on more cases than the casebook's.

    Args:
        carried: By a checkpoint that was trained on `dataset`.
        own: Answers of the casebook.
        dataset: Name of the casebook's dataset.
        known: Labels that the classifier knows.
    """
    # One manifest or folder is not another: they are of one kind, but not of one source.
    if dataset in ("manifest", "folder"):
        return {}
    return {
        place: answers
        for place, answers in carried.items()
        if set(answers.names) <= set(known) and (place not in own or len(own[place].truth) < len(answers.truth))
    }


def with_modality(vectors: _Vectors, space: Space) -> NDArray[np.intp]:
    """Rows of cases that have the modality of a space; both, for the joint space."""
    needed: tuple[Space, ...] = ("image", "text") if space == "joint" else (space,)
    return np.flatnonzero(np.all([np.asarray(vectors[one]).any(axis=1) for one in needed], axis=0))


def _votes(
    record: SystemRecord,
    space: Space,
    cases: CaseRows,
    truth: NDArray[np.bool_],
    told: NDArray[np.bool_],
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
            mine = found[voters]
            shares[number] = vote(hits.scores[voters][None], truth[mine], k, temperature, told[mine]).probabilities[0]
    return shares


def write_answers(answers: Answers, path: Path) -> None:
    """Write as safetensors; nothing is written where there are none."""
    from safetensors.numpy import save_file

    if not answers:
        return
    tensors: dict[str, NDArray] = {}
    notes: dict[str, dict[str, Any]] = {}
    for (given, source), found in answers.items():
        key = f"{given}/{source}"
        tensors |= {f"{key}/logits": found.logits, f"{key}/truth": found.truth}
        if found.told is not None:
            tensors[f"{key}/told"] = found.told
        notes[key] = {"names": found.names, "stages": found.stages, "temperature": found.temperature}
        if found.told is not None:
            notes[key]["told"] = True
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
            for given in GIVEN:
                for source in SOURCES:
                    if note := notes.get(f"{given}/{source}"):
                        key = f"{given}/{source}"
                        logits, truth = (opened.get_tensor(f"{key}/{part}") for part in ("logits", "truth"))
                        told = opened.get_tensor(f"{key}/told") if "told" in note else None
                        answers[given, source] = HeldOut(
                            tuple(note["names"]), bool(note["stages"]), logits, truth, float(note["temperature"]), told
                        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CasebookError(f"{path}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error
    return answers


def require_labels(answers: Answers, labels: Iterable[str], known: Iterable[str], path: Path) -> None:
    """Refuse answers that say nothing of a label which they will be asked about.

    Args:
        answers: What `read_answers` gave.
        labels: Labels that the casebook's cases carry.
        known: Labels that the classifier knows.
        path: Where the answers were read from.

    Raises:
        CasebookError: A label is lacking.
    """
    needed: dict[Source, set[str]] = {"vote": set(labels), "classifier": set(labels) & set(known)}
    for (given, source), found in answers.items():
        if lacking := sorted(needed[source] - set(found.names)):
            raise CasebookError(
                f"{path}: no answers on {', '.join(lacking)} ({given}, {source}), which cases carry. "
                "Rebuild the casebook."
            )
