"""The map page drawn without a browser, by Streamlit's own test runner."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from places import APP
from streamlit.testing.v1 import AppTest

from explorer import Casebook
from explorer.app.library import shelve


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, casebooks: list[Path]) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", *map(str, casebooks)])
    return AppTest.from_file(APP, default_timeout=60)


def test_changes_layout_colour_and_shape(app: AppTest, small_casebook: Path) -> None:
    app.run()
    app.switch_page("../../pages/map.py").run()
    _assert_calm(app)
    casebook = Casebook.open(small_casebook)
    films = int(casebook.has_vector("image").sum())
    said = _captions(app)
    assert f"{films} cases laid out by UMAP of their film vectors" in said
    record = casebook.maps.spaces["image"].maps["umap"]
    assert f"trustworthiness {record.trustworthiness:.2f}" in said
    for key, value, expected in (
        ("map-layout-small-3", "tsne", "laid out by t-SNE"),
        ("map-layout-small-3", "umap3d", "Drag to turn it"),
        ("map-space-small--", "joint", "300 cases laid out"),
    ):
        app.button_group(key=key).set_value(value).run()
        _assert_calm(app)
        assert expected in _captions(app)
    for field in ("cluster", "uncertainty", "right or wrong", "age", "label:Nodule"):
        app.selectbox(key="map-colour-small").set_value(field).run()
        _assert_calm(app)
    assert "learnt from the cases of the train split" not in _captions(app)
    app.selectbox(key="map-shape-small").set_value("view").run()
    _assert_calm(app)


def test_lays_filtered_cases_out_anew(app: AppTest, small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    app.run()
    app.switch_page("../../pages/map.py").run()
    app.multiselect(key="filters:small:labels").set_value(["Nodule"]).run()
    nodules = sum("Nodule" in labels for labels in casebook.labels)
    assert f"{nodules} of 300 cases meet the filters" in _captions(app)
    app.button(key="map-refit-small-ask").click().run()
    _assert_calm(app)
    assert any(one.label == "Back to the map of all cases" for one in app.button)
    shown = int((casebook.has_vector("image") & casebook.label_matrix[:, casebook.label_names.index("Nodule")]).sum())
    assert f"{shown} cases laid out by UMAP" in _captions(app)


def test_compares_two_spaces_and_shows_what_is_chosen(app: AppTest, small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    shelved = shelve([small_casebook])["small"]
    app.run()
    app.switch_page("../../pages/map.py").run()
    app.selectbox(key="map-other-small-image").set_value(("small", "text")).run()
    _assert_calm(app)
    both = int((casebook.has_vector("image") & casebook.has_vector("text")).sum())
    assert f"{both} cases laid out" in _captions(app)
    assert "the two agree on" in _captions(app)
    nodules = np.flatnonzero(casebook.label_matrix[:, casebook.label_names.index("Nodule")])
    app.session_state[f"map-chosen:small:{shelved.stamp}"] = nodules
    app.run()
    _assert_calm(app)
    shown = int((casebook.has_vector("image") & casebook.has_vector("text"))[nodules].sum())
    assert any(one.value == f"{shown} chosen cases" for one in app.header)
    html = _html(app)
    assert "100 % against 0 %, more often" in html
    assert html.count("Chest film of chosen case") == 24


def _captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.caption)


def _html(app: AppTest) -> str:
    return " ".join(element.value for element in app.main.get("html"))


def _assert_calm(app: AppTest) -> None:
    assert not app.exception, app.exception[0].value
    assert not app.error, [error.value for error in app.error]
