"""What searches found on 2026-11-30, before the code moved into its packages: the same queries must find it today.

The expected values are of untrained systems on drawn films and invented reports; they say nothing about how good a
search is. Where one is meant to change, write them anew: run this file with tests/samples on PYTHONPATH.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer import Casebook, Query, SearchOptions
from explorer.search.search import search_cases

EXPECTED = Path(__file__).with_name("unchanged_neighbours.json")


def found(reports: Path, studies: Path) -> dict[str, list[tuple[str, float]]]:
    """Neighbours and their scores of a handful of queries of every kind."""
    words, films = Casebook.open(reports), Casebook.open(studies)
    film = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (72, 1))
    asked: dict[str, tuple[Casebook, Query, SearchOptions]] = {
        "text": (words, Query(text="nodule in the right upper lobe, no effusion"), SearchOptions()),
        "text by vectors": (words, Query(text="pleural effusion"), SearchOptions(mode="dense")),
        "text by words": (words, Query(text="mild cardiomegaly"), SearchOptions(mode="lexical")),
        "case": (films, Query(case_id="study-003"), SearchOptions()),
        "case, reordered": (films, Query(case_id="study-008"), SearchOptions(rerank=1.0, one_per_patient=True)),
        "film": (films, Query(pixels=film), SearchOptions()),
        "film and text": (films, Query(pixels=film, text="heart size normal"), SearchOptions(space="joint")),
    }
    return {
        name: [(one.case_id, one.score) for one in search_cases(casebook, query, options).neighbours]
        for name, (casebook, query, options) in asked.items()
    }


def test_searches_find_what_they_found(report_casebook: Path, study_casebook: Path) -> None:
    """The same cases in the same order, scores to 1e-4."""
    expected: dict[str, list[Any]] = json.loads(EXPECTED.read_text("utf-8"))
    today = found(report_casebook, study_casebook)
    assert {name: [case_id for case_id, _ in cases] for name, cases in today.items()} == {
        name: [case_id for case_id, _ in cases] for name, cases in expected.items()
    }
    for name, cases in expected.items():
        assert [score for _, score in today[name]] == pytest.approx([score for _, score in cases], abs=1e-4), name


def write_expected() -> None:
    """Build the two casebooks and write what searches find in them."""
    from tempfile import TemporaryDirectory

    from tiny_samples import save_text_encoder, save_unified, write_reports, write_studies

    from index_builder.build.build import BuildRequest, build

    with TemporaryDirectory() as folder:
        places = [Path(folder) / name for name in ("text", "system", "reports", "studies")]
        for place in places:
            place.mkdir()
        text, system, reports, studies = places
        save_unified(system, save_text_encoder(text))
        write_reports(reports)
        write_studies(studies, 96)
        books = [Path(folder) / f"{one.name}-book" for one in (reports, studies)]
        for source, out in zip((reports, studies), books, strict=True):
            build(BuildRequest("manifest", source, out, system), lambda stage, done, total: None)
        today = found(*books)
    rounded = {name: [(case_id, round(score, 6)) for case_id, score in cases] for name, cases in today.items()}
    EXPECTED.write_text(json.dumps(rounded, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    write_expected()
