"""Cases in, vectors and thumbnails out, in shards that survive an interruption."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from index_builder.casebook.files import write_table
from index_builder.cases.case import Case
from index_builder.cases.space import SPACES, Space
from index_builder.datasets.base import Dataset
from index_builder.datasets.unreadable import reason_of, with_remedy
from index_builder.errors import ImagingError
from index_builder.imaging import thumbnail_jpeg
from index_builder.systems.graphs.cases import encode_cases
from index_builder.systems.graphs.encoder import Encoder
from index_builder.writing import whole

#: Cases per shard: what an interruption loses at most, times two, and what memory holds of results at a time.
SHARD_CASES = 128
#: Films and reports per forward pass.
BATCH = 16


@dataclass(frozen=True, slots=True)
class LoadedFilm:
    """A film ready for the encoder ([S, S] float32) and for display (JPEG of at most 256 px)."""

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
    """What became of cases that were encoded together; `places` are theirs in the shard.

    Of each case a list by film: `thumbnails`, `features` and `vectors` of those that could be read, and `unreadable` of
    all, why one could not, if any could not.
    """

    places: Sequence[int]
    thumbnails: list[list[bytes]]
    features: list[list[bytes]]
    vectors: list[list[bytes]]
    unreadable: list[list[str | None]]
    spaces: dict[Space, np.ndarray]
    timings: EmbedTimings


def embed_shards(
    dataset: Dataset,
    encoder: Encoder,
    cases: Sequence[Case],
    folder: Path,
    numbers: Sequence[int],
    advance: Callable[[int], None],
    threads: int | None = None,
    *,
    skip_unreadable: bool = False,
) -> EmbedTimings:
    """Embed some shards of the cases into `folder`.

    Each thread draws or decodes a batch and encodes it by itself, with the encoders on that one thread: a processor
    splits some convolutions differently for two threads than for one, and the last bits would follow. So a shard's
    content depends on its cases alone, whoever embeds it, and a resumed build writes the same bytes.

    Args:
        dataset: Where films are read from.
        encoder: Encodes them.
        cases: All cases of the casebook in order.
        folder: Where shards are written.
        numbers: Which shards.
        advance: Called with the number of cases finished since the last call.
        threads: At work at once; one per processor by default.
        skip_unreadable: Embed a case without films of it that cannot be decoded, and keep the reasons in its shard.

    Raises:
        ImagingError: A film cannot be decoded; finished shards stay for the next try.
    """
    timings = EmbedTimings()
    with _encoding_threads(encoder, threads or os.cpu_count() or 1, skip_unreadable) as submit:
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


def unfinished_shards(
    cases: Sequence[Case], folder: Path, may_lack: Callable[[Case], bool] = lambda case: False
) -> list[int]:
    """Numbers of the shards that `folder` lacks, or holds damaged or of other cases.

    Args:
        cases: All cases in order.
        folder: Folder of the shards.
        may_lack: Whether a case that was embedded without a film, which could not be decoded, may stay so.
    """
    count = -(-len(cases) // SHARD_CASES)
    return [
        number
        for number in range(count)
        if not _is_complete(shard_path(folder, number), _shard(cases, number), may_lack)
    ]


def unreadable_films(folder: Path, count: int) -> dict[int, list[str | None]]:
    """Why films of a case could not be decoded, by row of the case, from all shards: a reason or None of each film."""
    reasons: dict[int, list[str | None]] = {}
    for number in range(-(-count // SHARD_CASES)):
        found = pq.read_table(shard_path(folder, number), columns=["unreadable"]).column(0).to_pylist()
        reasons |= {number * SHARD_CASES + place: told for place, told in enumerate(found) if told}
    return reasons


def load_film(dataset: Dataset, reference: str, encoder: Encoder) -> LoadedFilm:
    """Decode one film for the encoder and for display."""
    film = dataset.load_film(reference)
    return LoadedFilm(encoder.prepare(film.pixels), thumbnail_jpeg(film.pixels))


def shard_path(folder: Path, number: int) -> Path:
    """Where shard `number` is written."""
    return folder / f"{number:06d}.parquet"


def shard_size(count: int, number: int) -> int:
    """Cases of shard `number` of `count` cases."""
    return min(SHARD_CASES, count - number * SHARD_CASES)


def read_shards(folder: Path, count: int) -> Iterator[pa.Table]:
    """Tables of all shards in order.

    Columns: case_id; lists by film of the case, `thumbnails` (JPEG), `film_features` and `film_vectors` (float16) of
    those that were read, `unreadable` (why one was not, else null; empty where all were); one of float16 per space.
    """
    for number in range(-(-count // SHARD_CASES)):
        yield pq.read_table(shard_path(folder, number))


@contextmanager
def _encoding_threads(
    encoder: Encoder, count: int, skip_unreadable: bool
) -> Iterator[Callable[[Dataset, Sequence[Case]], list[Future[_Batch]]]]:
    """Threads that encode; the yielded function gives them the batches of a shard."""
    threads_before = _torch_threads() if encoder.in_torch else None

    def embed(dataset: Dataset, shard: Sequence[Case], places: Sequence[int]) -> _Batch:
        return _embed_batch(dataset, encoder, [shard[place] for place in places], places, skip_unreadable)

    pool = ThreadPoolExecutor(count, initializer=None if threads_before is None else partial(_torch_threads, 1))

    def submit(dataset: Dataset, shard: Sequence[Case]) -> list[Future[_Batch]]:
        # Reports of like length share a batch: padding would otherwise double the text encoder's work.
        order = sorted(range(len(shard)), key=lambda place: len(encoder.read(shard[place])))
        return [
            pool.submit(embed, dataset, shard, order[start : start + BATCH]) for start in range(0, len(order), BATCH)
        ]

    try:
        yield submit
    finally:
        pool.shutdown(cancel_futures=True)
        if threads_before is not None:
            _torch_threads(threads_before)


def _torch_threads(count: int | None = None) -> int:
    """Set how many threads PyTorch runs on; gives how many these were."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    return before


