"""Other packages add datasets and systems: the example of the docs, installed, and packages that do it wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import ROOT

import index_builder.datasets
import index_builder.systems.registry
from index_builder.datasets import DATASETS, dataset_names, open_dataset
from index_builder.errors import DatasetError, ModelError
from index_builder.plugins import PlugIns
from index_builder.systems import FROZEN, SYSTEMS
from index_builder.systems.registry import system_class
from index_builder.systems.shipped import default_checkpoint

_EXAMPLE = ROOT / "docs" / "examples" / "plugin"
_SAID = {"Effusion": "Small left pleural effusion.", "Nodule": "A nodule in the right upper lobe.", "": ""}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example is installed, by pip as anyone would, without a connection."""
    folder = tmp_path_factory.mktemp("plug-in")
    shutil.copytree(_EXAMPLE, folder / "source")  # pip builds there
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "--target", folder / "site", folder / "source"], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films and reports of 20 patients, as the example's dataset has them."""
    folder = tmp_path_factory.mktemp("films")
    random = np.random.default_rng(0)
    lines = []
    for number in range(40):
        label = list(_SAID)[number % 3]
        film = random.integers(0, 256, (9, 8), dtype=np.uint8)
        Image.fromarray(film).resize((64, 72), Image.Resampling.NEAREST).save(folder / f"{number}.png")
        line = {"film": f"{number}.png", "patient": str(number // 2), "labels": [label] if label else []}
        lines.append(json.dumps(line | {"report": _SAID[label]}))
    (folder / "films.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


def command(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, (str(site), str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", "explorer.cli", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": paths, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_help_lists_the_example_without_importing_it(site: Path) -> None:
    done = command(site, "build", "--help")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "phantom-dust, lines." in words
    assert "pair (a plug-in)" in words
    loaded = "import sys, explorer.cli.commands; print(sorted({'cxr_example', 'torch'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    printed = subprocess.run(
        [sys.executable, "-c", loaded], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout == "[]\n"


def test_a_casebook_is_built_and_searched_with_the_example(site: Path, films: Path, tmp_path: Path) -> None:
    assert "comes without trained weights" in (
        command(site, "build", "--dataset", "lines", "--root", films, "--checkpoint", "pair", "--out", "x").stderr
    )
    (tmp_path / "quick.yaml").write_text("image_size: 64\nschedule: {epochs: 1, batch: 8}\n")
    # Into the package, as its author does before publishing it.
    own = site / "cxr_example" / "checkpoint"
    trained = command(
        site, "train", "pair", "--dataset", f"lines={films}", "--config", tmp_path / "quick.yaml", "--out", own
    )
    assert trained.returncode == 0, trained.stderr
    book = tmp_path / "book"
    built = command(site, "build", "--dataset", "lines", "--root", films, "--checkpoint", "pair", "--out", book)
    assert built.returncode == 0, built.stderr
    manifest = json.loads((book / "manifest.json").read_text("utf-8"))
    assert (manifest["dataset"]["kind"], manifest["system"]["name"]) == ("lines", "pair")
    assert manifest["system"]["predicts_by"] == "vote"

    found = command(site, "search", book, "--image", films / "4.png", "-k", 3, "--json")
    assert found.returncode == 0, found.stderr
    nearest = json.loads(found.stdout)["neighbours"][0]
    assert (nearest["case_id"], nearest["labels"]) == ("4.png", ["Nodule"])
    listed = json.loads(command(site, "systems", "--json").stdout)["systems"]
    assert next(one for one in listed if one["name"] == "pair")["note"].startswith("Example:")


def test_the_example_says_what_is_wrong_with_a_table(site: Path, films: Path, tmp_path: Path) -> None:
    assert "add --root DIR" in command(site, "check", "--dataset", "lines").stderr
    (tmp_path / "films.jsonl").write_text('{"film": "../1.png", "patient": "1", "labels": []}\n')
    done = command(site, "check", "--dataset", "lines", "--root", tmp_path)
    assert done.returncode == 2
    assert "films.jsonl: line 1" in done.stderr


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three packages: one with names of ours, one that does not import, one whose system is none."""
    entries = {
        "greedy": "[cxr_explorer.datasets]\nopeni = json:loads\ntwice = json:loads\n"
        "[cxr_explorer.systems]\nunified = json:loads\n",
        "broken": "[cxr_explorer.datasets]\nbroken = a_module_that_is_absent:Reader\ntwice = json:loads\n",
        "odd": "[cxr_explorer.systems]\nodd = json:loads\n",
    }
    for package, text in entries.items():
        folder = tmp_path / f"{package}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    datasets = PlugIns("cxr_explorer.datasets", "dataset", DATASETS, DatasetError)
    systems = PlugIns("cxr_explorer.systems", "system", (*SYSTEMS, FROZEN), ModelError)
    monkeypatch.setattr(index_builder.datasets, "ADDED", datasets)
    for module in (index_builder.systems, index_builder.systems.registry):
        monkeypatch.setattr(module, "ADDED", systems)


@pytest.mark.usefixtures("strangers")
def test_a_name_of_two_packages_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"'openi' is offered by cxr-explorer and by greedy 1\.2\. Uninstall"):
        open_dataset("openi")
    with pytest.raises(DatasetError, match="'twice' is offered by") as refused:
        open_dataset("twice")
    assert all(package in str(refused.value) for package in ("greedy 1.2", "broken 1.2"))
    with pytest.raises(ModelError, match=r"cxr-explorer and by greedy 1\.2"):
        system_class("unified")


@pytest.mark.usefixtures("strangers")
def test_a_plug_in_that_cannot_be_had_is_named_and_the_others_work(tmp_path: Path) -> None:
    absent = r"'broken' of package broken 1\.2 cannot be imported \(ModuleNotFoundError: No module named 'a_module"
    with pytest.raises(DatasetError, match=absent):
        open_dataset("broken", tmp_path)
    for name in ("odd", "nobody"):
        with pytest.raises(ModelError, match=r"package odd 1\.2 is no Retr" if name == "odd" else "unknown system"):
            system_class(name)
    with pytest.raises(ModelError, match="is no RetrievalSystem of that name"):
        default_checkpoint("odd")
    assert {"broken", "twice"} <= set(dataset_names())
    assert dataset_names().count("openi") == 1
    assert open_dataset("phantom-dust").card.name == "phantom-dust"
    assert system_class("siclip").name == "siclip"
