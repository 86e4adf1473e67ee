"""The search page with typed texts: modes, corrections, filters by what reports state, and their addresses."""

import csv
import io
import sys
from pathlib import Path

import pytest
from places import APP
from streamlit.testing.v1 import AppTest

from explorer.app.search.export import result_csv


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, report_casebook: Path) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", str(report_casebook)])
    return AppTest.from_file(APP, default_timeout=60)


def visit(app: AppTest, **parameters: str | list[str]) -> AppTest:
    app.run()
    for name in list(app.query_params):
        del app.query_params[name]
    for name, value in parameters.items():
        app.query_params[name] = value
    app.switch_page("../../pages/search.py").run()
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    return app


def found(app: AppTest) -> list[str]:
    return [one.case_id for one in app.session_state["outcome"].result.neighbours]


def test_an_address_holds_how_a_text_finds_reports(app: AppTest) -> None:
    visit(app, q="plueral efusion", mode="lexical", exact_words="yes")
    assert app.query_params["mode"] == "lexical"
    assert app.query_params["exact_words"] == "yes"
    assert found(app) == []
    assert "No report that meets the filters contains a word of this text" in app.info[0].value
    app.toggle(key="exact_words").set_value(False).run()
    assert "exact_words" not in app.query_params
    assert found(app)
    assert any("instead of" in one.value for one in [*app.info, *app.warning])
    app.button_group(key="mode").set_value("hybrid").run()
    assert "mode" not in app.query_params
    assert any("searched by what their reports say" in one.value for one in app.caption)


def test_filters_by_what_reports_state_come_from_the_address_and_go_back_into_it(app: AppTest) -> None:
    asked = ['finding="nodule@right upper lobe"', "finding!=pneumothorax", "side=right"]
    visit(app, q="nodule", filter=asked)
    assert set(found(app)) == {"r-01", "r-15", "f-01"}
    assert app.multiselect(key="filter:reports:finding").value == ["nodule@right upper lobe"]
    assert app.multiselect(key="filter:reports:finding!").value == ["pneumothorax"]
    assert sorted(app.query_params["filter"]) == sorted(asked)
    app.multiselect(key="filter:reports:finding").set_value(["pleural effusion"]).run()
    assert set(found(app)) == {"r-04", "r-05"}
    next(button for button in app.button if button.label == "Clear filters").click().run()
    assert "filter" not in app.query_params
    assert app.multiselect(key="filter:reports:finding!").value == []


def test_a_filter_that_no_report_can_meet_is_told_and_left_out(app: AppTest) -> None:
    visit(app, q="nodule", filter=["finding=unheard of", "site=lung"])
    assert app.query_params["filter"] == "site=lung"
    assert any("finding=unheard of" in one.value.replace("\\", "") for one in [*app.info, *app.warning])


def test_downloads_say_what_found_each_case(app: AppTest) -> None:
    visit(app, q="left upper lobe nodule")
    rows = list(csv.DictReader(io.StringIO(result_csv(app.session_state["outcome"]).decode("utf-8-sig"))))
    assert rows[0]["case_id"] == "r-02"
    assert rows[0]["matched_facts"] == "nodule · left · upper lobe"
    assert {part.split()[0] for part in rows[0]["found_by"].split("; ")} == {"facts", "lexical", "dense"}
    assert float(rows[0]["relevance"]) >= float(rows[1]["relevance"])


def test_a_casebook_without_index_offers_no_modes(monkeypatch: pytest.MonkeyPatch, profile_casebook: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(profile_casebook)])
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert not [one for one in app.button_group if one.key == "mode"]