def _embed_batch(
    dataset: Dataset, encoder: Encoder, cases: Sequence[Case], places: Sequence[int], skip_unreadable: bool
) -> _Batch:
    began = perf_counter()
    films: list[list[LoadedFilm]] = []
    unreadable: list[list[str | None]] = []
    for case in cases:
        read, reasons = _load_films(dataset, case, encoder, skip_unreadable)
        films.append(read)
        unreadable.append(reasons)
    loaded = perf_counter() - began
    found = encode_cases(
        encoder,
        np.array([film.pixels for several in films for film in several]),
        np.array([len(several) for several in films]),
        [encoder.read(case) for case in cases],
    )
    features = iter(found.features.astype(np.float16))
    vectors = iter(found.films.astype(np.float16))
    return _Batch(
        places,
        [[film.thumbnail for film in several] for several in films],
        [[next(features).tobytes() for _ in several] for several in films],
        [[next(vectors).tobytes() for _ in several] for several in films],
        unreadable,
        {space: vectors.astype(np.float16) for space, vectors in found.spaces.items()},
        EmbedTimings(loaded, found.image_seconds, found.text_seconds),
    )


def _load_films(
    dataset: Dataset, case: Case, encoder: Encoder, skip_unreadable: bool
) -> tuple[list[LoadedFilm], list[str | None]]:
    """The films of a case that can be read, and why each of the others cannot; no reasons where all can."""
    read: list[LoadedFilm] = []
    reasons: list[str | None] = []
    for film in case.films:
        try:
            read.append(load_film(dataset, film.reference, encoder))
            reasons.append(None)
        except ImagingError as error:
            if not skip_unreadable:
                raise with_remedy(error) from error
            reasons.append(reason_of(error, film.reference))
    return read, reasons if any(reasons) else []


def _shard(cases: Sequence[Case], number: int) -> Sequence[Case]:
    return cases[number * SHARD_CASES : (number + 1) * SHARD_CASES]


def _shard_table(shard: Sequence[Case], batches: Sequence[_Batch]) -> pa.Table:
    order = np.argsort([place for batch in batches for place in batch.places])
    spaces = {space: np.concatenate([batch.spaces[space] for batch in batches])[order] for space in SPACES}

    def by_film(several: Iterable[list[list[Any]]], kind: pa.DataType) -> pa.Array:
        every = [one for of_batch in several for one in of_batch]
        return pa.array([every[place] for place in order], pa.list_(kind))

    return pa.table(
        {
            "case_id": pa.array([case.case_id for case in shard], pa.string()),
            "thumbnails": by_film((batch.thumbnails for batch in batches), pa.binary()),
            "film_features": by_film((batch.features for batch in batches), pa.binary()),
            "film_vectors": by_film((batch.vectors for batch in batches), pa.binary()),
            "unreadable": by_film((batch.unreadable for batch in batches), pa.string()),
            **{
                str(space): pa.array([row.tobytes() for row in rows], pa.binary(2 * rows.shape[1]))
                for space, rows in spaces.items()
            },
        }
    )


def _write_shard(table: pa.Table, path: Path) -> None:
    """Write a shard so that a reader meets it whole or not, even where a worker given up for dead writes it too."""
    with whole(path, writer=f".{uuid4().hex}") as part:
        write_table(table, part)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())


def _is_complete(path: Path, shard: Sequence[Case], may_lack: Callable[[Case], bool]) -> bool:
    """Whether a shard was written for exactly these cases; a truncated one is made again."""
    if not path.is_file():
        return False
    try:
        found = pq.read_table(path)
        case_ids, reasons = found.column("case_id").to_pylist(), found.column("unreadable").to_pylist()
    except (OSError, pa.ArrowException, KeyError):  # the last: written by an earlier version
        return False
    if case_ids != [case.case_id for case in shard]:
        return False
    return all(not told or may_lack(case) for case, told in zip(shard, reasons, strict=True))
