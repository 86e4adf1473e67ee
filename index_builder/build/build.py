"""Dataset to casebook, stage by stage, resumable and atomic."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from platform import node
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from index_builder.build.system import PublishedEncoder as PublishedEncoder
from index_builder.build.system import keep_system, source_system, teach
from index_builder.build.system import system_record as record_of
from index_builder.casebook.embeddings import Embeddings
from index_builder.casebook.films import film_counts, read_films, write_films
from index_builder.casebook.indexes import FAISS, IndexesInTurn, check_store, index_films, index_space
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import (
    SCHEMA_VERSION,
    DatasetRecord,
    Manifest,
    SystemRecord,
    digest_files,
    write_manifest,
    write_metrics,
)
from index_builder.casebook.memory import give_back
from index_builder.casebook.workspace import check_target, take_place, workspace
from index_builder.cases.case import Case
from index_builder.cases.space import SPACES
from index_builder.cases.table import CaseRows, cases_table, read_cases, write_cases
from index_builder.datasets import open_dataset
from index_builder.datasets.base import Dataset
from index_builder.datasets.check import reader_lines
from index_builder.datasets.unreadable import is_unreadable, without_unreadable
from index_builder.errors import CasebookError, DatasetError
from index_builder.progress import Progress

if TYPE_CHECKING:
    from index_builder.build.embed import EmbedTimings
    from index_builder.build.embed_ray import RayCluster
    from index_builder.systems.base import RetrievalSystem
    from index_builder.systems.graphs.encoder import Encoder

#: Packages whose other version may draw, decode or encode another last bit.
_PACKAGES = ("numpy", "onnxruntime", "pillow", "pydicom", "timm", "tokenizers", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build.

    Attributes:
        dataset: A name of `index_builder.datasets.dataset_names`.
        root: The dataset's folder, where it needs one.
        out: The casebook's folder.
        checkpoint: The system that embeds: a folder `RetrievalSystem.save` wrote, or a published encoder.
        limit: At most this many cases, drawn by `seed`.
        seed: For phantoms, the draw of `limit` and the projection.
        replace: Whether a casebook at `out` may be replaced, once the new one is complete.
        store: What is to find the nearest vectors, as `Manifest.store`.
        ray: Workers that embed; None: threads of this process. The bytes are the same.
        skip_unreadable: Go on without films that cannot be read, see `unreadable.without_unreadable`.
    """

    dataset: str
    root: Path | None
    out: Path
    checkpoint: Path | PublishedEncoder
    limit: int | None = None
    seed: int = 0
    replace: bool = False
    store: str = FAISS
    ray: RayCluster | None = None
    skip_unreadable: bool = False


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built, and the seconds each stage took in this process."""

    manifest: Manifest
    out: Path
    seconds: dict[str, float] = field(default_factory=dict)


def build(request: BuildRequest, progress: Progress, tell: Callable[[str], None] | None = None) -> BuildReport:
    """Build a casebook; a build that died is taken up where it stopped and gives the same bytes.

    Everything is written to a hidden sibling of `request.out`, which takes its place when complete: whatever stands
    there before is intact until then.

    Args:
        request: What to build.
        progress: Told of stages.
        tell: Given, before anything is embedded, the lines that say which column of a table was taken for what, and
            what was left out.

    Raises:
        CxrError: Bad request, unreadable data, another build at work on the same target, target not writable.
    """
    seconds: dict[str, float] = {}
    out = request.out.absolute()
    check_target(out, request.replace)
    check_store(request.store, out)

    with _timed(seconds, "read cases"):
        progress("Reading cases", 0, 1)
        dataset, cases = _open_cases(request)
        if tell is not None:
            for line in reader_lines(dataset):
                tell(line)
        progress("Reading cases", len(cases), len(cases))

    with workspace(out) as folder:
        layout = Layout(folder)
        with _timed(seconds, "load system"):
            from index_builder.systems.running.opening import open_encoder

            system_record, system = _install_system(request, cases, layout)
            encoder = open_encoder(layout.system)
        with _timed(seconds, "embed"):
            timings = _embed(request, dataset, encoder, cases, layout, progress)
        seconds |= {
            "· films": timings.films,
            "· image encoder": timings.images,
            "· text encoder": timings.texts,
        }
        with _timed(seconds, "index"):
            from index_builder.build.embed import unreadable_films
            from index_builder.build.merging import merge_shards
            from index_builder.film_check.fit import reference_films

            progress("Indexing", 0, 1)
            source = _dataset_record(request, dataset)
            embedded = len(cases)
            cases, rows, unreadable = without_unreadable(cases, unreadable_films(_shards(folder), embedded))
            counts, reports = film_counts(cases), sum(bool(case.report) for case in cases)
            references = reference_films(counts)
            features = merge_shards(
                _shards(folder), layout, embedded, rows, system.config.embedding_dim, counts, references.films
            )
            write_cases(cases_table(cases), layout.cases, layout.case_keys)
            if several := bool((counts > 1).any()):
                write_films(cases, layout.films)
            # From here on memory holds what is looked at, not all cases: what is held of each is on disk.
            del dataset
            cases = CaseRows(read_cases(layout.cases, len(cases)))
            vectors = Embeddings(folder, len(cases))
            shutil.rmtree(layout.indexes, ignore_errors=True)
            indexed = {space: index_space(folder, space, cases, vectors[space], request.store) for space in SPACES}
            spaces = {space: record for space, record in indexed.items() if record is not None}
            films = read_films(folder, int(counts.sum())) if several else None
            each_film = None
            if films is not None:
                each_film = index_films(folder, films, cases, spaces["image"], request.store)
            stores = IndexesInTurn(folder, request.store, spaces)
            progress("Indexing", 1, 1)
        with _timed(seconds, "index reports"):
            from index_builder.lexical.stage import index_reports

            lexical = index_reports(layout, cases, lambda done: progress("Reading reports", done, len(cases)))
        if system.learns_from_casebook:
            with _timed(seconds, "fit head"):
                progress("Fitting the head", 0, 1)
                system_record = teach(system, source, cases, vectors, layout)
                progress("Fitting the head", 1, 1)
        with _timed(seconds, "calibrate"):
            from index_builder.build.calibrate import calibrate

            progress("Calibrating", 0, 1)
            calibrate(
                layout, system, encoder, system_record, source, cases, stores, vectors, films, references, features
            )
            stores.close()
            progress("Calibrating", 1, 1)
        with _timed(seconds, "evaluate"):
            from index_builder.evaluation.runs import runs_beside
            from index_builder.evaluation.stored import measure_stored

            metrics = measure_stored(system, source, cases, vectors, progress)
            trained = request.checkpoint if isinstance(request.checkpoint, Path) else None
            if trained is not None and (runs := runs_beside(trained, request.dataset)):
                metrics["runs"] = [run.model_dump() for run in runs]
            write_metrics(folder, metrics)
            del system, encoder, metrics, features, films
        with _timed(seconds, "draw maps"):
            from index_builder.maps.stored import draw_casebook_maps

            draw_casebook_maps(folder, cases, vectors, stores, system_record.reads, request.seed, progress)
        with _timed(seconds, "finish"):
            shutil.rmtree(_shards(folder).parent)
            _fingerprint_file(folder).unlink()
            manifest = Manifest(
                schema_version=SCHEMA_VERSION,
                name=out.name,
                dataset=source,
                system=system_record,
                spaces=spaces,
                cases=len(cases),
                films=int(counts.sum()),
                reports=reports,
                store=request.store,
                lexical=lexical,
                each_film=each_film,
                unreadable=unreadable,
                files=digest_files(folder),
            )
            write_manifest(folder, manifest)
            take_place(folder, out)
    return BuildReport(manifest, out, seconds)


def _open_cases(request: BuildRequest) -> tuple[Dataset, Sequence[Case]]:
    dataset = open_dataset(request.dataset, request.root, request.seed)
    cases = select_cases(dataset.cases(), request.limit, request.seed)
    if not cases:
        raise DatasetError(f"{request.dataset}: no cases to build from. Check --root and --limit.")
    return dataset, cases


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


def _install_system(
    request: BuildRequest, cases: Sequence[Case], layout: Layout
) -> tuple[SystemRecord, RetrievalSystem]:
    """Copy the system into the workspace and start again if what lies there belongs to another build.

    The cases are then embedded by that copy, so that a query later meets the very weights that made the index.
    """
    from index_builder.systems.graphs.record import read_record
    from index_builder.systems.registry import load_system

    source = source_system(request.checkpoint)
    record = record_of(source)
    fingerprint = _fingerprint(request, cases, record)
    path = _fingerprint_file(layout.folder)
    if not path.is_file() or path.read_text("utf-8") != fingerprint:
        for child in layout.folder.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        kept = keep_system(source, layout.system)
        path.write_text(fingerprint, "utf-8")
    elif not layout.system.is_dir() or read_record(layout.system) is None:  # the build died while it was written
        kept = keep_system(source, layout.system)
    else:
        kept = load_system(layout.system)
    return record, kept


def _embed(
    request: BuildRequest,
    dataset: Dataset,
    encoder: Encoder,
    cases: Sequence[Case],
    layout: Layout,
    progress: Progress,
) -> EmbedTimings:
    """Embed the shards that are not there yet."""
    from index_builder.build.embed import embed_shards, shard_size, unfinished_shards

    shards = _shards(layout.folder)
    shards.mkdir(parents=True, exist_ok=True)
    numbers = unfinished_shards(cases, shards, lambda case: request.skip_unreadable and is_unreadable(dataset, case))
    done = len(cases) - sum(shard_size(len(cases), number) for number in numbers)
    progress("Embedding cases", done, len(cases))

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress("Embedding cases", done, len(cases))

    if request.ray is None:
        return embed_shards(dataset, encoder, cases, shards, numbers, advance, skip_unreadable=request.skip_unreadable)
    from index_builder.build.embed_ray import embed_on_ray

    open_work = partial(_open_on_worker, replace(request, root=request.root and request.root.absolute()), layout.folder)
    return embed_on_ray(
        open_work, shards, len(cases), numbers, advance, request.ray, skip_unreadable=request.skip_unreadable
    )


def _open_on_worker(request: BuildRequest, folder: Path) -> tuple[Dataset, Encoder, Sequence[Case]]:
    """What a worker embeds, once it sees what the build sees.

    Raises:
        CasebookError: The worker does not see the build's folder.
        DatasetError: It reads other cases, or has other versions of packages.
    """
    from index_builder.systems.running.opening import open_encoder

    path = _fingerprint_file(folder)
    if not path.is_file():
        raise CasebookError(
            f"{folder}: a worker on {node()} does not see it. Choose an --out on a filesystem that all nodes share."
        )
    expected = json.loads(path.read_text("utf-8"))
    if _versions() != expected["versions"]:
        raise DatasetError(
            f"a worker on {node()} has {_versions()}, the build {expected['versions']}. "
            "Install the same versions on all nodes: pip install -c constraints.txt."
        )
    dataset, cases = _open_cases(request)
    if _cases_digest(cases) != expected["cases"]:
        raise DatasetError(
            f"{request.root or request.dataset}: a worker on {node()} reads other cases there than the build did. "
            "Give all nodes the same files."
        )
    return dataset, open_encoder(Layout(folder).system), cases


def _fingerprint(request: BuildRequest, cases: Sequence[Case], system: SystemRecord) -> str:
    """Changes with anything that changes what is embedded."""
    settings = {
        "schema": SCHEMA_VERSION,
        "versions": _versions(),
        "dataset": request.dataset,
        "root": str(request.root and request.root.absolute()),
        "seed": request.seed,
        "system": system.model_dump(mode="json"),
        "cases": _cases_digest(cases),
    }
    return json.dumps(settings, sort_keys=True)


def _cases_digest(cases: Sequence[Case]) -> str:
    digest = hashlib.sha256()
    for column in cases_table(cases).columns:
        for chunk in column.chunks:
            for buffer in chunk.buffers():
                digest.update(b"" if buffer is None else memoryview(buffer))
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    return {package: version(package) for package in _PACKAGES}


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
        label_kind=card.label_kind,
    )


def _shards(folder: Path) -> Path:
    """Named by the fingerprint: a worker of an earlier build that is still at work finds its own folder gone."""
    return folder / "shards" / hashlib.sha256(_fingerprint_file(folder).read_bytes()).hexdigest()[:16]


def _fingerprint_file(folder: Path) -> Path:
    return folder / "build.json"


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    began = perf_counter()
    yield
    give_back()
    seconds[stage] = perf_counter() - began
