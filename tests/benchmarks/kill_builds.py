"""Builds killed at random points: whether each resumes to the same bytes and spares what was there.

    PYTHONPATH=tests/samples python tests/benchmarks/kill_builds.py [--kills 20] [--cases 400] [--engine local|ray …]

Each round is a build of small synthetic cases with an untrained system: up to two attempts are killed (SIGKILL to the
whole process group, as `kill -9` of a terminal's job), in turn at a moment drawn evenly over the time of the shortest
build that ended, and as soon as a number of shards is there that is drawn evenly, or one more than were left before;
then the same build runs to its end. Every second round replaces a casebook, which must verify after every kill.
Builds are forked from a process that has imported what they need, so that kills hit the build and not its imports.
Prints how far each killed attempt was, and exits 1 if any digest differs or anything was damaged.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

from tiny_samples import save_text_encoder, save_unified, write_films

from index_builder.build.build import BuildRequest, build
from index_builder.build.embed import SHARD_CASES
from index_builder.build.embed_ray import RayCluster
from index_builder.casebook.manifest import read_manifest, verify
from index_builder.errors import CxrError

#: Where builds are forked from.
CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = [
    "index_builder.build.embed",
    "index_builder.build.calibrate",
    "index_builder.evaluation.stored",
    "ray.data",
    "umap",
]
#: Attempts of a round that are killed before one may end.
KILLS_PER_ROUND = 2
#: Seconds that what a killed build has started may live on.
PATIENCE = 60
#: The last file there tells how far a build was.
PROGRESS = (
    ("finishing", "projections.parquet"),
    ("maps", "metrics.json"),
    ("index, calibration, evaluation", "thumbnails.parquet"),
    ("joining shards", "embeddings/image.npy"),
    ("embedding", "shards"),
    ("copying the system", "system"),
)


@dataclass
class Outcome:
    """What became of the builds of one engine."""

    killed_at: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    problems: list[str] = field(default_factory=list)
    slowest_end: float = 0.0


def attempt(request: BuildRequest, errors: Path) -> None:
    """A build in a process group of its own; what it raises is written down."""
    os.setsid()
    try:
        build(request, lambda stage, done, total: None)
    except CxrError as error:
        errors.write_text(f"{type(error).__name__}: {error}", "utf-8")
        raise SystemExit(2) from None


def start(request: BuildRequest) -> BaseProcess:
    """Begin a build."""
    process = CONTEXT.Process(target=attempt, args=(request, request.out.with_suffix(".errors")))
    process.start()
    return process


def run(request: BuildRequest) -> float:
    """Run a build to its end; the seconds it took."""
    began = time.monotonic()
    process = start(request)
    process.join()
    if process.exitcode:
        errors = request.out.with_suffix(".errors")
        raise SystemExit(errors.read_text("utf-8") if errors.is_file() else f"{request}: exit code {process.exitcode}")
    return time.monotonic() - began


def descendants(process: int) -> set[int]:
    """Numbers of the processes that a process has started, and those in turn."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found: set[int] = set()
    todo = [process]
    while todo:
        found.update(more := parents.get(todo.pop(), []))
        todo += more
    return found


