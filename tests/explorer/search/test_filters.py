"""Filter expressions: their grammar, and their meaning against plain Python."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.casebook import Casebook
from explorer.search.filters.expression import Filter, matching_rows, parse_filter
from index_builder.cases.case import Case
from index_builder.errors import QueryError


@pytest.fixture(scope="module")
def casebook(small_casebook: Path) -> Casebook:
    return Casebook.open(small_casebook)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("label=Mass", Filter("label", "any", ("Mass",))),
        ("labels = Mass, Nodule", Filter("label", "any", ("Mass", "Nodule"))),
        ("label!=Normal", Filter("label", "none", ("Normal",))),
        ("label=all(Mass,Nodule)", Filter("label", "all", ("Mass", "Nodule"))),
        ("LABEL=NONE(Mass)", Filter("label", "none", ("Mass",))),
        ("split==train", Filter("split", "any", ("train",))),
        ("view:PA,AP", Filter("view", "any", ("PA", "AP"))),
        ("age=40..60", Filter("age", "between", ("40", "60"))),
        ("age=..60", Filter("age", "between", ("", "60"))),
        ("age>=65", Filter("age", ">=", ("65",))),
        ("age < 65.5", Filter("age", "<", ("65.5",))),
        ("report~pleural effusion", Filter("report", "contains", ("pleural effusion",))),
        ("job='coal miner'", Filter("job", "any", ("coal miner",))),
    ],
)
def test_expressions_mean_what_they_say(expression: str, expected: Filter) -> None:
    assert parse_filter(expression) == expected
    assert parse_filter(str(expected)) == expected


@pytest.mark.parametrize("expression", ["", "label", "=x", "label=", "label=,", "age>=", "label=any()"])
def test_half_expressions_are_refused(expression: str) -> None:
    with pytest.raises(QueryError, match="filter"):
        parse_filter(expression)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_query_error(text: str) -> None:
    try:
        parsed = parse_filter(text)
    except QueryError:
        return
    assert parsed.values


MEANINGS = {
    "label=Cardiomegaly": lambda case: "Cardiomegaly" in case.labels,
    "label=cardiomegaly,Nodule": lambda case: {"Cardiomegaly", "Nodule"} & set(case.labels),
    "label=all(Cardiomegaly,Effusion)": lambda case: {"Cardiomegaly", "Effusion"} <= set(case.labels),
    "label!=Effusion": lambda case: "Effusion" not in case.labels,
    "split=train,val": lambda case: case.split != "test",
    "split!=train": lambda case: case.split != "train",
    "view=pa": lambda case: case.view == "PA",
    "sex=F": lambda case: case.profile.get("sex") == "F",
    "age=30..40": lambda case: 30 <= case.profile.get("age", -1) <= 40,
    "age<30": lambda case: case.profile.get("age", 99) < 30,
    "age>=80": lambda case: case.profile.get("age", 0) >= 80,
    "age=50,51": lambda case: case.profile.get("age") in (50, 51),
    "report~EFFUSION": lambda case: "effusion" in case.report,
    "synthetic=false": lambda case: not case.synthetic,
}


@pytest.mark.parametrize("expression", MEANINGS)
def test_rows_are_those_that_plain_python_keeps(casebook: Casebook, expression: str) -> None:
    expected = [bool(MEANINGS[expression](case(casebook, case_id))) for case_id in casebook.case_ids]
    assert matching_rows(casebook, [parse_filter(expression)]).tolist() == expected
    assert any(expected)


def case(casebook: Casebook, case_id: str) -> Case:
    return casebook.case(case_id)


def test_filters_are_combined_with_and(casebook: Casebook) -> None:
    both = [parse_filter("label=Nodule"), parse_filter("age<40")]
    expected = np.logical_and(*(matching_rows(casebook, [one]) for one in both))
    assert matching_rows(casebook, both).tolist() == expected.tolist()
    assert matching_rows(casebook, []).all()


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("label=Unicorn", "no label 'Unicorn'"),
        ("shoe=44", "no field 'shoe'"),
        ("age=old", "'old' is not a number"),
        ("sex>3", "not a number"),
        ("label>3", "labels are compared"),
    ],
)
def test_impossible_filters_are_explained(casebook: Casebook, expression: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        matching_rows(casebook, [parse_filter(expression)])
