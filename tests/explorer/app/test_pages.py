"""Pages drawn without a browser, by Streamlit's own test runner."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest
from places import APP
from streamlit.testing.v1 import AppTest

from explorer import Casebook, Query
from explorer.app.library import shelve
from explorer.app.search.examples import example_profiles
from explorer.app.search.export import result_csv, result_json
from explorer.app.session import Outcome
from explorer.app.shared.markup import excerpt_html, film_html, highlighted_html
from explorer.charts.tables import safe_cell
from explorer.search.closeness import closeness_figure, closeness_words
from explorer.search.search import search_cases
from index_builder.cases.profile import profile_sentence
from index_builder.errors import CxrError

_DISCLAIMER = "For education and research, not for diagnosis."


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, casebooks: list[Path]) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", *map(str, casebooks)])
    return AppTest.from_file(APP, default_timeout=60)


def test_search_page_before_and_after_a_text(app: AppTest) -> None:
    app.run()
    _assert_calm(app)
    assert "Find cases that look or read like yours" in _html(app)
    app.text_area(key="query_text").set_value("small left pleural effusion").run()
    _assert_calm(app)
    assert _html(app).count('aria-label="Neighbour ') == 5
    captions = " ".join(caption.value for caption in app.caption)
    assert "A program's predictions, not a diagnosis" in captions
    assert "diversity of these cases" in captions
    assert "because predictions were calibrated on whole reports" in captions
    assert "do not cover findings without a label here, such as pneumothorax, tuberculosis, lung cancer" in captions
    assert re.search(r"Cardiomegaly</th><td[^>]*>.*score 0\.\d\d.*\d of 7", _html(app))
    # The cases come before the table, which is folded away.
    assert _html(app).index('aria-label="Neighbour 5') < _html(app).index("Predicted findings")
    assert not next(one for one in app.expander if one.label == "What cases like these carry").proto.expanded
    assert re.search(r"Nodule</th><td><span class=\"cxr-muted\">not known to it", _html(app))


def test_a_profile_is_asked_for_where_the_system_reads_profiles(
    monkeypatch: pytest.MonkeyPatch, profile_casebook: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(profile_casebook)])
    app = AppTest.from_file(APP, default_timeout=60).run()
    _assert_calm(app)
    assert not app.text_area
    assert "Searched as" not in _html(app)
    assert "patient profile" in _html(app)
    app.number_input(key="profile:profiles:age").set_value(60).run()
    app.selectbox(key="profile:profiles:occupation").set_value("coal miner").run()
    app.button_group(key="profile:profiles:cough").set_value("yes").run()
    app.button_group(key="profile:profiles:dyspnoea").set_value("no").run()
    _assert_calm(app)
    assert "</span> 60-year-old patient, coal miner, cough, no dyspnoea.</p>" in _html(app)
    assert _html(app).count('aria-label="Neighbour ') == 5
    assert any("cases compared by profile" in caption.value for caption in app.caption)
    casebook = Casebook.open(profile_casebook)
    query = Query(profile={"age": 60, "occupation": "coal miner", "cough": True, "dyspnoea": False})
    for hit in search_cases(casebook, query, k=5).neighbours:
        assert f"Neighbour {hit.rank}: case {hit.case_id}" in _html(app)
    assert "years of dust exposure" in _html(app)

    next(button for button in app.button if button.label == "Start over").click().run()
    _assert_calm(app)
    assert "Searched as" not in _html(app)
    assert app.number_input(key="profile:profiles:age").value is None
    assert _html(app).count('aria-label="Neighbour ') == 0

    app.button(key="example-profile-0").click().run()
    _assert_calm(app)
    example = example_profiles(casebook)[0]
    assert app.number_input(key="profile:profiles:age").value == example["age"]
    assert f"</span> {profile_sentence(example)}</p>" in _html(app)
    assert _html(app).count('aria-label="Neighbour ') == 5
    app.button(key=f"like-result-1-{_first_case(app)}").click().run()
    assert "Searching with case" in _html(app)
    assert "Searched as" not in _html(app)


def test_upload_becomes_the_query_and_is_let_go(app: AppTest, film_folder: Path) -> None:
    film = (film_folder / "005.png").read_bytes()
    app.run()
    app.file_uploader[0].set_value(("Doe^Jane.png", film, "image/png")).run()
    _assert_calm(app)
    assert _html(app).count('aria-label="Neighbour ') == 5
    assert "Your film, as the app sees it" in _html(app)
    assert [uploader.label for uploader in app.file_uploader] == ["Second film"]
    assert "Doe" not in _html(app)
    # The film itself is a case of this casebook, so it is found, as near as can be.
    assert 'aria-label="Neighbour 1: case case-005"' in _html(app)
    app.text_area(key="query_text").set_value("normal heart").run()
    assert app.slider(key="image_weight").value == 0.5
    app.button(key="remove-film").click().run()
    assert [uploader.label for uploader in app.file_uploader] == ["Chest film"]
    assert "image_weight" not in [slider.key for slider in app.slider]


def test_a_bad_upload_is_told_in_a_sentence(app: AppTest) -> None:
    app.run()
    app.file_uploader[0].set_value(("Doe^Jane.dcm", b"not a film at all", "application/dicom")).run()
    _assert_calm(app, errors=1)
    assert "neither DICOM, PNG nor JPEG" in app.error[0].value
    assert "Doe" not in app.error[0].value
    app.text_area(key="query_text").set_value("normal heart").run()
    assert _html(app).count('aria-label="Neighbour ') == 5


def test_filters_are_applied_and_cleared(app: AppTest, small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    app.run()
    app.text_area(key="query_text").set_value("normal heart").run()
    app.multiselect(key="filters:small:labels").set_value(["Nodule"]).run()
    app.button_group(key="filter:small:sex").set_value(["F"]).run()
    _assert_calm(app)
    wanted = sum(
        "Nodule" in labels and sex == "F"
        for labels, sex, held in zip(casebook.labels, casebook.column("sex"), casebook.has_vector("text"), strict=True)
        if held
    )
    assert any(f"{wanted} of 300 cases searched by what" in caption.value for caption in app.caption)
    next(button for button in app.button if button.label == "Clear filters").click().run()
    assert app.multiselect(key="filters:small:labels").value == []
    assert not any(" of 300 cases searched" in caption.value for caption in app.caption)


def test_filters_that_nothing_meets_say_so(app: AppTest) -> None:
    app.run()
    app.text_area(key="query_text").set_value("normal heart").run()
    app.text_input(key="filter:small:report").set_value("no such words anywhere").run()
    _assert_calm(app)
    assert "No case meets all filters" in app.info[0].value


def test_case_page_by_its_address(app: AppTest, small_casebook: Path) -> None:
    case = Casebook.open(small_casebook).case("case-000")
    app.run()
    app.query_params["case"] = "case-000"
    app.switch_page("../../pages/case.py").run()
    _assert_calm(app)
    html = _html(app)
    assert '<h1 class="cxr-title">case-000</h1>' in html
    assert case.report in html
    assert html.count('aria-label="Neighbour ') == 6


def test_case_page_without_the_source_shows_the_small_copy_and_says_so(
    app: AppTest, small_casebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    copy = tmp_path / "moved"
    shutil.copytree(small_casebook, copy)
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    manifest["dataset"]["root"] = str(tmp_path / "gone")
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    monkeypatch.setattr(sys, "argv", ["app.py", str(copy)])
    app.run()
    app.query_params["case"] = "case-000"
    app.switch_page("../../pages/case.py").run()
    _assert_calm(app)
    assert "small copy" in app.warning[0].value


def test_unknown_case_and_unknown_casebook(app: AppTest) -> None:
    app.run()
    app.query_params["case"] = "nobody"
    app.switch_page("../../pages/case.py").run()
    _assert_calm(app)
    assert app.title[0].value == "No such case here"
    app.query_params["casebook"] = "elsewhere"
    app.run()
    _assert_calm(app)
    assert app.title[0].value == "This casebook is not open here"
    assert "“elsewhere”" in app.warning[0].value


@pytest.mark.parametrize("page", ["map", "about"])
@pytest.mark.parametrize("kind", ["small_casebook", "profile_casebook", "stage_casebook"])
def test_other_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str, page: str) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(request.getfixturevalue(kind))])
    app = AppTest.from_file(APP, default_timeout=60).run()
    app.switch_page(f"../../pages/{page}.py").run()
    _assert_calm(app)


def test_a_damaged_casebook_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_text("{}", "utf-8")
    monkeypatch.setattr(sys, "argv", ["app.py", str(tmp_path)])
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert not app.exception
    assert "schema version" in app.error[0].value


def test_without_a_casebook_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py"])
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert not app.exception
    assert "serve CASEBOOK" in app.error[0].value


def test_downloads_hold_the_result_and_no_formulas(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    query = Query(text="=HYPERLINK heart")
    shelved = shelve([small_casebook])["small"]
    from explorer import SearchOptions

    result = search_cases(casebook, query, k=4)
    outcome = Outcome(0, shelved, query, SearchOptions(k=4), result)
    rows = list(csv.DictReader(io.StringIO(result_csv(outcome).decode("utf-8-sig"))))
    assert {row["warning"] for row in rows} == {
        "No report of this casebook has the word “hyperlink”. The rest was searched for."
    }
    assert [row["match"] for row in rows] == [closeness_words(hit.closeness) for hit in result.neighbours]
    assert {row["synthetic"] for row in rows} == {"no"}
    assert [row["case_id"] for row in rows] == [hit.case_id for hit in result.neighbours]
    content = json.loads(result_json(outcome))
    assert content["disclaimer"] == _DISCLAIMER
    assert [hit["rank"] for hit in content["neighbours"]] == [1, 2, 3, 4]
    assert content["voters"] == 7
    assert set(content["diversity"]) == {"vectors", "labels"}
    assert [safe_cell(cell) for cell in ("=1+1", "@x", "-0.25", "+49 30", "plain")] == [
        "'=1+1",
        "'@x",
        "-0.25",
        "'+49 30",
        "plain",
    ]


def test_two_casebooks_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "films", tmp_path / "b" / "films", tmp_path / "c"]
    assert list(shelve(folders)) == ["a-films", "b-films", "c"]


def test_a_casebook_that_is_gone_fails_as_a_user_error(tmp_path: Path) -> None:
    shelved = next(iter(shelve([tmp_path / "gone"]).values()))
    with pytest.raises(CxrError, match="not a casebook"):
        _ = shelved.casebook


def test_markup_escapes_what_it_shows() -> None:
    assert highlighted_html("a <b> Left  pleural\neffusion", ["left pleural effusion"]) == (
        "a &lt;b&gt; <mark>Left  pleural\neffusion</mark>"
    )
    assert "<script>" not in film_html(b"\x89PNG", '"><script>alert(1)</script>')
    long = "Word. " * 200 + "Small left effusion seen." + " Word." * 200
    assert "<mark>left effusion</mark>" in excerpt_html(long, ["left effusion"])
    assert len(excerpt_html(long, ["left effusion"])) < 400


def test_closeness_in_words() -> None:
    figures = [0.0, 0.049, 0.05, 0.28, 0.499, 0.5, 0.84, 1.0]
    assert [closeness_words(one) for one in figures] == [
        *["no close match"] * 2,
        *["fairly close"] * 3,
        *["very close"] * 3,
    ]
    assert closeness_figure(0.28, 0.831) == (
        "Cosine similarity 0.83, higher than that of 28 % of cases to their own nearest neighbour"
    )
    assert "nearly all cases" in closeness_figure(1.0, 0.99)
    assert "fewer than 1 %" in closeness_figure(0.001, 0.2)


def _first_case(app: AppTest) -> str:
    found = re.search(r'aria-label="Neighbour 1: case ([^"]+)"', _html(app))
    assert found is not None
    return found[1]


def _html(app: AppTest) -> str:
    return " ".join(element.value for element in [*app.main.get("html"), *app.sidebar.get("html")])


def _assert_calm(app: AppTest, errors: int = 0) -> None:
    assert not app.exception, app.exception[0].value
    assert len(app.error) == errors, [error.value for error in app.error]
    assert _DISCLAIMER in _html(app)
