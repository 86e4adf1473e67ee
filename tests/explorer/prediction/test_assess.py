"""Calibrated predictions against figures worked out by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from explorer import Casebook, Query
from explorer.prediction.assessment import Assessment, Reading, assess
from explorer.prediction.scores import Classified, Scores, Voted
from explorer.prediction.words import (
    PREDICTION_COLUMNS,
    assessment_lines,
    basis,
    compared_words,
    figures_words,
    percent,
    prediction_rows,
    reliability_words,
    verdict_words,
)
from explorer.search.search import search_cases
from index_builder.calibration.held_out import Answers, HeldOut, write_answers
from index_builder.cases.labels import DUST_STAGES
from index_builder.cases.space import Space
from index_builder.errors import CasebookError

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
    assert found.as_dict()["coverage"] == 0.9
    assert (found.cases, found.why_not, found.voters) == ({"classifier": 40, "vote": 40}, "", 7)
    heart = next(one for one in found.findings if one.label == "Cardiomegaly")
    assert heart.classifier is not None
    assert heart.classifier.probability == pytest.approx(expit(1.0 / 2.0))
    assert heart.vote.probability == pytest.approx(expit(logit(0.6) / 0.5))
    assert (heart.votes, heart.examples) == (4, 20)
    # Of 20 with it the ceil(21 * 0.9) = 19th largest logit is 0.2; of those without, the largest but one is -0.2.
    assert heart.classifier.verdict == heart.vote.verdict == "suggested"
    for value, verdict in (
        (0.25, "suggested"),
        (0.15, "uncertain"),
        (-0.15, "uncertain"),
        (-0.25, "not suggested"),
    ):
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
    assert (heart.classifier.score, heart.vote.score) == (pytest.approx(expit(3.0)), 0.2)
    assert (heart.classifier.probability, heart.vote.probability) == (None, None)
    assert (heart.classifier.verdict, heart.vote.verdict, heart.disagree) == (None, None, False)
    assert found.cases == {}
    assert "equal parts" in basis(found) if given is None else "compared with" in basis(found)
    empty = assess(with_answers(small_casebook, {}), scores(3.0, 0.2))
    assert "fewer than 20 labelled validation cases" in basis(empty)
    assert not any("Suggested" in line for line in figures_words(empty))
    assert any("not a probability" in line for line in figures_words(empty))


def test_the_classifier_may_be_calibrated_where_the_vote_is_not(small_casebook: Path) -> None:
    casebook = with_answers(small_casebook, {("image", "classifier"): findings_held_out(("Cardiomegaly",), 1.0)})
    found = assess(casebook, scores(3.0, 0.2))
    heart = found.findings[0]
    assert heart.classifier is not None
    assert (heart.classifier.verdict, heart.vote.verdict, heart.disagree) == ("suggested", None, False)
    assert basis(found).startswith(
        "Calibrated on validation cases: classifier on 40 of the system's training. The rest is not:"
    )


def test_answers_that_came_with_the_checkpoint_are_told_from_the_casebooks_own(small_casebook: Path) -> None:
    own, carried = findings_held_out(_NAMES, 1.0), findings_held_out(("Cardiomegaly",), 1.0)
    few = HeldOut(own.names, False, own.logits[:30], own.truth[:30], 1.0)
    found = assess(
        with_answers(small_casebook, {("image", "classifier"): carried, ("image", "vote"): few}), scores(3.0, 0.2)
    )
    assert found.carried == ("classifier",)
    assert basis(found) == (
        "Calibrated on validation cases: classifier on 40 of the system's training and neighbours on 30 of this "
        "casebook."
    )
    alone = assess(with_answers(small_casebook, {("image", "vote"): own}), replace(scores(3.0, 0.2), classified=None))
    assert (alone.carried, basis(alone)) == ((), "Calibrated on 40 validation cases of this casebook.")


def held_out_with(present: Sequence[float], absent: Sequence[float]) -> HeldOut:
    """Cases with every finding and with none, by the probability that is said of each."""
    logits = logit(np.array([*present, *absent]))[:, None].repeat(len(_NAMES), axis=1).astype(np.float32)
    truth = np.arange(len(logits))[:, None].repeat(len(_NAMES), axis=1) < len(present)
    return HeldOut(_NAMES, False, logits, truth, 1.0)


@pytest.mark.parametrize(
    ("present", "absent", "probability", "verdict", "why"),
    [
        # A frequent finding: most cases without it are called likely, too.
        ([0.97] * 30, [0.5] * 14 + [0.98] * 6, 0.96, "likely, not distinct", "without it score as high"),
        # Likely, but lower than those with it.
        ([0.999] * 30, [0.1] * 30, 0.96, "likely, not distinct", "most with it higher"),
        # A rare finding: most cases with it are called unlikely, too.
        ([0.02] * 20, [0.01] * 60 + [0.04] * 20, 0.03, "unlikely, not excluded", "with it score as low"),
        # Unlikely, but higher than those without it.
        ([0.5] * 20, [0.001] * 60, 0.03, "unlikely, not excluded", "most without it lower"),
        ([0.97] * 3, [0.01] * 60, 0.99, "too few cases to say", "only 3 validation cases have it; 9 are needed"),
        ([0.97] * 60, [0.01] * 3, 0.01, "too few cases to say", "hardly any validation case lacks it"),
        ([0.97] * 30, [0.01] * 30, 0.99, "suggested", "higher than 90 %"),
        ([0.97] * 30, [0.01] * 30, 0.005, "not suggested", "lower than 90 %"),
        ([0.97] * 30, [0.01] * 30, 0.6, "uncertain", "do not decide it"),
    ],
)
def test_words_of_a_verdict(
    small_casebook: Path, present: list[float], absent: list[float], probability: float, verdict: str, why: str
) -> None:
    """Nothing that both sources put above 95 % or below 5 % is called uncertain."""
    held = held_out_with(present, absent)
    casebook = with_answers(small_casebook, {("image", "classifier"): held, ("image", "vote"): held})
    found = assess(casebook, scores(float(logit(probability)), probability))
    heart = next(one for one in found.findings if one.label == "Cardiomegaly")
    assert heart.own.probability == pytest.approx(probability, abs=1e-4)
    assert heart.own.verdict == heart.vote.verdict == verdict
    assert why in verdict_words(heart, 0.9)


def test_nothing_is_stated_where_it_is_withheld(small_casebook: Path, stage_casebook: Path) -> None:
    answers: Answers = {
        ("image", "classifier"): findings_held_out(("Cardiomegaly",), 1.0),
        ("image", "vote"): findings_held_out(_NAMES, 1.0),
    }
    said = replace(scores(3.0, 0.2), withheld="the film was flagged (unlike).")
    found = assess(with_answers(small_casebook, answers), said)
    assert (found.cases, found.carried, found.why_not, found.withheld) == ({}, (), "", said.withheld)
    for one in found.findings:
        assert not one.disagree
        for opinion in (one.classifier, one.vote):
            assert opinion is None or (opinion.probability, opinion.verdict) == (None, None)
    stages = staged(stage_casebook, [9.0, 0, 0, 0], withheld=said.withheld)
    assert (stages.read_again, stages.disagree) == (None, False)
    for reading in stages.readings:
        assert (reading.probabilities, reading.uncertainty, reading.theta, reading.possible) == (None,) * 4
    for assessment in (found, stages):
        assert basis(assessment) == "Scores, not probabilities, because the film was flagged (unlike)."
        content = assessment.as_dict()
        assert (content["coverage"], content["risk"], content["read_again"]) == (None, None, None)
        told = " ".join(assessment_lines(assessment, 30))
        for word in ("suggested", "uncertain", "reliable", "Reliable", "possible:", "θ", "disagree", " %"):
            assert word not in told, word
        assert "score " in told
        for row in (dict(zip(PREDICTION_COLUMNS, cells, strict=True)) for cells in prediction_rows(assessment)):
            assert row["score"]
            assert row["withheld"] == said.withheld
            stating = ("probability", "verdict", "sources_disagree", "uncertainty", "theta", "read_again", "coverage")
            assert [row[name] for name in stating] == [""] * 7


def stages_held_out(temperature: float) -> HeldOut:
    """Ten cases of stage 0, surer from case to case; the two least sure are of stage 1."""
    sureness = np.arange(1, 11) / 2
    logits = np.zeros((10, 4), np.float32)
    logits[:, 0] = sureness
    truth = np.zeros((10, 4), bool)
    truth[np.arange(10), (np.arange(10) < 2).astype(int)] = True
    return HeldOut(DUST_STAGES, True, logits, truth, temperature)


def staged(
    stage_casebook: Path, logits: list[float], risk: float = 0.05, answers: Answers | None = None, withheld: str = ""
) -> Assessment:
    own: Answers = {("image", "classifier"): stages_held_out(1.0), ("image", "vote"): stages_held_out(1.0)}
    casebook = with_answers(stage_casebook, own if answers is None else answers)
    named = dict(zip(DUST_STAGES, logits, strict=True))
    said = Classified(named, named)
    voted = Voted({"Stage 1": 1.0}, {"Stage 1": 5}, 5)
    return assess(casebook, Scores("image", "image", voted, said, withheld), risk=risk)


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
        assert sum((reading.probabilities or {}).values()) == pytest.approx(1)
        assert set(reading.possible or ()) <= set(DUST_STAGES)
    assert found.as_dict()["stages_disagree"] is True
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["risk"] == 0.05


def test_one_source_that_is_unsure_makes_the_stage_unreliable(stage_casebook: Path) -> None:
    """No word of reliability stands beside an uncertainty above θ, whichever source it is of."""
    held = stages_held_out(1.0)
    sure = staged(stage_casebook, [4.0, 0, 0, 0], answers={("image", "classifier"): held})
    assert (sure.readings[0].read_again, sure.readings[1].read_again) == (False, None)
    assert (sure.read_again, sure.disagree) == (True, True)
    assert reliability_words(sure)[0] == "Read again"
    both = staged(stage_casebook, [1.0, 0, 0, 0])
    assert [one.read_again for one in both.readings] == [True, False]
    assert reliability_words(both) == (
        "Read again",
        "classifier above θ; classifier and neighbours name different stages as likeliest",
    )
    assert reliability_words(replace(both, readings=both.readings[1:])) == ("Reliable", "at the stated risk of 5 %")
    assert compared_words(both.readings[0]).endswith(": unsure")


@pytest.mark.parametrize(
    ("uncertainty", "theta", "again", "words"),
    [
        (0.34, 0.01, True, "u = 0.34 > θ = 0.01: unsure"),
        (0.0112, 0.0108, True, "u = 0.0112 > θ = 0.0108: unsure"),
        (0.012, 0.011, True, "u = 0.012 > θ = 0.011: unsure"),
        (0.1, 0.2, False, "u = 0.10 ≤ θ = 0.20: sure enough"),
        (0.1, None, None, "u = 0.10"),
        (None, None, None, ""),
    ],
)
def test_figures_that_differ_are_not_shown_as_equal(
    uncertainty: float | None, theta: float | None, again: bool | None, words: str
) -> None:
    assert compared_words(Reading("vote", {}, None, uncertainty, theta, again)) == words


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
    assert vote.probabilities is None
    assert vote.scores == {"Stage 0": 0, "Stage 1": 1, "Stage 2": 0, "Stage 3": 0}
    assert any("chosen when the system was trained" in line for line in assessment_lines(found, 5))


def test_rows_and_lines_tell_the_same(small_casebook: Path, stage_casebook: Path) -> None:
    answers: Answers = {
        ("image", "classifier"): findings_held_out(("Cardiomegaly",), 1.0),
        ("image", "vote"): findings_held_out(_NAMES, 1.0),
    }
    found = assess(with_answers(small_casebook, answers), scores(3.0, 0.2))
    rows = [dict(zip(PREDICTION_COLUMNS, row, strict=True)) for row in prediction_rows(found)]
    assert [(row["label"], row["source"], row["verdict"]) for row in rows[:2]] == [
        ("Cardiomegaly", "classifier", "suggested"),
        ("Cardiomegaly", "vote", "not suggested"),
    ]
    assert rows[0]["sources_disagree"] == "yes"
    lines = assessment_lines(found, 1)
    assert lines[0] == "Calibrated on 40 validation cases of this casebook."
    assert "Cardiomegaly: classifier 95 %, neighbours 20 %, 4 of 7 carry it, suggested, they disagree" in lines[1]
    staged_rows = prediction_rows(staged(stage_casebook, [2.0, 0, 0, 0]))
    assert len(staged_rows) == 8
    assert {len(row) for row in staged_rows} == {len(PREDICTION_COLUMNS)}


def test_percentages_never_claim_certainty() -> None:
    assert [percent(value) for value in (0.0, 0.001, 0.5, 0.999, 1.0)] == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]


def test_a_search_is_assessed(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    result = search_cases(casebook, Query(text="heart size normal"), k=3)
    assert result.scores is not None
    assert result.assessment == assess(casebook, result.scores)
    assert result.assessment.withheld.startswith("predictions were calibrated on whole reports")
    result = search_cases(casebook, Query(text=casebook.case("case-000").report), k=3)
    assert result.assessment == assess(casebook, result.scores)
    assert result.assessment.cases["vote"] == len(casebook.held_out["text", "vote"].truth) >= 20
    assert result.as_dict()["assessment"]["cases"] == result.assessment.cases
    uneven = Query(text="heart", pixels=np.random.default_rng(0).random((64, 64), np.float32), image_weight=0.9)
    assert search_cases(casebook, uneven, k=1).assessment.cases == {}
    assert search_cases(casebook, Query(case_id="case-000"), k=1).assessment is None


def test_answers_that_lack_a_label_of_the_cases_are_refused(small_casebook: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "casebook")
    write_answers({("image", "vote"): findings_held_out(_NAMES[:1], 1.0)}, folder / "held_out.safetensors")
    with pytest.raises(CasebookError, match=r"no answers on .*Effusion.* \(image, vote\).*Rebuild the casebook"):
        _ = Casebook.open(folder).held_out
