"""Cases in, vectors and thumbnails out, in shards that survive an interruption."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import local
from time import perf_counter
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from index_builder.casebook import SPACES, Space, write_table
from index_builder.datasets.base import Case, Dataset
from index_builder.film_check.features import recorded_features
from index_builder.imaging import model_input, thumbnail_jpeg
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.joining import encode_cases

#: Cases per shard: what an interruption loses at most, times two, and what memory holds of results at a time.
SHARD_CASES = 128
#: Films and reports per forward pass.
BATCH = 16


@dataclass(frozen=True, slots=True)
class LoadedFilm:
    """A film ready for the encoder ([S, S] float32) and for display (JPEG)."""

    pixels: np.ndarray
    thumbnail: bytes


@dataclass(slots=True)
class EmbedTimings:
    """Seconds of work per step, summed over threads and workers."""

    films: float = 0.0
    images: float = 0.0
    texts: float = 0.0
    writing: float = 0.0

    def add(self, other: EmbedTimings) -> None:
        """Add what another batch or worker took."""
        self.films += other.films
        self.images += other.images
        self.texts += other.texts
        self.writing += other.writing


@dataclass(frozen=True, slots=True)
class _Batch:
    """What became of cases that were encoded together; `places` are theirs in the shard."""

    places: Sequence[int]
    thumbnails: list[bytes | None]
    features: list[bytes | None]
    vectors: dict[Space, np.ndarray]
    timings: EmbedTimings


def embed_shards(
    dataset: Dataset,
    system: RetrievalSystem,
    cases: Sequence[Case],
    folder: Path,
    numbers: Sequence[int],
    advance: Callable[[int], None],
    threads: int | None = None,
) -> EmbedTimings:
    """Embed some shards of the cases into `folder`.

    Each thread draws or decodes a batch and encodes it by itself, with the encoders on that one thread: a processor
    splits some convolutions differently for two threads than for one, and the last bits would follow. So a shard's
    content depends on its cases alone, whoever embeds it, and a resumed build writes the same bytes.

    Args:
        dataset: Where films are read from.
        system: Encodes them.
        cases: All cases of the casebook in order.
        folder: Where shards are written.
        numbers: Which shards.
        advance: Called with the number of cases finished since the last call.
        threads: At work at once; one per processor by default.

    Raises:
        ImagingError: A film cannot be decoded; finished shards stay for the next try.
    """
    timings = EmbedTimings()
    with _encoding_threads(system, threads or os.cpu_count() or 1) as submit:
        ahead: list[Future[_Batch]] = []
        for position, number in enumerate(numbers):
            pending = ahead or submit(dataset, _shard(cases, number))
            # While the last batches of a shard are encoded, free threads begin the next.
            ahead = submit(dataset, _shard(cases, numbers[position + 1])) if position + 1 < len(numbers) else []
            batches = []
            for future in pending:
                batches.append(future.result())
                advance(len(batches[-1].places))
            for batch in batches:
                timings.add(batch.timings)
            began = perf_counter()
            _write_shard(_shard_table(_shard(cases, number), batches), shard_path(folder, number))
            timings.writing += perf_counter() - began
    return timings


def unfinished_shards(cases: Sequence[Case], folder: Path) -> list[int]:
    """Numbers of the shards that `folder` lacks, or holds damaged or of other cases."""
    count = -(-len(cases) // SHARD_CASES)
    return [number for number in range(count) if not _is_complete(shard_path(folder, number), _shard(cases, number))]


def load_film(dataset: Dataset, reference: str, size: int) -> LoadedFilm:
    """Decode one film for the encoder and for display."""
    film = dataset.load_film(reference)
    return LoadedFilm(model_input(film.pixels, size), thumbnail_jpeg(film.pixels))


def shard_path(folder: Path, number: int) -> Path:
    """Where shard `number` is written."""
    return folder / f"{number:06d}.parquet"


def shard_size(count: int, number: int) -> int:
    """Cases of shard `number` of `count` cases."""
    return min(SHARD_CASES, count - number * SHARD_CASES)


def read_shards(folder: Path, count: int) -> Iterator[pa.Table]:
    """Tables of all shards in order: case_id, thumbnail, and float16 byte strings, film_features and one per space."""
    for number in range(-(-count // SHARD_CASES)):
        yield pq.read_table(shard_path(folder, number))


@contextmanager
def _encoding_threads(
    system: RetrievalSystem, count: int
) -> Iterator[Callable[[Dataset, Sequence[Case]], list[Future[_Batch]]]]:
    """Threads that each have the system to themselves; the yielded function gives them the batches of a shard.

    Weights are shared; modules are copied, as hooks and tokenizers keep the state of one call.
    """
    own = local()
    shared = {id(tensor): tensor for tensor in (*system.parameters(), *system.buffers())}

    def prepare() -> None:
        torch.set_num_threads(1)
        own.system = copy.deepcopy(system, dict(shared))

    def embed(dataset: Dataset, shard: Sequence[Case], places: Sequence[int]) -> _Batch:
        return _embed_batch(dataset, own.system, [shard[place] for place in places], places)

    threads_before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, initializer=prepare)

    def submit(dataset: Dataset, shard: Sequence[Case]) -> list[Future[_Batch]]:
        # Reports of like length share a batch: padding would otherwise double the text encoder's work.
        order = sorted(range(len(shard)), key=lambda place: len(system.text_of(shard[place])))
        return [
            pool.submit(embed, dataset, shard, order[start : start + BATCH]) for start in range(0, len(order), BATCH)
        ]

    try:
        yield submit
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads_before)


def _embed_batch(dataset: Dataset, system: RetrievalSystem, cases: Sequence[Case], places: Sequence[int]) -> _Batch:
    began = perf_counter()
    size = system.config.image_size
    films = [None if case.image is None else load_film(dataset, case.image, size) for case in cases]
    loaded = perf_counter() - began
    with recorded_features(system.image_encoder) as seen:
        found = encode_cases(
            system,
            torch.from_numpy(np.array([film.pixels for film in films if film is not None])),
            torch.tensor([film is not None for film in films]),
            [system.text_of(case) for case in cases],
        )
    rows = iter(torch.cat(seen).half().cpu().numpy() if seen else ())
    return _Batch(
        places,
        [None if film is None else film.thumbnail for film in films],
        [None if film is None else next(rows).tobytes() for film in films],
        {space: vectors.astype(np.float16) for space, vectors in found.spaces.items()},
        EmbedTimings(loaded, found.image_seconds, found.text_seconds),
    )


def _shard(cases: Sequence[Case], number: int) -> Sequence[Case]:
    return cases[number * SHARD_CASES : (number + 1) * SHARD_CASES]


def _shard_table(shard: Sequence[Case], batches: Sequence[_Batch]) -> pa.Table:
    order = np.argsort([place for batch in batches for place in batch.places])
    thumbnails = [one for batch in batches for one in batch.thumbnails]
    features = [one for batch in batches for one in batch.features]
    vectors = {space: np.concatenate([batch.vectors[space] for batch in batches])[order] for space in SPACES}
    return pa.table(
        {
            "case_id": pa.array([case.case_id for case in shard], pa.string()),
            "thumbnail": pa.array([thumbnails[place] for place in order], pa.binary()),
            "film_features": pa.array([features[place] for place in order], pa.binary()),
            **{
                str(space): pa.array([row.tobytes() for row in rows], pa.binary(2 * rows.shape[1]))
                for space, rows in vectors.items()
            },
        }
    )


def _write_shard(table: pa.Table, path: Path) -> None:
    """Write a shard so that a reader meets it whole or not, even where a worker given up for dead writes it too."""
    unfinished = path.with_suffix(f".{uuid4().hex}.writing")
    write_table(table, unfinished)
    with unfinished.open("rb") as stream:
        os.fsync(stream.fileno())
    unfinished.replace(path)


def _is_complete(path: Path, shard: Sequence[Case]) -> bool:
    """Whether a shard was written for exactly these cases; a truncated one is made again."""
    if not path.is_file():
        return False
    try:
        found = pq.read_table(path).column("case_id").to_pylist()
    except (OSError, pa.ArrowException):
        return False
    return found == [case.case_id for case in shard]
