"""What a real, small training records of its labels, and how that travels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from training_samples import Opened, Renamed, quiet, silent

from explorer import Casebook
from explorer.cli.commands import app
from index_builder.build.build import BuildRequest, build
from index_builder.calibration.held_out import read_answers
from index_builder.calibration.learnt import FILE, Learnt, Taught, read_learnt
from index_builder.casebook.manifest import verify
from index_builder.cases.labels import DUST_STAGES
from index_builder.errors import CxrError
from index_builder.systems.config import SystemConfig
from index_builder.systems.registry import load_system
from index_builder.training.cases import Source
from index_builder.training.run import TrainRequest, train
from index_builder.training.schedule import Schedule

SHORT = Schedule(epochs=1, batch=16, learning_rate=3e-3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, configs: dict[str, SystemConfig], workers: Source) -> Path:
    """`unified`, trained for an epoch on `workers`."""
    out = tmp_path_factory.mktemp("learnt") / "unified"
    train(TrainRequest(configs["unified"], SHORT, [workers], out), quiet, silent)
    return out


def recorded(folder: Path) -> Learnt:
    found = read_learnt(folder)
    assert found is not None
    return found


def test_examples_are_counted_and_validation_cases_measured(checkpoint: Path, workers: Source) -> None:
    learnt, cases = recorded(checkpoint), workers.open().cases()
    title = workers.open().card.title
    assert tuple(learnt.labels) == DUST_STAGES
    assert learnt.synthetic == ()
    for name, label in learnt.labels.items():
        parts = {part: [case for case in cases if case.split == part] for part in ("train", "val")}
        carry = {part: sum(name in case.labels for case in of) for part, of in parts.items()}
        assert label.taught == (Taught(title, carry["train"], len(parts["train"]) - carry["train"]),)
        filmed = [case for case in parts["val"] if case.image is not None]
        by_space = {one.space: one for one in label.measured}
        assert set(by_space) == {"image", "text", "joint"}
        with_it = sum(name in case.labels for case in filmed)
        assert (by_space["image"].positives, by_space["image"].negatives) == (with_it, len(filmed) - with_it)
        assert by_space["image"].words == "too few to say"
    card = (checkpoint / "README.md").read_text("utf-8")
    one = learnt.labels["Stage 1"].taught[0]
    assert f"| Stage 1 | {title} | {one.positives} | {one.negatives} | 4 | too few to say |" in card
    assert "fewer than 10 validation cases" in card


def test_figures_are_those_of_the_answers_that_the_checkpoint_carries(
    tmp_path: Path, configs: dict[str, SystemConfig], workers: Source
) -> None:
    # As many validation cases as calibrate something, so that the checkpoint carries its answers on them.
    base = workers.open()
    cases = [replace(case, split="val" if case.split == "test" else case.split) for case in base.cases()]
    source = Opened("manifest", dataset=Renamed(base, base.card.name, cases, base.label_names))
    train(TrainRequest(configs["unified"], SHORT, [source], tmp_path), quiet, silent)
    answers, learnt = read_answers(tmp_path / "held_out-manifest.safetensors"), recorded(tmp_path)
    assert {space for space, _ in answers} == {"image", "text", "joint"}
    for (space, _), found in answers.items():
        for column, name in enumerate(found.names):
            one = next(entry for entry in learnt.labels[name].measured if entry.space == space)
            truth, logits = found.truth[:, column], found.logits[:, column]
            assert one.positives == truth.sum()
            assert one.auroc == pytest.approx(roc_auc_score(truth, logits), abs=1e-4)
            assert one.ap == pytest.approx(average_precision_score(truth, logits), abs=1e-4)
            assert one.auroc_interval is not None
            assert one.auroc_interval[0] <= one.auroc <= one.auroc_interval[1]


def test_labels_count_as_training_takes_them(tmp_path: Path, configs: dict[str, SystemConfig], workers: Source) -> None:
    """Effusion of ChestX-ray14 also means Open-i's Pleural Effusion; what nobody decided teaches nothing."""
    base = workers.open()
    labels = {"Stage 0": ("Effusion",), "Stage 1": ("Nodule",)}
    cases = [
        replace(
            case,
            labels=labels.get(case.labels[0], ()),
            unknown=("Effusion",) if case.labels[0] == "Stage 3" else (),
        )
        for case in base.cases()
    ]
    source = Opened("manifest", dataset=Renamed(base, "chest", cases, ("Effusion", "Nodule", "Pleural Effusion")))
    train(TrainRequest(configs["siclip"], SHORT, [source], tmp_path), quiet, silent)
    learnt = recorded(tmp_path)
    of_stage = sum(case.split == "train" for case in base.cases()) // 4
    for name in ("Effusion", "Pleural Effusion"):
        (one,) = learnt.labels[name].taught
        assert (one.positives, one.negatives) == (of_stage, 2 * of_stage)
    (one,) = learnt.labels["Nodule"].taught
    assert (one.positives, one.negatives) == (of_stage, 3 * of_stage)
    # siclip has no classifier: its training cases vote.
    assert all(one.auroc is not None for one in learnt.labels["Nodule"].measured)


