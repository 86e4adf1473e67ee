"""The evaluation page, drawn without a browser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from places import APP
from streamlit.testing.v1 import AppTest

from explorer import Casebook
from explorer.charts.measured import of_casebook
from index_builder.build.build import BuildRequest, build

_SECTIONS = ("Overview", "Findings", "Confidence", "Retrieval", "Systems", "Data quality")


def opened(monkeypatch: pytest.MonkeyPatch, *casebooks: Path) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", *map(str, casebooks)])
    app = AppTest.from_file(APP, default_timeout=120).run()
    return app.switch_page("../../pages/evaluation.py").run()


def show(app: AppTest, section: str) -> AppTest:
    app.button_group(key="section").set_value(section).run()
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    return app


@pytest.mark.parametrize("kind", ["small_casebook", "profile_casebook", "stage_casebook"])
def test_every_section_of_every_kind_of_system(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder: Path = request.getfixturevalue(kind)
    app = opened(monkeypatch, folder)
    measured = of_casebook(Casebook.open(folder))[0]
    for section in _SECTIONS:
        show(app, section)
        captions = " ".join(one.value for one in app.caption)
        if section != "Data quality":
            assert f"of {measured.result['cases']} test cases" in captions
            assert ("synthetic" in captions) == measured.result["synthetic"]
    headings = " ".join(one.value for one in app.markdown)
    assert "No film of one part is copied in another" in headings


def test_a_row_of_the_table_shows_the_errors_of_its_finding(
    monkeypatch: pytest.MonkeyPatch, small_casebook: Path
) -> None:
    app = opened(monkeypatch, small_casebook)
    measured = of_casebook(Casebook.open(small_casebook))[0]
    wrong = (measured.called != measured.truth).any(axis=1)
    html = " ".join(element.value for element in app.main.get("html"))
    assert html.count('class="cxr-judged"') == min(12, wrong.sum())
    assert any(f"{wrong.sum()} cases" in one.value for one in app.markdown)


def test_systems_of_one_dataset_stand_side_by_side(
    monkeypatch: pytest.MonkeyPatch, stage_casebook: Path, profile_casebook: Path, small_casebook: Path
) -> None:
    app = show(opened(monkeypatch, stage_casebook, profile_casebook, small_casebook), "Systems")
    names = app.dataframe[0].value["System"].tolist()
    assert "mskpt, film" in names
    assert "siclip, film" in names
    assert not any(name.startswith("unified") for name in names)
    assert any("Differences to mskpt, film" in one.value for one in app.markdown)
    assert any("--baselines" in one.value for one in app.code)
    assert any("--runs" in one.value for one in app.code)


def test_what_could_not_be_measured_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, film_folder: Path, tiny_checkpoint: Path
) -> None:
    out = tmp_path / "few"
    build(BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=5), lambda *_: None)
    app = opened(monkeypatch, out)
    assert "Nothing was measured" in app.info[0].value
    assert app.code[0].value == "cxr-explorer metrics few"
    show(app, "Data quality")
