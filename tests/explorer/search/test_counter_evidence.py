"""Counter-evidence against brute force on a small casebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer import Casebook, Query, SearchOptions, parse_filter
from explorer.search.counter_evidence import ROW, counter_evidence
from explorer.search.search import search_cases
from index_builder.errors import QueryError


@pytest.fixture(scope="module")
def casebook(small_casebook: Path) -> Casebook:
    return Casebook.open(small_casebook)


def test_rows_are_the_nearest_with_and_without(casebook: Casebook) -> None:
    query = Query(text="small left pleural effusion")
    found = counter_evidence(casebook, query, "Effusion")
    result = search_cases(casebook, query, SearchOptions(k=200, mode="dense"))
    column = casebook.label_names.index("Effusion")
    patients = casebook.column("patient_id")
    for row, wanted in ((found.present, True), (found.absent, False)):
        expected: list[str] = []
        for one in result.neighbours:
            at = casebook.row(one.case_id)
            mine = [patients[casebook.row(other)] for other in expected]
            if casebook.label_matrix[at, column] == wanted and patients[at] not in mine:
                expected.append(one.case_id)
        assert [one.case_id for one in row] == expected[:ROW]
        assert len({patients[casebook.row(one.case_id)] for one in row}) == ROW
    assert found.margin == pytest.approx(found.present[0].score - found.absent[0].score)


def test_what_separates_the_rows_is_in_one_and_not_the_other(casebook: Casebook) -> None:
    found = counter_evidence(casebook, Query(text="heart enlarged"), "Nodule")
    counts = [
        {name: sum(name in one.labels for one in row) for name in casebook.label_names}
        for row in (found.present, found.absent)
    ]
    assert found.present_labels == tuple(
        sorted(
            (name for name in counts[0] if name != "Nodule" and counts[0][name] - counts[1][name] >= 2),
            key=lambda name: -counts[0][name],
        )
    )
    absent = " . ".join(one.report.lower() for one in found.absent)
    for phrase in found.present_phrases:
        assert sum(phrase in " ".join(one.report.lower().split()) for one in found.present) >= 2
        assert f" {phrase} " not in f" {absent} "
    assert found.as_dict()["margin"] == found.margin


def test_filters_and_the_queried_case_hold(casebook: Casebook) -> None:
    options = SearchOptions(filters=(parse_filter("sex=F"),))
    found = counter_evidence(casebook, Query(case_id="case-000"), "Effusion", options)
    sexes = casebook.column("sex")
    for one in (*found.present, *found.absent):
        assert sexes[casebook.row(one.case_id)] == "F"
        assert one.case_id not in ("case-000", "case-001"), "neither the case itself nor its patient"
    none = counter_evidence(
        casebook, Query(text="x"), "Effusion", SearchOptions(filters=(parse_filter("label!=Effusion"),))
    )
    assert none.present == ()
    assert none.margin is None
    assert len(none.absent) == ROW
    assert np.isfinite([one.score for one in none.absent]).all()


def test_an_unknown_finding_names_the_known_ones(casebook: Casebook) -> None:
    with pytest.raises(QueryError, match="Cardiomegaly, Effusion, Nodule"):
        counter_evidence(casebook, Query(text="x"), "Hernia")
