"""Addresses: what links hold, what a page opened by one shows, and which casebook it leads into."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some
from places import APP
from streamlit.testing.v1 import AppTest

from explorer import Casebook
from explorer.app.links import PAGES, Address, open_address
from explorer.app.shared.markup import plain_markdown
from explorer.search.filters.expression import Filter, parse_filter


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, casebooks: list[Path]) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", *map(str, casebooks)])
    return AppTest.from_file(APP, default_timeout=60)


def visit(app: AppTest, page: str, **parameters: str | list[str]) -> AppTest:
    """Open a page by an address, as a fresh link would."""
    for name in list(app.query_params):
        del app.query_params[name]
    for name, value in parameters.items():
        app.query_params[name] = value
    app.switch_page(f"../../pages/{page}.py").run()
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    return app


def address(app: AppTest) -> dict[str, list[str]]:
    found = app.query_params.items()
    return {name: [values] if isinstance(values, str) else list(values) for name, values in found}


def html(app: AppTest) -> str:
    return " ".join(element.value for element in app.main.get("html"))


def links(app: AppTest, label: str) -> list[dict[str, list[str]]]:
    found = [link.proto for link in app.main.get("page_link") if link.proto.label == label]
    return [parse_qs(proto.query_string) for proto in found]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_names_its_casebook_once_and_links_to_every_page(app: AppTest, page: str) -> None:
    app.run()
    visit(app, page)
    assert address(app) == {"casebook": ["small"]}
    visit(app, page, casebook="stages")
    assert address(app) == {"casebook": ["stages"]}
    assert app.selectbox(key="casebook").value == "stages"
    protos = [link.proto for link in app.sidebar.get("page_link")]
    assert [proto.label for proto in protos] == [title for title, _ in PAGES.values()]
    assert [parse_qs(proto.query_string)["casebook"] for proto in protos] == [["stages"]] * len(PAGES)


def test_a_search_is_in_its_address_and_comes_back_from_it(app: AppTest) -> None:
    app.run()
    app.text_area(key="query_text").set_value("small pleural effusion").run()
    app.slider(key="k").set_value(3).run()
    app.multiselect(key="filters:small:labels").set_value(["Cardiomegaly", "Nodule"]).run()
    app.button_group(key="filter:small:sex").set_value(["F"]).run()
    app.toggle(key="hide_duplicates").set_value(True).run()
    wanted = {
        "casebook": ["small"],
        "q": ["small pleural effusion"],
        "k": ["3"],
        "hide_duplicates": ["yes"],
        "filter": ["label=Cardiomegaly,Nodule", "sex=F"],
    }
    assert address(app) == wanted
    found = html(app).split('aria-label="Neighbour ')[1:]
    assert len(found) == 3

    fresh = AppTest.from_file(APP, default_timeout=60)
    visit(fresh, "search", **wanted)
    assert address(fresh) == wanted
    assert fresh.text_area(key="query_text").value == "small pleural effusion"
    assert fresh.slider(key="k").value == 3
    assert fresh.multiselect(key="filters:small:labels").value == ["Cardiomegaly", "Nodule"]
    assert [one[:14] for one in html(fresh).split('aria-label="Neighbour ')[1:]] == [one[:14] for one in found]
    # An address says everything: what it does not name is as at first.
    visit(fresh, "search", casebook="small", q="nodule")
    assert fresh.slider(key="k").value == 5
    assert fresh.multiselect(key="filters:small:labels").value == []


def test_links_of_a_result_lead_to_the_case_and_back_to_the_results(app: AppTest) -> None:
    app.run()
    app.text_area(key="query_text").set_value("normal heart").run()
    opened = links(app, "Open case")[1]
    assert opened["casebook"] == ["small"]
    assert opened["q"] == ["normal heart"]
    visit(app, "case", **opened)
    assert f'<h1 class="cxr-title">{opened["case"][0]}</h1>' in html(app)
    assert any(caption.value.startswith("2 of 5 for") for caption in app.caption)
    following = links(app, "Next")[0]
    visit(app, "case", **following)
    assert address(app) == following
    assert f'<h1 class="cxr-title">{following["case"][0]}</h1>' in html(app)
    explained = next(link for link in links(app, "Explain") if "case" in link)
    visit(app, "explain", **explained)
    assert address(app)["case"] == following["case"]
    more = links(visit(app, "case", **following), "More like this")[0]
    assert set(more) == {"casebook", "like"}
    visit(app, "search", **more)
    assert "Searching with case" in html(app)
    assert more["like"][0] in [link.proto.label.replace("\\", "") for link in app.main.get("page_link")]


@pytest.mark.parametrize("chosen", ["profiles", "stages"])
def test_jumps_with_a_case_work_in_any_casebook(app: AppTest, chosen: str, casebooks: list[Path]) -> None:
    case_id = Casebook.open(next(folder for folder in casebooks if folder.name == chosen)).case_ids[3]
    app.run()
    app.selectbox(key="casebook").set_value(chosen).run()
    assert address(app) == {"casebook": [chosen]}
    for page, key in (("case", f"choose-case-{chosen}"), ("explain", f"explain-case-{chosen}")):
        visit(app, page, casebook=chosen)
        app.selectbox(key=key).set_value(case_id).run()
        assert not app.exception, app.exception[0].value
        assert address(app)["case"] == [case_id]
        assert address(app)["casebook"] == [chosen]
    visit(app, "case", casebook=chosen, case=case_id)
    visit(app, "search", **links(app, "Find cases like this")[0])
    assert address(app) == {"casebook": [chosen], "like": [case_id]}


def test_another_casebook_keeps_the_text_and_drops_the_case(app: AppTest) -> None:
    app.run()
    visit(app, "case", casebook="small", case="case-000", q="nodule")
    app.selectbox(key="casebook").set_value("stages").run()
    assert address(app) == {"casebook": ["stages"], "q": ["nodule"]}
    assert app.title[0].value == "Open a case"


def test_a_link_leads_to_the_casebook_that_has_its_case(app: AppTest, casebooks: list[Path]) -> None:
    elsewhere = Casebook.open(casebooks[1]).case_ids[0]
    app.run()
    for parameters in ({"case": elsewhere}, {"case": elsewhere, "casebook": "small"}):
        visit(app, "case", **parameters)
        assert address(app) == {"casebook": ["profiles"], "case": [elsewhere]}
        assert f'<h1 class="cxr-title">{elsewhere}</h1>' in html(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_link_into_a_casebook_that_is_not_open_shows_nobody_elses_case(app: AppTest, page: str) -> None:
    app.run()
    visit(app, page, casebook="<b>elsewhere</b>", case="case-000", q="nodule")
    assert [title.value for title in app.title] == ["This casebook is not open here"]
    assert "case-000" not in html(app)
    assert address(app)["casebook"] == ["<b>elsewhere</b>"]
    offered = [link.proto for link in app.main.get("page_link")]
    assert [proto.label for proto in offered] == ["small", "profiles", "stages"]
    app.selectbox(key="casebook").set_value("small").run()
    assert not app.exception
    assert address(app)["casebook"] == ["small"]


def test_what_means_nothing_here_is_told_and_left_out(app: AppTest) -> None:
    app.run()
    visit(
        app,
        "search",
        casebook="small",
        q="nodule",
        k="many",
        filter=["label=Nonsense", "sex!=F", "age=40..60", "???"],
        coverage="0.5",
        like="nobody",
        rerank="nan",
    )
    told = app.warning[0].value
    for one in ("k=many", "label=Nonsense", "sex", "coverage=0.5", "like=nobody", "rerank=nan"):
        assert one in told.replace("\\", ""), one
    assert address(app) == {"casebook": ["small"], "q": ["nodule"], "filter": ["age=40..60"]}


def test_a_map_comes_back_as_it_was(app: AppTest) -> None:
    app.run()
    visit(app, "map", casebook="small", q="nodule", space="text", layout="tsne", colour="split")
    assert app.button_group(key="map-space-small-text").value == "text"
    assert app.selectbox(key="map-colour-small").value == "split"
    assert any("★" in caption.value for caption in app.caption)
    visit(app, "about", casebook="small")
    remembered = next(link.proto for link in app.sidebar.get("page_link") if link.proto.label == "Map")
    again = parse_qs(remembered.query_string)
    assert (again["layout"], again["colour"], again["q"]) == (["tsne"], ["split"], ["nodule"])
    visit(app, "map", **again)
    assert app.selectbox(key="map-colour-small").value == "split"


def test_an_explanation_comes_back_as_it_was(app: AppTest, casebooks: list[Path]) -> None:
    case_id = Casebook.open(casebooks[2]).case_ids[0]
    app.run()
    visit(app, "explain", casebook="stages", case=case_id)
    stages = next(box for box in app.selectbox if box.label == "Finding").options
    second = stages[1].rsplit(" (", 1)[0]
    wanted = {"casebook": ["stages"], "case": [case_id], "finding": [second], "method": ["grad-cam"]}
    visit(app, "about", casebook="stages")
    visit(app, "explain", **wanted)
    assert address(app) == wanted
    method = next(group for group in app.get("button_group") if group.label == "Method")
    assert method.value == "grad-cam"
    method.set_value("attention").run()
    assert address(app)["finding"] == [second]
    visit(app, "about", casebook="small")
    visit(app, "explain", casebook="small", case="case-000", what="similarity", **{"with": "case-007"})
    assert address(app)["with"] == ["case-007"]
    assert address(app)["what"] == ["similarity"]


def test_a_film_is_named_by_a_fingerprint_and_found_again_in_its_session_alone(app: AppTest, film_folder: Path) -> None:
    app.run()
    app.file_uploader[0].set_value(("Doe^Jane.png", (film_folder / "005.png").read_bytes(), "image/png")).run()
    with_film = address(app)
    assert len(with_film["film"][0]) == 12
    assert any("does not include your film" in caption.value for caption in app.caption)
    visit(app, "about", casebook="small")
    visit(app, "search", casebook="small", q="nodule")
    assert "Your film, as the app sees it" not in html(app)
    visit(app, "about", casebook="small")
    visit(app, "search", **with_film)
    assert "Your film, as the app sees it" in html(app)
    assert address(app) == with_film

    fresh = visit(AppTest.from_file(APP, default_timeout=60), "search", **with_film, q="nodule")
    assert any("made with a film that links cannot include" in info.value for info in fresh.info)
    assert fresh.text_area(key="query_text").value == "nodule"
    assert address(fresh) == {"casebook": ["small"], "q": ["nodule"]}
    app.button(key="remove-film").click().run()
    visit(app, "about", casebook="small")
    visit(app, "search", **with_film)
    assert "Your film, as the app sees it" not in html(app)


def test_a_long_text_stays_out_of_the_address_and_is_found_again(app: AppTest) -> None:
    long_text = "The heart is enlarged. " * 100 + "No effusion."
    app.run()
    app.text_area(key="query_text").set_value(long_text).run()
    with_text = address(app)
    assert set(with_text) == {"casebook", "report"}
    visit(app, "about", casebook="small")
    visit(app, "search", **with_text)
    assert app.text_area(key="query_text").value == long_text
    fresh = visit(AppTest.from_file(APP, default_timeout=60), "search", **with_text)
    assert any("made with a text that links cannot include" in info.value for info in fresh.info)


def test_an_address_that_the_browser_sends_late_undoes_nothing(app: AppTest) -> None:
    app.run()
    app.text_area(key="query_text").set_value("nodule").run()
    before = address(app)
    app.slider(key="k").set_value(9).run()
    # The browser had not heard of k=9 yet when it asked for this run.
    del app.query_params["k"]
    assert address(app) == before
    app.run()
    assert app.slider(key="k").value == 9
    assert address(app)["k"] == ["9"]


@given(
    values=some.dictionaries(some.text(max_size=8), some.lists(some.text(max_size=30), min_size=1, max_size=3)),
    kept=some.one_of(some.none(), some.integers(), some.text(max_size=5)),
)
def test_whatever_an_address_says_a_choice_is_one_of_the_options(values: Mapping[str, list[str]], kept: object) -> None:
    session = SimpleNamespace(session_state={} if kept is None else {"key": kept})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(st, "session_state", session.session_state)
        asked = dict(values) | {"name": next(iter(values.values()), ["x"])}
        for arrived in (True, False):
            found = Address("search", asked, arrived)
            assert found.choice("name", "key", ("a", "b"), "a") in ("a", "b")
            assert 1 <= found.number("name", "number", 1, 50, 5) <= 50
            assert len(found.text("name", "text", 10)) <= 10
            assert found.flag("name", "flag") in (True, False)


class _BrowserAddress(dict[str, str]):
    """What a browser's address says, of which every parameter stands once."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]]

    def from_dict(self, _: object) -> None:
        """The address is written; the browser has not heard of it."""


