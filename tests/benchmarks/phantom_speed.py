"""Films drawn per second on one core, 512 x 512: `python tests/benchmarks/phantom_speed.py [films]`."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import time

from index_builder.datasets.phantom import PhantomDust, PhantomOpenI


def films_per_second(cohort: PhantomDust | PhantomOpenI, films: int) -> tuple[float, float]:
    """Films per second of processor time and of wall time over the first cases of a cohort."""
    references = [case.image or "" for case in cohort.cases()[:films]]
    cohort.load_film(references[0])
    processor, wall = time.process_time(), time.perf_counter()
    for reference in references:
        cohort.load_film(reference)
    return films / (time.process_time() - processor), films / (time.perf_counter() - wall)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for cohort in (PhantomDust(size=count), PhantomOpenI()):
        per_processor, per_wall = films_per_second(cohort, count)
        print(f"{cohort.card.name}: {per_processor:.1f} films/s of processor time, {per_wall:.1f} films/s of wall time")
