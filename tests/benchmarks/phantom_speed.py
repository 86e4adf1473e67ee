"""Films drawn per second on one core, 512 x 512: `python tests/benchmarks/phantom_speed.py [films]`.

Drawing uses no threads of its own; NumPy is kept to one thread so that the figure is of one core.
"""

import os
import sys
import time


def films_per_second(films: int) -> None:
    """Draw the first films of each cohort and print the rate by processor time and by wall time."""
    from index_builder.datasets.phantom import PhantomDust, PhantomOpenI

    for cohort in (PhantomDust(size=films), PhantomOpenI()):
        references = [case.image or "" for case in cohort.cases()[:films]]
        cohort.load_film(references[0])
        processor, wall = time.process_time(), time.perf_counter()
        for reference in references:
            cohort.load_film(reference)
        processor, wall = time.process_time() - processor, time.perf_counter() - wall
        print(f"{cohort.card.name}: {films / processor:.1f} films/s of processor time, {films / wall:.1f} of wall time")


if __name__ == "__main__":
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    films_per_second(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