def test_what_is_pressed_while_the_first_run_still_works_is_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is cut short writes no address: what it set is the reader's, what it did not reach the link's."""
    session: dict[str, object] = {}
    browser = _BrowserAddress(method="b", layer="y")
    monkeypatch.setattr(st, "session_state", session)
    monkeypatch.setattr(st, "query_params", browser)
    assert open_address("explain").choice("method", "method", ("a", "b", "c"), "a") == "b"
    session["method"] = "c"  # pressed; the run above ends here
    again = open_address("explain")
    assert again.arrived
    assert again.choice("method", "method", ("a", "b", "c"), "a") == "c"
    assert again.choice("layer", "layer", ("x", "y"), "x") == "y"
    again.keep()
    browser["method"] = "a"
    assert open_address("explain").choice("method", "method", ("a", "b", "c"), "b") == "a", "another link is followed"


_names = some.text(some.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20).map(
    lambda text: text.strip()
)


@given(
    operator=some.sampled_from(["any", "all", "none"]),
    values=some.lists(_names.filter(bool), min_size=1, max_size=4, unique=True),
)
def test_a_filter_is_read_as_it_was_written(operator: str, values: list[str]) -> None:
    wanted = Filter("label", operator, tuple(values))  # type: ignore[arg-type]
    assert parse_filter(str(wanted)) == wanted


@pytest.mark.parametrize(
    ("casebook", "asked", "left_out"),
    [
        ("small", {"profile.age": "63"}, "profile.age=63"),
        ("profiles", {"q": "nodule"}, "q=nodule"),
        ("profiles", {"report": "0123456789ab"}, "report=0123456789ab"),
        ("profiles", {"profile.shoe_size": "44"}, "profile.shoe_size=44"),
    ],
)
def test_what_a_casebook_cannot_be_asked_with_is_told(
    app: AppTest, casebook: str, asked: dict[str, str], left_out: str
) -> None:
    visit(app, "search", casebook=casebook, **asked)
    assert [warning.value for warning in app.warning] == [
        "Parts of this link do not apply here and were ignored: " + plain_markdown(left_out)
    ]
    assert address(app) == {"casebook": [casebook]}
