"""`metrics` and `quality` as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from explorer.cli.commands import main
from index_builder.casebook.manifest import read_metrics, verify
from index_builder.evaluation.runs import Run


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and what was printed."""
    monkeypatch.setattr("sys.argv", ["cxr-explorer", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out + printed.err


def test_metrics_are_printed_and_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, stage_casebook: Path
) -> None:
    folder = shutil.copytree(stage_casebook, tmp_path / "copy")
    run = Run(
        system="mskpt", dataset="phantom-dust", variant="full", fraction=0.5, training_cases=9, seed=0,
        figures={"AP": 0.5},
    )  # fmt: skip
    (tmp_path / "runs.jsonl").write_text(run.model_dump_json(), "utf-8")
    code, output = told(monkeypatch, capsys, "metrics", folder, "--runs", tmp_path / "runs.jsonl")
    assert code == 0
    for modality in ("image", "text", "joint"):
        assert f"mskpt on phantom-dust (synthetic), {modality}, part test" in output
    assert "For education and research, not for diagnosis." in output
    code, output = told(monkeypatch, capsys, "metrics", folder, "--json")
    metrics = json.loads(output)
    assert metrics["runs"] == [run.model_dump()]
    assert (read_metrics(folder) or {})["modalities"].keys() == metrics["modalities"].keys()
    assert verify(folder) == []
    code, output = told(monkeypatch, capsys, "metrics", folder, "--runs", tmp_path / "gone.jsonl")
    assert code == 2
    assert "gone.jsonl: unreadable" in output


def test_quality_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_casebook: Path
) -> None:
    code, output = told(monkeypatch, capsys, "quality", small_casebook)
    assert code == 0
    assert "fine     No film of one part is copied in another" in output
    assert "case-004  no film" in output
    code, output = told(monkeypatch, capsys, "quality", small_casebook, "--json")
    content = json.loads(output)
    assert {one["key"] for one in content["findings"]} >= {"label errors", "drift", "class balance"}
    assert any(row["field"] == "film" and row["cases"] for row in content["missing"])
