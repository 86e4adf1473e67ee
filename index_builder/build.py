"""Dataset to casebook, stage by stage, resumable and atomic."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from platform import node
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_builder.case_table import CaseRows, cases_table, read_cases, write_cases
from index_builder.casebook import (
    SCHEMA_VERSION,
    SPACES,
    DatasetRecord,
    Embeddings,
    Layout,
    Manifest,
    SystemRecord,
    digest_files,
    write_manifest,
    write_metrics,
)
from index_builder.datasets import open_dataset
from index_builder.datasets.base import Case, Dataset
from index_builder.errors import CasebookError, DatasetError
from index_builder.indexing import FAISS, IndexesInTurn, check_store, index_space
from index_builder.memory import give_back
from index_builder.thumbnails import thumbnail_writer
from index_builder.workspace import check_target, take_place, workspace

if TYPE_CHECKING:
    from index_builder.embed import EmbedTimings
    from index_builder.embed_ray import RayCluster
    from index_builder.systems.base import RetrievalSystem

#: Packages whose other version may draw, decode or encode another last bit.
_PACKAGES = ("numpy", "onnxruntime", "pillow", "pydicom", "timm", "tokenizers", "torch", "transformers")

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
        store: What is to find the nearest vectors, as `Manifest.store`.
        ray: Workers that embed; None: threads of this process. The bytes are the same.
    """

    dataset: str
    root: Path | None
    out: Path
    checkpoint: Path
    limit: int | None = None
    seed: int = 0
    replace: bool = False
    store: str = FAISS
    ray: RayCluster | None = None


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
    check_target(out, request.replace)
    check_store(request.store, out)

    with _timed(seconds, "read cases"):
        progress("Reading cases", 0, 1)
        dataset, cases = _open_cases(request)
        progress("Reading cases", len(cases), len(cases))

    with workspace(out) as folder:
        layout = Layout(folder)
        with _timed(seconds, "load system"):
            system_record = _install_system(request, cases, layout)
            from index_builder.systems.runtime import load_accelerated

            system = load_accelerated(layout.system)
        with _timed(seconds, "embed"):
            timings = _embed(request, dataset, system, cases, layout, progress)
        seconds |= {
            "· films": timings.films,
            "· image encoder": timings.images,
            "· text encoder": timings.texts,
        }
        with _timed(seconds, "index"):
            from index_builder.film_check.fit import reference_rows

            progress("Indexing", 0, 1)
            source = _dataset_record(request, dataset)
            film_rows, reports = reference_rows(cases), sum(bool(case.report) for case in cases)
            films, features = _merge_shards(layout, cases, system.config.embedding_dim, film_rows)
            write_cases(cases_table(cases), layout.cases, layout.case_keys)
            # From here on memory holds what is looked at, not all cases: what is held of each is on disk.
            del dataset
            cases = CaseRows(read_cases(layout.cases, len(cases)))
            vectors = Embeddings(folder, len(cases))
            shutil.rmtree(layout.indexes, ignore_errors=True)
            indexed = {space: index_space(folder, space, cases, vectors[space], request.store) for space in SPACES}
            spaces = {space: record for space, record in indexed.items() if record is not None}
            stores = IndexesInTurn(folder, request.store, spaces)
            progress("Indexing", 1, 1)
        with _timed(seconds, "calibrate"):
            from index_builder.calibrate import calibrate

            progress("Calibrating", 0, 1)
            calibrate(layout, system, system_record, source, cases, stores, vectors, film_rows, features)
            stores.close()
            progress("Calibrating", 1, 1)
        with _timed(seconds, "evaluate"):
            from index_builder.evaluation.runs import runs_beside
            from index_builder.evaluation.stored import measure_stored

            metrics = measure_stored(system, source, cases, vectors, progress)
            if runs := runs_beside(request.checkpoint, request.dataset):
                metrics["runs"] = [run.model_dump() for run in runs]
            write_metrics(folder, metrics)
            del system, metrics, features
        with _timed(seconds, "draw maps"):
            from index_builder.projections.stored import draw_casebook_maps

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
                films=films,
                reports=reports,
                store=request.store,
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


def _embed(
    request: BuildRequest,
    dataset: Dataset,
    system: RetrievalSystem,
    cases: Sequence[Case],
    layout: Layout,
    progress: Progress,
) -> EmbedTimings:
    """Embed the shards that are not there yet."""
    from index_builder.embed import embed_shards, shard_size, unfinished_shards

    shards = _shards(layout.folder)
    shards.mkdir(parents=True, exist_ok=True)
    numbers = unfinished_shards(cases, shards)
    done = len(cases) - sum(shard_size(len(cases), number) for number in numbers)
    progress("Embedding cases", done, len(cases))

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress("Embedding cases", done, len(cases))

    if request.ray is None:
        return embed_shards(dataset, system, cases, shards, numbers, advance)
    from index_builder.embed_ray import embed_on_ray

    open_work = partial(_open_on_worker, replace(request, root=request.root and request.root.absolute()), layout.folder)
    return embed_on_ray(open_work, shards, len(cases), numbers, advance, request.ray)


def _open_on_worker(request: BuildRequest, folder: Path) -> tuple[Dataset, RetrievalSystem, Sequence[Case]]:
    """What a worker embeds, once it sees what the build sees.

    Raises:
        CasebookError: The worker does not see the build's folder.
        DatasetError: It reads other cases, or has other versions of packages.
    """
    from index_builder.systems.runtime import load_accelerated

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
    return dataset, load_accelerated(Layout(folder).system), cases


def _system_record(system: RetrievalSystem) -> SystemRecord:
    from index_builder.evaluation.prediction import has_classifier
    from index_builder.systems.encoders import weights_digest

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
        vote_temperatures=config.vote_temperatures,
        theta=system.theta,
    )


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


def _merge_shards(
    layout: Layout, cases: Sequence[Case], dim: int, film_rows: NDArray[np.int64]
) -> tuple[int, NDArray[np.float16]]:
    """Write embeddings and thumbnails from the shards.

    Returns:
        The number of films, and the backbone's features [R, F] of the films of `film_rows`.
    """
    from index_builder.embed import read_shards

    (layout.folder / "embeddings").mkdir(exist_ok=True)
    header = {"descr": "<f2", "fortran_order": False, "shape": (len(cases), dim)}
    films = start = 0
    features: list[NDArray[np.float16]] = []
    with ExitStack() as files:
        writer = files.enter_context(thumbnail_writer(layout.thumbnails))
        # Written, not mapped: on a full disk a write fails, where touching a mapped page kills the process.
        streams = {space: files.enter_context(layout.embeddings(space).open("wb")) for space in SPACES}
        for stream in streams.values():
            np.lib.format.write_array_header_1_0(stream, header)
        for shard in read_shards(_shards(layout.folder), len(cases)):
            for space, stream in streams.items():
                stream.writelines(shard.column(space).to_pylist())
            writer.write_table(shard.select(["case_id", "thumbnail"]))
            films += len(shard) - shard.column("thumbnail").null_count
            wanted = film_rows[(film_rows >= start) & (film_rows < start + len(shard))] - start
            seen = shard.column("film_features").take(pa.array(wanted)).to_pylist()
            features += [np.frombuffer(one, np.float16) for one in seen]
            start += len(shard)
    return films, np.stack(features) if features else np.zeros((0, 0), np.float16)


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