def alive(process: int) -> bool:
    """Whether a process runs; one that is dead and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def killed(request: BuildRequest, after: float | int, outcome: Outcome) -> bool:
    """Run a build and kill it after some seconds (float) or shards (int); False if it had ended by then."""
    started_at = time.time()
    process = start(request)
    if isinstance(after, float):
        process.join(after)
    else:
        while process.exitcode is None and shards_done(request.out) < after:
            process.join(0.005)
    if process.exitcode is not None:
        return False
    assert process.pid is not None
    started = descendants(process.pid)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # so early that it has no group of its own yet
        process.kill()
    process.join()
    began = time.monotonic()
    while (left := [one for one in started if alive(one)]) and time.monotonic() - began < PATIENCE:
        time.sleep(0.05)
    if left:
        outcome.problems.append(f"{len(left)} processes live on {PATIENCE} s after the kill")
    outcome.slowest_end = max(outcome.slowest_end, time.monotonic() - began)
    outcome.killed_at[how_far(request.out, started_at)] += 1
    return True


def workspace_of(out: Path) -> Path:
    """Where a build keeps what is not finished."""
    return out.with_name(f".{out.name}.building")


def shards_done(out: Path) -> int:
    """Shards that an unfinished build has written."""
    return len(list(workspace_of(out).glob("shards/*/*.parquet")))


def written(path: Path, since: float) -> bool:
    """Whether a file was written after a moment; a folder may be of an earlier attempt."""
    return path.is_dir() or (path.is_file() and path.stat().st_mtime >= since)


def how_far(out: Path, since: float) -> str:
    """The stage a killed build was in, by the files it has written since it began."""
    building = workspace_of(out)
    if not building.is_dir():
        return "before or after"
    stage = next((stage for stage, name in PROGRESS if written(building / name, since)), "copying the system")
    if stage == "embedding":
        return "embedding, some shards done" if shards_done(out) else "embedding, no shard done"
    return stage


def rounds(request: BuildRequest, folder: Path, kills: int, draw: random.Random) -> Outcome:
    """Kill builds of one engine, and let each end."""
    engine = "local" if request.ray is None else "ray"
    wanted = read_manifest(folder / "reference").files
    old = read_manifest(folder / "old").files
    outcome = Outcome()
    seconds = run(replace(request, out=folder / engine))
    if read_manifest(folder / engine).files != wanted:
        outcome.problems.append("an uninterrupted build has other digests than the first")
    shards = -(-read_manifest(folder / "reference").cases // SHARD_CASES)
    print(f"{engine}: an uninterrupted build of {shards} shards takes {seconds:.1f} s", flush=True)
    while outcome.killed_at.total() < kills:
        outcome.rounds += 1
        target = folder / f"{engine}-{outcome.rounds}"
        target.mkdir()
        out = target / "casebook"
        replacing = outcome.rounds % 2 == 0
        if replacing:
            shutil.copytree(folder / "old", out)
        again = replace(request, out=out, replace=True)
        for _ in range(min(KILLS_PER_ROUND, kills - outcome.killed_at.total())):
            began = time.monotonic()
            by_time = outcome.killed_at.total() % 2 == 0
            after = draw.uniform(0, seconds) if by_time else max(shards_done(out) + 1, draw.randrange(1, shards))
            was_killed = killed(again, after, outcome)
            state = out if out.exists() else target / ".casebook.superseded"
            if replacing and (verify(state) or read_manifest(state).files not in (old, wanted)):
                outcome.problems.append(f"round {outcome.rounds}: the casebook that was there is damaged")
            if not was_killed:
                seconds = min(seconds, time.monotonic() - began)
                break
        run(again)
        if read_manifest(out).files != wanted or verify(out):
            outcome.problems.append(f"round {outcome.rounds}: other digests")
        if left := sorted(path.name for path in target.iterdir() if path != out):
            outcome.problems.append(f"round {outcome.rounds}: left {left}")
        shutil.rmtree(target)
        print(f"  round {outcome.rounds}: {dict(outcome.killed_at)}", flush=True)
    return outcome


def main() -> int:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="per engine")
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--engine", action="append", choices=["local", "ray"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    CONTEXT.set_forkserver_preload([__name__, *PRELOADED])
    problems = []
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        for part in ("films", "text", "system"):
            (folder / part).mkdir()
        write_films(folder / "films", options.cases)
        save_unified(folder / "system", save_text_encoder(folder / "text"))
        request = BuildRequest("manifest", folder / "films", folder / "reference", folder / "system")
        run(request)
        run(replace(request, out=folder / "old", limit=20))
        for engine in options.engine or ["local", "ray"]:
            began = time.monotonic()
            workers = None if engine == "local" else RayCluster(workers=2)
            outcome = rounds(replace(request, ray=workers), folder, options.kills, random.Random(options.seed))
            print(f"\n{engine}, {time.monotonic() - began:.0f} s\n\n| killed while | times |\n|---|---|")
            for stage, count in sorted(outcome.killed_at.items()):
                print(f"| {stage} | {count} |")
            print(
                f"\n{outcome.killed_at.total()} kills, {outcome.rounds} casebooks completed after them, "
                f"{len(outcome.problems)} problems; what a killed build had started was gone within "
                f"{outcome.slowest_end:.1f} s\n",
                flush=True,
            )
            problems += outcome.problems
    for problem in problems:
        print(problem)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
