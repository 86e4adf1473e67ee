"""Text search at N reports: what its index costs to build and to keep, and how long a typed query takes by each mode.

    OMP_NUM_THREADS=1 PYTHONPATH=tests python tests/benchmarks/text_search_scale.py CASEBOOK FOLDER [N] [--vectors flat]

CASEBOOK is built of openi. Its reports are repeated to N in FOLDER, every copy with two words put in place of others,
under new ids, with text vectors drawn around its own (see stores.py), its system, and the facts of the report that a
copy was made of: only the time to read those of the first copies is measured. The copy is kept, and taken as it is
the next time. Queries are typed ones of `text_queries`, as many of each kind, ten results each; times are end to end,
the encoder of a query included.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
from benchmarks.stores import vectors_like
from benchmarks.text_queries import KINDS, text_queries

from explorer import Query, SearchOptions
from explorer.casebook import Casebook
from explorer.search.query import MODES
from explorer.search.search import search_cases
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import LexicalRecord, SpaceRecord, read_manifest, write_manifest
from index_builder.cases.table import SECTION_PREFIX, read_cases, write_cases
from index_builder.datasets.published.openi import OpenI
from index_builder.facts.match import fact_terms
from index_builder.facts.parse import read_facts
from index_builder.lexical.stored_facts import write_facts
from index_builder.lexical.word_index import write_word_index
from index_builder.stores.base import case_keys
from index_builder.stores.faiss import FaissStore, Kind

QUERIES_OF_A_KIND = 15


def reworded(reports: Sequence[str], origin: Sequence[int]) -> Iterator[str]:
    """A report for each origin: the first time as it is, then with two words of any report in place of its own."""
    random_of = random.Random(0)
    words = [word for report in reports for word in report.split()]
    seen: Counter[int] = Counter()
    for one in origin:
        own = reports[one].split()
        for _ in range(2 if seen[one] and own else 0):
            own[random_of.randrange(len(own))] = random_of.choice(words)
        seen[one] += 1
        yield " ".join(own)


def enlarge(source: Path, folder: Path, count: int, kind: Kind | None) -> None:
    """Write the enlarged casebook, searched by text alone, and print what its text index takes."""
    manifest, old, new = read_manifest(source), Layout(source), Layout(folder)
    original = Casebook.open(source)
    rows = np.flatnonzero(original.has_vector("text"))
    seeds = original.vectors("text")[rows].astype(np.float32)
    vectors, drawn = vectors_like(seeds / np.linalg.norm(seeds, axis=1, keepdims=True), count, 0)
    reports = [original.case(original.case_ids[int(row)]).report for row in rows]
    texts = list(reworded(reports, drawn.tolist()))
    ids = pa.array([f"case-{row}" for row in range(count)])

    began = perf_counter()
    facts = [read_facts(report) for report in reports]
    print(f"facts of a report: {1e3 * (perf_counter() - began) / len(reports):.2f} ms, ", end="")
    print(f"{sum(map(len, facts)) / len(reports):.1f} of each")
    terms = [tuple(dict.fromkeys(term for fact in own for term in fact_terms(fact))) for own in facts]
    began = perf_counter()
    documents = ((row, text, terms[one]) for row, (text, one) in enumerate(zip(texts, drawn.tolist(), strict=True)))
    indexed = write_word_index(new.words, documents)
    words_at = perf_counter()
    stored = write_facts(new.facts, (facts[one] for one in drawn.tolist()))
    done = perf_counter()
    print(f"index of words: {words_at - began:.1f} s, {megabytes(new.words):.1f} MB; ", end="")
    print(f"facts: {done - words_at:.1f} s, {megabytes(new.facts):.1f} MB; texts {sum(map(len, texts)) / 1e6:.0f} MB")

    for path in (old.film_check, old.held_out):
        if path.exists():
            shutil.copy(path, folder)
    shutil.copytree(old.system, new.system)
    table = read_cases(old.cases, manifest.cases)
    copied = {name: table.column(name) for name in table.column_names}
    for name in copied:
        of_column = copied[name].type
        if pa.types.is_dictionary(of_column):
            copied[name] = copied[name].cast(pa.string())
        elif name == "labels":
            copied[name] = copied[name].cast(pa.list_(pa.string()))
    repeated = pa.table(copied).combine_chunks().take(pa.array(rows[drawn]))
    repeated = repeated.set_column(repeated.column_names.index("case_id"), "case_id", ids)
    for place, name in enumerate(repeated.column_names):
        if name == f"{SECTION_PREFIX}findings":
            repeated = repeated.set_column(place, name, pa.array(texts))
        elif name.startswith(SECTION_PREFIX):
            repeated = repeated.set_column(place, name, pa.nulls(count, pa.string()))
    write_cases(repeated, new.cases, new.case_keys)
    new.embeddings("text").parent.mkdir()
    np.save(new.embeddings("text"), vectors.astype(np.float16))
    store = FaissStore.build(vectors, case_keys(ids.to_pylist()), kind)
    store.write(new.index("text"), new.index_keys("text"))
    nearest = manifest.spaces["text"].nearest_similarity
    space = SpaceRecord(count=count, index=store.kind, nearest_similarity=nearest)
    changed = {"cases": count, "films": 0, "reports": count, "spaces": {"text": space}, "files": {}}
    lexical = LexicalRecord(reports=indexed, facts=stored)
    write_manifest(folder, manifest.model_copy(update={**changed, "lexical": lexical, "name": folder.name}))


def megabytes(folder: Path) -> float:
    """Size of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def typed() -> list[str]:
    """Queries of every kind."""
    queries = text_queries(OpenI().cases(), "val")
    chosen = [[query.text for query in queries if query.kind == kind][:: len(KINDS)] for kind in KINDS]
    return [text for of_kind in chosen for text in of_kind[:QUERIES_OF_A_KIND]]


def main() -> None:
    """Print milliseconds by mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("casebook", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--vectors", choices=("flat", "hnsw", "ivfpq"), help="their index; default: as a build chooses")
    arguments = parser.parse_args()
    if not arguments.folder.exists():
        arguments.folder.mkdir(parents=True)
        enlarge(arguments.casebook, arguments.folder, arguments.count, arguments.vectors)
    casebook = Casebook.open(arguments.folder)
    texts = typed()
    for mode in MODES:
        options = SearchOptions(k=10, mode=mode)
        began = perf_counter()
        search_cases(casebook, Query(text=texts[0]), options)
        first = perf_counter() - began
        times: dict[str, list[float]] = {}
        for text in texts:
            began = perf_counter()
            result = search_cases(casebook, Query(text=text), options)
            for name, taken in (result.timings_ms | {"all": 1e3 * (perf_counter() - began)}).items():
                times.setdefault(name, []).append(taken)
        steps = "  ".join(
            f"{name} {np.percentile(taken, 50):.1f}, {np.percentile(taken, 95):.1f}" for name, taken in times.items()
        )
        print(f"{mode:<8} p50, p95 of {len(texts)} queries in ms: {steps}; the first {first:.1f} s")


if __name__ == "__main__":
    main()
