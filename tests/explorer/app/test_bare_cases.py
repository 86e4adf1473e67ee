"""Cases with next to nothing: every page and every list draws what there is, and nothing for what there is not."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import APP
from streamlit.testing.v1 import AppTest
from tiny_samples import WORDS

from explorer import Casebook
from explorer.app.shared.markup import facts_html, film_html, report_html, words_html
from index_builder.build.build import BuildRequest, build

_DISCLAIMER = "For education and research, not for diagnosis."
_COLUMNS = ("case_id", "image", "report", "labels", "age", "sex", "view")
#: Columns that a kind of case fills.
_KINDS = {
    "film": ("image",),
    "report": ("report",),
    "film-view": ("image", "view"),
    "film-label": ("image", "labels"),
    "report-age": ("report", "age"),
    "film-sex": ("image", "sex"),
    "full": _COLUMNS,
}
#: Casebooks: which kinds they hold.
_BOOKS = {"films": ("film",), "reports": ("report",), "mixed": tuple(_KINDS)}


@pytest.fixture(scope="module", params=_BOOKS)
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A casebook of 40 cases, of the kinds in turn."""
    source = tmp_path_factory.mktemp(f"bare-{request.param}")
    kinds = _BOOKS[request.param]
    columns = [name for name in _COLUMNS if name == "case_id" or any(name in _KINDS[kind] for kind in kinds)]
    random = np.random.default_rng(0)
    with (source / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        for number in range(40):
            kind = kinds[number % len(kinds)]
            film = f"{number}.png"
            if "image" in _KINDS[kind]:
                Image.fromarray(random.integers(0, 256, (64, 64), dtype=np.uint8)).save(source / film)
            filled = {
                "image": film,
                "report": " ".join(random.choice(WORDS, 9)),
                "labels": ("Cardiomegaly", "Normal")[number % 2],
                "age": 20 + number,
                "sex": "FM"[number % 2],
                "view": "PA",
            }
            row = {name: filled[name] if name in _KINDS[kind] else "" for name in columns if name != "case_id"}
            writer.writerow(row | {"case_id": f"{kind}-{number}"})
    out = tmp_path_factory.mktemp("bare") / request.param
    build(BuildRequest("manifest", source, out, tiny_checkpoint), lambda *_: None)
    return out


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, bare: Path) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", str(bare)])
    return AppTest.from_file(APP, default_timeout=120)


def test_a_case_of_every_kind_has_its_page(app: AppTest, bare: Path) -> None:
    casebook = Casebook.open(bare)
    app.run()
    for case_id in casebook.case_ids[: len(_KINDS)]:
        app.query_params["case"] = case_id
        app.switch_page("../../pages/case.py").run()
        _assert_calm(app)
        html, case = _html(app), casebook.case(case_id)
        assert f'<h1 class="cxr-title">{case_id}</h1>' in html
        assert ("<h2>Patient</h2>" in html) == bool(case.profile)
        assert (case.report in html) if case.report else ('aria-label="Report"' not in html)
        assert any("has no film" in info.value for info in app.info) == (case.image is None)
        line = html.split('cxr-facts-line">')[1].split("<")[0]
        assert not line.startswith(" · ")
        assert " ·  · " not in line
        assert html.count('aria-label="Neighbour ') == 6


def test_a_case_of_every_kind_is_explained(app: AppTest, bare: Path) -> None:
    casebook = Casebook.open(bare)
    app.run()
    for case_id in casebook.case_ids[: len(_KINDS)]:
        app.query_params["case"] = case_id
        app.switch_page("../../pages/explain.py").run()
        _assert_calm(app)
        assert f"Explain {case_id}" in _html(app)


def test_every_kind_is_found_and_searched_with(app: AppTest, bare: Path) -> None:
    app.run()
    _assert_calm(app)
    app.text_area(key="query_text").set_value("small left pleural effusion").run()
    _assert_calm(app)
    assert _html(app).count('aria-label="Neighbour ') == 5
    app.slider(key="k").set_value(20).run()
    _assert_calm(app)
    for number in range(len(_KINDS)):
        like = [button for button in app.button if button.label == "More like this"][number]
        like.click().run()
        _assert_calm(app)
        assert "Searching with case" in _html(app)


@pytest.mark.parametrize("page", ["map", "evaluation", "about", "case"])
def test_pages_of_a_whole_casebook(app: AppTest, page: str) -> None:
    app.run()
    app.switch_page(f"../../pages/{page}.py").run()
    _assert_calm(app)


def test_data_quality_lists_bare_cases(app: AppTest) -> None:
    app.query_params["section"] = "Data quality"
    app.run()
    app.switch_page("../../pages/evaluation.py").run()
    _assert_calm(app)
    for number in range(len([one for one in app.toggle if one.label == "Show the cases"])):
        [one for one in app.toggle if one.label == "Show the cases"][number].set_value(True).run()
        _assert_calm(app)


def test_empty_html_is_not_drawn() -> None:
    def page() -> None:
        from explorer.app.shared.draw import draw_html

        draw_html()
        draw_html("", "")
        draw_html("", "<p>one</p>", "<p>two</p>")

    app = AppTest.from_function(page).run()
    assert not app.exception
    assert [one.value for one in app.get("html")] == ["<p>one</p><p>two</p>"]


def test_empty_parts_give_no_html() -> None:
    assert facts_html("Patient", {}) == ""
    assert facts_html("Patient", {"Age": " "}) == ""
    assert "<dt>Age</dt><dd>40</dd>" in facts_html("Patient", {"Age": "40", "Sex": ""})
    assert words_html("Codes", " ") == ""
    assert words_html("Codes", "normal") == '<section class="cxr-report"><h2>Codes</h2><p>normal</p></section>'
    assert report_html({}, ()) == ""
    assert report_html({"findings": " \n"}, ()) == ""
    assert report_html({"findings": "", "impression": "Normal."}, ()).count("<h3>") == 1
    assert "report" not in film_html(None, "alt")


def _html(app: AppTest) -> str:
    return " ".join(element.value for element in [*app.main.get("html"), *app.sidebar.get("html")])


def _assert_calm(app: AppTest) -> None:
    assert not app.exception, app.exception[0].value
    assert not app.error, [error.value for error in app.error]
    assert _DISCLAIMER in _html(app)
