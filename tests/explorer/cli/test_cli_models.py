"""`cxr-explorer evaluate` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from explorer.cli.commands import app
from index_builder.errors import CxrError
from index_builder.systems.unified import Unified, UnifiedConfig


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_text_encoder: Path) -> Path:
    """An untrained system, saved whole."""
    torch.manual_seed(0)
    config = UnifiedConfig(
        image_encoder="timm:test_resnet",
        text_encoder=f"hub:{tiny_text_encoder}",
        image_size=64,
        embedding_dim=16,
        token_dim=16,
        label_names=("Cardiomegaly", "Effusion"),
    )
    folder = tmp_path_factory.mktemp("system")
    Unified(config, pretrained=False, text_folder=tiny_text_encoder).eval().save(folder, portable=True)
    return folder


def test_evaluate_prints_json_and_writes_it(checkpoint: Path, film_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    command = [sys.executable, "-m", "explorer.cli", "evaluate", str(checkpoint), "--dataset", "manifest"]
    options = ["--root", str(film_folder), "--modality", "text", "--json", "--out", str(out)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads(out.read_text("utf-8"))
    assert (found["system"], found["dataset"], found["modality"]) == ("unified", "manifest", "text")
    assert found["checkpoint"] == str(checkpoint)
    assert set(found["classification"]["macro"]) >= {"auroc", "ap", "f1"}
    assert set(found["retrieval"]["test_to_test"]) >= {"p@5", "mrr", "ndcg@5", "map"}


def test_evaluate_prints_a_table(checkpoint: Path, film_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dataset", "manifest", "--root", str(film_folder), "--modality", "text", "--split", "val"]
    app(["evaluate", str(checkpoint), *options], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("unified on manifest, text, part val")
    assert "so the figures are too good" in lines[1]
    assert lines[-1] == "For education and research, not for diagnosis."


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--dataset", "manifest", "--modality", "sound"], "--modality sound: give one of image, text, joint"),
        (["--dataset", "manifest", "--split", "dev"], "--split dev: give one of train, val, test, all"),
        (["--dataset", "manifest"], "add --root"),
        (["--dataset", "phantom-dust", "--modality", "text"], "the system knows none of the labels of phantom-dust"),
        (["--dataset", "phantom-dust", "--out", "/nowhere/at/all.json"], "its folder does not exist"),
    ],
)
def test_bad_requests_are_refused(checkpoint: Path, options: list[str], told: str) -> None:
    with pytest.raises(CxrError, match=told):
        app(["evaluate", str(checkpoint), *options], standalone_mode=False)
