"""Filters and counts by what reports state."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_samples import REPORTS

import explorer
from explorer import Casebook, Filter, Query, SearchOptions, parse_filter
from explorer.search.filters.expression import matching_rows, stored_conditions
from explorer.search.search import search_cases
from index_builder.errors import QueryError
from index_builder.facts.terms import report_terms


@pytest.fixture(scope="module")
def casebook(report_casebook: Path) -> Casebook:
    return Casebook.open(report_casebook)


def meeting(casebook: Casebook, *expressions: str) -> set[str]:
    mask = matching_rows(casebook, [parse_filter(one) for one in expressions])
    return {casebook.case_ids[row] for row in np.flatnonzero(mask)}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # A mass is a kind of nodule; what a report only suspects it does not state.
        ("finding=nodule", {"r-01", "r-02", "r-15", "f-01"}),
        ("finding=nodule@right upper lobe", {"r-01", "r-15", "f-01"}),
        ("finding=nodule@RUL", {"r-01", "r-15", "f-01"}),
        ("finding=Nodule @ left", {"r-02"}),
        ("finding=pleural effusion@left", {"r-03", "r-05", "r-09"}),
        ("finding=effusion#large", {"r-03"}),
        ("finding=pleural effusion@left#small", {"r-05", "r-09"}),
        ("finding=nodule,pneumothorax", {"r-01", "r-02", "r-15", "f-01", "r-12"}),
        ("finding=all(cardiomegaly,pleural effusion)", {"r-05", "r-09"}),
        ("degree=severe", {"r-09"}),
        ("site=lower lobe", {"r-11", "r-13"}),
    ],
)
def test_a_filter_is_met_by_reports_that_state_it(casebook: Casebook, expression: str, expected: set[str]) -> None:
    assert meeting(casebook, expression) == expected


def test_a_wider_finding_or_site_is_met_by_a_narrower_one(casebook: Casebook) -> None:
    assert {"r-01", "r-11", "r-13"} <= meeting(casebook, "site=lung")
    assert "r-11" in meeting(casebook, "finding=airspace disease")
    assert "r-11" not in meeting(casebook, "finding=consolidation@left")


def test_what_a_report_has_not_it_neither_states_nor_suspects(casebook: Casebook) -> None:
    without = meeting(casebook, "finding!=nodule")
    assert "r-10" not in without  # possible
    assert "f-02" not in without  # no report
    assert without == set(REPORTS) - {"r-01", "r-02", "r-10", "r-15", "r-17"}


def test_filters_combine_and_go_before_the_nearest_are_chosen(casebook: Casebook) -> None:
    filters = (parse_filter("finding=pleural effusion"), parse_filter("label=Cardiomegaly"), parse_filter("side=left"))
    for query in (Query(text="pneumonia"), Query(case_id="r-11")):
        result = search_cases(casebook, query, SearchOptions(k=5, filters=filters))
        assert {one.case_id for one in result.neighbours} == {"r-05", "r-09"}
        assert result.searched == 2
    assert stored_conditions(casebook, filters) is None


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("finding=cardiomeg", "no finding 'cardiomeg' is known.*cardiomegaly"),
        ("finding=nodule@upstairs", "no site 'upstairs'"),
        ("finding=@left", "no finding ''"),
        ("degree=enormousish", "no degree"),
        ("side=up", "not a side. Write left, right or both"),
        ("finding~nodule", "compared with ="),
        ("site>3", "compared with ="),
    ],
)
def test_what_no_report_can_say_is_told(casebook: Casebook, expression: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        meeting(casebook, expression)


def test_a_field_of_the_patients_goes_before_one_of_the_reports(report_casebook: Path) -> None:
    casebook = Casebook.open(report_casebook)
    casebook.profile_fields = ("site",)  # type: ignore[misc]
    with pytest.raises(KeyError):
        meeting(casebook, "site=lung")


def test_counts_are_what_the_filters_leave(casebook: Casebook) -> None:
    for filters in ((), (parse_filter("view=PA"),), (parse_filter("finding=pleural effusion"),)):
        counted = explorer.facets(casebook, filters)
        base = matching_rows(casebook, filters)
        assert counted.cases == base.sum()
        for field in ("finding", "side", "site", "degree", "view", "split"):
            counts = getattr(counted, field)
            assert list(counts.values()) == sorted(counts.values(), reverse=True)
            for value, count in counts.items():
                assert (base & matching_rows(casebook, [Filter(field, "any", (value,))])).sum() == count, (field, value)


def test_counting_is_fast(casebook: Casebook) -> None:
    explorer.facets(casebook)
    began = time.process_time()
    explorer.facets(casebook, (parse_filter("view=PA"),))
    assert time.process_time() - began < 0.1


@settings(max_examples=50)
@given(
    finding=st.sampled_from(sorted(report_terms().findings)),
    side=st.sampled_from(["", "left", "right", "both"]),
    site=st.sampled_from(["", *sorted(report_terms().sites)]),
    degree=st.sampled_from(["", *sorted(report_terms().degrees)]),
)
def test_every_name_of_the_terms_can_be_filtered_by(
    casebook: Casebook, finding: str, side: str, site: str, degree: str
) -> None:
    place = f"@{side} {site}".rstrip() if side or site else ""
    condition = Filter("finding", "any", (f"{finding}{place}" + (f"#{degree}" if degree else ""),))
    assert parse_filter(str(condition)) == condition
    both = matching_rows(casebook, [condition])
    assert not (both & ~matching_rows(casebook, [Filter("finding", "any", (finding,))])).any()
