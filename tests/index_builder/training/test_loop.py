"""The training loop: it learns, stops, and goes on after an interruption as if there had been none."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_samples import Interrupt, quiet, silent

from index_builder.errors import ModelError
from index_builder.systems.base import Batch, RetrievalSystem
from index_builder.systems.config import SystemConfig
from index_builder.systems.registry import system_class
from index_builder.training.cases import Source, TrainingCases, gather
from index_builder.training.loop import LAST, LOG, cpu_computes_bf16, fit, trained_weights, weighted_mean
from index_builder.training.schedule import Schedule
from index_builder.training.validate import macro_average_precision, validation_scores

SYSTEMS = ("unified", "siclip", "mskpt")
SHORT = Schedule(epochs=3, batch=16, learning_rate=3e-3, patience=9)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, workers: Source) -> dict[str, TrainingCases]:
    """The same cases as every system reads them."""
    folder = tmp_path_factory.mktemp("films")
    return {name: gather([workers], system_class(name), 32, folder / "films.npy", quiet) for name in SYSTEMS}


def fresh(config: SystemConfig, cases: TrainingCases) -> RetrievalSystem:
    torch.manual_seed(0)
    return system_class(config.system)(config.model_copy(update={"label_names": cases.label_names}))


def same(one: RetrievalSystem, other: RetrievalSystem) -> bool:
    first, second = trained_weights(one), trained_weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def logged(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("unified", ("fit", 2)),
        ("siclip", ("fit", 1)),
        ("mskpt", ("pretrain", 1)),
        ("mskpt", ("pretrain", 3)),
        ("mskpt", ("distil", 1)),
        ("mskpt", ("distil", 3)),
    ],
)
def test_an_interrupted_training_comes_to_the_same_weights(
    tmp_path: Path, configs: dict[str, SystemConfig], cases: dict[str, TrainingCases], name: str, at: tuple[str, int]
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    whole.mkdir()
    parted.mkdir()
    straight = fresh(configs[name], cases[name])
    expected = fit(straight, cases[name], SHORT, whole, silent)

    stopped = fresh(configs[name], cases[name])
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, cases[name], SHORT, parted, Interrupt(*at))
    assert (parted / LAST).is_file()
    assert not list(parted.glob(".*.part"))

    resumed = fresh(configs[name], cases[name])
    rest = Interrupt("never", 0)
    found = fit(resumed, cases[name], SHORT, parted, rest)
    assert same(straight, resumed)
    assert (found.scores, found.epochs) == (expected.scores, expected.epochs)
    assert at not in rest.seen
    assert logged(whole / LOG) == logged(parted / LOG)


@pytest.mark.parametrize("name", SYSTEMS)
def test_training_learns_what_the_films_show(
    tmp_path: Path, configs: dict[str, SystemConfig], cases: dict[str, TrainingCases], name: str
) -> None:
    system = fresh(configs[name], cases[name])
    before = validation_scores(system, cases[name])
    # At 1e-2, ten times the shipped rate, rounding to bfloat16, which only some processors compute, decides.
    schedule = Schedule(epochs=12, batch=16, learning_rate=3e-3, patience=12)
    fitted = fit(system, cases[name], schedule, tmp_path, silent)
    assert not system.training
    assert fitted.scores["manifest/image"] > max(0.6, before["manifest/image"] - 0.01)
    assert set(fitted.epochs) == set(system.phases)
    rows = logged(tmp_path / LOG)
    for phase in system.phases:
        kept = [row for row in rows if row["phase"] == phase]
        assert {int(row["epoch"]) for row in kept} == set(range(1, fitted.epochs[phase] + 1))
    # The scores kept are the best mean of any epoch.
    means: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["metric"].startswith("manifest/"):
            means.setdefault((row["phase"], row["epoch"]), []).append(float(row["value"]))
    best = max(np.mean(values) for values in means.values())
    assert np.mean(list(fitted.scores.values())) == pytest.approx(best, abs=1e-4)


def test_a_phase_ends_when_validation_no_longer_rises(
    tmp_path: Path, configs: dict[str, SystemConfig], cases: dict[str, TrainingCases]
) -> None:
    system = fresh(configs["unified"], cases["unified"])
    still = Schedule(epochs=20, batch=32, learning_rate=1e-30, encoder_learning_rate=1e-30, weight_decay=0, patience=2)
    assert fit(system, cases["unified"], still, tmp_path, silent).epochs == {"fit": 3}


def test_a_pyramid_learns_at_the_rate_of_what_is_new(
    tmp_path: Path, configs: dict[str, SystemConfig], workers: Source
) -> None:
    cases = gather([workers], system_class("unified"), 64, tmp_path / "films.npy", quiet)
    update = {"pyramid_width": 16, "trained_image_stages": 1, "image_size": 64}
    system = fresh(configs["unified"].model_copy(update=update), cases)
    before = trained_weights(system)
    still = Schedule(epochs=1, batch=32, learning_rate=1e-3, encoder_learning_rate=1e-30, weight_decay=0)
    fit(system, cases, still, tmp_path, silent)
    learned = [name for name, _ in system.image_encoder.named_parameters(prefix="image_encoder") if name in before]
    moved = {name for name in learned if not torch.allclose(before[name], trained_weights(system)[name])}
    assert any(name.startswith("image_encoder.backbone") for name in learned)
    assert moved == {name for name in learned if name.startswith("image_encoder.pyramid")}


def test_validation_comes_every_few_epochs_and_after_the_last(
    tmp_path: Path, configs: dict[str, SystemConfig], cases: dict[str, TrainingCases]
) -> None:
    system = fresh(configs["unified"], cases["unified"])
    schedule = Schedule(epochs=3, batch=32, validate_every=2)
    fit(system, cases["unified"], schedule, tmp_path, silent)
    rows = logged(tmp_path / LOG)
    assert {row["epoch"] for row in rows if row["metric"] == "manifest/image"} == {"2", "3"}
    assert {row["epoch"] for row in rows if row["metric"] == "image labels"} == {"1", "2", "3"}


def test_without_validation_cases_the_latest_weights_are_kept(
    tmp_path: Path, configs: dict[str, SystemConfig], cases: dict[str, TrainingCases]
) -> None:
    alone = replace(cases["siclip"], examples=cases["siclip"].of("train"))
    system = fresh(configs["siclip"], alone)
    fitted = fit(system, alone, SHORT.model_copy(update={"patience": 1}), tmp_path, silent)
    assert (fitted.scores, fitted.epochs) == ({}, {"fit": 3})
    latest = torch.load(tmp_path / LAST, weights_only=True)["weights"]
    found = trained_weights(system)
    assert all(torch.equal(found[name], latest[name]) for name in found)


def test_the_running_average_is_what_is_kept_and_survives_an_interruption(
    tmp_path: Path, configs: dict[str, SystemConfig], cases: dict[str, TrainingCases]
) -> None:
    own = cases["unified"]
    averaged = SHORT.model_copy(update={"average": 0.8, "augmentation": "strong"})
    kept = {}
    for name, schedule in (("plain", averaged.model_copy(update={"average": 0.0})), ("whole", averaged)):
        (tmp_path / name).mkdir()
        kept[name] = fresh(configs["unified"], own)
        fit(kept[name], own, schedule, tmp_path / name, silent)
    assert not same(kept["plain"], kept["whole"])
    # The steps are those of the plain run: the average looks on.
    last = [torch.load(tmp_path / name / LAST, weights_only=True) for name in ("plain", "whole")]
    assert all(torch.equal(last[0]["weights"][name], last[1]["weights"][name]) for name in last[0]["weights"])
    assert last[0]["average"] is None

    (tmp_path / "parted").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(configs["unified"], own), own, averaged, tmp_path / "parted", Interrupt("fit", 2))
    resumed = fresh(configs["unified"], own)
    fit(resumed, own, averaged, tmp_path / "parted", silent)
    assert same(kept["whole"], resumed)


def test_the_average_is_the_mean_of_what_the_steps_left(
    tmp_path: Path, configs: dict[str, SystemConfig], cases: dict[str, TrainingCases]
) -> None:
    own = cases["unified"]
    steps = -(-len(own.of("train")) // 16)
    once = Schedule(epochs=1, batch=16, learning_rate=3e-3, average=0.5)
    system = fresh(configs["unified"], own)
    begun = trained_weights(system)["classifier.bias"]
    fit(system, own, once, tmp_path, silent)
    end = torch.load(tmp_path / LAST, weights_only=True)["weights"]["classifier.bias"]
    found = trained_weights(system)["classifier.bias"]
    # Weights that move one way: the average lies between where they began and where they are, nearer to the latter.
    assert steps > 1
    assert ((found - begun).norm() < (end - begun).norm()).item()
    assert ((found - end).norm() < (found - begun).norm()).item()


def test_datasets_count_as_their_validation_cases_are_many(cases: dict[str, TrainingCases]) -> None:
    examples = [replace(one, group=int(row < 3)) for row, one in enumerate(cases["unified"].of("val"))]
    two = replace(cases["unified"], examples=examples, groups=("many", "few"))
    many = len(examples) - 3
    found = weighted_mean({"many/image": 0.5, "many/text": 0.7, "few/image": 0.1}, two)
    assert found == pytest.approx((many * 1.2 + 3 * 0.1) / (2 * many + 3))


@pytest.mark.parametrize(("told", "expected"), [(lambda: True, True), (lambda: False, False), (None, False)])
def test_precision_is_full_where_torch_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, told: Callable[[], bool] | None, expected: bool
) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    if told is not None:
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", told, raising=False)
    assert cpu_computes_bf16() == expected


def test_a_loss_that_is_no_number_stops_the_training(
    tmp_path: Path, configs: dict[str, SystemConfig], cases: dict[str, TrainingCases]
) -> None:
    system = fresh(configs["unified"], cases["unified"])
    with torch.no_grad():
        system.classifier.bias.fill_(float("nan"))  # type: ignore[operator, union-attr]
    with pytest.raises(ModelError, match="fit: the loss is nan"):
        fit(system, cases["unified"], SHORT, tmp_path, silent)
    assert not (tmp_path / LAST).exists()


def test_the_state_of_another_run_or_a_damaged_one_is_refused(
    tmp_path: Path, configs: dict[str, SystemConfig], cases: dict[str, TrainingCases]
) -> None:
    own = cases["siclip"]
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(configs["siclip"], own), own, SHORT, tmp_path, Interrupt("fit", 1))
    other = SHORT.model_copy(update={"seed": 1})
    with pytest.raises(ModelError, match="other data or settings"):
        fit(fresh(configs["siclip"], own), own, other, tmp_path, silent)
    with pytest.raises(ModelError, match="other data or settings"):
        fit(fresh(configs["unified"], cases["unified"]), cases["unified"], SHORT, tmp_path, silent)
    with pytest.raises(ModelError, match="other data or settings"):
        fit(fresh(configs["siclip"], own), replace(own, origin="of another seed"), SHORT, tmp_path, silent)
    state = tmp_path / LAST
    content = state.read_bytes()
    for damage in (content[: len(content) // 2], b"not a state", b""):
        state.write_bytes(damage)
        with pytest.raises(ModelError, match=r"last\.ckpt: damaged"):
            fit(fresh(configs["siclip"], own), own, SHORT, tmp_path, silent)


def only(cases: TrainingCases, modality: str) -> Batch:
    """Training cases that have both, with one taken away."""
    examples = [one for one in cases.of("train") if one.film is not None and one.texts][:8]
    batch = cases.batch(examples, torch.Generator().manual_seed(0), strong=True)
    empty = torch.zeros(len(examples), dtype=torch.bool)
    return Batch(
        films=batch.films if modality == "film" else torch.zeros_like(batch.films),
        strong=batch.strong,
        has_film=~empty if modality == "film" else empty,
        texts=[""] * len(examples) if modality == "film" else batch.texts,
        labels=batch.labels,
        known=batch.known,
        group=batch.group,
    )


@pytest.mark.parametrize("modality", ["film", "text"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_batches_of_one_modality_have_a_loss(
    configs: dict[str, SystemConfig], cases: dict[str, TrainingCases], name: str, modality: str
) -> None:
    system = fresh(configs[name], cases[name]).train()
    batch = only(cases[name], modality)
    for phase in system.phases:
        system.begin_phase(phase, [batch])
        terms = system.losses(batch, phase)
        total = torch.stack(list(terms.values())).sum()
        assert torch.isfinite(total)
        system.zero_grad()
        total.backward()
        learns = any(p.grad is not None and bool(p.grad.any()) for p in system.parameters())
        # A profile alone is nothing to contrast with, and the second phase of mskpt reads films alone.
        silenced = modality == "text" and (name == "siclip" or phase == "distil")
        assert learns != silenced


def test_macro_average_precision_leaves_out_labels_that_few_cases_decide() -> None:
    truth = np.zeros((10, 3), np.float32)
    truth[:4, 0], truth[:2, 1], truth[:8, 2] = 1, 1, 1
    scores = np.tile(np.linspace(1, 0, 10, dtype=np.float32)[:, None], 3)
    known = np.ones(truth.shape, bool)
    assert macro_average_precision(scores, truth, known) == 1
    assert macro_average_precision(-scores, truth, known) == pytest.approx(np.mean([k / (6 + k) for k in (1, 2, 3, 4)]))
    assert macro_average_precision(scores[:, 1:], truth[:, 1:], known[:, 1:]) is None
