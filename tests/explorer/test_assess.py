"""Calibrated predictions against figures worked out by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from explorer import Casebook, Query
from explorer.assess import assess
from explorer.predict import Classified, Scores, Voted
from explorer.prediction_words import (
    PREDICTION_COLUMNS,
    assessment_lines,
    basis,
    figures_words,
    percent,
    prediction_rows,
)
from index_builder.casebook import Space
from index_builder.errors import CasebookError
from index_builder.held_out import Answers, HeldOut, write_answers
from index_builder.labels import DUST_STAGES

_NAMES = ("Cardiomegaly", "Effusion", "Nodule")


def with_answers(folder: Path, answers: Answers) -> Casebook:
    casebook = Casebook.open(folder)
    vars(casebook)["held_out"] = answers
    return casebook


def findings_held_out(names: tuple[str, ...], temperature: float) -> HeldOut:
    """Twenty cases with each finding, whose logits are 0.1 to 2.0, and twenty without, -0.1 to -2.0."""
    steps = np.arange(1, 21) / 10
    column = np.concatenate([steps, -steps])
    logits = np.repeat(column[:, None], len(names), axis=1).astype(np.float32)
    return HeldOut(names, False, logits, logits > 0, temperature)


def scores(classifier: float, share: float, *, given: Space | None = "image") -> Scores:
    """A classifier's logit of cardiomegaly, and the vote's share."""
    said = Classified({"Cardiomegaly": float(expit(classifier))}, {"Cardiomegaly": classifier, "Normal": -1.0})
    return Scores(given, "image", Voted({"Cardiomegaly": share}, {"Cardiomegaly": 4}, 7), said)


def test_probabilities_are_scaled_and_sets_follow_the_order_of_scores(small_casebook: Path) -> None:
    casebook = with_answers(
        small_casebook,
        {
            ("image", "classifier"): findings_held_out(("Cardiomegaly",), 2.0),
            ("image", "vote"): findings_held_out(_NAMES, 0.5),
        },
    )
    found = assess(casebook, scores(1.0, 0.6), coverage=0.9)
    assert (found.cases, found.why_not, found.voters) == ({"classifier": 40, "vote": 40}, "", 7)
    heart = next(one for one in found.findings if one.label == "Cardiomegaly")
    assert heart.classifier is not None
    assert heart.classifier.probability == pytest.approx(expit(1.0 / 2.0))
    assert heart.vote.probability == pytest.approx(expit(logit(0.6) / 0.5))
    assert (heart.votes, heart.examples) == (4, 20)
    # Of 20 with it the ceil(21 * 0.9) = 19th largest logit is 0.2; of those without, the largest but one is -0.2.
    assert heart.classifier.verdict == heart.vote.verdict == "present"
    for value, verdict in ((0.25, "present"), (0.15, "undecided"), (-0.15, "undecided"), (-0.25, "absent")):
        found = assess(casebook, scores(value, 0.6))
        heart = next(one for one in found.findings if one.label == "Cardiomegaly")
        assert heart.classifier is not None
        assert heart.classifier.verdict == verdict
    assert [one.label for one in found.findings] == ["Cardiomegaly", "Effusion", "Nodule"]
    assert found.findings[1].classifier is None


def test_disagreement_is_a_gap_of_thirty_points(small_casebook: Path) -> None:
    casebook = with_answers(
        small_casebook,
        {
            ("image", "classifier"): findings_held_out(("Cardiomegaly",), 1.0),
            ("image", "vote"): findings_held_out(_NAMES, 1.0),
        },
    )
    for classifier, share, disagree in ((0.85, 0.5, True), (0.75, 0.5, False), (0.1, 0.45, True)):
        found = assess(casebook, scores(float(logit(classifier)), share))
        assert found.findings[0].label == "Cardiomegaly"
        assert found.findings[0].disagree is disagree
    assert not any(one.disagree for one in found.findings[1:])


@pytest.mark.parametrize("given", [None, "text"])
def test_without_validation_cases_of_that_kind_nothing_is_promised(small_casebook: Path, given: Space | None) -> None:
    answers: Answers = {
        ("image", "classifier"): findings_held_out(("Cardiomegaly",), 1.0),
        ("image", "vote"): findings_held_out(_NAMES, 1.0),
    }
    found = assess(with_answers(small_casebook, answers), scores(3.0, 0.2, given=given))
    heart = found.findings[0]
    assert heart.classifier is not None
    assert (heart.classifier.probability, heart.vote.probability) == (pytest.approx(expit(3.0)), 0.2)
    assert (heart.classifier.verdict, heart.vote.verdict, heart.disagree) == (None, None, False)
    assert found.cases == {}
    assert "equal parts" in basis(found) if given is None else "compared with" in basis(found)
    empty = assess(with_answers(small_casebook, {}), scores(3.0, 0.2))
    assert "fewer than 20 labelled validation cases" in basis(empty)
    assert not any("Supported" in line for line in figures_words(empty))
    assert any("no probability" in line for line in figures_words(empty))


def test_the_classifier_may_be_calibrated_where_the_vote_is_not(small_casebook: Path) -> None:
    casebook = with_answers(small_casebook, {("image", "classifier"): findings_held_out(("Cardiomegaly",), 1.0)})
    found = assess(casebook, scores(3.0, 0.2))
    heart = found.findings[0]
    assert heart.classifier is not None
    assert (heart.classifier.verdict, heart.vote.verdict, heart.disagree) == ("present", None, False)
    assert basis(found).startswith("Calibrated on validation cases: classifier on 40. The rest is not:")


def stages_held_out(temperature: float) -> HeldOut:
    """Ten cases of stage 0, surer from case to case; the two least sure are of stage 1."""
    sureness = np.arange(1, 11) / 2
    logits = np.zeros((10, 4), np.float32)
    logits[:, 0] = sureness
    truth = np.zeros((10, 4), bool)
    truth[np.arange(10), (np.arange(10) < 2).astype(int)] = True
    return HeldOut(DUST_STAGES, True, logits, truth, temperature)


def staged(stage_casebook: Path, logits: list[float], risk: float = 0.05, answers: Answers | None = None):
    own: Answers = {("image", "classifier"): stages_held_out(1.0), ("image", "vote"): stages_held_out(1.0)}
    casebook = with_answers(stage_casebook, own if answers is None else answers)
    named = dict(zip(DUST_STAGES, logits, strict=True))
    said = Classified(named, named)
    return assess(casebook, Scores("image", "image", Voted({"Stage 1": 1.0}, {"Stage 1": 5}, 5), said), risk=risk)


def test_theta_follows_from_the_stated_risk(stage_casebook: Path) -> None:
    held = stages_held_out(1.0)
    unsure = 1 - softmax(held.logits, axis=1).max(axis=1)
    for risk, answered in ((0.05, 8), (0.12, 9), (0.2, 10)):
        reading = staged(stage_casebook, [2.0, 0, 0, 0], risk).readings[0]
        assert reading.source == "classifier"
        assert reading.theta == pytest.approx(np.sort(unsure)[answered - 1])
        assert reading.answered == answered / 10
        assert reading.error == pytest.approx((answered - 8) / answered)
    sure, unsure_one = (staged(stage_casebook, [value, 0, 0, 0]).readings[0] for value in (3.0, 1.0))
    assert (sure.read_again, unsure_one.read_again) == (False, True)
    assert sure.uncertainty == pytest.approx(1 - softmax([3.0, 0, 0, 0])[0])


def test_both_sources_read_the_stage_and_may_disagree(stage_casebook: Path) -> None:
    found = staged(stage_casebook, [2.0, 0, 0, 0])
    assert [one.source for one in found.readings] == ["classifier", "vote"]
    assert found.disagree
    assert not staged(stage_casebook, [0, 2.0, 0, 0]).disagree
    assert found.findings == ()
    for reading in found.readings:
        assert sum(reading.probabilities.values()) == pytest.approx(1)
        assert set(reading.possible or ()) <= set(DUST_STAGES)
    assert found.as_dict()["stages_disagree"] is True
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["risk"] == 0.05


def test_no_theta_where_no_threshold_keeps_the_risk(stage_casebook: Path) -> None:
    held = stages_held_out(1.0)
    wrong = HeldOut(DUST_STAGES, True, held.logits, np.roll(held.truth, 1, axis=1), 1.0)
    answers: Answers = {("image", "classifier"): wrong, ("image", "vote"): wrong}
    found = staged(stage_casebook, [9.0, 0, 0, 0], 0.01, answers)
    reading = found.readings[0]
    assert (reading.theta, reading.read_again, reading.answered) == (None, True, 0.0)
    assert any("No threshold keeps the error to 1 %" in line for line in assessment_lines(found, 5))


def test_without_validation_cases_theta_is_that_of_the_training(stage_casebook: Path) -> None:
    found = staged(stage_casebook, [2.0, 0, 0, 0], answers={})
    classifier, vote = found.readings
    assert (classifier.theta, classifier.read_again, classifier.possible) == (0.4, False, None)
    assert (vote.theta, vote.read_again) == (None, None)
    assert vote.probabilities == {"Stage 0": 0, "Stage 1": 1, "Stage 2": 0, "Stage 3": 0}
    assert any("chosen when the system was trained" in line for line in assessment_lines(found, 5))


def test_rows_and_lines_tell_the_same(small_casebook: Path, stage_casebook: Path) -> None:
    answers: Answers = {
        ("image", "classifier"): findings_held_out(("Cardiomegaly",), 1.0),
        ("image", "vote"): findings_held_out(_NAMES, 1.0),
    }
    found = assess(with_answers(small_casebook, answers), scores(3.0, 0.2))
    rows = [dict(zip(PREDICTION_COLUMNS, row, strict=True)) for row in prediction_rows(found)]
    assert [(row["label"], row["source"], row["verdict"]) for row in rows[:2]] == [
        ("Cardiomegaly", "classifier", "present"),
        ("Cardiomegaly", "vote", "absent"),
    ]
    assert rows[0]["sources_disagree"] == "yes"
    lines = assessment_lines(found, 1)
    assert lines[0] == "Calibrated on 40 validation cases."
    assert "Cardiomegaly: classifier 95 %, neighbours 20 %, 4 of 7 carry it, supported, they disagree" in lines[1]
    staged_rows = prediction_rows(staged(stage_casebook, [2.0, 0, 0, 0]))
    assert len(staged_rows) == 8
    assert {len(row) for row in staged_rows} == {len(PREDICTION_COLUMNS)}


def test_percentages_never_claim_certainty() -> None:
    assert [percent(value) for value in (0.0, 0.001, 0.5, 0.999, 1.0)] == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]


def test_a_search_is_assessed(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    result = casebook.search(Query(text="heart size normal"), k=3)
    assert result.scores is not None
    assert result.assessment == assess(casebook, result.scores)
    assert result.assessment.cases["vote"] == len(casebook.held_out["text", "vote"].truth) >= 20
    assert result.as_dict()["assessment"]["cases"] == result.assessment.cases
    uneven = Query(text="heart", pixels=np.random.default_rng(0).random((64, 64), np.float32), image_weight=0.9)
    assert casebook.search(uneven, k=1).assessment.cases == {}
    assert casebook.search(Query(case_id="case-000"), k=1).assessment is None


def test_answers_that_lack_a_label_of_the_cases_are_refused(small_casebook: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "casebook")
    write_answers({("image", "vote"): findings_held_out(_NAMES[:1], 1.0)}, folder / "held_out.safetensors")
    with pytest.raises(CasebookError, match=r"no answers on .*Effusion.* \(image, vote\).*Rebuild the casebook"):
        _ = Casebook.open(folder).held_out
