"""`cxr-explorer explain` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from explorer.cli.commands import app, main


def _explain(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    app(["explain", *map(str, arguments)], standalone_mode=False)
    return capsys.readouterr().out


def test_a_film_is_explained_to_files(
    small_casebook: Path, film_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = film_folder / "010.png"
    told = _explain(capsys, small_casebook, "--image", film, "--text", "mild cardiomegaly", "--out", tmp_path)
    assert "Grad-CAM: why " in told
    assert "log-odds" in told
    assert "not for diagnosis" in told
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{method}.{kind}" for method in ("attention", "grad-cam", "integrated-gradients") for kind in ("json", "png")
    }
    content = json.loads((tmp_path / "attention.json").read_text("utf-8"))
    assert [word["text"] for word in content["studies"][0]["words"]] == ["mild", "cardiomegaly"]
    assert content["studies"][0]["case_id"] is None
    with Image.open(tmp_path / "grad-cam.png") as picture:
        assert picture.size[0] > 2 * 60
        picture.verify()


def test_likeness_and_texts(small_casebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = _explain(
        capsys,
        small_casebook,
        *("--text", "left effusion", "--with-case", "case-000", "--part", "text"),
        *("--method", "similarity", "--out", tmp_path, "--json"),
    )
    content = json.loads(told)
    assert content["question"] == "why similar to case case-000"
    (made,) = content["explanations"]
    assert made["method"] == "similarity"
    assert -1 <= made["score"] <= 1
    assert made["files"] == [str(tmp_path / "similarity.json")]
    written = json.loads((tmp_path / "similarity.json").read_text("utf-8"))
    assert [one["case_id"] for one in written["studies"]] == [None, "case-000"]
    assert written["explained"] == "similarity"


def test_a_profile_is_explained_by_its_voters(
    profile_casebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = _explain(
        capsys,
        profile_casebook,
        *("--profile", "age=61,occupation=coal miner", "--finding", "Stage 2", "--method", "attention"),
        *("--out", tmp_path),
    )
    assert "Attention: why Stage 2; log-odds of the vote" in told
    written = json.loads((tmp_path / "attention.json").read_text("utf-8"))
    assert {"coal", "miner"} <= {word["text"] for word in written["studies"][0]["words"]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to explain"),
        (["--case", "nobody"], "nobody"),
        (["--case", "case-000", "--text", "a"], "not both"),
        (["--text", "a", "--finding", "Fracture", "--method", "attention"], "Fracture"),
        (["--text", "a", "--finding", "Normal", "--with-case", "case-000"], "two questions"),
        (["--text", "a", "--method", "grad-cam"], "--method grad-cam"),
        (["--text", "a", "--part", "sound"], "--part sound"),
        (["--case", "case-000", "--method", "grad-cam", "--layer", "none"], "none"),
        (["--text", "a", "--profile", "age=60"], "reads reports, not profiles"),
    ],
)
def test_bad_input_is_one_line(
    small_casebook: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["cxr-explorer", "explain", str(small_casebook), "--out", str(out), *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_told(
    small_casebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    arguments = [str(small_casebook), "--text", "heart", "--out", str(tmp_path / "file")]
    monkeypatch.setattr(sys, "argv", ["cxr-explorer", "explain", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert "cannot be written" in capsys.readouterr().err
