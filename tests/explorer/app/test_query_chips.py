"""The query as understood, counts beside the results, and why each case was found, without a browser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from places import APP
from streamlit.testing.v1 import AppTest

from explorer import Casebook
from explorer.app.search.chips import filter_words
from explorer.search.filters.expression import Filter, matching_rows, parse_filter
from explorer.search.filters.facets import facets


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, report_casebook: Path) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", str(report_casebook)])
    return AppTest.from_file(APP, default_timeout=60)


def search(app: AppTest, text: str, **parameters: str | list[str]) -> AppTest:
    app.query_params["q"] = text
    for name, value in parameters.items():
        app.query_params[name] = value
    app.run()
    return calm(app)


def calm(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    return app


def address(app: AppTest) -> dict[str, list[str]]:
    values = app.query_params.items()
    return {name: [value] if isinstance(value, str) else list(value) for name, value in values}


def html(app: AppTest) -> str:
    return " ".join(element.value for element in app.main.get("html"))


def found(app: AppTest) -> list[str]:
    return [part.split('"')[0].split("case ")[1] for part in html(app).split('aria-label="Neighbour ')[1:]]


def popovers(app: AppTest) -> list[str]:
    return [block.proto.popover.label for block in app.main.get("popover")]


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_a_chip_for_each_fact_and_removing_one_changes_text_address_and_result(app: AppTest) -> None:
    search(app, "right upper lobe nodule; no effusion")
    assert popovers(app) == ["nodule · right · upper lobe", "without pleural effusion"]
    assert set(found(app)[:2]) == {"r-01", "f-01"}
    app.button(key="cxr-fact-remove-0").click().run()
    calm(app)
    assert app.text_area(key="query_text").value == "no effusion"
    assert address(app)["q"] == ["no effusion"]
    assert popovers(app) == ["without pleural effusion"]
    app.button(key="cxr-fact-remove-0").click().run()
    calm(app)
    assert app.text_area(key="query_text").value == ""
    assert "q" not in app.query_params
    assert not found(app)


def test_side_site_degree_and_status_can_be_chosen_anew(app: AppTest) -> None:
    search(app, "right upper lobe nodule")
    side = next(box for box in app.selectbox if box.label == "Side")
    assert side.options[0] == "right"
    assert set(side.options[1:]) == {"any side", "left", "both sides"}
    side.set_value("left").run()
    calm(app)
    assert address(app)["q"] == ["left upper lobe nodule"]
    assert found(app)[0] == "r-02"
    next(box for box in app.selectbox if box.label == "Site").set_value("").run()
    assert address(app)["q"] == ["left nodule"]
    next(box for box in app.selectbox if box.label == "The report").set_value("absent").run()
    calm(app)
    assert popovers(app) == ["without nodule · left"]


def test_a_place_alone_and_a_text_without_facts(app: AppTest) -> None:
    search(app, "left lower lobe")
    assert popovers(app) == ["left · lower lobe"]
    search(app, "place stable")
    assert popovers(app) == []


def test_a_correction_can_be_undone_and_done_again(app: AppTest) -> None:
    search(app, "cardiomegly")
    notice = " ".join(one.value for one in app.info)
    assert "Searched for “cardiomegaly” instead of “cardiomegly”." in notice
    app.button(key="cxr-chip-as-typed").click().run()
    calm(app)
    assert address(app)["exact_words"] == ["yes"]
    assert "instead of" not in " ".join(one.value for one in [*app.info, *app.warning])
    app.button(key="cxr-chip-corrected").click().run()
    calm(app)
    assert "exact_words" not in app.query_params
    assert popovers(app) == ["cardiomegaly"]


def test_words_that_no_report_has_are_named_and_others_are_told(app: AppTest) -> None:
    search(app, "stable cardiomegaly asdf")
    assert "has the word “asdf”. The rest was searched for." in app.info[0].value.replace("\\", "")
    assert "by words: stable" in html(app).replace("; asdf", "")


def test_a_facet_is_a_filter_with_a_chip_and_an_address(app: AppTest, report_casebook: Path) -> None:
    search(app, "effusion")
    sides = app.button_group(key="facet:reports:side")
    counted = facets(Casebook.open(report_casebook))
    assert [one.content for one in sides.proto.options] == [f"{side} ({n})" for side, n in counted.side.items()]
    sides.set_value("left").run()
    calm(app)
    assert address(app)["filter"] == ["side=left"]
    assert "side left" in labels(app)
    rows = matching_rows(Casebook.open(report_casebook), [parse_filter("side=left")])
    assert len(found(app)) == min(5, int(rows.sum()))
    # A second value of a field narrows further.
    app.button_group(key="facet:reports:finding").set_value("pleural effusion").run()
    app.button_group(key="facet:reports:finding").set_value("cardiomegaly").run()
    calm(app)
    assert address(app)["filter"] == ["finding=all(pleural effusion,cardiomegaly)", "side=left"]
    assert set(found(app)) == {"r-05", "r-09"}
    assert app.multiselect(key="filter:reports:finding").value == ["pleural effusion", "cardiomegaly"]
    app.button(key="cxr-chip-filter-0").click().run()
    calm(app)
    assert address(app)["filter"] == ["side=left"]


def test_a_link_with_all_of_several_findings_is_followed(app: AppTest) -> None:
    search(app, "heart", filter=["finding=all(pleural effusion,cardiomegaly)"])
    assert set(found(app)) == {"r-05", "r-09"}
    assert address(app)["filter"] == ["finding=all(pleural effusion,cardiomegaly)"]


def test_a_card_says_what_matched_how_it_was_found_and_what_is_only_coded(app: AppTest) -> None:
    search(app, "effusion", k="20")
    assert 'title="The report says so">pleural effusion · left · large</span>' in html(app)
    assert ">found by facts · words · vectors</span>" in html(app)
    card = html(app).split("case r-07")[1].split("</article>")[0]
    assert 'title="The report says: No pleural effusion."' in card
    assert "as coded" in card
    assert "The report denies what is coded. Effusion: “No pleural effusion.”" in card


def test_the_modes_have_plain_names(app: AppTest) -> None:
    search(app, "effusion", mode="dense")
    mode = app.button_group(key="mode")
    assert [one.content for one in mode.proto.options] == ["Words and meaning", "Meaning only", "Words only"]
    assert "found by" not in html(app)
    mode.set_value("lexical").run()
    assert ">found by words</span>" in html(calm(app))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("label=Mass,Nodule", "Mass or Nodule"),
        ("label=all(Mass,Nodule)", "Mass and Nodule"),
        ("label!=Pleural_Thickening", "without Pleural Thickening"),
        ("finding=nodule@right upper lobe#small", "finding nodule · right upper lobe · small"),
        ("finding!=nodule", "without nodule"),
        ("age=40..59", "age 40 to 59"),
        ("report~heart", "report with heart"),
    ],
)
def test_filters_in_words(expression: str, words: str) -> None:
    assert filter_words(parse_filter(expression)) == words


def test_ages_are_counted_as_their_filters_find_them(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    counted = facets(casebook)
    assert len(counted.age) > 2
    for value, count in counted.age.items():
        condition = parse_filter(f"age={value}")
        assert condition == Filter("age", "between", tuple(value.split("..")))
        assert matching_rows(casebook, [condition]).sum() == count
