"""Time and memory to open a casebook of N cases, and to use it a little.

    python tests/benchmarks/opening.py FOLDER [N …]

The cases are made up: ids, labels, splits, views, age, sex and a short report each. There are no vectors, which are
mapped and not read at opening, and no films. Each casebook is written to FOLDER, opened in a fresh process, deleted.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import SCHEMA_VERSION, DatasetRecord, Manifest, SystemRecord, write_manifest
from index_builder.cases.table import write_cases

LABELS = tuple(f"Finding {number}" for number in range(15))


def resident_mb() -> float:
    """Memory of this process in MB, files mapped into it included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def made_up(count: int) -> pa.Table:
    """A table as `cases_table` makes them."""
    random = np.random.default_rng(0)

    def some(values: list[str | None], kind: pa.DataType | None = None) -> pa.Array:
        return pa.array(values, kind or pa.string()).take(pa.array(random.integers(len(values), size=count)))

    numbers = pa.array(np.arange(count)).cast(pa.string())
    labels: list[list[str]] = [[], *([one] for one in LABELS), *([LABELS[one], LABELS[one - 1]] for one in range(15))]
    lists = pa.list_(pa.string())
    reports = [f"There is {label.lower()}." for label in LABELS]
    return pa.table(
        {
            "case_id": pc.binary_join_element_wise("case-", numbers, ""),
            "patient_id": pc.binary_join_element_wise("patient-", numbers, ""),
            "split": some(["train", "train", "train", "val", "test"]),
            "view": some(["PA", "AP", None]),
            "labels": some(labels, lists),  # type: ignore[arg-type]
            "codes": some([[]], lists),  # type: ignore[list-item]
            "image": some([None]),
            "other_images": some([[]], lists),  # type: ignore[list-item]
            "synthetic": pa.array(np.ones(count, bool)),
            "section.impression": some(reports),  # type: ignore[arg-type]
            "profile.age": pa.array(random.integers(20, 90, count)),
            "profile.sex": some(["F", "M"]),
        }
    )


def write(folder: Path, count: int) -> float:
    """Write a casebook; its size on disk in MB."""
    layout = Layout(folder)
    write_cases(made_up(count), layout.cases, layout.case_keys)
    words = dict.fromkeys(("title", "description", "citation", "licence", "source", "label_definition"), "made up")
    dataset = DatasetRecord(
        kind="manifest",
        root=None,
        seed=0,
        limit=None,
        label_names=LABELS,
        synthetic=True,
        **words,  # type: ignore[arg-type]
    )
    system = SystemRecord(
        name="unified",
        preset="compact",
        digest="",
        embedding_dim=256,
        image_encoder="",
        text_encoder="",
        reads="report",
        predicts_by="classifier",
        label_names=LABELS,
        vote_neighbours=7,
        vote_temperature=0.1,
        theta=None,
    )
    write_manifest(
        folder,
        Manifest(
            schema_version=SCHEMA_VERSION,
            name=folder.name,
            dataset=dataset,
            system=system,
            spaces={},
            cases=count,
            films=0,
            reports=count,
            files={},
        ),
    )
    return sum(path.stat().st_size for path in layout.files()) / 1e6


def use(folder: Path) -> list[float]:
    """Seconds, processor seconds and MB of opening, then of one case by its id, label counts, and a filter."""
    from explorer.casebook import Casebook
    from explorer.search.filters.expression import matching_rows, parse_filter

    before, found = resident_mb(), []
    began = perf_counter(), process_time()

    def done() -> None:
        nonlocal began
        found.extend((perf_counter() - began[0], process_time() - began[1], resident_mb()))
        began = perf_counter(), process_time()

    casebook = Casebook.open(folder)
    done()
    casebook.case(f"case-{len(casebook) // 3}")
    done()
    casebook.label_matrix.sum(0)
    done()
    matching_rows(casebook, [parse_filter("sex=F"), parse_filter("age=40..60"), parse_filter("label!=Finding 3")])
    done()
    return [before, *found]


def main(place: str, counts: list[int]) -> None:
    """Print a row per size."""
    steps_named = "open: s, processor s, MB | one case | label counts | three filters"
    print(f"| cases | MB on disk | {steps_named} | MB before opening |")
    print("|" + "---|" * 7)
    for count in counts:
        folder = Path(place) / f"opening-{count}"
        folder.mkdir(parents=True)
        try:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                size = pool.submit(write, folder, count).result()
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                before, *steps = pool.submit(use, folder).result()
            cells = [f"{s:.3f}, {cpu:.3f}, {mb:.0f}" for s, cpu, mb in np.array(steps).reshape(-1, 3)]
            print(f"| {count:,} | {size:,.0f} | {' | '.join(cells)} | {before:.0f} |", flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1], [int(one) for one in sys.argv[2:]] or [10_000, 1_000_000])
