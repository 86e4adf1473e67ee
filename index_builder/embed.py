"""Cases in, vectors and thumbnails out, in shards that survive an interruption."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

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

#: Cases per shard: what an interruption loses at most, and what memory holds at a time (twice).
SHARD_CASES = 128
#: Films and reports per forward pass.
BATCH = 16

_READERS = max(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class LoadedFilm:
    """A film ready for the encoder ([S, S] float32) and for display (JPEG)."""

    pixels: np.ndarray
    thumbnail: bytes


@dataclass(slots=True)
class EmbedTimings:
    """Seconds this process spent per step; `waiting` is time the encoder stood idle for films."""

    waiting: float = 0.0
    images: float = 0.0
    texts: float = 0.0
    writing: float = 0.0
    cases: int = field(default=0)


def embed_shards(
    dataset: Dataset,
    system: RetrievalSystem,
    cases: Sequence[Case],
    folder: Path,
    advance: Callable[[int], None],
) -> EmbedTimings:
    """Embed all cases into `folder`, skipping shards that are already there.

    While one shard is encoded, the films of the next are decoded in threads; memory holds two shards at most. A
    shard's content depends on its cases alone, so a resumed run writes the same bytes as an uninterrupted one.

    Args:
        dataset: Where films are read from.
        system: Encodes them.
        cases: All cases of the casebook in order.
        folder: Where shards are written.
        advance: Called with the number of cases finished since the last call.

    Raises:
        ImagingError: A film cannot be decoded; finished shards stay for the next try.
    """
    folder.mkdir(exist_ok=True)
    timings = EmbedTimings()
    shards = [cases[start : start + SHARD_CASES] for start in range(0, len(cases), SHARD_CASES)]
    todo = []
    for number, shard in enumerate(shards):
        if _is_complete(shard_path(folder, number), shard):
            advance(len(shard))
        else:
            todo.append((number, shard))

    with ThreadPoolExecutor(_READERS) as readers:

        def load(shard: Sequence[Case]) -> list[Future[LoadedFilm] | None]:
            return [
                None if case.image is None else readers.submit(load_film, dataset, case.image, system.config.image_size)
                for case in shard
            ]

        ahead = load(todo[0][1]) if todo else []
        for position, (number, shard) in enumerate(todo):
            pending, ahead = ahead, (load(todo[position + 1][1]) if position + 1 < len(todo) else [])
            try:
                _embed_shard(system, shard, pending, shard_path(folder, number), timings, advance)
            except BaseException:
                readers.shutdown(wait=False, cancel_futures=True)
                raise
    return timings


def load_film(dataset: Dataset, reference: str, size: int) -> LoadedFilm:
    """Decode one film for the encoder and for display."""
    film = dataset.load_film(reference)
    return LoadedFilm(model_input(film.pixels, size), thumbnail_jpeg(film.pixels))


def shard_path(folder: Path, number: int) -> Path:
    """Where shard `number` is written."""
    return folder / f"{number:06d}.parquet"


def read_shards(folder: Path, count: int) -> Iterator[pa.Table]:
    """Tables of all shards in order: case_id, thumbnail, and float16 byte strings, film_features and one per space."""
    for number in range(-(-count // SHARD_CASES)):
        yield pq.read_table(shard_path(folder, number))


def _embed_shard(
    system: RetrievalSystem,
    shard: Sequence[Case],
    pending: list[Future[LoadedFilm] | None],
    path: Path,
    timings: EmbedTimings,
    advance: Callable[[int], None],
) -> None:
    dim = system.config.embedding_dim
    vectors: dict[Space, np.ndarray] = {space: np.zeros((len(shard), dim), np.float16) for space in SPACES}
    thumbnails: list[bytes | None] = [None] * len(shard)
    features: list[bytes | None] = [None] * len(shard)
    # Reports of like length share a batch: padding would otherwise double the text encoder's work.
    texts = [system.text_of(case) for case in shard]
    order = sorted(range(len(shard)), key=lambda position: len(texts[position]))
    for start in range(0, len(shard), BATCH):
        positions = order[start : start + BATCH]
        began = perf_counter()
        futures = [pending[position] for position in positions]
        films = [None if future is None else future.result() for future in futures]
        timings.waiting += perf_counter() - began
        for position, film in zip(positions, films, strict=True):
            thumbnails[position] = None if film is None else film.thumbnail
        with recorded_features(system.image_encoder) as seen:
            found = encode_cases(
                system,
                torch.from_numpy(np.array([film.pixels for film in films if film is not None])),
                torch.tensor([film is not None for film in films]),
                [texts[position] for position in positions],
            )
        timings.images += found.image_seconds
        timings.texts += found.text_seconds
        for space in SPACES:
            vectors[space][positions] = found.spaces[space]
        with_film = [position for position, film in zip(positions, films, strict=True) if film is not None]
        for position, row in zip(with_film, torch.cat(seen).half().cpu().numpy() if seen else (), strict=True):
            features[position] = row.tobytes()
        timings.cases += len(positions)
        advance(len(positions))
    began = perf_counter()
    table = pa.table(
        {
            "case_id": pa.array([case.case_id for case in shard], pa.string()),
            "thumbnail": pa.array(thumbnails, pa.binary()),
            "film_features": pa.array(features, pa.binary()),
            **_as_bytes(vectors, dim),
        }
    )
    unfinished = path.with_suffix(".writing")
    write_table(table, unfinished)
    with unfinished.open("rb") as stream:
        os.fsync(stream.fileno())
    unfinished.replace(path)
    timings.writing += perf_counter() - began


def _as_bytes(vectors: dict[Space, np.ndarray], dim: int) -> dict[str, pa.Array]:
    return {
        str(space): pa.array([row.tobytes() for row in rows], pa.binary(2 * dim)) for space, rows in vectors.items()
    }


def _is_complete(path: Path, shard: Sequence[Case]) -> bool:
    """Whether a shard was written for exactly these cases; a truncated one is made again."""
    if not path.is_file():
        return False
    try:
        found = pq.read_table(path).column("case_id").to_pylist()
    except (OSError, pa.ArrowException):
        return False
    return found == [case.case_id for case in shard]
