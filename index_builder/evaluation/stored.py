"""Evaluation of a casebook from the vectors it holds: `metrics.json`. Nothing is embedded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.held_out import are_stages
from index_builder.casebook.embeddings import Embeddings
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import DatasetRecord, read_manifest, read_metrics, write_metrics
from index_builder.cases.case import Case
from index_builder.cases.space import SPACES, Space
from index_builder.cases.table import CaseRows, read_cases
from index_builder.datasets import is_drawn, open_dataset
from index_builder.datasets.base import Dataset, DatasetCard, DrawsFindings
from index_builder.disclaimer import DISCLAIMER
from index_builder.errors import CxrError
from index_builder.evaluation.embedding import Embedded, Prepare, frozen_features
from index_builder.evaluation.run import EvaluateRequest, measure_task, task_of
from index_builder.evaluation.runs import Run
from index_builder.imaging import Film
from index_builder.progress import Progress
from index_builder.systems.backbones.encoders import ImageEncoder
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.registry import load_system

#: Vectors made single and brought to length 1 at a time.
_ROWS_AT_ONCE = 4096


class StoredCases:
    """Cases of a casebook as a dataset; the source they came from is opened for a film, and only then."""

    def __init__(self, record: DatasetRecord, cases: CaseRows) -> None:
        staged = are_stages(record.label_kind, (case.labels for case in cases), record.label_names)
        self.card = DatasetCard(
            name=record.kind,
            title=record.title,
            description=record.description,
            citation=record.citation,
            licence=record.licence,
            source=record.source,
            label_definition=record.label_definition,
            synthetic=record.synthetic,
            label_kind="stages" if staged else "findings",
        )
        self.label_names = record.label_names
        self._record, self._cases = record, cases
        self._source: Dataset | None = None

    def cases(self) -> Sequence[Case]:
        """All cases of the casebook."""
        return self._cases

    def load_film(self, reference: str) -> Film:
        """A film at full size. Raises `CxrError` where the source cannot be reached."""
        if self._source is None:
            root = self._record.root
            self._source = open_dataset(self._record.kind, None if root is None else Path(root), self._record.seed)
        return self._source.load_film(reference)


class StoredDrawings(StoredCases):
    """Stored cases with drawn films: what drew them, which needs no folder, says what each shows."""

    def __init__(self, record: DatasetRecord, cases: CaseRows, drawn: DrawsFindings) -> None:
        super().__init__(record, cases)
        self.drawn_labels = drawn.drawn_labels
        self.visible_labels = drawn.visible_labels
        self.drawn_findings = drawn.drawn_findings


def stored_cases(record: DatasetRecord, cases: CaseRows) -> StoredCases:
    """Cases of a casebook with all that is known of them without their source's folder."""
    drawn = open_dataset(record.kind, seed=record.seed) if is_drawn(record.kind) else None
    return StoredDrawings(record, cases, drawn) if isinstance(drawn, DrawsFindings) else StoredCases(record, cases)


@dataclass(slots=True)
class StoredVectors:
    """Vectors of a casebook where `measure` asks for vectors of cases.

    Attributes:
        dataset: Decodes films for the frozen baselines, which nothing is stored of.
        spaces: [N, D] float16 by space, zero where a case lacks the modality.
        prepare: Makes of a film what the frozen encoder reads.
        progress: Told of the films read.
    """

    dataset: StoredCases
    spaces: Mapping[Space, NDArray[np.float16]]
    prepare: Prepare
    progress: Progress
    _frozen: dict[tuple[str, ...], NDArray[np.float32]] = field(default_factory=dict)

    def __call__(self, cases: Sequence[Case], modality: Space, frozen: ImageEncoder | None) -> Embedded:
        """Vectors as `embed_modality` gives them, to half precision, of cases that `dataset` gave."""
        assert isinstance(cases, CaseRows), "vectors are found by the row of a case in its table"
        wanted = SPACES if modality == "joint" else (modality,)
        spaces = {space: UnitVectors(self.spaces[space], cases.rows) for space in wanted}
        return Embedded(spaces, None if frozen is None else self._frozen_of(cases, frozen))

    def _frozen_of(self, cases: Sequence[Case], encoder: ImageEncoder) -> NDArray[np.float32]:
        key = tuple(case.case_id for case in cases)
        if key not in self._frozen:
            self._frozen[key] = frozen_features(encoder, self.dataset, cases, self.prepare, self.progress)
        return self._frozen[key]


