"""Shards embedded by worker processes of Ray Data: those of this machine, or of a cluster that shares a filesystem.

A worker is one process with one thread. It opens dataset and system by itself and writes shards where the build looks
for them; through Ray go their numbers alone. A worker that dies is replaced and its shard made again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index_builder.embed import EmbedTimings, embed_shards, shard_size
from index_builder.errors import CxrError, InstallationError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from index_builder.datasets.base import Case, Dataset
    from index_builder.systems.base import RetrievalSystem

#: Groups of shards Ray keeps count of; a dead worker's whole group is made again.
_MOST_GROUPS = 4096
#: Shared memory of a Ray started here: numbers of shards need next to none, but Ray Data plans with it.
_OBJECT_STORE_BYTES = 512 * 2**20

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would report to its makers
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@dataclass(frozen=True, slots=True)
class RayCluster:
    """Where workers run.

    Attributes:
        address: Of a cluster, as `ray.init` takes it, e.g. "auto" on one of its nodes; None: a Ray of this build's own.
        workers: How many; None: one per processor, less one on a cluster, where Ray Data needs it.
    """

    address: str | None = None
    workers: int | None = None


#: Opens what a worker embeds, in the worker.
OpenWork = Callable[[], "tuple[Dataset, RetrievalSystem, Sequence[Case]]"]


def embed_on_ray(
    open_work: OpenWork,
    folder: Path,
    count: int,
    numbers: Sequence[int],
    advance: Callable[[int], None],
    cluster: RayCluster,
) -> EmbedTimings:
    """Embed some shards; what `embed.embed_shards` does, with the same bytes.

    Args:
        open_work: Opens dataset, system and cases; called once by each worker.
        folder: Where shards are written; all workers see it under this path.
        count: Cases in all.
        numbers: Which shards.
        advance: Called with the number of cases finished since the last call.
        cluster: Where.

    Raises:
        CxrError: As a worker raised it, or no Ray or no such cluster.
        OSError: As a worker raised it.
    """
    timings = EmbedTimings()
    if not numbers:
        return timings
    with _ray(cluster) as (ray, workers):
        items = [{"number": number} for number in numbers]
        shards = ray.data.from_items(items, override_num_blocks=min(len(items), _MOST_GROUPS)).map_batches(
            _Worker,
            fn_constructor_args=(open_work, str(folder)),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(items))),
            num_cpus=1,
        )
        try:
            for row in shards.iter_rows():
                advance(shard_size(count, row.pop("number")))
                timings.add(EmbedTimings(**row))
        except ray.exceptions.RayError as error:
            raise _cause(error) from error
    return timings


class _WorkerFailed(Exception):  # noqa: N818  carries an error, is none of its own
    """Carries an error past Ray, which appends advice of its own to the arguments of whatever is raised."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(str(failure))
        self.failure = failure

    def __reduce__(self) -> tuple[type[_WorkerFailed], tuple[Exception]]:
        return type(self), (self.failure,)


class _Worker:
    """Embeds one shard after another. What can fail is opened by the first call: Ray tells its errors as they are."""

    def __init__(self, open_work: OpenWork, folder: str) -> None:
        self._open_work = open_work
        self._folder = Path(folder)
        self._work: tuple[Dataset, RetrievalSystem, Sequence[Case]] | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        numbers = batch["number"].tolist()
        try:
            if self._work is None:
                self._work = self._open_work()
            dataset, system, cases = self._work
            timings = embed_shards(dataset, system, cases, self._folder, numbers, lambda done: None, threads=1)
        except (CxrError, OSError) as error:
            raise _WorkerFailed(error) from None
        return {"number": numbers} | {name: [seconds] for name, seconds in asdict(timings).items()}


@contextmanager
def _ray(cluster: RayCluster) -> Iterator[tuple[Any, int]]:
    """Ray and the number of workers; a Ray that the calling program has started is used and left running."""
    os.environ |= _QUIET
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise InstallationError(
            f"--engine ray needs the package ray ({error}). Install it: pip install 'cxr-explorer[ray]'."
        ) from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    began = not ray.is_initialized()
    if began:
        quiet = {"include_dashboard": False, "logging_level": "error", "log_to_driver": False}
        try:
            if cluster.address is None:
                # Ray Data hangs when workers hold every processor it knows of: it is told of one more.
                known = (cluster.workers or os.cpu_count() or 1) + 1
                ray.init(num_cpus=known, object_store_memory=_OBJECT_STORE_BYTES, **quiet)
            else:
                ray.init(address=cluster.address, **quiet)
        except Exception as error:  # Ray raises what its parts do, down to bare Exception
            where = "here" if cluster.address is None else f"at --address {cluster.address}"
            raise WorkerError(
                f"no Ray {where} ({' '.join(str(error).split())[:200]}). Check `ray status`, or leave out --engine ray."
            ) from error
    try:
        yield ray, cluster.workers or max(1, int(ray.cluster_resources().get("CPU", 2)) - 1)
    finally:
        if began:
            ray.shutdown()


def _cause(error: BaseException) -> Exception:
    """What went wrong in the worker, below the layers Ray puts around it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(failure := getattr(seen, "failure", None), Exception):
            return failure
        seen = getattr(seen, "cause", None) or seen.__cause__
    return WorkerError(f"a Ray worker failed: {' '.join(str(error).split())[-300:]}. Run the same command again.")
