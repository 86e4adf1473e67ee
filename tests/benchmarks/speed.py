"""Films per second of the pipeline beside its encoder alone, and milliseconds per query.

    python tests/benchmarks/speed.py CASEBOOK [CASES]

CASEBOOK must have films. The pipeline is what `build` runs to embed: read or draw, decode, preprocess, thumbnails, both
encoders, shards. The encoder alone is the same number of forward passes on inputs that are already in memory.
"""

import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from explorer.casebook import Casebook
from explorer.search.query import Query
from explorer.search.search import search_cases
from index_builder.build.embed import BATCH, embed_shards, load_film, unfinished_shards
from index_builder.cases.case import Case
from index_builder.datasets import open_dataset
from index_builder.systems.graphs.encoder import Encoder


def encoder_seconds(encoder: Encoder, pixels: list[np.ndarray], texts: list[str]) -> float:
    """Seconds of forward passes over films and texts in memory."""
    began = perf_counter()
    for start in range(0, len(pixels), BATCH):
        encoder.encode_films(np.stack(pixels[start : start + BATCH]))
    ordered = sorted(texts, key=len)
    for start in range(0, len(ordered), BATCH):
        encoder.encode_texts(ordered[start : start + BATCH])
    return perf_counter() - began


def latency(casebook: Casebook, name: str, queries: list[Query]) -> None:
    """Print p50 and p95 of a kind of query after one warm-up."""
    search_cases(casebook, queries[0])
    times = [search_cases(casebook, query).timings_ms["total"] for query in queries]
    p50, p95 = np.percentile(times, [50, 95])
    print(f"query by {name:<16} p50 {p50:6.1f} ms  p95 {p95:6.1f} ms  n {len(times)}")


def main(folder: str, count: int) -> None:
    """Measure one casebook's dataset and queries."""
    casebook = Casebook.open(folder)
    record = casebook.manifest.dataset
    dataset = open_dataset(record.kind, None if record.root is None else Path(record.root), record.seed)
    cases: list[Case] = [casebook.case(case_id) for case_id in casebook.case_ids]
    cases = [case for case in cases if case.image is not None][:count]
    encoder, threads = casebook.encoder, os.cpu_count() or 1

    began = perf_counter()
    loaded = [load_film(dataset, str(case.image), encoder) for case in cases]
    reading = perf_counter() - began
    texts = [text for case in cases if (text := encoder.read(case))]
    pixels = [one.pixels for one in loaded]
    encoder_seconds(encoder, pixels[:BATCH], texts[:BATCH])
    alone = encoder_seconds(encoder, pixels, texts)
    with tempfile.TemporaryDirectory() as shards:
        began = perf_counter()
        embed_shards(dataset, encoder, cases, Path(shards), unfinished_shards(cases, Path(shards)), lambda done: None)
        pipeline = perf_counter() - began
    again = encoder_seconds(encoder, pixels, texts)
    encoder = (alone + again) / 2
    n = len(cases)
    print(f"{casebook.name}: {n} films, {len(texts)} texts, {threads} threads")
    print(f"read or draw, preprocess   {n / reading:6.1f} films/s, one thread")
    print(f"encoders alone             {n / encoder:6.1f} cases/s (before and after the pipeline: mean)")
    print(f"pipeline                   {n / pipeline:6.1f} cases/s")
    print(
        f"overhead                   {pipeline / encoder:6.2f} times the encoders alone; "
        f"{pipeline / (encoder + reading / threads):.2f} times encoders + reading on all threads"
    )
    few = cases[:60]
    latency(casebook, "film", [Query(pixels=one) for one in pixels[:60]])
    if texts:
        latency(casebook, "text", [Query(text=text) for text in texts[:60]])
        latency(casebook, "film and text", [Query(pixels=one, text=texts[0]) for one in pixels[:60]])
    latency(casebook, "case", [Query(case_id=case.case_id) for case in few])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 256)