@dataclass(frozen=True, slots=True)
class UnitVectors:
    """Some rows of a casebook's vectors, made single and brought to length 1 as they are asked for.

    Attributes:
        stored: [N, D] float16.
        rows: [n] of these.
    """

    stored: NDArray[np.float16]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: NDArray[np.integer], /) -> NDArray[np.float32]:
        found = np.empty((len(places), self.stored.shape[1]), np.float32)
        for start in range(0, len(places), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            found[part] = _unit(self.stored[self.rows[places[part]]].astype(np.float32))
        return found


def measure_stored(
    system: RetrievalSystem,
    record: DatasetRecord,
    cases: CaseRows,
    vectors: Mapping[Space, NDArray[np.float16]],
    progress: Progress,
    *,
    baselines: bool = False,
) -> dict[str, Any]:
    """Measure every modality of a casebook; both together only where there are both.

    Args:
        system: What embedded the cases.
        record: Where they came from.
        cases: All N of a table.
        vectors: [N, D] by space.
        progress: Called as modalities are done.
        baselines: Measure baselines too; baselines of films read every film once.

    Returns:
        `system`, `preset`, `dataset`; `modalities`, what `measure` gives by modality; `not_measured`, the reason by
        modality, e.g. that the casebook has no test part; `disclaimer`.
    """
    dataset = stored_cases(record, cases)
    stored = StoredVectors(dataset, vectors, system.prepare, progress)
    modalities: dict[str, Any] = {}
    not_measured: dict[str, str] = {}
    held: list[Space] = [space for space in SPACES if space != "joint" and vectors[space].any()]
    wanted: list[Space] = [*held, "joint"] if len(held) > 1 else held
    for number, space in enumerate(wanted):
        progress("Evaluating", number, len(wanted))
        request = EvaluateRequest(system.name, record.kind, None, space, baselines=baselines, seed=record.seed)
        try:
            task, _ = task_of(system, dataset, request)
        except CxrError as error:
            not_measured[space] = str(error)
        else:
            modalities[space] = measure_task(system, dataset, request, task, space, progress, stored)
    progress("Evaluating", len(wanted), len(wanted))
    return {
        "system": system.name,
        "preset": system.config.preset,
        "dataset": record.kind,
        "modalities": modalities,
        "not_measured": not_measured,
        "disclaimer": DISCLAIMER,
    }


def measure_casebook(
    folder: Path, progress: Progress, *, baselines: bool = False, runs: Sequence[Run] = ()
) -> dict[str, Any]:
    """Measure a finished casebook and keep the figures in it.

    Args:
        folder: The casebook.
        progress: Called as work is done.
        baselines: As in `measure_stored`.
        runs: Trainings with a part left out or on part of the data, kept as `runs`; without any, earlier ones stay.

    Raises:
        CasebookError: Not a casebook, damaged, or not writable.
        CxrError: A film that the baselines need cannot be read.
    """
    manifest = read_manifest(folder)
    layout = Layout(folder)
    cases = CaseRows(read_cases(layout.cases, manifest.cases))
    vectors = Embeddings(folder, manifest.cases)
    system = load_system(layout.system)
    metrics = measure_stored(system, manifest.dataset, cases, vectors, progress, baselines=baselines)
    kept = [run.model_dump() for run in runs] or (read_metrics(folder) or {}).get("runs")
    if kept:
        metrics["runs"] = kept
    write_metrics(folder, metrics)
    return metrics


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Length 1 again after half precision; a zero row stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
