"""Evaluation of a system, against the same figures had by other means."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_samples import LABELS, Some, quiet
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from index_builder.datasets.phantom import PhantomOpenI
from index_builder.datasets.published.openi import OpenI
from index_builder.errors import DatasetError, InstallationError, ModelError
from index_builder.evaluation.embedding import embed_modality
from index_builder.evaluation.prediction import predict
from index_builder.evaluation.run import EvaluateRequest, evaluate, measure
from index_builder.evaluation.task import set_task
from index_builder.imaging import model_input
from index_builder.reranking.case_vectors import ClassVectors
from index_builder.reranking.ranking import Ranking
from index_builder.reranking.rerank import RerankWeights
from index_builder.systems.unified import Unified


def request(**settings: Any) -> EvaluateRequest:
    return EvaluateRequest("tiny", "manifest", **settings)


def test_the_result_is_plain_json_and_has_what_outside_checks_read(result: dict[str, Any], films: Some) -> None:
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert set(result["classification"]["macro"]) >= {"auroc", "ap", "f1"}
    for protocol in ("test_to_train", "test_to_test"):
        block = result["retrieval"][protocol]
        for metric in ("p@5", "mrr", "ndcg@5", "map"):
            assert 0 <= block[metric] <= 1
            assert 0 < block["chance"][metric] < 1
            low, high = block["interval"][metric]
            assert low <= block[metric] <= high
        assert 0 < result["diversity"][protocol]["embedding_diversity@5"] < 2
    parts = Counter(case.split for case in films.cases())
    assert result["cases"] == result["classification"]["cases"] == parts["test"]
    assert result["retrieval"]["test_to_train"]["candidates"] == parts["train"]
    assert result["retrieval"]["test_to_test"]["candidates"] == parts["test"] - 1
    assert (result["modality"], result["split"], result["synthetic"]) == ("joint", "test", False)
    assert result["labels"] == ["Cardiomegaly", "Effusion", "Nodule"]
    assert result["disclaimer"] == "For education and research, not for diagnosis."
    assert "retrieval_cosine" not in result
    assert "stages" not in result


@torch.inference_mode()
def one_by_one(system: Unified, dataset: Some) -> np.ndarray:
    """[N, D] joint vectors of cases by id, each case encoded alone."""
    rows = []
    for case in sorted(dataset.cases(), key=lambda case: case.case_id):
        image = text = None
        if case.image is not None:
            film = model_input(dataset.load_film(case.image).pixels, system.config.image_size)
            image = system.encode_images(torch.from_numpy(film)[None])
        if case.report:
            text = system.encode_texts([case.report])
        rows.append(system.join(image, text)[0].numpy())
    return np.stack(rows)


def test_figures_agree_with_cases_taken_one_by_one(tiny_system: Unified, films: Some, result: dict[str, Any]) -> None:
    vectors = one_by_one(tiny_system, films)
    cases = sorted(films.cases(), key=lambda case: case.case_id)
    split = np.array([case.split for case in cases])
    test, train = np.flatnonzero(split == "test"), np.flatnonzero(split == "train")
    logits = tiny_system.label_logits(torch.from_numpy(vectors[test])).detach().numpy()
    for name, row in result["classification"]["per_class"].items():
        truth = [name in cases[number].labels for number in test]
        scores = logits[:, LABELS.index(name)]
        assert row["auroc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-3)
        assert row["ap"] == pytest.approx(average_precision_score(truth, scores), abs=1e-3)
    found = []
    for number in test:
        nearest = train[np.argsort(-(vectors[train] @ vectors[number]))[:5]]
        if cases[number].labels:
            found.append(np.mean([bool(set(cases[number].labels) & set(cases[one].labels)) for one in nearest]))
    assert result["retrieval"]["test_to_train"]["queries"] == len(found)
    assert result["retrieval"]["test_to_train"]["p@5"] == pytest.approx(np.mean(found), abs=0.01)


def test_each_film_is_read_once_with_all_baselines(tiny_system: Unified, films: Some) -> None:
    fresh = Some(films, films.cases())
    measure(tiny_system, fresh, request(baselines=True), quiet)
    assert sorted(fresh.read) == sorted(case.image for case in films.cases() if case.image)
    fresh.read.clear()
    measure(tiny_system, fresh, request(modality="text", baselines=True), quiet)
    assert fresh.read == []


def test_embedding_leaves_a_zero_row_where_a_case_lacks_the_modality(tiny_system: Unified, films: Some) -> None:
    cases = films.cases()[:40]
    spaces = embed_modality(tiny_system, films, cases, "joint", quiet).spaces
    for space, held in (
        ("image", [case.image is not None for case in cases]),
        ("text", [bool(case.report) for case in cases]),
        ("joint", [True] * len(cases)),
    ):
        norms = np.linalg.norm(spaces[space], axis=1)  # type: ignore[index]
        np.testing.assert_allclose(norms, np.array(held, float), atol=1e-5)
    alone = embed_modality(tiny_system, films, cases, "image", quiet)
    assert set(alone.spaces) == {"image"}
    assert alone.frozen is None
    np.testing.assert_allclose(alone.spaces["image"], spaces["image"], atol=1e-4)


def chosen(result: dict[str, Any]) -> dict[str, Any]:
    """All that is decided on validation cases."""
    return {
        "thresholds": [row["threshold"] for row in result["classification"]["per_class"].values()],
        "temperature": result["calibration"]["temperature"],
        "baselines": {
            name: (
                one.get("chosen"),
                [row["threshold"] for row in one.get("classification", {"per_class": {}})["per_class"].values()],
            )
            for name, one in result["baselines"].items()
        },
    }


def test_nothing_is_chosen_on_test_labels(tiny_system: Unified, films: Some, result: dict[str, Any]) -> None:
    swapped = {"Cardiomegaly": "Effusion", "Effusion": "Nodule", "Nodule": "Cardiomegaly"}
    cases = [
        replace(case, labels=tuple(sorted(swapped[label] for label in case.labels))) if case.split == "test" else case
        for case in films.cases()
    ]
    other = measure(tiny_system, Some(films, cases), request(baselines=True), quiet)
    assert chosen(other) == chosen(result)
    assert other["classification"]["macro"] != result["classification"]["macro"]
    assert other["retrieval"]["test_to_train"]["map"] != result["retrieval"]["test_to_train"]["map"]


def test_the_order_of_cases_changes_nothing(tiny_system: Unified, films: Some, result: dict[str, Any]) -> None:
    assert measure(tiny_system, Some(films, films.cases()[::-1]), request(baselines=True), quiet) == result


def test_parts_other_than_test(tiny_system: Unified, films: Some) -> None:
    parts = Counter(case.split for case in films.cases())
    val = measure(tiny_system, films, request(modality="text", split="val"), quiet)
    with_text = sum(bool(case.report) and case.split == "val" for case in films.cases())
    assert val["cases"] == with_text < parts["val"]
    assert val["left_out_cases"] == {"no text": parts["val"] - with_text}
    assert set(val["retrieval"]) == {"test_to_train", "test_to_test"}
    everything = measure(tiny_system, films, request(split="all"), quiet)
    assert everything["cases"] == len(films.cases())
    train = measure(tiny_system, films, request(split="train"), quiet)
    assert train["retrieval"]["test_to_train"]["candidates"] == parts["train"] - 1


@dataclass(frozen=True, slots=True)
class Listening(Ranking):
    """Reorders by the labels alone; keeps what it was given."""

    given: list[tuple[np.ndarray, np.ndarray, Sequence[str]]]

    def scores(
        self, cosine: np.ndarray, query_labels: np.ndarray, candidate_labels: np.ndarray, label_names: Sequence[str]
    ) -> np.ndarray:
        self.given.append((query_labels, candidate_labels, label_names))
        return cosine + 3 * np.minimum(query_labels[:, None], candidate_labels[None]).sum(2)


def test_reranked_retrieval_stands_beside_plain(tiny_system: Unified, films: Some, result: dict[str, Any]) -> None:
    system = Unified(tiny_system.config).eval()
    system.load_state_dict(tiny_system.state_dict())
    weights = RerankWeights(cosine=0, jaccard=1, graph=0)
    given: list[tuple[np.ndarray, np.ndarray, Sequence[str]]] = []
    system.ranking = Listening("none", ClassVectors((), np.zeros((0, 1), np.float16)), weights, given)
    found = measure(system, films, request(), quiet)
    for protocol in ("test_to_train", "test_to_test"):
        assert found["retrieval_cosine"][protocol] == result["retrieval"][protocol]
        assert found["diversity_cosine"][protocol] == result["diversity"][protocol]
        assert found["retrieval"][protocol]["map"] != result["retrieval"][protocol]["map"]
    (queries, known, names), (_, predicted, _) = given
    assert list(names) == found["labels"]
    assert queries.shape[1] == known.shape[1] == predicted.shape[1] == len(names)
    assert set(np.unique(known)) == {0, 1}
    assert known.sum() == sum(len(case.labels) for case in films.cases() if case.split == "train")
    assert ((predicted > 0) & (predicted < 1)).all()


class Voting(Unified):
    """Has no classifier."""

    def label_logits(self, vectors: Tensor) -> None:  # type: ignore[override]
        return None


def test_without_a_classifier_training_cases_vote(tiny_system: Unified, films: Some) -> None:
    system = Voting(tiny_system.config.model_copy(update={"vote_neighbours": 1})).eval()
    system.load_state_dict(tiny_system.state_dict())
    for split in ("test", "train"):
        found = measure(system, films, request(split=split), quiet)
        # With one voter the share of a label is 1 or 0.
        vectors = embed_modality(
            system, films, sorted(films.cases(), key=lambda case: case.case_id), "joint", quiet
        ).spaces["joint"]
        cases = sorted(films.cases(), key=lambda case: case.case_id)
        train = [row for row, case in enumerate(cases) if case.split == "train"]
        scored = [row for row, case in enumerate(cases) if case.split == split]
        similarity = vectors[scored] @ vectors[train].T
        similarity[np.array(scored)[:, None] == np.array(train)] = -2
        voter = [cases[train[column]] for column in similarity.argmax(1)]
        for name in ("Cardiomegaly", "Effusion", "Nodule"):
            truth = [name in cases[row].labels for row in scored]
            expected = roc_auc_score(truth, [name in case.labels for case in voter])
            assert found["classification"]["per_class"][name]["auroc"] == pytest.approx(expected)


def test_a_vote_has_the_temperature_of_its_modality(tiny_system: Unified, films: Some) -> None:
    settings = {"vote_neighbours": 5, "vote_temperature": 1e-6, "vote_temperatures": {"text": 1e6}}
    system = Voting(tiny_system.config.model_copy(update=settings)).eval()
    task, _ = set_task(films, system.text_of, None, modality="joint", split="test", seed=0)
    vectors = embed_modality(system, films, task.cases, "joint", quiet).spaces["joint"]
    for modality, votes in (("text", 5), ("joint", 1)):
        shares = votes * predict(system, task, vectors, modality).probabilities[task.scored]
        np.testing.assert_allclose(shares, shares.round(), atol=1e-3)
        assert set(np.unique(shares.round())) == set(range(votes + 1))


def test_stages_of_the_dust_cohort(tiny_system: Unified, workers: Some) -> None:
    found = measure(tiny_system, workers, request(modality="image", baselines=True), quiet)
    test = [case for case in workers.cases() if case.split == "test"]
    stages = Counter(case.labels[0] for case in test)
    assert [sum(row) for row in found["stages"]["confusion"]] == [stages[f"Stage {one}"] for one in range(4)]
    right = sum(found["stages"]["confusion"][one][one] for one in range(4))
    assert found["stages"]["accuracy"] == pytest.approx(right / len(test))
    assert found["uncertainty"]["error"] == pytest.approx(1 - right / len(test))
    assert found["uncertainty"]["risk"] == 0.05
    assert (found["uncertainty"]["at_threshold"] is None) == ("no_threshold" in found["uncertainty"])
    assert found["synthetic"] is True
    assert found["cross_modal"]["pool"] == {"pairs": 40, "scored": 8, "val": 8, "train": 24}
    own = found["cross_modal"]["image_to_report"]
    assert own["chance"]["recall@10"] == pytest.approx(10 / 40)
    assert own["same_labels"]["recall@10"] >= own["recall@10"]
    assert "same_codes" not in own
    assert set(found["baselines"]) == {"frozen_linear", "frozen_knn"}
    assert "stages" in found["baselines"]["frozen_knn"]


def test_films_drawn_from_codes_are_also_scored_on_what_they_show(
    tiny_system: Unified, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = PhantomOpenI(seed=0)
    by_split: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
    for case in source.cases():
        by_split[case.split].append(case)
    cases = [*by_split["train"][:20], *by_split["val"][:8], *by_split["test"][:10]]
    kept = {case.case_id for case in cases}
    drawn = source.cases
    monkeypatch.setattr(source, "cases", lambda: [case for case in drawn() if case.case_id in kept])
    found = measure(tiny_system, source, request(modality="image"), quiet)
    test = by_split["test"][:10]
    assert list(found["classification_visible"]["per_class"]) == ["Normal", "Cardiomegaly"]
    for name, row in found["classification_visible"]["per_class"].items():
        assert row["positives"] == sum(name in source.visible_labels(case) for case in test)
    for name, row in found["classification"]["per_class"].items():
        assert row["positives"] == sum(name in case.labels for case in test)
    crossed = found["cross_modal"]["image_to_report"]
    assert crossed["same_codes"]["recall@10"] >= 0
    pool = Counter(frozenset(case.codes) for case in cases)
    expected = np.mean([min(1, 1 / pool[frozenset(case.codes)]) for case in test])
    assert crossed["ceiling"]["recall@1"] == pytest.approx(expected)
    assert "ceiling" not in crossed["same_codes"]


def test_reports_that_nobody_coded_are_left_out(tiny_system: Unified) -> None:
    source = OpenI()
    uncoded = [case for case in source.cases() if "No Indexing" in case.codes and case.split == "test"][:3]
    coded = [case for case in source.cases() if "No Indexing" not in case.codes and case.report]
    some = [case for part in ("train", "val", "test") for case in [c for c in coded if c.split == part][:12]]
    found = measure(tiny_system, Some(source, [*uncoded, *some]), request(), quiet)
    assert found["modality"] == "text"
    assert found["cases"] == 12
    assert found["left_out_cases"] == {"not coded (No Indexing)": 3}
    assert "cross_modal" not in found


def test_what_cannot_be_evaluated_is_refused(tiny_system: Unified, films: Some, tmp_path: Path) -> None:
    strange = Some(films, films.cases())
    strange.label_names = ("Fracture", "Oedema")
    with pytest.raises(ModelError, match=r"Fracture, Oedema.*it knows Cardiomegaly, Effusion"):
        measure(tiny_system, strange, request(), quiet)
    blind = Some(films, [replace(case, image=None) for case in films.cases() if case.report])
    with pytest.raises(DatasetError, match="0 train cases with a film"):
        measure(tiny_system, blind, request(modality="image"), quiet)
    assert measure(tiny_system, blind, request(), quiet)["modality"] == "text"
    unlabelled = Some(films, [replace(case, labels=()) if case.split == "val" else case for case in films.cases()])
    with pytest.raises(DatasetError, match="no val case carries a label"):
        measure(tiny_system, unlabelled, request(), quiet)
    with pytest.raises(ModelError, match="no system there"):
        evaluate(EvaluateRequest(str(tmp_path), "phantom-dust"), quiet)


def test_a_bare_name_means_the_shipped_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Path:
        raise InstallationError(f"{name}-compact is missing")

    monkeypatch.setattr("index_builder.systems.shipped.default_checkpoint", absent)
    with pytest.raises(InstallationError, match="siclip-compact"):
        evaluate(EvaluateRequest("siclip", "phantom-dust"), quiet)
