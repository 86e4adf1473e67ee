"""A label that nobody decided is shown, counted and coloured as unknown: neither as present nor as no finding."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import APP
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from explorer import Casebook, Query, SearchOptions
from explorer.app.library import shelve
from explorer.app.search.export import result_csv, result_json
from explorer.app.session import Outcome
from explorer.app.shared.markup import case_words, chips_html
from explorer.cases.labelled import LABELS_UNKNOWN, NO_FINDING, labelled_words, labels_of, labels_unknown
from explorer.charts.palette import ABSENT, REST
from explorer.cli.commands import app as command_line
from explorer.maps.colouring import MAIN_FINDING, colouring
from explorer.maps.selection import label_excess, selection_csv
from explorer.quality.balance import NO_LABEL, cases_of_part, label_balance, missing_fields
from explorer.quality.check import check_quality
from explorer.quality.drift import drifts
from explorer.report.casebook import label_frequency
from explorer.report.quality import balance_chart
from explorer.search.counter_evidence import _more_often
from explorer.search.search import search_cases
from index_builder.cases.case import Case

_ALL = ("Cardiomegaly", "Effusion", "Nodule")


@pytest.fixture(scope="module")
def casebook(hedged_casebook: Path) -> Casebook:
    return Casebook.open(hedged_casebook)


@pytest.fixture(scope="module")
def cases(casebook: Casebook) -> list[Case]:
    return [casebook.case(case_id) for case_id in casebook.case_ids]


@pytest.mark.parametrize(
    ("labels", "unknown", "words", "chips"),
    [
        ((), (), "no finding labelled", ">No finding labelled<"),
        (("Mass",), (), "Mass", '<span class="cxr-chip">Mass</span></div>'),
        ((), ("Mass",), "labels unknown: Mass", 'title="Mass">Labels unknown: Mass<'),
        (("Mass", "Edema"), ("Nodule",), "Mass, Edema; not known: Nodule", 'title="Nodule">Not known: Nodule<'),
        (
            (),
            ("A", "B", "C", "D_E", "F"),
            "labels unknown: A, B, C and 2 more",
            'title="A, B, C, D E, F">Labels unknown: A, B, C and 2 more<',
        ),
        (("Mass",), ("A<b",), "Mass; not known: A<b", 'title="A&lt;b">Not known: A&lt;b<'),
    ],
)
def test_words_for_what_is_unknown(labels: tuple[str, ...], unknown: tuple[str, ...], words: str, chips: str) -> None:
    assert labelled_words(labels, unknown) == words
    assert chips in chips_html((), labels, unknown)
    assert chips_html(labels, (), unknown).count("cxr-chip-shared") == len(labels)


def test_words_of_a_label_have_no_underscores() -> None:
    assert case_words(("Pleural_Thickening",), ("Lung_Lesion",)) == "Pleural Thickening; not known: Lung Lesion"


def test_who_has_no_finding_is_not_who_is_unknown(casebook: Casebook, cases: list[Case]) -> None:
    unknown = labels_unknown(casebook)
    assert unknown.tolist() == [bool(case.unknown) and not case.labels for case in cases]
    assert 0 < unknown.sum() < sum(bool(case.unknown) for case in cases)
    rows = np.array([7, 3, 0, 5])
    assert [tuple(map(tuple, one)) for one in labels_of(casebook, rows)] == [
        (cases[row].labels, cases[row].unknown) for row in rows
    ]


def test_a_casebook_that_knows_all_labels_has_nothing_unknown(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    assert not labels_unknown(casebook).any()
    assert labels_of(casebook, np.array([0])) == [(list(casebook.labels[0]), ())]
    assert "unknown_labels" not in casebook.summary()
    assert LABELS_UNKNOWN not in label_balance(casebook)["label"].to_list()
    assert [bar.name for bar in label_frequency(casebook).data][-1] != "unknown"


def test_map_colours_keep_the_unknown_apart(casebook: Casebook, cases: list[Case]) -> None:
    by_label, main = colouring(casebook, "joint", "label:Effusion"), colouring(casebook, "joint", MAIN_FINDING)
    assert by_label.names == ("Effusion", "without", "unknown")
    assert by_label.colours[1:] == (REST, ABSENT)
    colour_of = dict(zip(main.names, main.colours, strict=True))
    assert (colour_of[NO_FINDING], colour_of[LABELS_UNKNOWN]) == (REST, ABSENT)
    assert len(set(main.colours)) == len(main.names)
    for row, case in enumerate(cases):
        said = by_label.names[by_label.numbers[row]]
        assert said == ("Effusion" if "Effusion" in case.labels else "unknown" if case.unknown else "without")
        said = main.names[main.numbers[row]]
        assert said in (case.labels or (LABELS_UNKNOWN if case.unknown else NO_FINDING,))


def test_shares_of_a_part_are_of_the_cases_that_are_known(casebook: Casebook, cases: list[Case]) -> None:
    table = label_balance(casebook).set_index(["label", "part"])
    for label, part in table.index:
        inside = [case for case in cases if case.split == part]
        if label in _ALL:
            held = [case for case in inside if label in case.labels]
            inside = [case for case in inside if label not in case.unknown]
        else:
            held = [case for case in inside if not case.labels and bool(case.unknown) == (label == LABELS_UNKNOWN)]
        assert table.loc[(label, part), "cases"] == len(held)
        assert table.loc[(label, part), "share"] == pytest.approx(len(held) / len(inside))
        found = cases_of_part(casebook, ["part", label, part])
        assert [one.case_id for one in found.cases] == [case.case_id for case in held]
    assert {label for label, _ in table.index} == {*_ALL, NO_LABEL, LABELS_UNKNOWN}
    missing = missing_fields(casebook).groupby("field")["cases"].sum()
    assert missing["known label"] == labels_unknown(casebook).sum()


def test_a_label_known_of_no_case_of_a_part_has_no_share(casebook: Casebook, monkeypatch: pytest.MonkeyPatch) -> None:
    some, validation = Casebook.open(casebook.folder), casebook.column("split") == "val"
    column = casebook.label_names.index("Effusion")
    known, held = casebook.known_matrix.copy(), casebook.label_matrix.copy()
    known[validation, column] = held[validation, column] = False
    monkeypatch.setattr(some, "known_matrix", known)
    monkeypatch.setattr(some, "label_matrix", held)
    quality = check_quality(some, lambda *_: None)
    row = next(one for one in quality.as_dict()["labels"] if (one["label"], one["part"]) == ("Effusion", "val"))
    assert (row["cases"], row["share"]) == (0, None)
    json.dumps(quality.as_dict(), allow_nan=False)
    assert "In val: Effusion 0" in next(one.text for one in quality.findings if one.key == "class balance")
    assert ("val", "Effusion") not in {(one.part, one.what) for one in quality.drifts}
    assert "those where it is known" in balance_chart(quality, "light").caption


def test_drift_compares_the_cases_that_are_known(casebook: Casebook, cases: list[Case]) -> None:
    found = {(one.part, one.what): one.effect for one in drifts(casebook, None)}
    for part in ("val", "test"):
        for label in _ALL:
            shares = [
                np.mean([label in case.labels for case in cases if case.split == one and label not in case.unknown])
                for one in ("train", part)
            ]
            said = f"{shares[0]:.1%} in train, {shares[1]:.1%} here".replace("%", " %")
            assert found[part, label] == said


def test_odds_are_of_the_cases_that_are_known() -> None:
    random = np.random.default_rng(3)
    labels, known, chosen = (random.random((60, 2)) < share for share in (0.4, 0.7, 0.5))
    labels, chosen = labels & known, chosen[:, 0]
    found = {one.label: one for one in label_excess(labels, ("A", "B"), chosen, known)}
    for column, name in enumerate("AB"):
        rows = known[:, column]
        (alone,) = label_excess(labels[rows, column : column + 1], (name,), chosen[rows])
        assert replace(found[name], q=0) == replace(alone, q=0)
    # What is known of one side alone cannot be compared.
    known[chosen, 0] = labels[chosen, 0] = False
    assert [one.label for one in label_excess(labels, ("A", "B"), chosen, known)] == ["B"]


def test_the_label_chart_shows_what_is_unknown(casebook: Casebook) -> None:
    bars = {bar.name: dict(zip(bar.y, bar.x.tolist(), strict=True)) for bar in label_frequency(casebook).data}
    counts = dict(zip(casebook.label_names, (~casebook.known_matrix).sum(0).tolist(), strict=True))
    assert bars["unknown"] == counts == casebook.summary()["unknown_labels"]
    assert counts["Effusion"] > counts["Nodule"] > 0


def test_a_match_says_what_is_unknown_of_it(casebook: Casebook) -> None:
    options = SearchOptions(k=60)
    result = search_cases(casebook, Query(case_id=casebook.case_ids[1]), options)
    for one in result.neighbours:
        assert one.unknown_labels == casebook.case(one.case_id).unknown
        assert not {*one.shared_labels, *one.other_labels} & set(one.unknown_labels)
    assert any(one.unknown_labels for one in result.neighbours)
    outcome = Outcome(0, shelve([casebook.folder])["hedged"], Query(case_id=casebook.case_ids[1]), options, result)
    rows = csv.DictReader(io.StringIO(result_csv(outcome).decode("utf-8-sig")))
    expected = [one.unknown_labels for one in result.neighbours]
    assert [row["unknown_labels"] for row in rows] == ["; ".join(one) for one in expected]
    content = json.loads(result_json(outcome))
    assert [tuple(one["unknown_labels"]) for one in content["neighbours"]] == expected
    chosen = np.arange(12)
    name = casebook.map_names("joint")[0]
    rows = csv.DictReader(io.StringIO(selection_csv(casebook, chosen, "joint", name).decode("utf-8-sig")))
    assert [row["unknown_labels"] for row in rows] == [
        "; ".join(casebook.case(one).unknown) for one in casebook.case_ids[:12]
    ]


def test_a_finding_that_may_be_there_is_not_called_more_often(casebook: Casebook) -> None:
    one = search_cases(casebook, Query(case_id=casebook.case_ids[1])).neighbours[0]
    having, lacking = replace(one, labels=("Nodule",), unknown_labels=()), replace(one, labels=(), unknown_labels=())
    unsure = replace(lacking, unknown_labels=("Nodule",))
    assert _more_often([having] * 2, [lacking] * 2, "Mass") == ("Nodule",)
    assert _more_often([having] * 2, [lacking, unsure], "Mass") == ()


def test_the_command_line_says_it(casebook: Casebook, cases: list[Case]) -> None:
    done = CliRunner().invoke(command_line, ["search", str(casebook.folder), "--case", cases[1].case_id, "-k", "100"])
    assert done.exit_code == 0, done.output
    lines = {words[2]: line for line in done.output.splitlines() if len(words := line.split()) > 3}
    shown = [case for case in cases if case.case_id in lines]
    assert len(shown) == 100
    for case in shown:
        assert lines[case.case_id].endswith("  " + labelled_words(case.labels, case.unknown))
        assert (NO_FINDING in lines[case.case_id]) == (not case.labels and not case.unknown)
    done = CliRunner().invoke(command_line, ["info", str(casebook.folder)])
    assert "unknown_labels:\n" in done.output


def test_pages_say_it(casebook: Casebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(casebook.folder)])
    app = AppTest.from_file(APP, default_timeout=120).run()
    app.query_params["case"] = "case-000"
    app.switch_page("../../pages/case.py").run()
    head = '<div class="cxr-chips"><span class="cxr-muted" title="Cardiomegaly, Effusion, Nodule">Labels unknown: '
    assert head in _html(app)
    assert "<dt>Not known</dt><dd>Cardiomegaly, Effusion, Nodule</dd>" in _html(app)
    app.query_params["case"] = "case-000"
    app.switch_page("../../pages/explain.py").run()
    assert head in _html(app)
    app.query_params["like"] = "case-000"
    app.switch_page("../../pages/search.py").run()
    findings = _html(app).split("Findings of this case</span>")[1]
    assert findings.startswith(head)
    for page in ("map", "about"):
        app.switch_page(f"../../pages/{page}.py").run()
        assert not app.exception


def _html(app: AppTest) -> str:
    assert not app.exception, app.exception[0].value
    return " ".join(element.value for element in [*app.main.get("html"), *app.sidebar.get("html")])
