"""Figures of a casebook from its stored vectors, against the same cases embedded anew."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_samples import Some, quiet
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from explorer import Casebook
from index_builder.build.build import BuildRequest, build
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import DatasetRecord, read_manifest, read_metrics, verify, write_metrics
from index_builder.cases.table import CaseRows, cases_table
from index_builder.datasets import open_dataset
from index_builder.errors import CasebookError, DatasetError
from index_builder.evaluation.embedding import embed_modality
from index_builder.evaluation.run import EvaluateRequest, measure
from index_builder.evaluation.runs import Run
from index_builder.evaluation.stored import measure_casebook, measure_stored
from index_builder.systems.registry import load_system
from index_builder.systems.unified import Unified


@pytest.fixture(scope="module")
def stored(small_casebook: Path) -> dict[str, Any]:
    metrics = read_metrics(small_casebook)
    assert metrics is not None
    return metrics


@pytest.mark.parametrize("modality", ["image", "text", "joint"])
def test_stored_vectors_score_as_vectors_embedded_anew(
    small_casebook: Path, film_folder: Path, stored: dict[str, Any], modality: Any
) -> None:
    system = load_system(Layout(small_casebook).system)
    dataset = open_dataset("manifest", film_folder)
    anew = measure(system, dataset, EvaluateRequest("unified", "manifest", modality=modality), quiet)
    found = stored["modalities"][modality]
    assert found.keys() == anew.keys()
    for key in ("dataset", "synthetic", "modality", "split", "cases", "left_out_cases", "labels"):
        assert found[key] == anew[key]
    assert found["per_case"]["case_id"] == anew["per_case"]["case_id"]
    for name in found["labels"]:
        # Half precision moves a logit of this system by a few thousandths.
        np.testing.assert_allclose(
            found["per_case"]["probabilities"][name], anew["per_case"]["probabilities"][name], atol=4e-3
        )
    for metric in ("auroc", "ap"):
        assert found["classification"]["macro"][metric] == pytest.approx(
            anew["classification"]["macro"][metric], abs=0.02
        )
    for protocol in ("test_to_train", "test_to_test"):
        assert found["retrieval"][protocol]["map"] == pytest.approx(anew["retrieval"][protocol]["map"], abs=0.01)
        assert found["retrieval"][protocol]["chance"]["map"] == pytest.approx(
            anew["retrieval"][protocol]["chance"]["map"]
        )


def test_figures_follow_from_what_is_kept_of_each_case(small_casebook: Path, stored: dict[str, Any]) -> None:
    casebook = Casebook.open(small_casebook)
    splits = casebook.column("split")
    for found in stored["modalities"].values():
        cases = found["per_case"]
        assert len(cases["case_id"]) == found["cases"] == len(cases["labels"])
        assert {splits[casebook.row(one)] for one in cases["case_id"]} == {"test"}
        for case_id, labels in zip(cases["case_id"], cases["labels"], strict=True):
            assert labels == list(casebook.case(case_id).labels)
        for name, row in found["classification"]["per_class"].items():
            truth = [name in labels for labels in cases["labels"]]
            scores = cases["probabilities"][name]
            assert row["auroc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-3)
            assert row["ap"] == pytest.approx(average_precision_score(truth, scores), abs=1e-3)
            brier = found["calibration"]["after"]["per_class"][name]["brier"]
            assert brier == pytest.approx(brier_score_loss(truth, cases["calibrated"][name]), abs=1e-4)
        for protocol, queries in cases["retrieval"].items():
            for metric in ("p@5", "map"):
                held = [value for value in queries[metric] if value is not None]
                assert len(held) == found["retrieval"][protocol]["queries"]
                assert found["retrieval"][protocol][metric] == pytest.approx(np.mean(held), abs=1e-5)


def test_measuring_again_replaces_figures_and_verifies(tmp_path: Path, small_casebook: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "copy")
    assert verify(folder) == []
    before = read_manifest(folder)
    run = Run(
        system="unified",
        dataset="manifest",
        variant="full",
        fraction=0.5,
        training_cases=9,
        seed=0,
        figures={"AP": 0.5},
    )
    measured = measure_casebook(folder, quiet, runs=[run])
    assert verify(folder) == []
    assert measured["runs"] == [run.model_dump()]
    # The same vectors give the same figures as the build's.
    kept = read_metrics(folder)
    assert kept is not None
    assert kept["modalities"] == (read_metrics(small_casebook) or {})["modalities"]
    after = read_manifest(folder)
    assert {name for name in after.files if after.files[name] != before.files[name]} == {"metrics.json"}
    # Runs stay where none are given.
    measure_casebook(folder, quiet)
    assert (read_metrics(folder) or {})["runs"] == [run.model_dump()]
    assert not list(folder.glob(".*"))


@pytest.mark.slow
def test_baselines_are_those_of_an_evaluation(
    tiny_system: Unified, films: Some, film_folder: Path, result: dict[str, Any]
) -> None:
    record = dataset_record(films, film_folder)
    cases = CaseRows(cases_table(films.cases()))
    spaces = embed_modality(tiny_system, films, cases, "joint", quiet).spaces
    vectors = {space: found.astype(np.float16) for space, found in spaces.items()}
    found = measure_stored(tiny_system, record, cases, vectors, quiet, baselines=True)["modalities"]["joint"]
    assert found["baselines"].keys() == result["baselines"].keys()
    # What no system has a part in comes out the same; films are read from the source again.
    for name in ("tfidf_logistic", "tfidf_cosine", "frozen_knn"):
        assert found["baselines"][name] == result["baselines"][name]
    linear = found["baselines"]["frozen_linear"]["classification"]["macro"]["auroc"]
    assert linear == pytest.approx(result["baselines"]["frozen_linear"]["classification"]["macro"]["auroc"], abs=1e-3)
    gone = record.model_copy(update={"root": str(film_folder / "gone")})
    assert measure_stored(tiny_system, gone, cases, vectors, quiet)["modalities"].keys() == {"image", "text", "joint"}
    with pytest.raises(DatasetError, match="gone"):
        measure_stored(tiny_system, gone, cases, vectors, quiet, baselines=True)


def dataset_record(films: Some, root: Path) -> DatasetRecord:
    card = films.card
    return DatasetRecord(
        kind=card.name, root=str(root), seed=0, limit=None, title=card.title, description=card.description,
        citation=card.citation, licence=card.licence, source=card.source, label_definition=card.label_definition,
        label_names=films.label_names, synthetic=card.synthetic,
    )  # fmt: skip


def test_a_casebook_that_cannot_be_scored_says_why(tmp_path: Path, film_folder: Path, tiny_checkpoint: Path) -> None:
    out = tmp_path / "few"
    build(BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=5), quiet)
    metrics = read_metrics(out)
    assert metrics is not None
    assert metrics["modalities"] == {}
    assert all("cases with" in reason for reason in metrics["not_measured"].values())
    assert verify(out) == []


def test_damaged_figures_are_told_with_the_remedy(tmp_path: Path, small_casebook: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "copy")
    Layout(folder).metrics.write_text("{", "utf-8")
    with pytest.raises(CasebookError, match="cxr-explorer metrics"):
        read_metrics(folder)
    Layout(folder).metrics.write_text("{}", "utf-8")
    with pytest.raises(CasebookError, match="holds no metrics"):
        _ = Casebook.open(folder).metrics
    Layout(folder).metrics.unlink()
    assert Casebook.open(folder).metrics is None
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_metrics(folder, {"modalities": float("nan")})
