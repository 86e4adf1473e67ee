"""Shards embedded by worker processes of Ray Data: those of this machine, or of a cluster that shares a filesystem.

A worker is one process with one thread. It opens dataset and encoder by itself and writes shards where the build looks
for them; through Ray go their numbers alone. A worker that dies is replaced and its shard made again.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from index_builder.build.embed import EmbedTimings, embed_shards, shard_size
from index_builder.errors import CxrError, InstallationError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from index_builder.cases.case import Case
    from index_builder.datasets.base import Dataset
    from index_builder.systems.graphs.encoder import Encoder

#: Groups of shards Ray keeps count of; a dead worker's whole group is made again.
_MOST_GROUPS = 4096
#: Shared memory of a Ray started here: numbers of shards need next to none, but Ray Data plans with it.
_OBJECT_STORE_BYTES = 512 * 2**20

#: What Ray reads from the environment when it starts.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would report to its makers
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_QUIET = {"logging_level": "error", "log_to_driver": False}
#: A worker slow to start on a busy machine is waited for: to give it up and start another would make it busier.
_PATIENCE = {"worker_register_timeout_seconds": 600, "health_check_failure_threshold": 60}
#: Seconds a cluster has to answer, and workers to finish one more shard before they count as stuck.
_ANSWER_SECONDS = 10
_STUCK_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class RayCluster:
    """Where workers run.

    Attributes:
        address: Address of a cluster, as `ray.init` takes it, e.g. "auto" on one of its nodes; None: a Ray of this
            build's own.
        workers: How many; None: one per processor, less one on a cluster, for the build itself.
    """

    address: str | None = None
    workers: int | None = None


#: Opens what a worker embeds, in the worker.
OpenWork = Callable[[], "tuple[Dataset, Encoder, Sequence[Case]]"]


def embed_on_ray(
    open_work: OpenWork,
    folder: Path,
    count: int,
    numbers: Sequence[int],
    advance: Callable[[int], None],
    cluster: RayCluster,
    *,
    skip_unreadable: bool = False,
) -> EmbedTimings:
    """Embed some shards; what `embed.embed_shards` does, with the same bytes.

    Args:
        open_work: Opens dataset, encoder and cases; called once by each worker.
        folder: Where shards are written; all workers see it under this path.
        count: Cases in all.
        numbers: Which shards.
        advance: Called with the number of cases finished since the last call.
        cluster: Where.
        skip_unreadable: As of `embed.embed_shards`.

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
            fn_constructor_args=(open_work, str(folder), skip_unreadable),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(items))),
            num_cpus=1,
        )
        try:
            for row in shards.iter_rows():
                advance(shard_size(count, row.pop("number")))
                timings.add(EmbedTimings(**row))
        except (ray.exceptions.RayError, ray.data.exceptions.SystemException) as error:
            raise _cause(error) from error
        except ray.data.exceptions.ExecutionTimeoutError:
            raise WorkerError(
                f"no Ray worker finished a shard within {_STUCK_SECONDS} s. See with `ray status` that the cluster has "
                "processors free, then run the same command again: it continues from the finished shards."
            ) from None
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

    def __init__(self, open_work: OpenWork, folder: str, skip_unreadable: bool) -> None:
        self._open_work = open_work
        self._folder = Path(folder)
        self._skip_unreadable = skip_unreadable
        self._work: tuple[Dataset, Encoder, Sequence[Case]] | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        numbers = batch["number"].tolist()
        try:
            if self._work is None:
                self._work = self._open_work()
            dataset, encoder, cases = self._work
            timings = embed_shards(
                dataset,
                encoder,
                cases,
                self._folder,
                numbers,
                lambda done: None,
                threads=1,
                skip_unreadable=self._skip_unreadable,
            )
        except (CxrError, OSError) as error:
            raise _WorkerFailed(error) from None
        return {"number": numbers} | {name: [seconds] for name, seconds in asdict(timings).items()}


@contextmanager
def _ray(cluster: RayCluster) -> Iterator[tuple[Any, int]]:
    """Ray and the number of workers; a Ray that the calling program has started is used and left running."""
    os.environ |= _ENVIRONMENT
    try:
        import ray
        import ray.data
        import ray.data.exceptions
        import ray.exceptions
    except ImportError as error:
        raise InstallationError(
            f"--engine ray needs the package ray ({error}). Install it: pip install 'cxr-explorer[ray]'."
        ) from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    context.execution_no_progress_timeout_s = _STUCK_SECONDS
    with ExitStack() as ended:
        if not ray.is_initialized():
            _start(ray, cluster, ended)
        yield ray, cluster.workers or max(1, int(ray.cluster_resources().get("CPU", 2)) - 1)


def _start(ray: Any, cluster: RayCluster, ended: ExitStack) -> None:
    """Join the cluster, or start a Ray of this build's own, whose processes and files end with it."""
    settings: dict[str, Any]
    if cluster.address is not None:
        _check_answers(cluster.address)
        settings = {"address": cluster.address}
    else:
        settings = {
            "address": "local",
            # One more than workers hold, so that nothing else of Ray Data can wait for them.
            "num_cpus": (cluster.workers or os.cpu_count() or 1) + 1,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
            # Not TMPDIR: sockets lie there, whose paths may have about a hundred characters.
            "_temp_dir": ended.enter_context(
                TemporaryDirectory(prefix="cxr-ray-", dir="/tmp", ignore_cleanup_errors=True)
            ),
            "_system_config": _PATIENCE,
        }
    ended.callback(ray.shutdown)
    try:
        with _standard_error_closed():
            ray.init(**settings, **_QUIET)
    except Exception as error:  # Ray raises what its parts do, down to bare Exception
        raise _not_started(error, cluster.address) from error


def _not_started(error: Exception, address: str | None) -> WorkerError:
    """Why there is no Ray, and what to do."""
    if any("InvalidAuthToken" in str(one) for one in _causes(error)):
        return WorkerError(
            f"the Ray at --address {address} wants its token. Give --address auto on one of its nodes, or set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (on its head node: `ray get-auth-token`)."
        )
    said = " ".join(str(error).split())[:200]
    if address is None:
        return WorkerError(
            f"no Ray here ({said}). Where other programs keep this machine busy, try again when they are done, or "
            "leave out --engine ray."
        )
    return WorkerError(
        f"no Ray at --address {address} ({said}). Check `ray status` on the cluster's head node, or leave out "
        "--engine ray."
    )


def _check_answers(address: str) -> None:
    """Ask a cluster for a connection: Ray itself would wait minutes for one that is not there.

    Raises:
        WorkerError: The address makes no sense, or nothing answers there.
    """
    if address == "auto":  # the cluster whose node this is; Ray looks it up at once
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise WorkerError(f"--address {address}: give HOST:PORT, or auto on a node of the cluster.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except OSError as error:
        raise WorkerError(
            f"no Ray at --address {address} ({error.strerror or error}). Check `ray status` on the cluster's head node "
            "and that this machine reaches its port, or leave out --engine ray."
        ) from None


@contextmanager
def _standard_error_closed() -> Iterator[None]:
    """Keep what Ray's C++ part writes there about its own start from the user, who is shown the build's progress."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _cause(error: BaseException) -> Exception:
    """What went wrong in the worker, below the layers Ray puts around it."""
    for one in _causes(error):
        if isinstance(failure := getattr(one, "failure", None), Exception):
            return failure
    return WorkerError(f"a Ray worker failed: {' '.join(str(error).split())[-300:]}. Run the same command again.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = getattr(one, "cause", None) or one.__cause__