def test_training_on_keeps_what_the_first_checkpoint_was_taught(
    tmp_path: Path, checkpoint: Path, configs: dict[str, SystemConfig], workers: Source
) -> None:
    base = workers.open()
    other = Renamed(base, "others", [replace(case, labels=()) for case in base.cases()], ("Cardiomegaly",))
    other.card = replace(other.card, title="Other films", synthetic=True)
    further = TrainRequest(configs["unified"], SHORT, [Opened("manifest", dataset=other)], tmp_path, start=checkpoint)
    train(further, quiet, silent)
    before, after = recorded(checkpoint), recorded(tmp_path)
    assert tuple(after.labels) == (*DUST_STAGES, "Cardiomegaly")
    assert after.labels["Stage 2"].taught == before.labels["Stage 2"].taught
    assert after.labels["Stage 2"].measured == (), "figures of weights that have moved on"
    assert [one.dataset for one in after.labels["Cardiomegaly"].taught] == ["Other films"]
    assert after.synthetic == ("Other films",)


def test_the_record_travels_with_casebooks_and_older_ones_open(
    tmp_path: Path, checkpoint: Path, workers: Source
) -> None:
    out = tmp_path / "casebook"
    report = build(BuildRequest("manifest", workers.root, out, checkpoint, limit=20), quiet)
    assert f"system/{FILE}" in report.manifest.files
    assert Casebook.open(out).learnt == recorded(checkpoint)
    assert load_system(out / "system").learnt == recorded(checkpoint)
    (out / "system" / FILE).unlink()
    assert verify(out) == [f"system/{FILE}: missing"]
    assert Casebook.open(out).learnt is None
    assert load_system(out / "system").learnt is None


def test_the_command_records_what_a_finished_checkpoint_has_learnt(
    tmp_path: Path,
    configs: dict[str, SystemConfig],
    workers: Source,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app(["learnt", str(checkpoint), "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    before, card = recorded(checkpoint), (checkpoint / "README.md").read_text("utf-8")
    assert told["labels"]["Stage 1"]["taught"][0]["positives"] == before.labels["Stage 1"].taught[0].positives
    (checkpoint / FILE).unlink()
    with pytest.raises(CxrError, match=r"was not recorded\. Name its training data with --dataset"):
        app(["learnt", str(checkpoint)], standalone_mode=False)
    app(["learnt", str(checkpoint), "--dataset", f"manifest={workers.root}"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "not for diagnosis" in printed
    after = recorded(checkpoint)
    for name in DUST_STAGES:
        assert after.labels[name].taught == before.labels[name].taught
        for one, other in zip(after.labels[name].measured, before.labels[name].measured, strict=True):
            assert (one.space, one.positives, one.negatives) == (other.space, other.positives, other.negatives)
            # The weights lie there in half precision.
            np.testing.assert_allclose(one.auroc, other.auroc, atol=0.05)
        assert f"{after.labels[name].taught[0].positives} with it" in printed
    # The card's table was replaced, not added.
    assert (checkpoint / "README.md").read_text("utf-8").count("## What it has learnt") == 1
    assert len((checkpoint / "README.md").read_text("utf-8")) == pytest.approx(len(card), abs=50)
    with pytest.raises(CxrError, match="was not trained on"):
        app(["learnt", str(checkpoint), "--dataset", "phantom-openi"], standalone_mode=False)


def test_a_casebook_is_asked_but_not_written(small_casebook: Path) -> None:
    with pytest.raises(CxrError, match="was not recorded"):
        app(["learnt", str(small_casebook)], standalone_mode=False)
    with pytest.raises(CxrError, match="a casebook, which stays as it was built"):
        app(["learnt", str(small_casebook), "--dataset", "openi"], standalone_mode=False)
    with pytest.raises(CxrError, match="no system there"):
        app(["learnt", "/nowhere"], standalone_mode=False)
