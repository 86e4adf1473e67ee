"""The Explain page, drawn without a browser."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from places import APP
from streamlit.testing.v1 import AppTest

from explorer import Casebook
from explorer.app.explain.answers import _shared_answers


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, casebooks: list[Path]) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", *map(str, casebooks)])
    return AppTest.from_file(APP, default_timeout=120).run()


def test_a_case_by_its_address(app: AppTest, small_casebook: Path) -> None:
    case = Casebook.open(small_casebook).case("case-000")
    before = len(_shared_answers())
    app.query_params["case"] = "case-000"
    _open(app)
    assert "Explain case-000" in _html(app)
    words = re.search(r'<p class="cxr-tinted">(.*?)</p>', _html(app))
    assert words is not None
    assert re.sub(r"<sup.*?</sup>|<[^>]+>", "", words[1]) == case.report
    assert "What Attention shows" in _html(app)
    assert _choice(app, "explain-method").options == ["Attention", "Grad-CAM", "Integrated Gradients"]
    assert len(_shared_answers()) == before + 1

    _choice(app, "explain-method").set_value("grad-cam").run()
    _assert_calm(app)
    assert "What Grad-CAM shows" in _html(app)
    assert "cxr-tinted" not in _html(app)
    stages = next(box for box in app.selectbox if box.label == "Stage")
    assert len(stages.options) > 2
    stages.set_value(stages.options[1]).run()
    _assert_calm(app)

    next(toggle for toggle in app.toggle if "side by side" in toggle.label).set_value(True).run()
    _assert_calm(app)
    figures = re.findall(r"<figcaption>([^<]+)<", _html(app))
    assert figures == ["Attention", "Grad-CAM", "Integrated Gradients"]
    table = app.dataframe[-1].value
    assert table["Methods"].tolist()[0] == "Attention and Grad-CAM"
    assert len(table) == 4  # attention and integrated gradients are compared by text, too
    assert table["IoU of top 5 %"].between(0, 1).all()


def test_likeness_with_a_neighbour(app: AppTest) -> None:
    app.query_params["case"] = "case-000"
    app.query_params["with"] = "case-007"
    app.query_params["what"] = "similarity"
    _open(app)
    assert _choice(app, "explain-what").value == "similarity"
    assert "Why similar to case case-007" in _html(app)
    assert "cosine " in _html(app)
    assert "What Similarity parts shows" in _html(app)
    assert _html(app).count("cxr-tinted") == 2
    _choice(app, "explain-what").set_value("finding").run()
    _assert_calm(app)
    compared = next(box for box in app.selectbox if box.label == "Compare with")
    assert compared.value == ""
    compared.set_value("case-007").run()
    _assert_calm(app)
    assert re.search(r"log-odds of the classifier [+−]\d\.\d\d and [+−]\d\.\d\d", _html(app))


def test_a_query_is_explained_in_its_session_alone(app: AppTest, film_folder: Path) -> None:
    app.file_uploader[0].set_value(("Doe^Jane.png", (film_folder / "005.png").read_bytes(), "image/png")).run()
    app.text_area(key="query_text").set_value("mild cardiomegaly").run()
    app.slider(key="image_weight").set_value(0.7).run()
    shared = len(_shared_answers())
    app.query_params["finding"] = "Cardiomegaly"
    _open(app)
    assert "Explain your query" in _html(app)
    assert "Doe" not in _html(app)
    assert "Why Cardiomegaly" in _html(app)
    assert any("The weight set for the search does not count here" in caption.value for caption in app.caption)
    finding = next(box for box in app.selectbox if box.label == "Finding")
    assert finding.value == "Cardiomegaly"
    # The casebook carries no other of the system's labels.
    assert len(finding.options) == 1
    assert re.fullmatch(r"Cardiomegaly \(score 0\.\d\d\)", finding.options[0])
    # What the search withheld is not stated here.
    warning = next(one.value for one in app.warning if "The explained value is a score" in one.value)
    assert "shorter than nearly all of them" in warning
    compared = next(box for box in app.selectbox if box.label == "Compare with")
    assert len(compared.options) == 6
    compared.set_value(compared.options[1].split(" · ")[0].split(". ")[1]).run()
    _assert_calm(app)
    assert len(_shared_answers()) == shared
    assert len(app.session_state["explain-answers"]) == 2
    # The study is made once for a query.
    study = app.session_state["explain-study"][2]
    app.run()
    assert app.session_state["explain-study"][2] is study


def test_profiles_and_stages(monkeypatch: pytest.MonkeyPatch, profile_casebook: Path, stage_casebook: Path) -> None:
    for folder, said in ((profile_casebook, "log-odds of the vote"), (stage_casebook, "log-odds of the classifier")):
        monkeypatch.setattr(sys, "argv", ["app.py", str(folder)])
        app = AppTest.from_file(APP, default_timeout=120).run()
        app.query_params["case"] = Casebook.open(folder).case_ids[0]
        _open(app)
        assert said in _html(app)
        assert "cxr-tinted" in _html(app)


def test_no_query_no_case_and_a_link_to_nowhere(app: AppTest) -> None:
    _open(app)
    assert app.title[0].value == "Explain a query or a case"
    app.query_params["case"] = "<b>nobody</b>"
    _open(app)
    assert app.title[0].value == "No such case here"
    app.query_params["case"] = "case-000"
    app.query_params["with"] = "nobody"
    app.query_params["finding"] = "Fracture"
    _open(app)
    assert "Explain case-000" in _html(app)


def test_results_and_cases_lead_here(app: AppTest) -> None:
    app.text_area(key="query_text").set_value("small left pleural effusion").run()
    links = [link.proto for link in app.main.get("page_link")]
    targets = {(link.label, link.page, link.query_string) for link in links if link.page.endswith("explain")}
    assert sum(label == "Explain" and "with=case-" in query for label, _, query in targets) == 5
    assert sum(label.startswith("Why ") and "finding=" in query for label, _, query in targets) == 3


def _open(app: AppTest) -> None:
    app.switch_page("../../pages/explain.py").run()
    _assert_calm(app)


def _choice(app: AppTest, key: str):
    return next(one for one in app.button_group if str(one.key).startswith(key))


def _html(app: AppTest) -> str:
    return " ".join(element.value for element in app.main.get("html"))


def _assert_calm(app: AppTest) -> None:
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    assert "not for diagnosis" in _html(app)
