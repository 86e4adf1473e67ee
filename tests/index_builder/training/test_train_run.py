"""From datasets to a checkpoint with its model card."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from training_samples import Interrupt, Opened, Renamed, quiet, silent

from explorer.cli.commands import app
from index_builder.build.build import BuildRequest, build
from index_builder.calibration.uncertainty import threshold_for_risk
from index_builder.calibration.voting import NEIGHBOURS, TEMPERATURES
from index_builder.cases.labels import DUST_STAGES
from index_builder.cases.space import SPACES, Space
from index_builder.errors import CxrError, ModelError
from index_builder.systems.config import SystemConfig
from index_builder.systems.mskpt import MskPtConfig
from index_builder.systems.registry import load_system
from index_builder.training import choices
from index_builder.training.cases import Source
from index_builder.training.run import TrainRequest, blend, train
from index_builder.training.schedule import Schedule

SHORT = Schedule(epochs=2, batch=16, learning_rate=3e-3)


@pytest.mark.parametrize("name", ["unified", "siclip", "mskpt"])
def test_a_checkpoint_with_its_card_comes_out(
    tmp_path: Path, configs: dict[str, SystemConfig], workers: Source, name: str
) -> None:
    out = tmp_path / "made" / name
    request = TrainRequest(configs[name], SHORT, [workers], out, fraction=0.5)
    fitted = train(request, quiet, silent)
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "config.json",
        "learnt.json",
        "log.csv",
        "model.safetensors",
    }

    system = load_system(out)
    config = system.config
    assert (config.system, config.label_names, config.portable) == (name, DUST_STAGES, False)
    assert config.vote_neighbours in NEIGHBOURS
    assert config.vote_temperature == config.vote_temperatures["image"]
    assert set(config.vote_temperatures) == set(SPACES)
    assert set(config.vote_temperatures.values()) <= set(TEMPERATURES)
    assert set(config.encoder_digests) == {"image_encoder", "text_encoder"}
    if isinstance(config, MskPtConfig):
        assert 0 < config.theta <= 1

    with (out / "log.csv").open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["phase", "epoch", "metric", "value"]
    assert {row[0] for row in rows[1:]} == set(system.phases)
    assert any(row[2] == "manifest/image" for row in rows)

    card = (out / "README.md").read_text("utf-8")
    for told in (
        f"# {name}, compact preset",
        "not for diagnosis",
        "50% of the training cases, chosen at random by seed 0",
        "Test parts were not read",
        "| manifest | 32 | 16 | no |",
        config.image_encoder,
        config.text_encoder,
        '"learning_rate":0.003',
        "Stage 0, Stage 1, Stage 2, Stage 3",
        *(f"phase {phase}: {epochs} epochs" for phase, epochs in fitted.epochs.items()),
        *(f"| {space} | {score:.3f} |" for space, score in fitted.scores.items()),
    ):
        assert told in card
    assert ("θ" in card) == (name == "mskpt")
    with pytest.raises(ModelError, match="a checkpoint is there already"):
        train(request, quiet, silent)


def test_a_card_says_when_no_threshold_keeps_the_stated_error(
    tmp_path: Path, configs: dict[str, SystemConfig], workers: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_keeps_it(uncertainty: np.ndarray, wrong: np.ndarray, risk: float) -> float:
        return threshold_for_risk(uncertainty, np.ones_like(wrong), risk)

    monkeypatch.setattr(choices, "threshold_for_risk", none_keeps_it)
    train(TrainRequest(configs["mskpt"], SHORT, [workers], tmp_path, fraction=0.5), quiet, silent)
    assert load_system(tmp_path).theta == 1
    assert "to 5%: θ is 1, and no prediction is marked" in (tmp_path / "README.md").read_text("utf-8")


def test_queries_that_tell_little_are_voted_on_by_all_neighbours_alike() -> None:
    random = np.random.default_rng(0)

    def unit(vectors: np.ndarray) -> np.ndarray:
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    truth, labels = (np.eye(4, dtype=np.float32)[random.integers(0, 4, count)] for count in (60, 200))
    held: dict[Space, np.ndarray] = {}
    base: dict[Space, np.ndarray] = {}
    # Films lie with those of their stage, profiles anywhere; no validation case has both.
    for space in SPACES:
        told = 3 if space == "image" else 0
        held[space], base[space] = (
            unit(told * np.pad(stage, ((0, 0), (0, 12))) + random.normal(size=(len(stage), 16)) / 4)
            for stage in (truth, labels)
        )
    held["joint"][:] = 0
    known = np.ones(truth.shape, bool), np.ones(labels.shape, bool)
    found = choices.vote_settings(held, base, truth, labels, *known)
    temperatures = found["vote_temperatures"]
    assert set(temperatures) == {"image", "text"}
    assert found["vote_temperature"] == temperatures["image"] < temperatures["text"]
    nobody = {space: np.zeros_like(rows) for space, rows in base.items()}
    assert choices.vote_settings(held, nobody, truth, labels, *known) == {}


def test_a_trained_checkpoint_embeds_a_casebook(
    tmp_path: Path, configs: dict[str, SystemConfig], workers: Source
) -> None:
    train(TrainRequest(configs["siclip"], SHORT, [workers], tmp_path / "siclip"), quiet, silent)
    out = tmp_path / "casebook"
    report = build(BuildRequest("manifest", workers.root, out, tmp_path / "siclip", limit=20), quiet)
    config = load_system(tmp_path / "siclip").config
    record = report.manifest.system
    assert (record.vote_neighbours, record.vote_temperature) == (config.vote_neighbours, config.vote_temperature)
    assert record.vote_temperatures == config.vote_temperatures
    copy = load_system(out / "system")
    assert copy.config.portable
    assert copy.config.vote_neighbours == config.vote_neighbours


def test_a_run_that_died_writes_the_same_checkpoint(
    tmp_path: Path, configs: dict[str, SystemConfig], workers: Source
) -> None:
    whole = TrainRequest(configs["mskpt"], SHORT, [workers], tmp_path / "whole")
    train(whole, quiet, silent)
    parted = replace(whole, out=tmp_path / "parted")
    for at in (("pretrain", 2), ("distil", 1)):
        with pytest.raises(KeyboardInterrupt):
            train(parted, quiet, Interrupt(*at))
        assert (parted.out / "last.ckpt").is_file()
        assert not (parted.out / "model.safetensors").exists()
    train(parted, quiet, silent)
    for name in ("model.safetensors", "config.json", "log.csv"):
        assert (whole.out / name).read_bytes() == (parted.out / name).read_bytes()


def test_unified_learns_how_to_rerank_where_findings_go_together(
    tmp_path: Path, configs: dict[str, SystemConfig], workers: Source
) -> None:
    base = workers.open()
    found = {
        "Stage 0": (("Cardiomegaly", "Pleural Effusion"), ("Cardiomegaly/mild", "Pleural Effusion/left")),
        "Stage 1": (("Cardiomegaly", "Pleural Effusion"), ("Cardiomegaly", "Pleural Effusion/right")),
        "Stage 2": (("Fracture or Deformity", "Scarring"), ("Fractures, Bone/ribs/left", "Cicatrix/lung/apex")),
        "Stage 3": ((), ()),
    }
    cases = [replace(case, labels=found[case.labels[0]][0], codes=found[case.labels[0]][1]) for case in base.cases()]
    names = ("Cardiomegaly", "Fracture or Deformity", "Pleural Effusion", "Scarring")
    source = Opened("manifest", dataset=Renamed(base, "coded", cases, names))
    train(TrainRequest(configs["unified"], SHORT, [source], tmp_path), quiet, silent)
    ranking = load_system(tmp_path).ranking
    assert ranking is not None
    assert ranking.method in ("transe", "compgcn")
    assert set(ranking.classes.names) == set(names)
    weights = ranking.weights
    assert weights.cosine + weights.jaccard + weights.graph == pytest.approx(1)


def test_a_folder_that_cannot_be_written_is_named(
    configs: dict[str, SystemConfig], workers: Source, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot write there"):
        train(TrainRequest(configs["siclip"], SHORT, [workers], tmp_path / "file" / "out"), quiet, silent)


def test_the_command_trains_by_preset_and_file(
    tmp_path: Path, configs: dict[str, SystemConfig], workers: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = ("image_encoder", "text_encoder", "image_size", "embedding_dim", "token_dim", "pool_queries", "pool_width")
    settings = {name: getattr(configs["siclip"], name) for name in fields}
    settings |= {"pyramid_width": 0, "schedule": {"epochs": 1, "batch": 32}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    out = tmp_path / "out"
    command = ["train", "siclip", "--dataset", "manifest", "--root", str(workers.root), "--out", str(out)]
    app([*command, "--config", str(tmp_path / "tiny.yaml"), "--fraction", "0.5"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "fit 1/1" in printed
    assert "image contrast" in printed
    assert "not for diagnosis" in printed
    assert json.loads((out / "config.json").read_text())["embedding_dim"] == 16
    assert torch.isfinite(next(load_system(out).parameters())).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["unified", "--dataset", "nih", "--dataset", "covid", "--root", "/data"], "with several datasets name each"),
        (["oracle", "--dataset", "openi"], "unknown system 'oracle'"),
        (["unified", "--dataset", "openi", "--preset", "huge"], "unknown preset 'huge'"),
        (["unified", "--dataset", "phantom-openi=x"], "Give a number"),
        (["unified", "--dataset", "openi", "--config", "/nowhere.yaml"], "cannot be read as YAML"),
    ],
)
def test_bad_requests_are_refused(tmp_path: Path, options: list[str], told: str) -> None:
    with pytest.raises(CxrError, match=told):
        app(["train", *options, "--out", str(tmp_path / "out")], standalone_mode=False)


def test_a_checkpoint_is_trained_on_with_parts_kept_and_labels_added(
    tmp_path: Path, configs: dict[str, SystemConfig], workers: Source
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    config = configs["unified"].model_copy(update={"queries": 0.5})
    schedule = Schedule(epochs=1, batch=16)
    train(TrainRequest(config, schedule, [workers], first), quiet, silent)
    kept = ("image_encoder", "image_tower", "classifier")
    further = TrainRequest(
        config, schedule.model_copy(update={"kept": kept, "views": 1}), [workers, Source("openi")], second,
        fraction=0.02, start=first,
    )  # fmt: skip
    train(further, quiet, silent)
    before, after = load_system(first), load_system(second)
    labels = before.config.label_names
    assert after.config.label_names[: len(labels)] == labels
    assert "Cardiomegaly" in after.config.label_names[len(labels) :]
    held, found = before.state_dict(), after.state_dict()
    for name, tensor in held.items():
        same = torch.equal(found[name][: len(tensor)] if name.startswith("classifier") else found[name], tensor)
        if name.startswith(kept):
            assert same, f"{name} was to be kept"
    assert not torch.equal(found["text_tower.pool.queries"], held["text_tower.pool.queries"])
    card = (second / "README.md").read_text("utf-8")
    assert "Begun with the weights" in card
    assert sum(line.startswith(f"| {workers.open().card.name} |") for line in card.splitlines()) == 2
    mixed = replace(further, out=tmp_path / "mixed", blend=0.25)
    train(mixed, quiet, silent)
    name = "text_tower.pool.queries"
    wanted = 0.75 * held[name] + 0.25 * found[name]
    torch.testing.assert_close(load_system(mixed.out).state_dict()[name], wanted, atol=2e-3, rtol=0)
    assert "75% of these" in (mixed.out / "README.md").read_text("utf-8")
    with pytest.raises(ModelError, match="no weights to mix with"):
        train(replace(mixed, start=None, out=tmp_path / "nothing"), quiet, silent)
    wrong = replace(further, schedule=Schedule(kept=("image_twoer",)), out=tmp_path / "third")
    with pytest.raises(ModelError, match="not a part of unified"):
        train(wrong, quiet, silent)
    (first / "README.md").unlink()
    with pytest.raises(ModelError, match="needs its card"):
        train(replace(further, out=tmp_path / "fourth"), quiet, silent)


def test_mixing_leaves_what_did_not_change_to_the_last_bit() -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.still = torch.nn.Parameter(torch.tensor([-0.0, 0.0, 1.5]))
            self.moved = torch.nn.Parameter(torch.tensor([2.0, -0.0]))

    system = Two()
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    with torch.no_grad():
        system.moved += 1
    blend(system, before, 0.35)  # type: ignore[arg-type]
    assert system.still.signbit().tolist() == [True, False, False]
    torch.testing.assert_close(system.moved.detach(), torch.tensor([2.35, 0.35]))
