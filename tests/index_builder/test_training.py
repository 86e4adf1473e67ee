"""Training of the heads: the loss's exact value, and that it learns."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from index_builder.build import BuildRequest, build
from index_builder.datasets import open_dataset
from index_builder.errors import ModelError
from index_builder.features import FeatureSet, codes_sentence, extract, with_openi_meaning
from index_builder.systems.base import load_system
from index_builder.systems.unified import Unified, UnifiedConfig
from index_builder.training import Schedule, fit, label_contrast, train, validation_precision


def test_label_contrast_has_the_value_of_its_formula() -> None:
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), dim=1)
    labels = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    group, case = torch.zeros(3), torch.arange(3)
    cosine = vectors @ vectors.T / 0.5
    expected = []
    overlap = [[0, 0.25, 0.25], [0.25, 0, 0], [0.25, 0, 0]]
    for i in range(3):
        others = [j for j in range(3) if j != i]
        total = math.log(sum(math.exp(float(cosine[i, j])) for j in others))
        weighted = sum(overlap[i][j] * (total - float(cosine[i, j])) for j in others)
        expected.append(weighted / sum(overlap[i]))
    found = label_contrast(vectors, labels, group, case, 0.5)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


def test_label_contrast_ignores_other_datasets_and_is_zero_without_positives() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(4, 3), dim=1)
    labels = torch.ones(4, 1)
    apart = label_contrast(vectors, labels, torch.arange(4), torch.arange(4), 0.1)
    assert float(apart) == 0.0


def test_real_labels_gain_their_openi_meaning() -> None:
    assert with_openi_meaning(["Effusion", "Pleural_Thickening"]) == {
        "Effusion",
        "Pleural_Thickening",
        "Pleural Effusion",
    }
    assert codes_sentence(("Opacity/lung/base/left", "Cardiomegaly")) == "Opacity, lung, base, left; Cardiomegaly"


def test_extracted_features_fit_the_cases(film_folder: Path, tiny_checkpoint: Path) -> None:
    system = Unified.load(tiny_checkpoint).eval()
    dataset = open_dataset("manifest", film_folder)
    cases = dataset.cases()[:50]
    features = extract(dataset, cases, system, lambda done, of: None)
    assert features.image.any(axis=1).tolist() == [case.image is not None for case in cases]
    assert features.texts[0].any(axis=1).tolist() == [bool(case.report) for case in cases]
    assert features.known.tolist() == [True, False]
    assert features.labels[:, 0].tolist() == [float("Cardiomegaly" in case.labels) for case in cases]


def learnable(system: Unified) -> FeatureSet:
    """Two classes that differ in one direction of the features."""
    random = np.random.default_rng(0)
    labels = np.eye(2, dtype=np.float32)[random.integers(2, size=300)]
    image = random.normal(size=(300, system.image_encoder.dim)).astype(np.float32)
    text = random.normal(size=(300, 2 * system.text_encoder.dim)).astype(np.float32)
    image[:, 0] += 4 * (labels[:, 0] - 0.5)
    text[:, 1] += 4 * (labels[:, 0] - 0.5)
    split = np.array(["train"] * 200 + ["val"] * 50 + ["test"] * 50)
    return FeatureSet("made", image, (text,), labels, np.array([True, True]), split)


def test_fit_learns_what_can_be_learnt_and_is_deterministic(tiny_checkpoint: Path) -> None:
    runs = []
    for _ in range(2):
        system = Unified.load(tiny_checkpoint)
        features = learnable(system)
        before = validation_precision(system, [features])
        after = fit(system, [features], Schedule(epochs=20, batch=64, learning_rate=3e-3))
        assert after["made/image"] > max(0.8, before["made/image"])
        assert after["made/text"] > 0.8
        assert validation_precision(system, [features]) == after
        runs.append(system.image_head[1].weight.detach().clone())  # type: ignore[union-attr, operator]
    torch.testing.assert_close(runs[0], runs[1], atol=0, rtol=0)


def test_a_checkpoint_is_trained_on_encoders_named_in_the_configuration(
    tmp_path: Path, tiny_text_encoder: Path, film_folder: Path
) -> None:
    config = UnifiedConfig(
        text_encoder=f"hub:{tiny_text_encoder}",
        image_size=96,
        embedding_dim=16,
        hidden_dim=32,
        label_names=("Normal", "Cardiomegaly", "Stage 0"),
    )
    out = tmp_path / "checkpoint"
    train(out, config, {}, phantoms=24, schedule=Schedule(epochs=2, batch=16))
    card = (out / "README.md").read_text()
    assert str(tiny_text_encoder) in card
    assert "not for diagnosis" in card
    assert load_system(out).config.label_names == config.label_names
    report = build(BuildRequest("manifest", film_folder, tmp_path / "casebook", out, limit=20), lambda *step: None)
    assert report.manifest.system.embedding_dim == 16


def test_fit_needs_training_cases(tiny_checkpoint: Path) -> None:
    system = Unified.load(tiny_checkpoint)
    features = learnable(system)
    empty = FeatureSet(
        "made", features.image, features.texts, features.labels, features.known, np.array(["test"] * 300)
    )
    with pytest.raises(ModelError, match="no training cases"):
        fit(system, [empty], Schedule(epochs=1))
