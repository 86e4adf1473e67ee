"""Baselines against scikit-learn's own, on the same parts."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_samples import Some, quiet
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from index_builder.cases.labels import NIH_LABELS
from index_builder.datasets import open_dataset
from index_builder.errors import DatasetError
from index_builder.evaluation.baselines import frozen_encoder
from index_builder.evaluation.embedding import embed_modality
from index_builder.evaluation.linear import fit_linear
from index_builder.evaluation.run import EvaluateRequest, measure
from index_builder.evaluation.task import Task, set_task
from index_builder.systems.unified import Unified


def task_of(films: Some) -> Task:
    return set_task(films, lambda case: case.report, None, modality=None, split="test", seed=0)[0]


def aurocs(found: dict[str, Any]) -> list[float]:
    return [row["auroc"] for row in found["classification"]["per_class"].values()]


def test_every_baseline_is_measured(result: dict[str, Any]) -> None:
    assert set(result["baselines"]) == {
        *("tfidf_logistic", "tfidf_cosine", "frozen_linear", "frozen_knn", "image_only", "text_only")
    }
    for name, found in result["baselines"].items():
        if name != "tfidf_cosine":
            assert set(found["classification"]["macro"]) == set(result["classification"]["macro"])
            assert "curves" not in found["classification"]
        if name != "frozen_linear":
            assert set(found["retrieval"]) == {"test_to_train", "test_to_test"}
        assert found["title"]


def test_tfidf_agrees_with_a_pipeline_of_its_parts(films: Some, result: dict[str, Any]) -> None:
    cases = sorted((case for case in films.cases() if case.report), key=lambda case: case.case_id)
    parts = {part: [case for case in cases if case.split == part] for part in ("train", "val", "test")}
    words = TfidfVectorizer(ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    train = words.fit_transform([case.report.lower() for case in parts["train"]])
    val, test = (words.transform([case.report.lower() for case in parts[part]]) for part in ("val", "test"))
    by_strength = {}
    for strength in (1.0, 10.0, 100.0, 1000.0):
        scores, on_val = [], []
        for name in result["labels"]:
            truth = {part: [name in case.labels for case in some] for part, some in parts.items()}
            model = LogisticRegression(C=strength, class_weight="balanced", max_iter=500).fit(train, truth["train"])
            on_val.append(average_precision_score(truth["val"], model.predict_proba(val)[:, 1]))
            scores.append(roc_auc_score(truth["test"], model.predict_proba(test)[:, 1]))
        by_strength[strength] = (np.mean(on_val), scores)
    found = result["baselines"]["tfidf_logistic"]
    assert found["classification"]["cases"] == len(parts["test"]) < result["cases"]
    assert by_strength[found["chosen"]["C"]][0] == pytest.approx(max(one for one, _ in by_strength.values()))
    assert aurocs(found) == pytest.approx(by_strength[found["chosen"]["C"]][1])


def test_frozen_baselines_agree_with_their_parts(tiny_system: Unified, films: Some, result: dict[str, Any]) -> None:
    cases = sorted((case for case in films.cases() if case.image), key=lambda case: case.case_id)
    features = embed_modality(tiny_system, films, cases, "image", quiet, frozen=frozen_encoder(tiny_system)).frozen
    assert features is not None
    split = np.array([case.split for case in cases])
    train, test = split == "train", split == "test"
    scaled = StandardScaler().fit(features[train]).transform(features)
    truth = np.array([[name in case.labels for name in result["labels"]] for case in cases])
    k = result["baselines"]["frozen_knn"]["chosen"]["k"]
    neighbours = KNeighborsClassifier(k, metric="cosine")
    strength = result["baselines"]["frozen_linear"]["chosen"]["C"]
    linear = LogisticRegression(C=strength, class_weight="balanced", max_iter=500)
    for name, model in (("frozen_knn", neighbours), ("frozen_linear", linear)):
        expected = [
            roc_auc_score(one[test], model.fit(scaled[train], one[train]).predict_proba(scaled[test])[:, 1])
            for one in truth.T
        ]
        # Features of another batch differ in the last bits, and so may the order of cases nearly equal.
        assert aurocs(result["baselines"][name]) == pytest.approx(expected, abs=0.03)
        assert result["baselines"][name]["classification"]["cases"] == test.sum()


def test_the_frozen_encoder_is_untrained(tiny_system: Unified) -> None:
    encoder = frozen_encoder(tiny_system)
    films = torch.rand(2, 64, 64)
    before = encoder(films)
    changed = next(tiny_system.image_encoder.parameters())
    original = changed.data.clone()
    try:
        changed.data += 1
        assert torch.equal(frozen_encoder(tiny_system)(films), before)
    finally:
        changed.data = original


def test_one_modality_alone_is_the_system_on_that_modality(
    tiny_system: Unified, films: Some, result: dict[str, Any]
) -> None:
    for modality in ("image", "text"):
        alone = measure(tiny_system, films, EvaluateRequest("x", "manifest", modality=modality), quiet)  # type: ignore[arg-type]
        assert aurocs(result["baselines"][f"{modality}_only"]) == pytest.approx(aurocs(alone), abs=0.02)
        assert result["baselines"][f"{modality}_only"]["classification"]["cases"] == alone["cases"]


def test_a_label_that_no_training_case_carries_is_never_predicted(films: Some) -> None:
    task = task_of(films)
    truth = task.truth.copy()
    truth[task.train, 1] = False
    truth[task.train, 2] = True
    features = np.random.default_rng(0).normal(size=(len(task.cases), 4)).astype(np.float32)
    found = fit_linear(task.with_truth(task.names, truth), features, (1.0,)).probabilities(features)
    assert (found[:, 1] == 0).all()
    assert (found[:, 2] == 1).all()
    assert 0 < found[:, 0].min() < found[:, 0].max() < 1


def test_too_few_words_for_tfidf_is_told(tiny_system: Unified, films: Some) -> None:
    mute = Some(films, [replace(case, sections={"findings": case.case_id.replace("-", "")}) for case in films.cases()])
    with pytest.raises(DatasetError, match="Leave out --baselines"):
        measure(tiny_system, mute, EvaluateRequest("x", "manifest", modality="text", baselines=True), quiet)


@pytest.fixture(scope="module")
def nih_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 noisy films as ChestX-ray14 publishes its own, with predictions for the test part."""
    folder = tmp_path_factory.mktemp("nih")
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    columns = ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender"]
    published = ["Image Index", *(f"prob_{name}" for name in NIH_LABELS)]
    with (
        (folder / "Data_Entry_2017_few.csv").open("w", newline="", encoding="utf-8") as entries,
        (folder / "chexnet_test_predictions.csv").open("w", newline="", encoding="utf-8") as predictions,
    ):
        table, outputs = csv.writer(entries), csv.writer(predictions)
        table.writerow([*columns, "View Position", "split"])
        outputs.writerow(published)
        for number in range(40):
            name = f"{number:08d}_000.png"
            labels = "|".join(random.choice(NIH_LABELS[:4], 1 + number % 2, replace=False))
            split = ("train", "train", "val", "test")[number % 4]
            table.writerow([name, labels if number % 5 else "No Finding", 0, number, 50, "F", "PA", split])
            Image.fromarray(random.integers(0, 256, (64, 64), dtype=np.uint8)).save(folder / "images" / name)
            if split == "test":
                outputs.writerow([name, *random.random(len(NIH_LABELS)).round(4)])
    return folder


