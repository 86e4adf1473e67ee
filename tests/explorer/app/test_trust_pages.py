"""The predict panel and the warning about films, drawn by Streamlit's own test runner."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from places import APP
from streamlit.testing.v1 import AppTest

from explorer import Casebook, Query, SearchOptions
from explorer.app.library import shelve
from explorer.app.search.export import predictions_csv, result_csv, result_json
from explorer.app.session import Outcome
from explorer.prediction.assessment import Verdict
from explorer.prediction.learnt import other_data_words
from explorer.search.search import search_cases
from index_builder.calibration.held_out import HeldOut, write_answers
from index_builder.calibration.learnt import Learnt, LearntLabel, Measured, Taught
from index_builder.casebook.layout import Layout
from index_builder.cases.labels import DUST_STAGES

_FIRST = "Look at this film first"


def opened(monkeypatch: pytest.MonkeyPatch, folder: Path, *others: Path) -> AppTest:
    """The app on a casebook, and on others that lie beside it."""
    monkeypatch.setattr(sys, "argv", ["app.py", str(folder), *map(str, others)])
    return AppTest.from_file(APP, default_timeout=90).run()


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
    monkeypatch: pytest.MonkeyPatch, small_casebook: Path, stage_casebook: Path, profile_casebook: Path
) -> None:
    app = opened(monkeypatch, small_casebook, stage_casebook, profile_casebook)
    casebook = Casebook.open(small_casebook)
    report = casebook.case("case-000").report
    app.text_area(key="query_text").set_value(report).run()
    count = len(casebook.held_out["text", "vote"].truth)
    assert f"Calibrated on {count} validation cases of this casebook. A program's predictions" in captions(app)
    assert "At 90 % coverage" in html(app)
    found = search_cases(casebook, Query(text=report)).assessment
    assert found is not None
    for one in found.findings:
        assert f"{one.votes} of {found.voters}" in html(app)
    app.button_group(key="coverage").set_value(0.8).run()
    assert "At 80 % coverage" in html(app)
    assert any("higher than that of 80 %" in markdown.value for markdown in app.markdown)


def test_without_validation_cases_it_says_so(monkeypatch: pytest.MonkeyPatch, profile_casebook: Path) -> None:
    app = opened(monkeypatch, profile_casebook)
    casebook = Casebook.open(profile_casebook)
    for field in casebook.searched_fields:
        value = casebook.case(casebook.case_ids[0]).profile[field.name]
        told = ("yes" if value else "no") if field.kind == "flag" else value
        app.session_state[f"profile:{profile_casebook.name}:{field.name}"] = told
    app.run()
    assert "Scores, not calibrated: this casebook has fewer than 20 labelled validation cases" in captions(app)
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


def test_no_stage_is_stated_of_a_fragment(
    monkeypatch: pytest.MonkeyPatch, staged: Path, small_casebook: Path, profile_casebook: Path
) -> None:
    app = opened(monkeypatch, staged, small_casebook, profile_casebook)
    app.text_area(key="query_text").set_value("small rounded opacities").run()
    assert "this text is shorter than nearly all of them" in captions(app)
    assert html(app).count("score 0.") + html(app).count("score 1.") == 2 * len(DUST_STAGES)
    assert_nothing_stated(app)


def test_stages_with_threshold_and_risk(monkeypatch: pytest.MonkeyPatch, staged: Path) -> None:
    app = opened(monkeypatch, staged)
    casebook = Casebook.open(staged)
    app.text_area(key="query_text").set_value(casebook.case(casebook.case_ids[0]).report).run()
    first = html(app)
    assert "answers 92 % of the 40 validation cases; 3 % of the answers are wrong" in first
    assert "Classifier</caption>" in first
    assert "Neighbours</caption>" in first
    assert first.count("cxr-reliability") == 1
    assert re.search(r"<strong>(Read again</strong> <span>|Reliable</strong> <span>at the stated risk of 5 %)", first)
    assert not ("<strong>Reliable" in first and ": unsure" in first)
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
    assert app.header[0].value == _FIRST
    assert "does not look like a chest film" in app.warning[0].value
    assert 'aria-label="Neighbour ' not in html(app)
    app.button(key="accept-film").click().run()
    assert html(app).count('aria-label="Neighbour ') == 5
    assert "does not look like a chest film" in app.warning[0].value
    assert _FIRST not in [header.value for header in app.header]
    assert_nothing_stated(app)
    assert not next(one for one in app.expander if one.label == "Scores, not probabilities").proto.expanded
    app.switch_page("../../pages/explain.py").run()
    assert "does not look like a chest film" in app.warning[0].value
    assert "The explained value is a score, not a probability" in app.warning[1].value
    assert all("(score 0." in name for box in app.selectbox if box.label == "Finding" for name in box.options)


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


@pytest.mark.parametrize(
    ("text", "said", "readable"),
    [
        ("asdf qwer zxcv", "No report of this casebook has the words “asdf”, “qwer”, “zxcv”", False),
        ("Увеличенное сердце", "This text is written in Cyrillic script. No report", False),
        ("心臓肥大", "This text is written in Chinese characters", False),
        ("vergrößertes Herz", "has the words “vergrößertes”, “herz”", False),
        ("?! 123", "This text contains no word to search for", False),
        ("normal heart size zxcv", "has the word “zxcv”. The rest was searched for", True),
        ("left pneumothorax", "This casebook has no label for pneumothorax; predictions do not cover it", True),
    ],
)
def test_a_text_that_was_not_understood_is_told_before_results(
    monkeypatch: pytest.MonkeyPatch,
    small_casebook: Path,
    stage_casebook: Path,
    profile_casebook: Path,
    text: str,
    said: str,
    readable: bool,
) -> None:
    app = opened(monkeypatch, small_casebook, stage_casebook, profile_casebook)
    app.text_area(key="query_text").set_value(text).run()
    told = app.info if readable else app.warning
    assert said in told[0].value.replace("\\", "")
    assert html(app).count('aria-label="Neighbour ') == 5
    assert_nothing_stated(app)


def test_about_names_what_is_known_and_what_is_not(
    monkeypatch: pytest.MonkeyPatch, small_casebook: Path, stage_casebook: Path, profile_casebook: Path
) -> None:
    app = opened(monkeypatch, small_casebook, stage_casebook, profile_casebook)
    app.switch_page("../../pages/about.py").run()
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", html(app)))
    assert facts["Predicted by classifier and neighbours"] == "Cardiomegaly"
    assert facts["Predicted by neighbours alone"] == "Effusion, Nodule"
    assert facts["Known to the system, but no case here has it"] == "Normal"
    assert facts["Without a label here"].startswith(
        "pneumothorax, tuberculosis, lung cancer, pneumonia, pulmonary edema"
    )


@pytest.fixture
def taught_casebook(tmp_path: Path, small_casebook: Path) -> Path:
    """`small_casebook` with a record of what its system learnt Cardiomegaly on: real films and drawn ones."""
    folder = shutil.copytree(small_casebook, tmp_path / "taught")
    chest, drawn = "NIH ChestX-ray14", "Phantom films"
    taught = (Taught(drawn, 300, 2_358), Taught(chest, 31, 1_414))
    measured = (
        Measured(chest, "image", 12, 78, 0.812, (0.71, 0.9), 0.4),
        Measured(drawn, "image", 7, 400, 0.99, (0.98, 1.0), 0.9),
    )
    Learnt({"Cardiomegaly": LearntLabel(taught, measured)}, (drawn,)).save(folder / "system")
    return folder


def test_about_says_on_which_data_a_finding_was_learnt_and_how_good_it_is_there(
    monkeypatch: pytest.MonkeyPatch, taught_casebook: Path, stage_casebook: Path, profile_casebook: Path
) -> None:
    app = opened(monkeypatch, taught_casebook, stage_casebook, profile_casebook)
    app.switch_page("../../pages/about.py").run()
    here, *elsewhere = re.findall(r"<table.*?</table>", html(app))
    rows = [re.sub(r"<[^>]+>", "|", row) for row in re.findall(r"<tr>(.*?)</tr>", here)]
    assert [re.sub(r"\|+", "|", row).strip("|") for row in rows[1:]] == [
        "Cardiomegaly|NIH ChestX-ray14|Training |31 with it, 1,414 without|AUROC |0.81 [0.71, 0.90], 12 with it",
        "Phantom films (synthetic)|Training |300 with it, 2,358 without|AUROC |too few to say, 7 with it",
        "Effusion|not learnt: predicted by neighbours alone",
        "Nodule|not learnt: predicted by neighbours alone",
    ]
    assert not elsewhere
    assert "Known to the system, but no case here has it (1)" in [one.label for one in app.expander]
    assert "Names without any example in its data: Normal." in captions(app).replace("\\", "")
    assert "fewer than 10 validation cases" in captions(app)


def test_a_finding_learnt_on_other_data_says_so(
    monkeypatch: pytest.MonkeyPatch, taught_casebook: Path, stage_casebook: Path, profile_casebook: Path
) -> None:
    app = opened(monkeypatch, taught_casebook, stage_casebook, profile_casebook)
    app.text_area(key="query_text").set_value(Casebook.open(taught_casebook).case("case-000").report).run()
    told = re.findall(r'<span class="cxr-elsewhere" title="([^"]+)">([^<]+)</span>', html(app))
    assert told == [
        (
            "The classifier learnt this on other data than this casebook&#x27;s: NIH ChestX-ray14 and 1 more; AUROC on "
            "validation films there 0.81 [0.71, 0.90].",
            "Cardiomegaly",
        )
    ]
    casebook = Casebook.open(taught_casebook)
    own = casebook.manifest.dataset.title
    Learnt({"Cardiomegaly": LearntLabel((Taught(own, 5, 9),))}).save(taught_casebook / "system")
    assert not other_data_words(Casebook.open(taught_casebook), "Cardiomegaly")


def assert_nothing_stated(app: AppTest) -> None:
    """No verdict, no coverage, no stage on the page, and none of the controls that set them."""
    shown = html(app)
    for word in ("cxr-verdict", "cxr-reliability", "cxr-likeliest", "cxr-warn", "coverage", "Possible at", "θ"):
        assert word not in shown, word
    assert "Calibrated on" not in captions(app)
    assert "coverage" not in [group.key for group in app.button_group]


@pytest.mark.parametrize("kind", ["small_casebook", "stage_casebook"])
def test_downloads_of_a_flagged_film_state_nothing_and_warn_in_every_row(
    request: pytest.FixtureRequest, kind: str
) -> None:
    folder = request.getfixturevalue(kind)
    casebook, shelved = Casebook.open(folder), next(iter(shelve([folder]).values()))
    query = Query(pixels=np.full((64, 64), 0.4, np.float32))
    result = search_cases(casebook, query, k=3)
    outcome = Outcome(0, shelved, query, SearchOptions(k=3), result)
    synthetic = "yes" if casebook.manifest.dataset.synthetic else "no"
    for content in (predictions_csv(outcome), result_csv(outcome)):
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
        assert rows
        assert {row["warning"] for row in rows} == {"The film is blank: it has no contrast at all."}
        assert {row["synthetic"] for row in rows} == {synthetic}
    for row in csv.DictReader(io.StringIO(predictions_csv(outcome).decode("utf-8-sig"))):
        stating = ("probability", "verdict", "sources_disagree", "uncertainty", "theta", "read_again", "coverage")
        assert [row[name] for name in stating] == [""] * len(stating)
        assert row["score"]
        assert row["withheld"] == "the film was flagged (blank)."
    told = json.loads(result_json(outcome))
    assert told["warnings"] == ["The film is blank: it has no contrast at all."]
    assert all(one["warnings"] == told["warnings"] for one in told["neighbours"])
    assert told["synthetic"] is casebook.manifest.dataset.synthetic
    assert not re.search('"(suggested|not suggested|uncertain)"', json.dumps(told))


def test_downloads_carry_the_predictions(small_casebook: Path) -> None:
    casebook, shelved = Casebook.open(small_casebook), shelve([small_casebook])["small"]
    query = Query(text=casebook.case("case-000").report)
    result = search_cases(casebook, query, k=2)
    outcome = Outcome(0, shelved, query, SearchOptions(k=2), result)
    rows = list(csv.DictReader(io.StringIO(predictions_csv(outcome).decode("utf-8-sig"))))
    assert result.assessment is not None
    assert {row["label"] for row in rows} == {one.label for one in result.assessment.findings}
    assert {row["verdict"] for row in rows} <= set(get_args(Verdict))
    assert {row["note"] for row in rows} == {"For education and research, not for diagnosis."}
    content = json.loads(result_json(outcome))
    assert content["assessment"] == json.loads(json.dumps(result.assessment.as_dict()))
    assert content["film"] is None
