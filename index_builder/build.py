"""Dataset to casebook, stage by stage, resumable and atomic."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index_builder.casebook import (
    SCHEMA_VERSION,
    SPACES,
    DatasetRecord,
    Layout,
    Manifest,
    Space,
    SpaceRecord,
    SystemRecord,
    cases_table,
    digest_files,
    write_manifest,
    write_table,
)
from index_builder.datasets import open_dataset
from index_builder.datasets.base import Case, Dataset
from index_builder.errors import CasebookError, DatasetError
from index_builder.projections import project
from index_builder.stores.base import case_keys
from index_builder.stores.faiss import FaissStore

if TYPE_CHECKING:
    from index_builder.systems.base import RetrievalSystem

#: Cases whose nearest neighbour is looked up for `SpaceRecord.nearest_similarity`.
_SIMILARITY_SAMPLE = 2_000

#: (stage, cases done, cases in all)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build.

    Attributes:
        dataset: A name of `index_builder.datasets.DATASETS`.
        root: The dataset's folder, where it needs one.
        out: The casebook's folder.
        checkpoint: The system that embeds; a folder `RetrievalSystem.save` wrote.
        limit: At most this many cases, drawn by `seed`.
        seed: For phantoms, the draw of `limit` and the projection.
        replace: Whether a casebook at `out` may be replaced, once the new one is complete.
    """

    dataset: str
    root: Path | None
    out: Path
    checkpoint: Path
    limit: int | None = None
    seed: int = 0
    replace: bool = False


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built, and the seconds each stage took in this process."""

    manifest: Manifest
    out: Path
    seconds: dict[str, float] = field(default_factory=dict)


def build(request: BuildRequest, progress: Progress) -> BuildReport:
    """Build a casebook; a build that died is taken up where it stopped and gives the same bytes.

    Everything is written to a hidden sibling of `request.out`, which takes its place when complete: whatever stands
    there before is intact until then.

    Raises:
        CxrError: Bad request, unreadable data, another build at work on the same target, target not writable.
    """
    seconds: dict[str, float] = {}
    out = request.out.absolute()
    _check_target(out, request.replace)

    with _timed(seconds, "read cases"):
        progress("Reading cases", 0, 1)
        dataset = open_dataset(request.dataset, request.root, request.seed)
        cases = select_cases(dataset.cases(), request.limit, request.seed)
        if not cases:
            raise DatasetError(f"{request.dataset}: no cases to build from. Check --root and --limit.")
        progress("Reading cases", len(cases), len(cases))

    with _workspace(out) as folder:
        layout = Layout(folder)
        with _timed(seconds, "load system"):
            system_record = _install_system(request, cases, layout)
            from index_builder.systems.base import load_system

            system = load_system(layout.system)
        with _timed(seconds, "embed"):
            from index_builder.embed import embed_shards
            from index_builder.film_check.fit import reference_rows

            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                progress("Embedding cases", done, len(cases))

            timings = embed_shards(dataset, system, cases, _shards(folder), advance)
        seconds |= {
            "· waiting for films": timings.waiting,
            "· image encoder": timings.images,
            "· text encoder": timings.texts,
        }
        with _timed(seconds, "index"):
            progress("Indexing", 0, 1)
            film_rows = reference_rows(cases)
            vectors, films, features = _merge_shards(layout, cases, system.config.embedding_dim, film_rows)
            spaces = {space: record for space in SPACES if (record := _index_space(layout, space, cases, vectors))}
            progress("Indexing", 1, 1)
        with _timed(seconds, "calibrate"):
            from index_builder.calibrate import calibrate

            progress("Calibrating", 0, 1)
            names = dataset.label_names
            calibrate(layout, system, request.dataset, cases, names, spaces, vectors, film_rows, features)
            progress("Calibrating", 1, 1)
        with _timed(seconds, "project"):
            _project_spaces(layout, cases, spaces, vectors, request.seed, progress)
        with _timed(seconds, "finish"):
            write_table(cases_table(cases), layout.cases)
            shutil.rmtree(_shards(folder))
            _fingerprint_file(folder).unlink()
            manifest = Manifest(
                schema_version=SCHEMA_VERSION,
                name=out.name,
                dataset=_dataset_record(request, dataset),
                system=system_record,
                spaces=spaces,
                cases=len(cases),
                films=films,
                reports=sum(bool(case.report) for case in cases),
                files=digest_files(folder),
            )
            write_manifest(folder, manifest)
            _take_place(folder, out)
    return BuildReport(manifest, out, seconds)


def select_cases(cases: Sequence[Case], limit: int | None, seed: int) -> Sequence[Case]:
    """All cases, or `limit` of them drawn by `seed`, in the dataset's order.

    Raises:
        DatasetError: The limit is not positive, or two cases share an id.
    """
    seen: set[str] = set()
    for case in cases:
        if case.case_id in seen:
            raise DatasetError(f"case id {case.case_id!r} occurs twice. Give every case an id of its own.")
        seen.add(case.case_id)
    if limit is None:
        return cases
    if limit < 1:
        raise DatasetError(f"--limit {limit}: give a number of at least 1.")
    if limit >= len(cases):
        return cases
    chosen = np.random.default_rng(seed).choice(len(cases), limit, replace=False)
    return [cases[position] for position in sorted(chosen)]


def _check_target(out: Path, replace: bool) -> None:
    _restore_interrupted_swap(out)
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not Layout(out).manifest.is_file()):
        raise CasebookError(f"{out}: exists and is not a casebook. Choose another --out.")
    if not replace and Layout(out).manifest.is_file():
        raise CasebookError(f"{out}: a casebook is there already. Add --replace, or choose another --out.")


@contextmanager
def _workspace(out: Path) -> Iterator[Path]:
    """The hidden sibling a casebook is built in, locked against a second build."""
    folder = out.with_name(f".{out.name}.building")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise CasebookError(f"{out.parent}: cannot write there ({error.strerror}). Choose another --out.") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CasebookError(
                f"{out}: another build is at work there. Wait for it, or choose another --out."
            ) from None
        try:
            yield folder
        except OSError as error:
            raise CasebookError(
                f"{error.filename or folder}: {error.strerror or error}. Free the space or fix the rights, then run "
                "the same command again: it continues from the finished shards."
            ) from error
    finally:
        os.close(lock)


def _install_system(request: BuildRequest, cases: Sequence[Case], layout: Layout) -> SystemRecord:
    """Copy the system into the workspace and start anew if what lies there belongs to another build.

    The cases are then embedded by that copy, so that a query later meets the very weights that made the index.
    """
    from index_builder.systems.base import load_system

    source = load_system(request.checkpoint)
    record = _system_record(source)
    fingerprint = _fingerprint(request, cases, record)
    path = _fingerprint_file(layout.folder)
    if not path.is_file() or path.read_text("utf-8") != fingerprint:
        for child in layout.folder.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        source.save(layout.system, portable=True)
        path.write_text(fingerprint, "utf-8")
    return record


def _system_record(system: RetrievalSystem) -> SystemRecord:
    from index_builder.evaluation.prediction import has_classifier
    from index_builder.systems.encoders import weights_digest
    from index_builder.systems.mskpt import MskPtConfig

    config = system.config
    return SystemRecord(
        name=system.name,
        preset=config.preset,
        digest=weights_digest(system),
        embedding_dim=config.embedding_dim,
        image_encoder=config.image_encoder,
        text_encoder=config.text_encoder,
        reads=system.reads,
        predicts_by="classifier" if has_classifier(system) else "vote",
        label_names=config.label_names,
        vote_neighbours=config.vote_neighbours,
        vote_temperature=config.vote_temperature,
        theta=config.theta if isinstance(config, MskPtConfig) else None,
    )


def _fingerprint(request: BuildRequest, cases: Sequence[Case], system: SystemRecord) -> str:
    """Changes with anything that changes what is embedded."""
    digest = hashlib.sha256()
    for column in cases_table(cases).columns:
        for chunk in column.chunks:
            for buffer in chunk.buffers():
                digest.update(b"" if buffer is None else memoryview(buffer))
    settings = {
        "schema": SCHEMA_VERSION,
        "dataset": request.dataset,
        "root": str(request.root),
        "seed": request.seed,
        "system": system.model_dump(mode="json"),
        "cases": digest.hexdigest(),
    }
    return json.dumps(settings, sort_keys=True)


def _merge_shards(
    layout: Layout, cases: Sequence[Case], dim: int, film_rows: NDArray[np.int64]
) -> tuple[dict[Space, np.memmap], int, NDArray[np.float16]]:
    """Write embeddings and thumbnails from the shards.

    Returns:
        Vectors as memory maps, the number of films, and the backbone's features [R, F] of the films of `film_rows`.
    """
    from index_builder.embed import read_shards

    (layout.folder / "embeddings").mkdir(exist_ok=True)
    vectors: dict[Space, np.memmap] = {
        space: np.lib.format.open_memmap(layout.embeddings(space), mode="w+", dtype=np.float16, shape=(len(cases), dim))
        for space in SPACES
    }
    films = start = 0
    features: list[NDArray[np.float16]] = []
    schema = pa.schema([("case_id", pa.string()), ("thumbnail", pa.binary())])
    with pq.ParquetWriter(layout.thumbnails, schema, compression="none") as writer:
        for shard in read_shards(_shards(layout.folder), len(cases)):
            for space in SPACES:
                rows = np.frombuffer(b"".join(shard.column(space).to_pylist()), np.float16)
                vectors[space][start : start + len(shard)] = rows.reshape(len(shard), dim)
            writer.write_table(shard.select(["case_id", "thumbnail"]))
            films += len(shard) - shard.column("thumbnail").null_count
            wanted = film_rows[(film_rows >= start) & (film_rows < start + len(shard))] - start
            seen = shard.column("film_features").take(pa.array(wanted)).to_pylist()
            features += [np.frombuffer(one, np.float16) for one in seen]
            start += len(shard)
    for mapped in vectors.values():
        mapped.flush()
    return vectors, films, np.stack(features) if features else np.zeros((0, 0), np.float16)


def _index_space(
    layout: Layout, space: Space, cases: Sequence[Case], vectors: dict[Space, np.memmap]
) -> SpaceRecord | None:
    """Index the cases that have a vector in a space; None when none has."""
    rows = np.flatnonzero(vectors[space].any(axis=1))
    if not len(rows):
        return None
    held = vectors[space][rows].astype(np.float32)
    store = FaissStore.build(held, case_keys([cases[int(row)].case_id for row in rows]))
    layout.index(space).parent.mkdir(exist_ok=True)
    store.write(layout.index(space), layout.index_keys(space))
    sample = held[:: max(1, len(held) // _SIMILARITY_SAMPLE)]
    # The first hit is the case itself, so the second is its nearest other case.
    nearest = [float(scores[1]) for vector in sample if len(scores := store.search(vector, 2).scores) > 1]
    percentiles = np.percentile(nearest, np.arange(101)) if nearest else np.empty(0)
    return SpaceRecord(
        count=len(rows), index=store.kind, nearest_similarity=tuple(round(float(value), 4) for value in percentiles)
    )


def _project_spaces(
    layout: Layout,
    cases: Sequence[Case],
    spaces: dict[Space, SpaceRecord],
    vectors: dict[Space, np.memmap],
    seed: int,
    progress: Progress,
) -> None:
    columns: dict[str, pa.Array] = {"case_id": pa.array([case.case_id for case in cases], pa.string())}
    for number, space in enumerate(spaces):
        progress("Drawing maps", number, len(spaces))
        rows = np.flatnonzero(vectors[space].any(axis=1))
        found, method = project(vectors[space][rows].astype(np.float32), seed)
        placed = np.full((len(cases), 2), np.nan, np.float32)
        placed[rows] = found
        for axis, name in enumerate("xy"):
            columns[f"{space}_{method}_{name}"] = pa.array(placed[:, axis], from_pandas=True)
    progress("Drawing maps", len(spaces), len(spaces))
    write_table(pa.table(columns), layout.projections)


def _dataset_record(request: BuildRequest, dataset: Dataset) -> DatasetRecord:
    card = dataset.card
    return DatasetRecord(
        kind=request.dataset,
        root=None if request.root is None else str(request.root.absolute()),
        seed=request.seed,
        limit=request.limit,
        title=card.title,
        description=card.description,
        citation=card.citation,
        licence=card.licence,
        source=card.source,
        label_definition=card.label_definition,
        label_names=dataset.label_names,
        synthetic=card.synthetic,
    )


def _shards(folder: Path) -> Path:
    return folder / "shards"


def _fingerprint_file(folder: Path) -> Path:
    return folder / "build.json"


def _superseded(out: Path) -> Path:
    return out.with_name(f".{out.name}.superseded")


def _take_place(folder: Path, out: Path) -> None:
    """Rename the finished folder to its place; an older casebook there goes only after that."""
    _sync_tree(folder)
    old = _superseded(out)
    if out.exists():
        out.rename(old)
    folder.rename(out)
    if old.exists():
        shutil.rmtree(old)


def _restore_interrupted_swap(out: Path) -> None:
    """Undo a swap that died between its two renames, or finish one that died before clearing up."""
    old = _superseded(out)
    if old.exists():
        if out.exists():
            shutil.rmtree(old)
        else:
            old.rename(out)


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    began = perf_counter()
    yield
    seconds[stage] = perf_counter() - began
