"""What a build costs: films a second by engine and workers, and time and memory by the number of cases.

    PYTHONPATH=tests/samples python tests/benchmarks/build_scaling.py workers [--cases 1024] [--engine ray …]
    PYTHONPATH=tests/samples python tests/benchmarks/build_scaling.py cases [1000 3000 10000 30000 100000]

`workers` embeds synthetic films of phantom-dust with the shipped `siclip`, one thread a worker, on one Ray: a quarter
of the cases, then all. "with start" is the time of all; "at work" that of the three quarters by which both differ, so
that starting workers and loading the system drop out. `local` is the same work by threads of one process; `alone` by as
many processes that know nothing of each other, each with its part of the shards: what these processors give at most.

`cases` builds whole casebooks of small synthetic films, each in a process of its own, with an untrained system whose
vectors are as long as the shipped ones (256), and fits exponents against the number of cases by least squares of
logarithms: of time, for the build and for every stage, and of the peak of resident memory. Its times are the
processor's, of all threads together: other programs on the machine then hardly matter.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from tiny_samples import save_text_encoder, save_unified, write_films

from index_builder.build import build as building
from index_builder.build.embed import embed_shards, unfinished_shards
from index_builder.build.embed_ray import RayCluster, _ray, embed_on_ray
from index_builder.build.system import keep_system
from index_builder.datasets.phantom import PhantomDust
from index_builder.systems.graphs.record import read_record
from index_builder.systems.registry import load_system
from index_builder.systems.running.opening import open_encoder
from index_builder.systems.shipped import checkpoint_for

ENGINES = ("local", "ray", "alone")


def nothing(*_: object) -> None:
    """Progress that nobody watches."""


def open_work(count: int) -> tuple:
    """What a worker embeds; the system is kept as a build keeps it, once."""
    dataset, kept = PhantomDust(size=count), Path(tempfile.gettempdir()) / f"build-scaling-{os.getuid()}"
    if read_record(kept) is None:
        keep_system(load_system(checkpoint_for("phantom-dust", "siclip")), kept)
    return dataset, open_encoder(kept), dataset.cases()


def embed_alone(count: int, folder: Path, numbers: list[int]) -> None:
    """Embed some shards with one thread."""
    dataset, encoder, cases = open_work(count)
    embed_shards(dataset, encoder, cases, folder, numbers, nothing, threads=1)


def seconds_of(engine: str, workers: int, count: int) -> float:
    """Seconds to embed the first `count` phantoms."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = unfinished_shards(PhantomDust(size=count).cases(), folder)
        began = perf_counter()
        if engine == "ray":
            embed_on_ray(partial(open_work, count), folder, count, numbers, nothing, RayCluster(workers=workers))
        elif engine == "alone":
            with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
                parts = [pool.submit(embed_alone, count, folder, numbers[part::workers]) for part in range(workers)]
                for part in parts:
                    part.result()
        else:
            dataset, encoder, cases = open_work(count)
            embed_shards(dataset, encoder, cases, folder, numbers, nothing, threads=workers)
        return perf_counter() - began


def measure_workers(count: int, engines: list[str]) -> None:
    """Print films a second of one worker and two."""
    rates: dict[tuple[str, int], float] = {}
    print(f"load before: {os.getloadavg()[0]:.1f}")
    print("| engine | workers | films/s at work | films/s with start | load |\n|---|---|---|---|---|")
    with _ray(RayCluster(workers=2)) as (ray, _):
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        for engine in engines:
            for workers in (1, 2):
                few = seconds_of(engine, workers, count // 4)
                all_ = seconds_of(engine, workers, count)
                rates[engine, workers] = rate = (count - count // 4) / (all_ - few)
                load = os.getloadavg()[0]
                print(f"| {engine} | {workers} | {rate:.1f} | {count / all_:.1f} | {load:.1f} |", flush=True)
    for engine in engines:
        print(f"{engine}: two workers are {rates[engine, 2] / rates[engine, 1]:.2f} times as fast as one")


def built(folder: Path, films: Path, system: Path, count: int) -> tuple[dict[str, float], float]:
    """Seconds per stage and peak MB of the process that builds a casebook."""
    building.perf_counter = process_time
    report = building.build(building.BuildRequest("manifest", films, folder / f"casebook-{count}", system), nothing)
    return report.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exponent(counts: list[int], costs: list[float]) -> float:
    """Of what it costs against cases: the slope of their logarithms."""
    return float(np.polyfit(np.log(counts), np.log(np.maximum(costs, 1e-3)), 1)[0])


def measure_cases(counts: list[int]) -> None:
    """Print seconds and peak memory of builds of growing size, and the exponents."""
    stages: list[str] = []
    found: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="scaling-") as name:
        folder = Path(name)
        (folder / "text").mkdir()
        system = save_unified(folder / "system", save_text_encoder(folder / "text"), embedding_dim=256)
        for count in counts:
            films = folder / f"films-{count}"
            films.mkdir()
            write_films(films, count)
            began = perf_counter()
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                seconds, peak = pool.submit(built, folder, films, system, count).result()
            stages = [stage for stage in seconds if not stage.startswith("·")]
            found[count] = seconds | {"total": sum(seconds[stage] for stage in stages), "peak, MB": peak}
            size = sum(path.stat().st_size for path in (folder / f"casebook-{count}").rglob("*") if path.is_file())
            print(
                f"{count} cases: {perf_counter() - began:.0f} s, peak {peak:.0f} MB, casebook {size / 2**20:.0f} MB, "
                f"load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
            shutil.rmtree(films)
            shutil.rmtree(folder / f"casebook-{count}")
            if len(found) < 2:
                continue
            done = list(found)
            print(f"\n| stage, s | {' | '.join(f'{one:,}' for one in done)} | exponent |")
            print("|---|" + "---|" * (len(done) + 1))
            for stage in [*stages, "total", "peak, MB"]:
                costs = [found[one][stage] for one in done]
                shown = " | ".join(f"{one:,.0f}" if one > 500 else f"{one:.1f}" for one in costs)
                print(f"| {stage} | {shown} | {exponent(done, costs):.2f} |")
            print(flush=True)


def main() -> None:
    """Measure one or the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    workers = kinds.add_parser("workers")
    workers.add_argument("--cases", type=int, default=1024)
    workers.add_argument("--engine", dest="engines", action="append", choices=ENGINES)
    kinds.add_parser("cases").add_argument("counts", type=int, nargs="*", default=[1000, 3000, 10_000, 30_000, 100_000])
    options = parser.parse_args()
    if options.kind == "workers":
        measure_workers(options.cases, options.engines or list(ENGINES))
    else:
        measure_cases(options.counts)


if __name__ == "__main__":
    main()
