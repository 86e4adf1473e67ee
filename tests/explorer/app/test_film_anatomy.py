"""Outlines on the case page, places on the Explain page, hints in a search, and the same from the command line."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import APP
from streamlit.testing.v1 import AppTest

from explorer import Casebook, Query
from explorer.cases.anatomy import LINES, film_anatomy
from explorer.cli.commands import app as command_line
from explorer.explanation.explain import Question, explain, open_study
from explorer.explanation.words import legend, place_lines, place_words
from explorer.search.search import search_cases
from index_builder.anatomy.zones import ZONES
from index_builder.datasets.phantom import ChestSpec, render
from index_builder.errors import DatasetError


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.png"
    Image.fromarray((render(ChestSpec(), seed=7).pixels * 255).astype(np.uint8)).save(path)
    return path


def test_a_ratio_is_told_with_its_error_or_why_there_is_none() -> None:
    pixels = render(ChestSpec(), seed=7).pixels
    found = film_anatomy(pixels, "PA")
    assert set(found.lines) == set(LINES)
    assert found.ratio is not None
    assert re.search(r"ratio 0\.\d\d, mean error 0\.\d\d\d", found.ratio_words)
    assert "Not for diagnosis" in found.ratio_words
    assert found.hints == ()
    assert film_anatomy(pixels, None).ratio == found.ratio
    for view, why in (("LATERAL", "lateral"), ("AP", "AP film")):
        refused = film_anatomy(pixels, view)
        assert refused.ratio is None
        assert why in refused.ratio_words
    turned = film_anatomy(np.rot90(pixels, 2).copy(), "PA")
    assert turned.ratio is None
    assert "upside down" in turned.hints[0]
    mirrored = film_anatomy(pixels[:, ::-1].copy(), "PA")
    assert "mirrored, or the heart really lies there" in mirrored.hints[0]
    blank = film_anatomy(np.random.default_rng(0).random((90, 120), np.float32), None)
    assert blank.ratio is None
    assert "was not found" in blank.ratio_words
    assert json.loads(json.dumps(blank.as_dict()))["cardiothoracic_ratio"] is None


def test_the_command_line_tells_the_same(film: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command_line(["anatomy", str(film)], standalone_mode=False)
    told = capsys.readouterr().out
    assert "found: right lung, left lung, heart" in told
    assert "Cardiothoracic ratio 0." in told
    assert "not for diagnosis" in told
    command_line(["anatomy", str(film), "--json"], standalone_mode=False)
    content = json.loads(capsys.readouterr().out)
    assert 0.3 < content["cardiothoracic_ratio"] < 0.6
    assert len(content["outlines"]["heart"]) > 8
    with pytest.raises(DatasetError, match="JPCLN001"):
        command_line(["train-anatomy", "--jsrt", str(tmp_path / "none"), "--out", str(tmp_path)], standalone_mode=False)


def test_maps_are_told_by_the_zones_they_point_at(phantom_casebook: Path) -> None:
    casebook = Casebook.open(phantom_casebook)
    case_id = next(one for one in casebook.case_ids if casebook.case(one).image is not None)
    study = open_study(casebook, Query(case_id=case_id))
    assert study.zones is not None
    answer = explain(casebook, study, Question("Cardiomegaly", part="image"), "grad-cam")
    (side,) = answer.sides
    assert side.places is not None
    assert set(side.places) == set(ZONES)
    assert sum(side.places.values()) == pytest.approx(1)
    assert side.places_against is None
    assert place_words(side).endswith(("%)", "the others", "no one place"))
    assert place_words(side) in place_lines(answer)[0]
    assert any("thirds of each lung's height" in line for line in legend(casebook, answer, 0.1))
    assert answer.as_dict()["studies"][0]["zones"] == {zone: round(share, 4) for zone, share in side.places.items()}
    signed = explain(casebook, study, Question("Cardiomegaly", part="image"), "integrated-gradients", steps=2)
    assert "; what speaks against it: " in place_words(signed.sides[0])
    unknown = explain(casebook, replace(study, zones=None), Question("Cardiomegaly", part="image"), "grad-cam")
    assert place_words(unknown.sides[0]) == ""


def test_a_mirrored_film_is_hinted_at_and_searched_all_the_same(phantom_casebook: Path) -> None:
    casebook = Casebook.open(phantom_casebook)
    case_id = next(one for one in casebook.case_ids if casebook.case(one).image is not None)
    pixels = casebook.film(str(casebook.case(case_id).image)).pixels
    upright = search_cases(casebook, Query(pixels=pixels), k=1)
    assert upright.film is not None
    assert upright.film.hints == ()
    mirrored = search_cases(casebook, Query(pixels=pixels[:, ::-1].copy()), k=1)
    assert mirrored.film is not None
    assert "may be mirrored" in mirrored.film.hints[0]
    assert mirrored.film.hints[0] in mirrored.warnings
    assert list(mirrored.as_dict()["film"]["hints"]) == list(mirrored.film.hints)
    assert mirrored.neighbours


def test_the_case_page_outlines_once_asked(monkeypatch: pytest.MonkeyPatch, phantom_casebook: Path) -> None:
    casebook = Casebook.open(phantom_casebook)
    case_id = next(one for one in casebook.case_ids if casebook.case(one).view == "PA")
    monkeypatch.setattr(sys, "argv", ["app.py", str(phantom_casebook)])
    app = AppTest.from_file(APP, default_timeout=90)
    app.run()
    app.query_params["case"] = case_id
    app.switch_page("../../pages/case.py").run()
    assert not app.exception
    assert not any("ardiothoracic ratio" in caption.value for caption in app.caption)
    app.toggle(key="outline-phantom-openi").set_value(True).run()
    assert not app.exception
    assert any("Cardiothoracic ratio 0" in caption.value.replace("\\", "") for caption in app.caption)
    app.toggle(key="outline-phantom-openi").set_value(False).run()
    assert not any("ardiothoracic ratio" in caption.value for caption in app.caption)
