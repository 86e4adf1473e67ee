"""What is not waited for: searches, from the command line or on the pages, run without PyTorch.

Each program runs in a process of its own, in which importing PyTorch fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from places import APP

_WITHOUT_TORCH = """
import json, sys
for name in ("torch", "torchvision", "transformers", "timm"):
    sys.modules[name] = None  # importing it now raises
"""

_SEARCHES = (
    _WITHOUT_TORCH
    + """
from explorer.cli.commands import app
for arguments in json.loads(sys.argv[1]):
    app(arguments, standalone_mode=False)
"""
)

_PAGES = (
    _WITHOUT_TORCH
    + """
from streamlit.testing.v1 import AppTest
program, casebook, film, case = sys.argv[1:]
sys.argv = [program, casebook]

def calm(app, *told):
    assert not app.exception, app.exception[0].value
    html = " ".join(one.body for one in app.get("html")) + " ".join(one.value for one in app.title)
    assert all(one in html for one in told), told

app = AppTest.from_file(program, default_timeout=120).run()
app.text_area(key="query_text").set_value("small left pleural effusion").run()
calm(app, 'aria-label="Neighbour 5')
with open(film, "rb") as stream:
    app.file_uploader[0].set_value(("film.png", stream.read(), "image/png")).run()
calm(app, 'aria-label="Neighbour 5', "Your film, as the app sees it")
for page in ("case", "map", "evaluation"):
    app = AppTest.from_file(program, default_timeout=120)
    app.query_params["case"] = case
    calm(app.run().switch_page(f"../../pages/{page}.py").run())
"""
)


def run(program: str, *arguments: object) -> str:
    """What a program prints; fails where it fails."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_searches_import_no_torch(small_casebook: Path, film_folder: Path) -> None:
    film = str(film_folder / "005.png")
    queries = [
        ["--text", "small left pleural effusion"],
        ["--image", film],
        ["--image", film, "--text", "normal heart", "--counter-evidence", "Nodule"],
        ["--case", "case-005"],
    ]
    printed = run(_SEARCHES, json.dumps([["search", str(small_casebook), *query] for query in queries]))
    assert printed.count("  1  ") >= len(queries)
    assert "case-005" in printed


def test_a_search_leaves_nothing_at_home(small_casebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime keeps an identifier and what it tells its makers there, unless it is told not to."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    run(_SEARCHES, json.dumps([["search", str(small_casebook), "--text", "small left pleural effusion"]]))
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("fixture", "query"),
    [("profile_casebook", ["--profile", "age=60"]), ("stage_casebook", ["--text", "small opacities"])],
)
def test_searches_by_other_systems_import_none_either(
    fixture: str, query: list[str], request: pytest.FixtureRequest
) -> None:
    casebook = request.getfixturevalue(fixture)
    assert "predictions" in run(_SEARCHES, json.dumps([["search", str(casebook), *query]]))


def test_pages_import_none_but_the_one_that_explains(small_casebook: Path, film_folder: Path) -> None:
    run(_PAGES, APP, small_casebook, film_folder / "005.png", "case-005")


def test_the_package_imports_next_to_nothing() -> None:
    heavy = ["torch", "numpy", "pandas", "pyarrow", "faiss", "onnxruntime", "streamlit", "pydicom"]
    program = "import sys, explorer, index_builder; print([name for name in sys.argv[1:] if name in sys.modules])"
    assert run(program, *heavy).strip() == "[]"
