"""`evaluate --explain`, from cases to the table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_samples import Some, quiet

from index_builder.cases.case import Case
from index_builder.datasets import open_dataset
from index_builder.datasets.phantom import PhantomDust, PhantomOpenI
from index_builder.datasets.published.openi import OpenI
from index_builder.errors import DatasetError
from index_builder.evaluation.explanation_report import explanation_lines
from index_builder.evaluation.faithfulness.measures import measure
from index_builder.evaluation.faithfulness.questions import Question, draw_questions
from index_builder.evaluation.faithfulness.tally import Tally
from index_builder.evaluation.run import EvaluateRequest, explanations
from index_builder.explanation import METHODS, FindingTarget, Inputs, Voters
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.registry import load_system


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Run on one thread: for tiny tensors threads wait longer for one another than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class FewPhantoms(PhantomOpenI):
    """The first large hearts of each part."""

    def cases(self) -> Sequence[Case]:
        found = [case for case in super().cases() if "Cardiomegaly" in case.labels]
        return [case for split in ("train", "test") for case in [one for one in found if one.split == split][:4]]


@pytest.fixture(scope="module")
def phantoms() -> FewPhantoms:
    return FewPhantoms()


@pytest.fixture(scope="module")
def unified(tiny_checkpoint: Path) -> RetrievalSystem:
    return load_system(tiny_checkpoint)


def measured(system: RetrievalSystem, dataset: Any, **settings: Any) -> dict[str, Any]:
    request = EvaluateRequest(system.name, dataset.card.name, explain=True, **settings)
    return {"system": system.name, **explanations(system, dataset, request, quiet)}


@pytest.fixture(scope="module")
def of_films(unified: RetrievalSystem, phantoms: FewPhantoms) -> dict[str, Any]:
    return measured(unified, phantoms, modality="image", limit=2)


def test_films_are_measured_beside_maps_that_know_nothing(of_films: dict[str, Any]) -> None:
    assert json.loads(json.dumps(of_films, allow_nan=False)) == of_films
    assert (of_films["modality"], of_films["split"], of_films["cases"]) == ("image", "test", 2)
    assert "texts" not in of_films
    block = of_films["films"]
    assert list(block["finding"]) == ["attention", "grad-cam", "integrated-gradients", "random", "centre"]
    assert list(block["likeness"]) == [*METHODS, "random", "centre"]
    for method, one in block["finding"].items():
        assert 0 <= one["pointing_exact"]["all"]["mean"] <= one["pointing"]["all"]["mean"] <= 1
        assert one["pointing"]["all"]["count"] == of_films["questions"]
        for metric in ("deletion", "insertion"):
            low, high = one[metric]["interval"]
            assert 0 <= low <= one[metric]["mean"] <= high <= 1
        if method == "random":
            assert one["deletion_gain"]["mean"] == one["insertion_gain"]["mean"] == 0
    assert block["agreement"]["pearson"]["count"] == of_films["questions"]
    for method, one in block["sanity"].items():
        assert one["encoders"]["mean"] < 0.999, f"{method} does not change with the system"
        assert isinstance(one["passes"], bool)
    assert all(one["repeated"]["mean"] == pytest.approx(1) for one in block["stability"].values())
    assert all(one["noise"]["mean"] > 0.5 for one in block["stability"].values())
    assert sum(one["questions"] for one in of_films["labels"].values()) == of_films["questions"]


def test_the_same_seed_gives_the_same_figures(
    unified: RetrievalSystem, phantoms: FewPhantoms, of_films: dict[str, Any]
) -> None:
    assert measured(unified, phantoms, modality="image", limit=2) == of_films


def test_the_table_shows_every_method_with_intervals(of_films: dict[str, Any]) -> None:
    lines = explanation_lines(of_films)
    assert lines[0].startswith("unified on phantom-openi (synthetic), image, part test: ")
    assert lines[-1] == "For education and research, not for diagnosis."
    found = of_films["films"]["finding"]["grad-cam"]["insertion"]
    low, high = found["interval"]
    assert any(f"{found['mean']:.3f} [{low:.3f}, {high:.3f}]" in line for line in lines if line.startswith("grad-cam"))
    assert sum(line.startswith("similarity") for line in lines) == 3
    assert any(line.startswith("similarity") and line.endswith(("passes", "fails")) for line in lines)
    assert not any("nan" in line.lower() or "none" in line.lower() for line in lines)
    assert max(map(len, lines)) < 160


def test_texts_and_pairs_are_measured(unified: RetrievalSystem, phantoms: FewPhantoms) -> None:
    texts = measured(unified, phantoms, modality="text", limit=1)
    assert "films" not in texts
    assert list(texts["texts"]["finding"]) == ["random", "attention", "integrated-gradients"]
    assert "noise" not in texts["texts"]["stability"]["attention"]
    assert explanation_lines(texts)[-1]
    pairs = measured(unified, phantoms, modality="joint", limit=1)
    assert {"films", "texts"} <= pairs.keys()


def test_films_without_known_places_have_no_pointing(unified: RetrievalSystem, films: Some) -> None:
    found = measured(unified, films, modality="image", limit=2)
    assert all("pointing" not in one for one in found["films"]["finding"].values())
    assert explanation_lines(found)[-1]


def test_voters_of_a_system_without_classifier_are_training_cases(tiny_siclip: Path) -> None:
    system = load_system(tiny_siclip)
    dataset = PhantomDust(size=30)
    drawn = draw_questions(system, dataset, "image", split="test", limit=2, seed=0, progress=quiet)
    for of_case in drawn:
        *findings, likeness = of_case
        assert likeness.label == ""
        for question in findings:
            voters = question.target.voters  # type: ignore[union-attr]
            assert voters is not None
            assert voters.vectors.shape == (system.config.vote_neighbours, 16)
            assert voters.temperature == system.config.vote_temperature
            np.testing.assert_allclose(np.linalg.norm(voters.vectors, axis=1), 1, rtol=1e-5)
            assert question.electorate is not None
            assert len(question.electorate.vectors) > len(voters.vectors)
            np.testing.assert_array_equal(question.electorate.vectors[: len(voters.vectors)], voters.vectors)
            np.testing.assert_array_equal(question.electorate.carries[: len(voters.carries)], voters.carries)
    found = measured(system, dataset, modality="image", limit=1)
    assert list(found["films"]["sanity"])


def test_an_altered_text_is_voted_on_by_the_cases_nearest_to_it(tiny_siclip: Path) -> None:
    """Not by those nearest to the text as it was: they may carry the label whatever is done to the text."""
    system = load_system(tiny_siclip)
    system.config = system.config.model_copy(update={"vote_neighbours": 1})
    text = "55-year-old patient, coal miner."
    with torch.inference_mode():
        vectors = system.encode_texts([text, "."]).vector.numpy()
    nearest = Voters(vectors[:1], np.array([True]), 0.5)
    everyone = Voters(vectors, np.array([True, False]), 0.5)
    question = Question("p", "Stage 1", Inputs(None, text), FindingTarget("Stage 1", nearest), None, everyone)
    areas = {}
    for name, asked in {"drawn anew": question, "held": replace(question, electorate=nearest)}.items():
        tally = Tally(["p"], 0)
        measure(system, asked, tally, 0, np.random.default_rng(0))
        areas[name] = tally.column("texts", "finding", "attention", "deletion")[0]
    assert areas["held"] == pytest.approx(1)
    assert 0 < areas["drawn anew"] < 0.95


def test_nothing_to_explain_is_refused(unified: RetrievalSystem, films: Some) -> None:
    with pytest.raises(DatasetError, match="no train case with image"):
        measured(unified, OpenI(), modality="image")
    foreign = Some(open_dataset("manifest", films._source.root), [])
    with pytest.raises(DatasetError, match="no train case"):
        measured(unified, foreign, modality="text")
