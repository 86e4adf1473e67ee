"""Typed queries find real reports as well as they did; tests/benchmarks/text_search.py measures many more."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from benchmarks.text_queries import KINDS, CodedReports, Kind, text_queries
from benchmarks.text_scores import FIRST, scores_of

from explorer import Casebook, Query, SearchOptions
from explorer.search.search import search_cases
from index_builder.build.build import BuildRequest, build
from index_builder.datasets.published.openi import OpenI

REPORTS = 600


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


QUERIES_OF_A_KIND = 9


@pytest.fixture(scope="module")
def success(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> dict[Kind, float]:
    """Mean success at 10 by kind, on reports whose vectors say nothing: words and facts carry the search."""
    out = tmp_path_factory.mktemp("casebooks") / "reports"
    build(BuildRequest("openi", None, out, tiny_checkpoint, limit=REPORTS), quiet)
    casebook = Casebook.open(out)
    held = set(casebook.case_ids)
    cases = [case for case in OpenI().cases() if case.case_id in held]
    reports, queries = CodedReports([case.codes for case in cases]), text_queries(cases, "val")
    found = {}
    for kind in KINDS:
        of_kind = [query for query in queries if query.kind == kind]
        scores = []
        for query in islice(of_kind, 0, None, max(1, len(of_kind) // QUERIES_OF_A_KIND)):
            result = search_cases(casebook, Query(text=query.text), SearchOptions(k=FIRST))
            relevant = frozenset(cases[row].case_id for row in reports.relevant(query.target))
            scores.append(scores_of([one.case_id for one in result.neighbours], relevant)[0])
        found[kind] = float(np.mean(scores))
    return found


@pytest.mark.parametrize(
    ("kind", "floor"),
    [
        ("finding", 0.90),
        ("side", 0.82),
        ("lobe", 0.75),
        ("degree", 0.79),
        ("abbreviation", 0.74),
        ("negation", 0.88),
        ("typo", 0.88),
    ],
)
def test_typed_queries_find_what_they_ask_for(success: dict[Kind, float], kind: Kind, floor: float) -> None:
    assert success[kind] >= floor
