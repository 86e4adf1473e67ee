"""Finished shards of a build, written as the casebook has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_builder.build import embed
from index_builder.casebook.layout import Layout
from index_builder.casebook.thumbnails import thumbnail_table, thumbnail_writer
from index_builder.cases.space import SPACES

T = TypeVar("T")


def merge_shards(
    shards: Path,
    layout: Layout,
    embedded: int,
    rows: NDArray[np.int64],
    dim: int,
    counts: NDArray[np.int64],
    wanted: NDArray[np.int64],
) -> NDArray[np.float16]:
    """Write embeddings and thumbnails from the shards; of each film by itself where a case has several.

    Args:
        shards: Folder of the shards.
        layout: Layout of the casebook.
        embedded: Cases in all shards.
        rows: [N] of those among them that the casebook holds.
        dim: Width of the vectors.
        counts: [N] how many films each of these has.
        wanted: Numbers among all films of those whose features are wanted.

    Returns:
        The backbone's features [R, F] of the films of `wanted`.
    """
    (layout.folder / "embeddings").mkdir(exist_ok=True)
    firsts = np.append(0, np.cumsum(counts))
    start = 0
    features: list[NDArray[np.float16]] = []
    with ExitStack() as files:
        writer = files.enter_context(thumbnail_writer(layout.thumbnails))
        streams = {
            space: files.enter_context(_vector_file(layout.embeddings(space), len(rows), dim)) for space in SPACES
        }
        single = None
        if (counts > 1).any():
            single = files.enter_context(_vector_file(layout.film_embeddings, int(firsts[-1]), dim))
            film_writer = files.enter_context(thumbnail_writer(layout.film_thumbnails))
        ends = np.searchsorted(rows, np.arange(embed.SHARD_CASES, embedded + embed.SHARD_CASES, embed.SHARD_CASES))
        for number, shard in enumerate(embed.read_shards(shards, embedded)):
            own = rows[start : ends[number]] - number * embed.SHARD_CASES
            if not len(own):
                continue
            shard = shard.take(pa.array(own)) if len(own) < len(shard) else shard
            for space, stream in streams.items():
                stream.writelines(shard.column(space).to_pylist())
            ids, thumbnails = shard.column("case_id").to_pylist(), shard.column("thumbnails").to_pylist()
            writer.write_table(thumbnail_table(ids, [films[0] if films else None for films in thumbnails]))
            if single is not None:
                single.writelines(_flat(shard.column("film_vectors").to_pylist()))
                owners = _flat([case_id] * len(films) for case_id, films in zip(ids, thumbnails, strict=True))
                film_writer.write_table(
                    thumbnail_table(owners, _flat([None, *films[1:]] for films in thumbnails if films))
                )
            first, last = firsts[start], firsts[start + len(shard)]
            seen = _flat(shard.column("film_features").to_pylist())
            chosen = wanted[(wanted >= first) & (wanted < last)] - first
            features += [np.frombuffer(seen[place], np.float16) for place in chosen.tolist()]
            start += len(shard)
    return np.stack(features) if features else np.zeros((0, 0), np.float16)


@contextmanager
def _vector_file(path: Path, rows: int, dim: int) -> Iterator[BinaryIO]:
    """A file of float16 vectors [rows, dim] that are to be written in order.

    Written, not mapped: on a full disk a write fails, where touching a mapped page kills the process.
    """
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)})
        yield stream


def _flat(lists: Iterable[Iterable[T]]) -> list[T]:
    return [one for several in lists for one in several]
