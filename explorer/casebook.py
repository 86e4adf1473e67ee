"""An opened casebook: cases, thumbnails, vectors and the system that embeds a query."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from explorer.cases.columns import values_of
from index_builder.calibration.held_out import Answers, are_stages, read_answers, require_labels
from index_builder.calibration.learnt import Learnt, read_learnt
from index_builder.casebook.files import read_embeddings, read_table
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import (
    Manifest,
    MapName,
    MapsRecord,
    check_system,
    cluster_column,
    map_columns,
    read_manifest,
    read_maps,
    read_metrics,
)
from index_builder.casebook.thumbnails import ThumbnailReader
from index_builder.cases.case import REPORT_SECTIONS, Case
from index_builder.cases.space import Space
from index_builder.cases.table import (
    PROFILE_PREFIX,
    SECTION_PREFIX,
    Values,
    case_from_row,
    known_matrix,
    label_matrix,
    read_case_keys,
    read_cases,
)
from index_builder.errors import CasebookError, QueryError
from index_builder.film_check.check import FilmCheck
from index_builder.lexical.reports import Reports
from index_builder.reranking.ranking import LABEL_OVERLAP, Ranking
from index_builder.stores.base import VectorStore, case_key

if TYPE_CHECKING:
    from explorer.cases.films import CaseFilms
    from explorer.cases.profile_fields import ProfileField
    from explorer.cases.vocabulary import Vocabulary
    from index_builder.datasets.base import Dataset
    from index_builder.imaging import Film
    from index_builder.systems.base import RetrievalSystem
    from index_builder.systems.graphs.encoder import Encoder


class Casebook:
    """A casebook open for reading; one instance serves many threads.

    Cases stay on disk and are looked at there; the encoder and each space's index load on first use.

    Attributes:
        table: The cases, memory-mapped.
        case_ids: Id of each case, by row.
        labels: Labels of each case, by row.
        patient_ids: Pseudonym of each case's patient, by row.
    """

    def __init__(self, folder: Path, manifest: Manifest, table: pa.Table) -> None:
        self.folder = folder
        self.manifest = manifest
        self.table = table
        self.case_ids: Values[str] = Values(table.column("case_id"), str)
        self.labels: Values[tuple[str, ...]] = Values(table.column("labels"), tuple)
        self.patient_ids: Values[str] = Values(table.column("patient_id"), str)
        self._layout = Layout(folder)
        self._lock = RLock()
        self._system_lock = RLock()  # its own: a search by case must not wait while the encoders load
        self._stores: dict[Space, VectorStore] = {}
        self._vectors: dict[Space, np.ndarray] = {}
        self._held: dict[Space, NDArray[np.bool_]] = {}
        self._columns: dict[str, np.ndarray] = {}
        self._distinct: dict[str, list[Any]] = {}

    @classmethod
    def open(cls, folder: str | Path) -> Casebook:
        """Open a casebook folder.

        Raises:
            CasebookError: Not a casebook, another schema version, or damaged.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        return cls(folder, manifest, read_cases(Layout(folder).cases, manifest.cases))

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, case_id: object) -> bool:
        return isinstance(case_id, str) and self._find(case_id) is not None

    @property
    def name(self) -> str:
        """The casebook's name: its folder's when it was built."""
        return self.manifest.name

    @property
    def spaces(self) -> tuple[Space, ...]:
        """Spaces that hold at least one vector."""
        return tuple(self.manifest.spaces)

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """Labels that occur, in the dataset's display order."""
        present = set(self.table.column("labels").chunk(0).values.dictionary.to_pylist())
        return tuple(name for name in self.manifest.dataset.label_names if name in present)

    @cached_property
    def label_matrix(self) -> NDArray[np.bool_]:
        """Which case carries which label, [N, C] with columns as in `label_names`."""
        return label_matrix(self.table.column("labels"), self.label_names)

    @cached_property
    def known_matrix(self) -> NDArray[np.bool_]:
        """Of which case somebody decided which label, [N, C]; a label that is unknown is neither present nor absent."""
        return known_matrix(self.table, self.label_names)

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """Vector-store key of every case, by row, [N] int64."""
        return self._keys[0]

    @cached_property
    def profile_fields(self) -> tuple[str, ...]:
        """Names of the profile fields that at least one case has."""
        return tuple(
            name.removeprefix(PROFILE_PREFIX) for name in self.table.column_names if name.startswith(PROFILE_PREFIX)
        )

    @cached_property
    def searched_fields(self) -> tuple[ProfileField, ...]:
        """Profile fields that can be searched with; none where the system does not read profiles."""
        from explorer.cases.profile_fields import profile_fields

        return profile_fields(self) if self.manifest.system.reads == "profile" else ()

    @property
    def report_sections(self) -> tuple[pa.ChunkedArray, ...]:
        """The parts of a report by row, as they lie on disk; absent ones are null."""
        names = (SECTION_PREFIX + name for name in REPORT_SECTIONS)
        return tuple(self.table.column(name) for name in names if name in self.table.column_names)

    def column(self, name: str) -> np.ndarray:
        """A field by row, [N]: `case_id`, `split`, `view`, `synthetic`, `report`, or a profile field.

        Numbers are float64 with NaN where absent, everything else objects with None where absent.

        Raises:
            QueryError: No such field here.
        """
        if name not in self._columns:
            self._columns[name] = self._read_column(name)
        return self._columns[name]

    def field(self, name: str) -> pa.ChunkedArray:
        """A field as it lies on disk, for what must not be read whole.

        Raises:
            QueryError: No such field here.
        """
        if name in self.profile_fields:
            name = PROFILE_PREFIX + name
        elif name not in ("case_id", "split", "view", "synthetic", "patient_id"):
            known = ["label", "split", "view", "report", *self.profile_fields]
            raise QueryError(f"no field {name!r} in casebook {self.name!r}. Fields: {', '.join(known)}.")
        return self.table.column(name)

    def is_number(self, name: str) -> bool:
        """Whether a field holds numbers. Raises `QueryError` where there is no such field."""
        kind = self.field(name).type
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))

    def distinct(self, name: str) -> list[Any]:
        """The different values of `split`, `view`, `synthetic` or a profile field, sorted, without the absent one.

        Raises:
            QueryError: No such field here.
        """
        if name not in self._distinct:
            self._distinct[name] = sorted(self.field(name).unique().drop_null().to_pylist())
        return self._distinct[name]

    def counts(self, name: str) -> dict[Any, int]:
        """How many cases have each value of such a field, the most frequent first, without the absent one.

        Raises:
            QueryError: No such field here.
        """
        counted = pc.value_counts(self.field(name).drop_null())
        pairs = [(one["values"], one["counts"]) for one in counted.to_pylist()]
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def row(self, case_id: str) -> int:
        """Row of a case.

        Raises:
            QueryError: No case of that id here.
        """
        row = self._find(case_id)
        if row is None:
            raise QueryError(f"no case {case_id!r} in casebook {self.name!r}. Case ids look like {self.case_ids[0]!r}.")
        return row

    def case(self, case_id: str) -> Case:
        """A case with everything known of it. Raises `QueryError` for an unknown id."""
        return case_from_row(self.table.slice(self.row(case_id), 1).to_pylist()[0])

    def rows_of_keys(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the cases a vector store found.

        Raises:
            CasebookError: The store holds a case that is not here: index and cases are not of one build.
        """
        by_row, order = self._keys
        rows = order[np.searchsorted(by_row, keys, sorter=order).clip(max=len(self) - 1)]
        if not np.array_equal(by_row[rows], keys):
            raise CasebookError(f"{self.folder}: its index and its cases are not of one build. Rebuild it.")
        return rows

    def thumbnail(self, case_id: str) -> bytes | None:
        """JPEG of the primary film, longest side 256 px; None for a text-only case."""
        return self._thumbnails[self.row(case_id)]

    @cached_property
    def case_films(self) -> CaseFilms:
        """The films of the cases, one by one."""
        from explorer.cases.films import CaseFilms

        return CaseFilms(self)

    def film(self, reference: str) -> Film:
        """A film at full size from the casebook's source, by `Case.image` or one of `Case.other_images`.

        Raises:
            DatasetError: The source is not where the casebook was built from.
            ImagingError: The film cannot be decoded.
        """
        return self._source.load_film(reference)

    def vectors(self, space: Space) -> np.ndarray:
        """Vectors of a space by row, [N, D] float16, memory-mapped, zero where a case lacks the modality."""
        with self._lock:
            if space not in self._vectors:
                self._vectors[space] = read_embeddings(self.folder, space, len(self))
            return self._vectors[space]

    def has_vector(self, space: Space) -> NDArray[np.bool_]:
        """Which cases have the modality of a space, [N]."""
        with self._lock:
            if space not in self._held:
                record = self.manifest.spaces.get(space)
                whole = record is not None and record.count == len(self)  # then nothing need be looked at
                held = np.ones(len(self), bool) if whole else self.vectors(space).any(axis=1)
                self._held[space] = np.asarray(held, bool)
            return self._held[space]

    def store(self, space: Space) -> VectorStore:
        """The index of a space.

        Raises:
            QueryError: The casebook has no such space.
            CasebookError: The index is missing, damaged or out of reach.
        """
        if space not in self.manifest.spaces:
            raise QueryError(f"casebook {self.name!r} has no {space} space. It has: {', '.join(self.spaces)}.")
        with self._lock:
            if space not in self._stores:
                from index_builder.casebook.indexes import open_store

                record = self.manifest.spaces[space]
                self._stores[space] = open_store(self.folder, self.manifest.store, space, record)
            return self._stores[space]

    @property
    def encoder(self) -> Encoder:
        """What embedded the cases and embeds queries. Raises `CasebookError` where another lies there."""
        with self._system_lock:
            return self._encoder

    @property
    def system(self) -> RetrievalSystem:
        """The same in PyTorch, for what needs gradients. Raises as `encoder`."""
        with self._system_lock:
            return self._system

    @cached_property
    def ranking(self) -> Ranking:
        """How results are reordered by findings: as learnt, else `LABEL_OVERLAP`. Raises `ModelError` as `learnt`."""
        return Ranking.load(self._layout.system) or LABEL_OVERLAP

    @cached_property
    def learnt(self) -> Learnt | None:
        """What the system has learnt of each label; None: not recorded. Raises `ModelError` where that is damaged."""
        return read_learnt(self._layout.system)

    @cached_property
    def held_out(self) -> Answers:
        """What classifier and vote said of the validation cases, by space and source; empty where there are too few.

        Raises:
            CasebookError: The file is damaged, or lacks a label of the cases.
        """
        answers, labels = read_answers(self._layout.held_out), self.stages or self.label_names
        require_labels(answers, labels, self.manifest.system.label_names, self._layout.held_out)
        return answers

    @cached_property
    def staged(self) -> bool:
        """Whether the labels are stages of which each case has exactly one, if its stage is known."""
        dataset = self.manifest.dataset
        return are_stages(dataset.label_kind, self.labels, dataset.label_names)

    @property
    def stages(self) -> tuple[str, ...]:
        """All stages in their order, also those that no case carries; empty where the labels are findings."""
        return self.manifest.dataset.label_names if self.staged else ()

    @cached_property
    def film_check(self) -> FilmCheck | None:
        """What a query's film is compared with; None where the casebook has too few films.

        Raises:
            CasebookError: The file is damaged.
        """
        return FilmCheck.read(self._layout.film_check)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the cases' texts, and how long these are."""
        from explorer.cases.vocabulary import read_vocabulary

        return read_vocabulary(self)

    @cached_property
    def reports(self) -> Reports | None:
        """The index of reports; None where there are none, or the casebook is older than that index."""
        record = self.manifest.lexical
        return None if record is None else Reports(self._layout, record, len(self))

    @cached_property
    def maps(self) -> MapsRecord:
        """How far each map can be trusted, and the clusters of each space. Raises `CasebookError` if damaged."""
        return read_maps(self.folder)

    def map_names(self, space: Space) -> tuple[MapName, ...]:
        """Maps of a space, the one to show first in front. Raises `QueryError` where there is no such space."""
        if space not in self.maps.spaces:
            raise QueryError(f"casebook {self.name!r} has no {space} space. It has: {', '.join(self.spaces)}.")
        return tuple(self.maps.spaces[space].maps)

    def projection(self, space: Space, name: MapName | None = None) -> NDArray[np.float32]:
        """Map coordinates of a space by row, [N, 2 or 3] float32 with NaN where a case lacks the modality.

        Args:
            space: Which space.
            name: Which of `map_names`; None: the first.

        Raises:
            QueryError: The casebook has no such space or map.
        """
        names = self.map_names(space)
        if name is not None and name not in names:
            raise QueryError(
                f"casebook {self.name!r} has no {name} map of the {space} space. It has: {', '.join(names)}."
            )
        columns = read_table(self._layout.projections, map_columns(space, name or names[0]))
        return np.stack([column.to_numpy() for column in columns.columns], axis=1).astype(np.float32)

    def clusters(self, space: Space) -> NDArray[np.int32]:
        """Cluster of each case on a space's maps by row, [N] int32, -1 outside any and without the modality.

        Raises `QueryError` where the casebook has no such space.
        """
        self.map_names(space)
        column = read_table(self._layout.projections, [cluster_column(space)]).column(0)
        return column.fill_null(-1).to_numpy()

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """What `evaluation.stored.measure_stored` gave for these cases; None where nothing was measured.

        Raises:
            CasebookError: The file is damaged.
        """
        return read_metrics(self.folder)

    def summary(self) -> dict[str, Any]:
        """What the casebook holds, ready for JSON; see `explorer.cases.summary.summary`."""
        from explorer.cases.summary import summary

        return summary(self)

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        return read_case_keys(self._layout.case_keys, len(self))

    @cached_property
    def _thumbnails(self) -> ThumbnailReader:
        return ThumbnailReader(self._layout.thumbnails)

    @cached_property
    def _encoder(self) -> Encoder:
        from index_builder.systems.running.opening import open_encoder

        check_system(self.folder, self.manifest)
        return open_encoder(self._layout.system)

    @cached_property
    def _system(self) -> RetrievalSystem:
        from index_builder.systems.registry import load_system

        check_system(self.folder, self.manifest)
        return load_system(self._layout.system)

    @cached_property
    def _source(self) -> Dataset:
        from index_builder.datasets import open_dataset

        record = self.manifest.dataset
        return open_dataset(record.kind, None if record.root is None else Path(record.root), record.seed)

    def _read_column(self, name: str) -> np.ndarray:
        if name == "report":
            sections = [section.to_pylist() for section in self.report_sections]
            texts = [" ".join(filter(None, parts)) for parts in zip(*sections, strict=True)]
            return np.array(texts or [""] * len(self), object)
        return values_of(self.field(name), number=self.is_number(name))

    def _find(self, case_id: str) -> int | None:
        by_row, order = self._keys
        key = case_key(case_id)
        row = int(order[min(np.searchsorted(by_row, key, sorter=order), len(self) - 1)])
        return row if by_row[row] == key and self.case_ids[row] == case_id else None
