"""Four invented stages of no disease, from a table to training, casebook, evaluation and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from explorer.casebook import Casebook
from explorer.charts.palette import SEQUENCE
from explorer.maps.colouring import MAIN_FINDING, colouring
from explorer.search.query import Query
from explorer.search.search import search_cases
from index_builder import vision_compat  # noqa: F401  must precede timm
from index_builder.build.build import BuildRequest, build
from index_builder.build.subset import write_subset
from index_builder.calibration.held_out import read_answers
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import read_manifest, read_metrics
from index_builder.datasets.own.column_map import ColumnMap
from index_builder.datasets.own.manifest import Manifest
from index_builder.deidentify import Pseudonyms, write_deidentified
from index_builder.systems.mskpt import MskPtConfig
from index_builder.training.cases import Source
from index_builder.training.run import TrainRequest, train
from index_builder.training.schedule import Schedule

#: In an order that is neither that of the alphabet nor that in which they come.
STAGES = ("none", "slight", "marked", "0x")
WORDS = ("the lung is clear", "mild small nodule", "left and right nodule", "calcified opacity")


def quiet(*_: object) -> None:
    """Progress that nobody watches."""


def write_staged(folder: Path) -> Path:
    """240 cases whose films show the stage by which quarter is bright; every twelfth has none."""
    random = np.random.default_rng(0)
    columns = {"case_id": "id", "patient_id": "id", "image": "film", "report": "text", "labels": "grade"}
    (folder / "columns.json").write_text(
        json.dumps({**columns, "split": "split", "label_kind": "stages", "stages": STAGES}), "utf-8"
    )
    lines = ["id,film,text,grade,split"]
    for number in range(240):
        stage = number % 4
        pixels = random.integers(0, 80, (32, 32), dtype=np.uint8)
        top, left = 16 * (stage // 2), 16 * (stage % 2)
        pixels[top : top + 16, left : left + 16] += 150
        Image.fromarray(pixels).save(folder / f"{number}.png")
        part = ("train", "train", "val", "test")[number // 4 % 4]
        grade = "" if number % 12 == 11 else STAGES[stage].upper()
        lines.append(f"c{number:03d},{number}.png,{WORDS[stage]},{grade},{part}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_staged(tmp_path_factory.mktemp("staged"))


@pytest.fixture(scope="module")
def casebook(tmp_path_factory: pytest.TempPathFactory, folder: Path, settings: dict[str, Any]) -> Path:
    """A casebook with `mskpt` trained on the stages."""
    out = tmp_path_factory.mktemp("out")
    config = MskPtConfig(**settings | {"trained_image_stages": -1})
    request = TrainRequest(config, Schedule(epochs=6, batch=16), [Source("manifest", folder)], out / "system")
    train(request, quiet, quiet)
    build(BuildRequest("manifest", folder, out / "casebook", out / "system"), quiet)
    return out / "casebook"


def test_a_table_says_which_stages_there_are_and_in_which_order(folder: Path) -> None:
    dataset = Manifest(folder)
    assert dataset.problems() == ()
    assert (dataset.card.label_kind, dataset.label_names) == ("stages", STAGES)
    cases = dataset.cases()
    assert cases[1].labels == ("slight",)
    assert (cases[11].labels, set(cases[11].unknown)) == ((), set(STAGES))
    assert any("20 cases without one: unknown" in note for note in dataset.notes())


def test_faults_of_stages_name_the_row_and_the_stages(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("text,grade,a,b\nx,3,1,1\ny,1.0,1,\nz,2 or 3,,0\n", "utf-8")
    fields = {"report": "text", "label_kind": "stages"}
    in_cells = Manifest(tmp_path, ColumnMap(**fields, labels="grade", stages=[1, 2, 3]))
    assert [one.labels for one in in_cells.reading.cases] == [("3",), ("1",)]
    (error,) = (one for one in in_cells.problems() if one.severity == "error")
    assert (error.row, error.kind) == (4, "label")
    assert "'2 or 3' is no stage. Write one of '1', '2', '3'" in error.message
    in_columns = Manifest(tmp_path, ColumnMap(**fields, label_columns=["b", "a"]))
    assert in_columns.label_names == ("b", "a")
    assert any("'b' and 'a' at once" in one.message for one in in_columns.problems())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": "grade", "stages": ["a", "b"]}, "say label_kind: stages"),
        ({"labels": "grade", "label_kind": "stages"}, "names of their stages"),
        ({"label_columns": ["a", "b"], "stages": ["a", "b"], "label_kind": "stages"}, "names of their stages"),
        ({"labels": "grade", "stages": ["a", "A"], "label_kind": "stages"}, "each once"),
    ],
)
def test_faulty_maps_of_stages(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ColumnMap(report="text", **fields)


def test_mskpt_learns_them_and_is_measured_by_them(casebook: Path) -> None:
    manifest = read_manifest(casebook)
    assert manifest.dataset.label_kind == "stages"
    assert manifest.dataset.label_names == manifest.system.label_names == STAGES
    answers = read_answers(Layout(casebook).held_out)
    for source in ("classifier", "vote"):
        assert answers["image", source].stages
        assert answers["image", source].names == STAGES
        assert answers["image", source].truth.sum(axis=1).tolist() == [1] * 55, "the five without a stage do not count"
    metrics = read_metrics(casebook)
    assert metrics is not None
    result = metrics["modalities"]["image"]
    assert result["left_out_cases"] == {"stage unknown": 5}
    assert list(result["stages"]["per_class"]) == list(STAGES)
    assert result["stages"]["accuracy"] > 0.5, "chance is a quarter"


def test_the_app_shows_them_as_stages(casebook: Path, folder: Path) -> None:
    opened = Casebook.open(casebook)
    assert (opened.staged, opened.stages) == (True, STAGES)
    shown = colouring(opened, "image", MAIN_FINDING)
    assert shown.names == (*STAGES, "no stage labelled")
    assert [colour for colour, _ in shown.colours[:4]] == [SEQUENCE[step][0] for step in (0, 2, 3, 5)]
    result = search_cases(opened, Query(pixels=Manifest(folder).load_film("3.png").pixels))
    assert result.assessment is not None
    assert result.assessment.findings == ()
    for reading in result.assessment.readings:
        assert tuple(reading.scores) == STAGES
        assert reading.possible is not None
        assert set(reading.possible) <= set(STAGES)
        assert sum((reading.probabilities or {}).values()) == pytest.approx(1, abs=1e-5)


def test_a_subset_and_a_deidentified_copy_keep_them(casebook: Path, folder: Path, tmp_path: Path) -> None:
    opened = Casebook.open(casebook)
    write_subset(casebook, opened.case_ids[:40], tmp_path / "some", quiet)
    assert Casebook.open(tmp_path / "some").stages == STAGES
    dataset = Manifest(folder)
    write_deidentified(dataset, dataset.cases()[:40], tmp_path / "copy", Pseudonyms(b"k" * 32), quiet)
    copy = Manifest(tmp_path / "copy")
    assert (copy.card.label_kind, copy.label_names) == ("stages", STAGES)
    assert [(case.labels, case.unknown) for case in copy.cases()] == [
        (case.labels, case.unknown) for case in dataset.cases()[:40]
    ]
