"""The command line as a user meets it: real processes, real files."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from explorer.casebook import Casebook
from explorer.cli.commands import app, main
from explorer.cli.demo import DEMO
from index_builder.datasets import DATASETS
from index_builder.systems import SYSTEMS


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "explorer.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


Here = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """A command in this process: most of the time of one of its own goes into loading PyTorch."""

    def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["cxr-explorer", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, stopped.value.code, printed.out, printed.err)

    return run_here


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line a refusal prints."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("cxr-explorer: ")
    return lines[0]


def test_help_names_every_command_without_heavy_imports() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("demo", "check", "build", "verify", "info", "search", "serve", "fetch", "maps", "subset"):
        assert f"\n  {command} " in done.stdout
    assert "not for diagnosis" in " ".join(done.stdout.split())
    heavy = "{'torch','faiss','pandas','streamlit','timm'}"
    loaded = f"import sys, explorer.cli.commands; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_build_search_info_verify(tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, here: Here) -> None:
    out = tmp_path / "casebooks" / "mine"
    build = ["build", "--dataset", "manifest", "--root", film_folder, "--limit", "40", "--seed", "1", "--out", out]
    done = run(*build, "--checkpoint", tiny_checkpoint)
    assert done.returncode == 0, done.stderr
    assert "40 cases" in done.stdout
    assert "--replace" in refused(here(*build, "--checkpoint", tiny_checkpoint))

    assert run("verify", out).returncode == 0
    info = json.loads(here("info", out, "--json").stdout)
    assert (info["cases"], info["synthetic"]) == (40, False)

    case_id = Casebook.open(out).case_ids[0]
    done = here("search", out, "--case", case_id, "-k", "3", "--filter", "label!=Nodule", "--json")
    content = json.loads(done.stdout)
    assert len(content["neighbours"]) == 3
    for rank, one in enumerate(content["neighbours"], start=1):
        assert one["rank"] == rank
        assert {"case_id", "score", "labels", "split", "report"} <= set(one)
        assert "Nodule" not in one["labels"]
    assert all(isinstance(value, float) for value in content["timings_ms"].values())

    thumbnails = out / "thumbnails.parquet"
    thumbnails.write_bytes(thumbnails.read_bytes()[:-9])
    done = here("verify", out)
    assert done.returncode == 1
    assert "thumbnails.parquet: changed" in done.stdout
    (out / "manifest.json").unlink()
    assert here("verify", out).returncode == 1


def test_search_by_film_and_text(small_casebook: Path, film_folder: Path, here: Here) -> None:
    film = film_folder / "010.png"
    found = json.loads(run("search", small_casebook, "--image", film, "-k", 1, "--json").stdout)
    assert found["neighbours"][0]["case_id"] == "case-010"
    both = here("search", small_casebook, "--image", film, "--text", "mild cardiomegaly", "--image-weight", "0.9")
    assert both.returncode == 0
    assert "not for diagnosis" in both.stdout


def test_a_profile_is_searched(profile_casebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = Casebook.open(profile_casebook).case(Casebook.open(profile_casebook).case_ids[0])
    profile = f"age={case.profile['age']}, occupation={case.profile['occupation']}, cough=yes"
    app(["search", str(profile_casebook), "--profile", profile, "-k", "2", "--json"], standalone_mode=False)
    content = json.loads(capsys.readouterr().out)
    assert [one["rank"] for one in content["neighbours"]] == [1, 2]
    assert all("dust exposure" in one["profile"] for one in content["neighbours"])
    assert content["classified"] is None
    app(["search", str(profile_casebook), "--profile", profile], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "CAUTION" not in printed
    assert "predictions. Scores, not probabilities, because predictions were calibrated on profiles" in printed
    assert re.search(r"neighbours: Stage 0 score \d\.\d\d, Stage 1", printed)
    whole = ",".join(
        f"{name}={'yes' if value is True else 'no' if value is False else value}"
        for name, value in case.profile.items()
        if name in {field.name for field in Casebook.open(profile_casebook).searched_fields}
    )
    app(["search", str(profile_casebook), "--profile", whole], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "predictions. Scores, not calibrated: this casebook has fewer than 20 labelled validation cases" in printed
    assert re.search(r"\d  \d\.\d{3}  \S+  (very close|fairly close|no close match)  Stage \d", printed)
    assert "dust exposure" in printed


def test_demo_builds_a_casebook_for_every_system() -> None:
    assert [name for name, *_ in DEMO] == ["phantom-openi", "phantom-dust-siclip", "phantom-dust-mskpt"]
    assert {system for *_, system, _ in DEMO} == set(SYSTEMS)
    assert {dataset for _, dataset, *_ in DEMO} <= set(DATASETS)


BAD = [
    (["search", "CASEBOOK"], "nothing to search with"),
    (["search", "CASEBOOK", "--text", "a", "--filter", "age=old"], "not a number"),
    (["search", "CASEBOOK", "--text", "a", "-k", "many"], "'-k'"),
    (["search", "CASEBOOK", "--text", "a", "--space", "sound"], "--space sound"),
    (["search", "CASEBOOK", "--profile", "age=60"], "reads reports, not profiles"),
    (["search", "CASEBOOK", "--image", "FILE"], "notes.txt"),
    (["search", "CASEBOOK", "--image", "ABSENT"], "absent"),
    (["search", "CASEBOOK", "--case", "nobody"], "nobody"),
    (["search", "EMPTY", "--text", "a"], "not a casebook"),
    (["info", "ABSENT"], "not a casebook"),
    (["verify", "ABSENT"], "no such folder"),
    (["serve", "EMPTY"], "not a casebook"),
    (["build", "--dataset", "nih", "--out", "ABSENT"], "--root"),
    (["build", "--dataset", "nih", "--root", "EMPTY", "--out", "ABSENT"], "Data_Entry"),
    (["build", "--dataset", "mimic", "--out", "ABSENT"], "unknown dataset"),
    (["build", "--dataset", "nih"], "--out"),
    (["build", "--dataset", "phantom-dust", "--checkpoint", "EMPTY", "--out", "ABSENT"], "no system there"),
    (["build", "--dataset", "phantom-dust", "--limit", "-3", "--out", "ABSENT"], "--limit -3"),
    (["build", "--dataset", "phantom-dust", "--engine", "spark", "--out", "ABSENT"], "--engine spark"),
    (["build", "--dataset", "phantom-dust", "--workers", "2", "--out", "ABSENT"], "for --engine ray"),
    (["check", "--dataset", "covid", "--root", "EMPTY"], "metadata.csv"),
    (["fetch", "mimic"], "cannot fetch"),
    (["fetch", "openi", "--films", "gif"], "--films gif"),
    (["paint"], "paint"),
]


@pytest.mark.parametrize(
    ("arguments", "said"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_is_one_line_and_exit_code_two(
    tmp_path: Path,
    small_casebook: Path,
    here: Here,
    arguments: list[str],
    said: str,
) -> None:
    empty, notes = tmp_path / "empty", tmp_path / "notes.txt"
    empty.mkdir()
    notes.write_text("not a film")
    places = {"CASEBOOK": small_casebook, "FILE": notes, "ABSENT": tmp_path / "absent", "EMPTY": empty}
    assert said in refused(here(*(places.get(one, one) for one in arguments)))
    assert not (tmp_path / "absent").exists()


def test_check_lists_everything_and_says_whether_a_build_would_stop(
    tmp_path: Path, film_folder: Path, here: Here
) -> None:
    done = here("check", "--dataset", "manifest", "--root", film_folder, "--decode")
    assert done.returncode == 0
    assert "300 cases of 150 patients" in done.stdout
    root = shutil.copytree(film_folder, tmp_path / "films")
    table = (root / "manifest.csv").read_text().splitlines()
    table[3] = table[3].replace(",PA", ",SIDEWAYS").replace("case-002", "case-001")
    (root / "003.png").unlink()
    (root / "manifest.csv").write_text("\n".join(table) + "\n")
    done = run("check", "--dataset", "manifest", "--root", root, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["ok"] is False
    problems = json.dumps(report["problems"])
    assert "case-001" in problems
    assert "003.png" in problems


def test_fetch_says_what_to_do_offline(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    line = refused(run("fetch", "openi", "--out", tmp_path, "--base-url", f"http://127.0.0.1:{port}/"))
    assert "127.0.0.1" in line


def test_serve_answers_and_refuses_a_port_in_use(small_casebook: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.listen()
        assert "in use" in refused(run("serve", small_casebook, "--port", port))
    command = [sys.executable, "-m", "explorer.cli", "serve", str(small_casebook), "--port", str(port)]
    environment = os.environ | {"STREAMLIT_SERVER_HEADLESS": "true"}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                    assert answer.read() == b"ok"
                    break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.5)
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.parametrize(("chosen", "threads"), [(None, "1"), ("2", "2")])
def test_serve_answers_on_one_thread_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, small_casebook: Path, chosen: str | None, threads: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", chosen or "")
    if chosen is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    started: list[str | None] = []
    monkeypatch.setattr(os, "execv", lambda *_: started.append(os.environ.get("OMP_NUM_THREADS")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app(["serve", str(small_casebook), "--port", str(port)], standalone_mode=False)
    assert started == [threads]


def test_what_decoding_did_to_a_film_is_told(
    tmp_path: Path, small_casebook: Path, film_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = Image.open(film_folder / "010.png").convert("RGBA")
    film.putpixel((0, 0), (0, 0, 0, 0))
    film.save(tmp_path / "clear.png")
    arguments = ["search", str(small_casebook), "--image", str(tmp_path / "clear.png"), "-k", "1"]
    app(arguments, standalone_mode=False)
    assert "film: transparent parts laid on black\n" in capsys.readouterr().out
    app([*arguments, "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["film_notes"] == ["transparent parts laid on black"]


@pytest.mark.parametrize("name", ["Casebook", "Query", "SearchOptions", "parse_filter"])
def test_the_python_api_is_what_the_docs_import(name: str) -> None:
    import explorer

    assert name in explorer.__all__
    assert getattr(explorer, name).__name__ == name


def test_a_strange_film_and_counter_evidence_are_told(
    tmp_path: Path, small_casebook: Path, film_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (80, 80), 90).save(blank)
    arguments = ["search", str(small_casebook), "--image", str(blank), "--counter-evidence", "Nodule", "-k", "2"]
    app(arguments, standalone_mode=False)
    printed = capsys.readouterr().out
    assert printed.startswith("CAUTION: The film is blank")
    assert "nearest with Nodule:" in printed
    assert "nearest without Nodule:" in printed
    assert "Scores, not probabilities, because the film was flagged (blank)." in printed
    assert not re.search("suggested|uncertain|coverage|calibrated on", printed)
    app([*arguments, "--json"], standalone_mode=False)
    content = json.loads(capsys.readouterr().out)
    assert content["film"]["flags"][0]["kind"] == "blank"
    assert content["warnings"] == [flag["words"] for flag in content["film"]["flags"]]
    assert all(one["warnings"] == content["warnings"] for one in content["neighbours"])
    assert content["assessment"]["withheld"] == "the film was flagged (blank)."
    assert (content["findings"], content["votes"], content["classified"]) == (None, None, None)
    assert all(one["shared_labels"] == [] for one in content["neighbours"])
    assert all("Nodule" in one["labels"] for one in content["counter_evidence"]["present"])
    assert content["assessment"]["findings"]
