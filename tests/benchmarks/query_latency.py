"""End-to-end queries at N cases: decode a film, embed it, search, and gather what the cards show.

    OMP_NUM_THREADS=2 python tests/benchmarks/query_latency.py CASEBOOK FOLDER [N]

CASEBOOK has films. Its cases are repeated to N in FOLDER under new ids, with film vectors drawn around its own (see
stores.py), its system and its thumbnails; the copy is kept, and taken as it is the next time.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
from stores import vectors_like

from explorer.casebook import Casebook
from explorer.search.filters.expression import parse_filter
from explorer.search.query import Query, SearchOptions
from explorer.search.search import search_cases
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import SpaceRecord, read_manifest, write_manifest
from index_builder.casebook.thumbnails import ThumbnailReader, thumbnail_writer
from index_builder.cases.table import read_cases, write_cases
from index_builder.imaging import decode_film, display_png
from index_builder.stores.base import case_keys
from index_builder.stores.faiss import FaissStore

QUERIES = 60
_GROUP = 128


def enlarge(source: Path, folder: Path, count: int) -> None:
    """Write the enlarged casebook, searched by film alone."""
    manifest, old, new = read_manifest(source), Layout(source), Layout(folder)
    original = Casebook.open(source)
    rows = np.flatnonzero(original.has_vector("image"))
    seeds = original.vectors("image")[rows].astype(np.float32)
    vectors, origin = vectors_like(seeds / np.linalg.norm(seeds, axis=1, keepdims=True), count, 0)
    ids = pa.array([f"case-{row}" for row in range(count)])
    shutil.copytree(old.system, new.system)
    for path in (old.film_check, old.held_out):
        if path.exists():
            shutil.copy(path, folder)
    table = read_cases(old.cases, manifest.cases)
    copied = {name: table.column(name) for name in table.column_names}
    for name in copied:
        kind = copied[name].type
        if pa.types.is_dictionary(kind):
            copied[name] = copied[name].cast(pa.string())
        elif name == "labels":
            copied[name] = copied[name].cast(pa.list_(pa.string()))
    repeated = pa.table(copied).combine_chunks().take(pa.array(rows[origin]))
    repeated = repeated.set_column(repeated.column_names.index("case_id"), "case_id", ids)
    write_cases(repeated, new.cases, new.case_keys)
    thumbnails = ThumbnailReader(old.thumbnails)
    small = {int(row): thumbnails[int(row)] for row in rows}
    with thumbnail_writer(new.thumbnails) as writer:
        for start in range(0, count, _GROUP):
            group = [small[int(row)] for row in rows[origin[start : start + _GROUP]]]
            writer.write_table(
                pa.table({"case_id": ids.slice(start, _GROUP), "thumbnail": pa.array(group, pa.binary())})
            )
    new.embeddings("image").parent.mkdir()
    np.save(new.embeddings("image"), vectors.astype(np.float16))
    new.indexes.mkdir()
    store = FaissStore.build(vectors, case_keys(ids.to_pylist()))
    store.write(new.index("image"), new.index_keys("image"))
    nearest = manifest.spaces["image"].nearest_similarity
    record = SpaceRecord(count=count, index=store.kind, nearest_similarity=nearest)
    changed = {"cases": count, "films": count, "reports": count, "spaces": {"image": record}, "files": {}}
    write_manifest(folder, manifest.model_copy(update={**changed, "name": folder.name}))


def main(source: Path, folder: Path, count: int) -> None:
    """Print milliseconds by step."""
    if not folder.exists():
        folder.mkdir(parents=True)
        enlarge(source, folder, count)
    original = Casebook.open(source)
    with_film = np.flatnonzero(original.has_vector("image"))[:QUERIES]
    films = [
        display_png(original.film(str(original.case(original.case_ids[int(row)]).image)).pixels, 1024)
        for row in with_film
    ]
    casebook = Casebook.open(folder)
    filtered = SearchOptions(k=5, filters=(parse_filter("view=PA"), parse_filter(f"label!={casebook.label_names[0]}")))
    for name, options in (("film", SearchOptions(k=5)), ("film, two filters", filtered)):
        steps = []
        for number, content in enumerate([films[0], *films]):
            began = perf_counter()
            film = decode_film(content, name="query")
            decoded = perf_counter()
            result = search_cases(casebook, Query(pixels=film.pixels), options)
            found = perf_counter()
            cards = [(casebook.case(one.case_id), casebook.thumbnail(one.case_id)) for one in result.neighbours]
            done = perf_counter()
            if number:  # the first loads the system and the index
                embed = result.timings_ms["embed"]
                times = 1e3 * np.array([decoded - began, found - decoded, done - found, done - began])
                steps.append([times[0], embed, times[1] - embed, times[2], times[3]])
        assert len(cards) == 5
        for label, column in zip(("decode", "embed", "search", "cards", "total"), np.array(steps).T, strict=True):
            p50, p95 = np.percentile(column, [50, 95])
            print(f"{name:<18} {label:<7} p50 {p50:7.1f} ms  p95 {p95:7.1f} ms")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 100_000)