def nih_system(tiny_system: Unified) -> Unified:
    return Unified(tiny_system.config.model_copy(update={"label_names": NIH_LABELS})).eval()


def test_published_predictions_are_scored_on_the_same_films(tiny_system: Unified, nih_folder: Path) -> None:
    dataset = open_dataset("nih", nih_folder)
    found = measure(
        nih_system(tiny_system), dataset, EvaluateRequest("x", "nih", root=nih_folder, baselines=True), quiet
    )
    chexnet = found["baselines"]["chexnet"]["classification"]
    with (nih_folder / "chexnet_test_predictions.csv").open(encoding="utf-8") as stream:
        rows = {row["Image Index"].removesuffix(".png"): row for row in csv.DictReader(stream)}
    test = [case for case in dataset.cases() if case.split == "test"]
    assert chexnet["cases"] == len(test) == found["cases"]
    for name in NIH_LABELS[:4]:
        truth = [name in case.labels for case in test]
        scores = [float(rows[case.case_id][f"prob_{name}"]) for case in test]
        assert chexnet["per_class"][name]["auroc"] == pytest.approx(roc_auc_score(truth, scores))
    # There are no predictions of validation films to choose a threshold on.
    assert "f1" not in chexnet["macro"]
    on_val = measure(
        nih_system(tiny_system),
        dataset,
        EvaluateRequest("x", "nih", root=nih_folder, split="val", baselines=True),
        quiet,
    )
    assert "chexnet" not in on_val["baselines"]


def test_predictions_that_miss_a_film_are_refused(tiny_system: Unified, nih_folder: Path, tmp_path: Path) -> None:
    lines = (nih_folder / "chexnet_test_predictions.csv").read_text("utf-8").splitlines()
    (tmp_path / "chexnet_test_predictions.csv").write_text("\n".join(lines[:-1]) + "\n", "utf-8")
    missing = lines[-1].split(".")[0]
    with pytest.raises(DatasetError, match=missing):
        measure(
            nih_system(tiny_system),
            open_dataset("nih", nih_folder),
            EvaluateRequest("x", "nih", root=tmp_path, baselines=True),
            quiet,
        )
