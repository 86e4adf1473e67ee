"""What is explained, with what numbers, and where it is laid."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from explorer import Casebook, Query
from explorer.explanation.explain import (
    Question,
    agreement,
    explain,
    findings_of,
    layers_of,
    methods_for,
    open_study,
    withheld_methods,
)
from explorer.explanation.words import METHOD_WORDS, legend, withheld_words
from explorer.search.search import search_cases
from index_builder.casebook.manifest import read_manifest, write_manifest
from index_builder.cases.space import Space
from index_builder.errors import Cancelled, ExplanationError, QueryError
from index_builder.explanation import METHODS
from index_builder.imaging import model_input


@pytest.fixture(scope="module")
def casebook(small_casebook: Path) -> Casebook:
    return Casebook.open(small_casebook)


@pytest.fixture(scope="module")
def voting(profile_casebook: Path) -> Casebook:
    return Casebook.open(profile_casebook)


def test_a_study_is_what_the_system_reads(casebook: Casebook) -> None:
    case = casebook.case("case-000")
    assert case.image is not None
    study = open_study(casebook, Query(case_id="case-000"))
    film = casebook.film(case.image).pixels
    assert study.film is not None
    assert np.array_equal(study.film, model_input(film, casebook.system.config.image_size))
    assert study.text == case.report
    assert study.shape == film.shape
    assert study.parts == ("joint", "image", "text")
    assert (study.note, study.name) == ("", "Case case-000")
    assert study.inputs("image").text == ""
    assert study.inputs("text").film is None

    words = open_study(casebook, Query(text=" large heart "))
    assert (words.text, words.film, words.parts, words.case_id) == ("large heart", None, ("text",), None)
    assert words.inputs("image").text == "large heart"
    both = open_study(casebook, Query(film, "large heart"))
    assert len({study.key, words.key, both.key, open_study(casebook, Query(film)).key}) == 4
    assert both.key == open_study(casebook, Query(film.copy(), "large heart")).key


def test_what_cannot_be_explained_is_refused(casebook: Casebook) -> None:
    for query, said in (
        (Query(), "nothing to explain"),
        (Query(case_id="nobody"), "nobody"),
        (Query(text="a", case_id="case-000"), "not both"),
        (Query(text="a", profile={"age": 3}), "not both"),
        (Query(profile={"age": 3}), "not profiles"),
    ):
        with pytest.raises(QueryError, match=said):
            open_study(casebook, query)
    study = open_study(casebook, Query(text="large heart"))
    with pytest.raises(ExplanationError, match="nothing is asked"):
        explain(casebook, study, Question(), "attention")
    with pytest.raises(ExplanationError, match="Fracture"):
        explain(casebook, study, Question("Fracture"), "attention")
    with pytest.raises(ExplanationError, match="grad-cam"):
        explain(casebook, study, Question("Normal"), "grad-cam")


def test_a_finding_is_explained_by_every_method(casebook: Casebook) -> None:
    study = open_study(casebook, Query(case_id="case-000"))
    question = Question("Cardiomegaly")
    vector = search_cases(casebook, Query(case_id="case-000"), k=1).vector
    import torch

    logits = casebook.system.label_logits(torch.from_numpy(vector)[None])
    assert logits is not None
    expected = float(logits[0, 0].detach())
    methods = methods_for(casebook, study, question)
    assert set(methods) == set(METHODS) - {"similarity"}
    for method in methods:
        answer = explain(casebook, study, question, method, steps=4)
        (side,) = answer.sides
        # The index keeps vectors in half precision.
        assert side.explanation.score == pytest.approx(expected, abs=0.02)
        assert answer.scale is not None
        assert side.film_map is not None
        assert side.film_map.shape == study.shape
        assert np.isfinite(side.film_map.on_film(40, 36)).all()
        assert answer.scale.limit > 0
        for word in side.explanation.words:
            assert study.text[word.start : word.end] == word.text
        assert answer.word_limit == max((abs(word.weight) for word in side.explanation.words), default=0)
        content = json.loads(json.dumps(answer.as_dict()))
        assert content["finding"] == "Cardiomegaly"
        assert content["layer"] == (layers_of(casebook)[-1] if method == "grad-cam" else None)
        assert [word["text"] for word in content["studies"][0]["words"]] == [
            word.text for word in side.explanation.words
        ]
        told = " ".join(legend(casebook, answer, 0.2))
        assert METHOD_WORDS[method].title in told
        assert "why Cardiomegaly" in told
        assert "casebook small" in told.lower()
        assert "20 %" in told
        assert told.endswith("not for diagnosis.")
        assert "Synthetic" not in told


def test_weights_of_a_map_are_those_of_a_hundredth_of_the_input(casebook: Casebook) -> None:
    study = open_study(casebook, Query(case_id="case-003"))
    (side,) = explain(casebook, study, Question("Normal", part="image"), "attention").sides
    assert side.explanation.image is not None
    assert side.film_map is not None
    assert study.geometry is not None
    top, left, bottom, right = study.geometry.paste
    whole = side.explanation.image[top:bottom, left:right].sum()
    share = side.film_map.values.size / side.explanation.image.size
    assert side.film_map.values.mean() * 100 * share == pytest.approx(float(whole), rel=1e-3)


def test_methods_no_better_than_chance_are_not_offered(casebook: Casebook, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(casebook, Query(case_id="case-000"))
    question = Question("Normal")
    assert withheld_methods(casebook, study, question) == ()
    withheld = {"finding": {"joint": ("attention", "grad-cam")}}
    monkeypatch.setattr(casebook.system, "config", casebook.system.config.model_copy(update={"withheld": withheld}))
    assert methods_for(casebook, study, question) == ("integrated-gradients",)
    assert withheld_methods(casebook, study, question) == ("attention", "grad-cam")
    assert withheld_words(("attention", "grad-cam")).startswith("Attention and Grad-CAM measured no better")
    assert withheld_methods(casebook, study, Question("Normal", part="image")) == ()


def test_likeness_is_one_cosine_seen_from_both_sides(casebook: Casebook) -> None:
    film = casebook.film(str(casebook.case("case-010").image)).pixels
    study = open_study(casebook, Query(film, "mild cardiomegaly"))
    other = open_study(casebook, Query(case_id="case-000"))
    for part in ("joint", "image", "text"):
        question = Question(other=other, part=part)
        assert "similarity" in methods_for(casebook, study, question)
        answer = explain(casebook, study, question, "similarity")
        one, two = (side.explanation.score for side in answer.sides)
        assert one == pytest.approx(two, abs=1e-4)
        if part == "joint":
            row = casebook.row("case-000")
            vector = search_cases(casebook, Query(film, "mild cardiomegaly"), k=1).vector
            assert one == pytest.approx(float(casebook.vectors("joint")[row].astype(np.float32) @ vector), abs=2e-3)
        maps = [side.film_map for side in answer.sides if side.film_map is not None]
        assert len(maps) == (0 if part == "text" else 2)
        if maps:
            assert answer.scale is not None
            peaks = [float(np.abs(one.values).max()) for one in maps]
            assert answer.scale.limit == pytest.approx(max(peaks), rel=0.05)
        words = [abs(word.weight) for side in answer.sides for word in side.explanation.words]
        assert answer.word_limit == max(words, default=0)


def test_without_a_classifier_the_voters_are_explained(voting: Casebook) -> None:
    case_id = voting.case_ids[0]
    film = voting.film(str(voting.case(case_id).image)).pixels
    study = open_study(voting, Query(film))
    profile = open_study(voting, Query(profile={"age": 61, "occupation": "coal miner"}))
    assert profile.text == "61-year-old patient, coal miner."
    found = {one.label: one.opinion.score for one in findings_of(voting, study)}
    shares = search_cases(voting, Query(film), k=1).findings
    for label, strength in found.items():
        assert strength == pytest.approx(shares.get(label, 0.0), abs=0.01)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    best = next(iter(found))
    answer = explain(voting, study, Question(best), "attention")
    share = min(found[best], 0.999)
    if share < 0.99:
        assert answer.sides[0].explanation.score == pytest.approx(float(np.log(share / (1 - share))), abs=0.1)
    # A case has no vote on itself.
    own = open_study(voting, Query(case_id=case_id))
    record = voting.manifest.system
    vector = search_cases(voting, Query(case_id=case_id), k=record.vote_neighbours)
    labels = {label for one in vector.neighbours for label in one.labels}
    assert {one.label for one in findings_of(voting, own) if one.opinion.score > 0} <= labels


def test_a_vote_is_explained_at_the_temperature_of_what_is_read(voting: Casebook, tmp_path: Path) -> None:
    folder = shutil.copytree(voting.folder, tmp_path / "tempered")
    manifest = read_manifest(folder)
    temperatures = {"image": 0.5, "text": 1e-6, "joint": 0.02}
    record = manifest.system.model_copy(update={"vote_temperatures": temperatures, "vote_temperature": 1e6})
    write_manifest(folder, manifest.model_copy(update={"system": record}))
    casebook = Casebook.open(folder)
    film = casebook.film(str(casebook.case(casebook.case_ids[0]).image)).pixels
    profile = {"age": 61, "occupation": "coal miner"}
    queries: dict[Space, Query] = {
        "image": Query(film),
        "text": Query(profile=profile),
        "joint": Query(film, profile=profile),
    }
    for part, query in queries.items():
        study = open_study(casebook, query)
        shares = search_cases(casebook, query, k=1).findings
        found = {one.label: one.opinion.score for one in findings_of(casebook, study, part)}
        assert found == pytest.approx({label: shares.get(label, 0.0) for label in found}, abs=0.01)
        label = max(found, key=lambda one: min(found[one], 1 - found[one]))
        score = explain(casebook, study, Question(label, part=part), "attention").sides[0].explanation.score
        if 0.001 < found[label] < 0.999:
            assert score == pytest.approx(np.log(found[label] / (1 - found[label])), abs=0.1)


def test_progress_covers_both_studies_and_can_stop(casebook: Casebook) -> None:
    study = open_study(casebook, Query(text="small left pleural effusion"))
    question = Question("Normal", open_study(casebook, Query(case_id="case-000")), "text")
    told: list[tuple[int, int]] = []
    explain(casebook, study, question, "integrated-gradients", steps=8, progress=lambda *step: told.append(step))
    assert told[-1] == (16, 16)
    assert told == sorted(told)
    assert len({total for _, total in told}) == 1
    stopped: list[int] = []

    def stop(done: int, total: int) -> bool:
        stopped.append(done)
        return len(stopped) < 2

    with pytest.raises(Cancelled):
        explain(casebook, study, question, "integrated-gradients", steps=64, progress=stop)
    assert len(stopped) == 2
    # Nothing is left behind: the same question is answered as before.
    again = explain(casebook, study, question, "attention")
    assert again.as_dict() == explain(casebook, study, question, "attention").as_dict()


def test_a_casebook_without_its_source_is_explained_from_the_small_copy(small_casebook: Path, tmp_path: Path) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(small_casebook, copy)
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    manifest["dataset"]["root"] = str(tmp_path / "gone")
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    moved = Casebook.open(copy)
    study = open_study(moved, Query(case_id="case-000"))
    assert "small copy" in study.note
    assert study.film is not None
    assert max(study.shape) == 256


def test_methods_agree_with_themselves(casebook: Casebook) -> None:
    study = open_study(casebook, Query(case_id="case-000"))
    answers = [explain(casebook, study, Question("Normal"), method) for method in ("attention", "grad-cam")]
    films, texts = agreement(answers[0], answers[0])
    assert (films.what, texts.what) == ("films", "texts")
    assert films.rho == pytest.approx(1)
    assert films.overlap == 1
    (other,) = agreement(*answers)
    assert (other.first, other.second, other.what) == ("attention", "grad-cam", "films")
    assert -1 <= other.rho < 1
    assert 0 <= other.overlap <= 1
