"""Builds killed at random points: whether each resumes to the same bytes and spares what was there.

    PYTHONPATH=tests python tests/benchmarks/kill_builds.py [--kills 20] [--cases 400] [--engine local] [--engine ray]

Each round is a build by the command line of small synthetic cases with an untrained system: up to two attempts are
killed (SIGKILL to the whole process group, as `kill -9` of a terminal's job) at points drawn evenly over the time an
uninterrupted build takes, then the same command runs to its end. Every second round replaces a casebook, which must
verify after every kill. Prints how far each killed attempt was, and exits 1 if any digest differs or anything was
damaged.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tiny_samples import save_text_encoder, save_unified, write_films

from index_builder.casebook import Layout, read_manifest, verify

#: Attempts of a round that are killed before one may end.
KILLS_PER_ROUND = 2
#: Seconds that what a killed build has started may live on.
PATIENCE = 60
#: The last file there tells how far a build was.
PROGRESS = (
    ("maps and evaluation", "projections.parquet"),
    ("calibration", "thumbnails.parquet"),
    ("joining shards", "embeddings"),
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


def command(folder: Path, out: Path, engine: str, *options: str) -> list[str]:
    """The build, as a user types it."""
    build = [sys.executable, "-m", "explorer.cli", "build", "--dataset", "manifest", "--root", str(folder / "films")]
    build += ["--checkpoint", str(folder / "system"), "--out", str(out), "--engine", engine, *options]
    return build if engine == "local" else [*build, "--workers", "2"]


def run(build: list[str]) -> float:
    """Run a build to its end; the seconds it took."""
    began = time.monotonic()
    done = subprocess.run(build, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(build)}: {done.stderr}")
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


def killed(build: list[str], after: float, out: Path, outcome: Outcome) -> bool:
    """Run a build and kill it after some seconds; False if it had ended by then."""
    process = subprocess.Popen(build, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        _, errors = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        started = descendants(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        began = time.monotonic()
        while left := [one for one in started if alive(one)]:
            if time.monotonic() - began > PATIENCE:
                outcome.problems.append(f"{len(left)} processes live on {PATIENCE} s after the kill")
                for one in left:
                    os.kill(one, signal.SIGKILL)
            time.sleep(0.05)
        outcome.slowest_end = max(outcome.slowest_end, time.monotonic() - began)
        outcome.killed_at[how_far(out)] += 1
        return True
    if process.returncode:
        outcome.problems.append(errors.decode())
    return False


def how_far(out: Path) -> str:
    """The stage a killed build was in, by what it left."""
    building = out.with_name(f".{out.name}.building")
    if not building.is_dir():
        return "before or after"
    stage = next((stage for stage, name in PROGRESS if (building / name).exists()), "copying the system")
    if stage == "embedding":
        return f"embedding, {len(list(building.glob('shards/*/*.parquet')))} shards done"
    return stage


def rounds(folder: Path, engine: str, kills: int, draw: random.Random) -> Outcome:
    """Kill builds of one engine, and let each end."""
    wanted = read_manifest(folder / "reference").files
    old = read_manifest(folder / "old").files
    outcome = Outcome()
    seconds = run(command(folder, folder / "timed", engine))
    if read_manifest(folder / "timed").files != wanted:
        outcome.problems.append(f"{engine}: an uninterrupted build has other digests than the local engine's")
    print(f"{engine}: an uninterrupted build takes {seconds:.1f} s", flush=True)
    while outcome.killed_at.total() < kills:
        outcome.rounds += 1
        target = folder / f"{engine}-{outcome.rounds}"
        target.mkdir()
        out = target / "casebook"
        replacing = outcome.rounds % 2 == 0
        if replacing:
            shutil.copytree(folder / "old", out)
        build = command(folder, out, engine, "--replace")
        for _ in range(min(KILLS_PER_ROUND, kills - outcome.killed_at.total())):
            was_killed = killed(build, draw.uniform(0, seconds), out, outcome)
            state = out if out.exists() else target / ".casebook.superseded"
            if replacing and (verify(state) or read_manifest(state).files not in (old, wanted)):
                outcome.problems.append(f"round {outcome.rounds}: the casebook that was there is damaged")
            if not was_killed or (Layout(out).manifest.is_file() and read_manifest(out).files == wanted):
                break
        run(build)
        if read_manifest(out).files != wanted or verify(out):
            outcome.problems.append(f"round {outcome.rounds}: other digests")
        if [path.name for path in target.iterdir()] != ["casebook"]:
            outcome.problems.append(f"round {outcome.rounds}: left {sorted(path.name for path in target.iterdir())}")
        shutil.rmtree(target)
        print(f"  round {outcome.rounds}: {outcome.killed_at.total()} killed", flush=True)
    return outcome


def main() -> int:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="per engine")
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--engine", action="append", choices=["local", "ray"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    problems = []
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        for part in ("films", "text", "system"):
            (folder / part).mkdir()
        write_films(folder / "films", options.cases)
        save_unified(folder / "system", save_text_encoder(folder / "text"))
        run(command(folder, folder / "reference", "local"))
        run(command(folder, folder / "old", "local", "--limit", "20"))
        for engine in options.engine or ["local", "ray"]:
            shutil.rmtree(folder / "timed", ignore_errors=True)
            began = time.monotonic()
            outcome = rounds(folder, engine, options.kills, random.Random(options.seed))
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
