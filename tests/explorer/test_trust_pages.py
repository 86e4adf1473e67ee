"""The predict panel and the warning about films, drawn by Streamlit's own test runner."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from explorer import Casebook, Query, SearchOptions
from explorer.widgets.export import predictions_csv, result_json
from explorer.widgets.library import shelve
from explorer.widgets.session import Outcome
from index_builder.casebook import Layout
from index_builder.held_out import HeldOut, write_answers
from index_builder.labels import DUST_STAGES

_APP = Path(__file__).resolve().parents[2] / "explorer" / "app.py"
_FIRST = "Look at this film first"


def opened(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", str(folder)])
    return AppTest.from_file(_APP, default_timeout=90).run()


def html(app: AppTest) -> str:
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    return " ".join(element.value for element in app.main.get("html"))


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.caption)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def test_findings_with_both_sources_verdicts_and_their_coverage(
    monkeypatch: pytest.MonkeyPatch, small_casebook: Path
) -> None:
    app = opened(monkeypatch, small_casebook)
    app.text_area(key="query_text").set_value("small left pleural effusion").run()
    casebook = Casebook.open(small_casebook)
    count = len(casebook.held_out["text", "vote"].truth)
    assert f"Calibrated on {count} validation cases. Predictions of a program" in captions(app)
    assert "At 90 % coverage" in html(app)
    found = casebook.search(Query(text="small left pleural effusion")).assessment
    assert found is not None
    for one in found.findings:
        assert f"{one.votes} of {found.voters}" in html(app)
    app.button_group(key="coverage").set_value(0.8).run()
    assert "At 80 % coverage" in html(app)
    assert any("higher than that of 80 %" in markdown.value for markdown in app.markdown)


def test_without_validation_cases_it_says_so(monkeypatch: pytest.MonkeyPatch, profile_casebook: Path) -> None:
    app = opened(monkeypatch, profile_casebook)
    app.button(key="example-profile-0").click().run()
    assert "Not calibrated: this casebook has fewer than 20 labelled validation cases" in captions(app)
    assert "Reliability unknown" in html(app)
    assert "coverage" not in [group.key for group in app.button_group]


@pytest.fixture
def staged(tmp_path: Path, stage_casebook: Path) -> Path:
    """Stages with answers on validation cases in the text space, one in ten wrong, the unsure ones first."""
    folder = shutil.copytree(stage_casebook, tmp_path / "staged")
    sureness = np.linspace(0.2, 4, 40)
    logits = np.zeros((40, 4), np.float32)
    logits[:, 0] = sureness
    truth = np.zeros((40, 4), bool)
    truth[np.arange(40), (np.arange(40) < 4).astype(int)] = True
    held = HeldOut(DUST_STAGES, True, logits, truth, 1.0)
    write_answers({("text", "classifier"): held, ("text", "vote"): held}, Layout(folder).held_out)
    return folder


def test_stages_with_threshold_and_risk(monkeypatch: pytest.MonkeyPatch, staged: Path) -> None:
    app = opened(monkeypatch, staged)
    app.text_area(key="query_text").set_value("small rounded opacities, category 2").run()
    first = html(app)
    assert "answers 92 % of the 40 validation cases; 3 % of the answers are wrong" in first
    assert "Classifier</caption>" in first
    assert "Neighbours</caption>" in first
    assert ("Read again" in first) or ("Reliable" in first)
    assert "Possible at 90 % coverage" in first
    app.select_slider(key="risk").set_value(0.1).run()
    assert "answers 100 % of the 40 validation cases; 10 % of the answers are wrong" in html(app)
    app.select_slider(key="risk").set_value(0.01).run()
    assert "answers 90 % of the 40 validation cases; 0 % of the answers are wrong" in html(app)


def test_a_photograph_is_told_before_results_which_come_on_request(
    monkeypatch: pytest.MonkeyPatch, phantom_casebook: Path
) -> None:
    import sklearn

    photo = (Path(sklearn.__file__).parent / "datasets" / "images" / "flower.jpg").read_bytes()
    app = opened(monkeypatch, phantom_casebook)
    app.file_uploader[0].set_value(("flower.jpg", photo, "image/jpeg")).run()
    assert app.subheader[0].value == _FIRST
    assert "does not look like a chest film" in app.warning[0].value
    assert 'aria-label="Neighbour ' not in html(app)
    app.button(key="accept-film").click().run()
    assert html(app).count('aria-label="Neighbour ') == 5
    assert "does not look like a chest film" in app.warning[0].value
    assert _FIRST not in [header.value for header in app.subheader]


def test_a_turned_film_is_set_upright(monkeypatch: pytest.MonkeyPatch, phantom_casebook: Path) -> None:
    casebook = Casebook.open(phantom_casebook)
    case = casebook.case(casebook.case_ids[4])
    app = opened(monkeypatch, phantom_casebook)
    film = png(np.rot90(casebook.film(str(case.image)).pixels))
    app.file_uploader[0].set_value(("film.png", film, "image/png")).run()
    assert "turned a quarter to the left" in app.warning[0].value
    app.button(key="turn-film").click().run()
    assert f'aria-label="Neighbour 1: case {case.case_id}"' in html(app)
    assert "set upright, as you asked" in html(app)


def test_downloads_carry_the_predictions(small_casebook: Path) -> None:
    casebook, shelved = Casebook.open(small_casebook), shelve([small_casebook])["small"]
    query = Query(text="effusion")
    result = casebook.search(query, k=2)
    outcome = Outcome(0, shelved, query, SearchOptions(k=2), result)
    rows = list(csv.DictReader(io.StringIO(predictions_csv(outcome).decode("utf-8-sig"))))
    assert result.assessment is not None
    assert {row["label"] for row in rows} == {one.label for one in result.assessment.findings}
    assert {row["verdict"] for row in rows} <= {"present", "absent", "undecided"}
    assert {row["note"] for row in rows} == {"For education and research, not for diagnosis."}
    content = json.loads(result_json(outcome))
    assert content["assessment"] == json.loads(json.dumps(result.assessment.as_dict()))
    assert content["film"] is None
