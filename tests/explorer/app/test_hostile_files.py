"""Files from strangers: nothing in a checkpoint, casebook or settings file runs, and no cell becomes a formula."""

from __future__ import annotations

import csv
import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from places import ROOT

from explorer.charts.tables import csv_bytes, frame_csv
from index_builder.calibration.held_out import read_answers
from index_builder.casebook.files import read_embeddings
from index_builder.datasets.own.column_map import load_column_map
from index_builder.errors import CasebookError, CxrError, DatasetError, ModelError
from index_builder.film_check.check import FilmCheck
from index_builder.stores.faiss import FaissStore
from index_builder.systems.registry import load_system
from index_builder.training.presets import read_overrides


class _Payload:
    """Makes a folder where it is unpickled without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def _pickled(marker: Path) -> bytes:
    return pickle.dumps(_Payload(marker))


def test_the_payload_would_run(tmp_path: Path) -> None:
    """Otherwise the tests below would show nothing."""
    pickle.loads(_pickled(tmp_path / "ran"))
    assert (tmp_path / "ran").is_dir()


@pytest.mark.parametrize("name", ["model.safetensors", "graph.safetensors"])
def test_a_checkpoint_that_is_a_pickle_is_refused_unrun(tmp_path: Path, tiny_checkpoint: Path, name: str) -> None:
    folder = tmp_path / "system"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / name).write_bytes(_pickled(tmp_path / "ran"))
    for other in ("pytorch_model.bin", "model.pt", "model.pkl", "last.ckpt"):
        (folder / other).write_bytes(_pickled(tmp_path / "ran"))
    if name == "model.safetensors":
        with pytest.raises(ModelError):
            load_system(folder)
    else:
        load_system(folder)
    assert not (tmp_path / "ran").exists()


def test_arrays_of_a_casebook_that_are_pickles_are_refused_unrun(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "embeddings").mkdir()
    hidden = np.array([_Payload(marker)], object)
    for path in (tmp_path / "embeddings" / "image.npy", tmp_path / "keys.npy"):
        np.save(path, hidden, allow_pickle=True)
    held = tmp_path / "held_out.safetensors"
    held.write_bytes(_pickled(marker))
    with pytest.raises(CasebookError):
        read_embeddings(tmp_path, "image", 1)
    with pytest.raises(CxrError):
        FaissStore.read(held, tmp_path / "keys.npy", "flat")
    with pytest.raises(CasebookError):
        read_answers(held)
    with pytest.raises(CasebookError):
        FilmCheck.read(held)
    assert not marker.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir", "!!python/name:os."])
def test_yaml_tags_build_no_objects(tmp_path: Path, tag: str) -> None:
    path, marker = tmp_path / "columns.yaml", tmp_path / "ran"
    path.write_text(f"image: {tag} ['{marker}']\n", "utf-8")
    with pytest.raises(DatasetError):
        load_column_map(path)
    with pytest.raises(ModelError):
        read_overrides(path)
    assert not marker.exists()


_FORMULAS = (
    '=HYPERLINK("http://a.example";"x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd",
    "@SUM(1)",
    "\t=1+1",
    "\r=1",
    "\n=1",
)


def test_no_cell_of_any_table_is_a_formula() -> None:
    rows = [[formula, "plain", "-0.5"] for formula in _FORMULAS]
    frame = pd.DataFrame({"=label": _FORMULAS, "value": [-0.5, None, *range(len(_FORMULAS) - 2)]})
    for content in (csv_bytes(("=a", "b", "c"), rows), frame_csv(frame)):
        read = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        assert len(read) == len(_FORMULAS) + 1
        for cell in (cell for row in read for cell in row):
            assert not cell.startswith(("=", "+", "@", "\t", "\r", "\n"))
            assert not cell.startswith("-") or float(cell) == -0.5
    back = pd.read_csv(io.BytesIO(frame_csv(frame)))
    assert back["value"].tolist()[0] == -0.5
    assert back["value"].isna().tolist()[1]


def test_every_export_of_the_app_goes_through_these(tmp_path: Path) -> None:
    """No other way to write CSV, and no download that does not ask for the role."""
    root = ROOT / "explorer"
    sources = {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in root.rglob("*.py")}
    assert len(sources) > 60
    assert [name for name, text in sources.items() if "csv.writer" in text or ".to_csv(" in text] == [
        "charts/tables.py"
    ]
    assert [name for name, text in sources.items() if "download_button(" in text] == ["app/shared/downloads.py"]
