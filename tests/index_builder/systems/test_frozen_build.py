"""Casebooks of published encoders: nothing is trained before, head and vote are fitted on their own cases."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import encoder_samples as samples
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from tiny_samples import write_films

import explorer
from explorer.casebook import Casebook
from explorer.cli.commands import app
from explorer.search.query import Query, SearchOptions
from explorer.search.search import search_cases
from index_builder.build.build import BuildRequest, PublishedEncoder, build
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import verify
from index_builder.errors import ModelError, QueryError
from index_builder.imaging import read_film
from index_builder.systems.frozen import Frozen
from index_builder.systems.registry import load_system


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_films(tmp_path_factory.mktemp("films"), 300)


@pytest.fixture(scope="module")
def rad_dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rad-dino")
    samples.save_vision("dinov2", folder)
    samples.save_processor(
        "BitImageProcessor", folder, size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


@pytest.fixture(scope="module")
def film_book(tmp_path_factory: pytest.TempPathFactory, films: Path, rad_dino: Path) -> Path:
    """300 cases embedded by an encoder that reads films alone."""
    out = tmp_path_factory.mktemp("casebooks") / "rad-dino"
    build(BuildRequest("manifest", films, out, PublishedEncoder(f"hub:{rad_dino}", "MIT")), quiet)
    return out


def test_a_casebook_of_films_alone(film_book: Path, films: Path, rad_dino: Path) -> None:
    casebook = Casebook.open(film_book)
    record = casebook.manifest.system
    assert verify(film_book) == []
    assert "text" not in casebook.spaces
    assert (record.name, record.text_encoder, record.licence) == ("frozen", "", "MIT")
    assert record.predicts_by == "classifier"
    assert record.label_names == ("Cardiomegaly", "Effusion", "Nodule")
    film = read_film(films / "000.png").pixels
    found = search_cases(casebook, Query(film), SearchOptions(k=3))
    assert {one.case_id for one in found.neighbours[:2]} == {"case-000", "case-001"}  # the film and its copy
    assert found.assessment is not None
    assert found.assessment.cases == {"classifier": 23, "vote": 23}  # calibrated like any other system
    assert all(one.classifier is not None and one.vote is not None for one in found.assessment.findings)
    for query in (Query(text="clear lungs"), Query(film, "clear lungs")):
        with pytest.raises(QueryError, match="reads films, not texts"):
            search_cases(casebook, query, SearchOptions(k=3))


def test_the_head_knows_what_its_training_cases_tell(film_book: Path) -> None:
    system = load_system(Layout(film_book).system)
    assert isinstance(system, Frozen)
    assert system.head is not None
    metrics = json.loads(Layout(film_book).metrics.read_text())
    assert set(metrics["modalities"]) == {"image"}
    assert metrics["modalities"]["image"]["classification"]["macro"]["auroc"]


def test_a_casebook_of_films_and_texts(tmp_path: Path, films: Path) -> None:
    samples.save_clip(tmp_path / "clip")
    samples.save_processor(
        "CLIPImageProcessor", tmp_path / "clip", size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    source = f"hub:{tmp_path}/clip"
    build(BuildRequest("manifest", films, tmp_path / "book", PublishedEncoder(source), limit=60), quiet)
    shutil.rmtree(tmp_path / "clip")  # the casebook needs it no more
    casebook = Casebook.open(tmp_path / "book")
    assert set(casebook.spaces) == {"image", "text", "joint"}
    film = read_film(films / "000.png").pixels
    for query in (Query(film), Query(text="clear lung"), Query(film, "clear lung")):
        assert len(search_cases(casebook, query, SearchOptions(k=3)).neighbours) == 3


def test_a_build_that_died_while_the_head_was_kept_goes_on(
    tmp_path: Path, films: Path, rad_dino: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = BuildRequest("manifest", films, tmp_path / "book", PublishedEncoder(f"hub:{rad_dino}"), limit=40)
    rename = Path.rename

    def die(self: Path, target: Path) -> Path:
        if self.name == "system.taught":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        build(request, quiet)
    monkeypatch.undo()
    build(request, quiet)
    assert verify(tmp_path / "book") == []
    whole = tmp_path / "whole"
    build(BuildRequest("manifest", films, whole, PublishedEncoder(f"hub:{rad_dino}"), limit=40), quiet)
    for name in ("embeddings/image.npy", "system/model.safetensors", "system/config.json"):
        assert (tmp_path / "book" / name).read_bytes() == (whole / name).read_bytes()


def test_the_command_line(tmp_path: Path, films: Path, rad_dino: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["systems", "--json"], standalone_mode=False)
    names = {one["name"] for one in json.loads(capsys.readouterr().out)["systems"]}
    assert {"unified", "hub:microsoft/rad-dino", "xrv:densenet121-res224-all"} < names
    app(["systems"], standalone_mode=False)
    told = capsys.readouterr().out
    assert "reads film; about 87 million weights, 518 px; licence: MIT" in told
    assert "needs --accept-licence" in told
    options = ["build", "--dataset", "manifest", "--root", str(films), "--out", str(tmp_path / "book"), "--limit", "60"]
    unstated = tmp_path / "unstated"
    shutil.copytree(rad_dino, unstated)
    (unstated / "README.md").unlink()
    with pytest.raises(ModelError, match="agree with --accept-licence"):
        app([*options, "--encoder", f"hub:{unstated}"], standalone_mode=False)
    with pytest.raises(QueryError, match="--checkpoint and --encoder both"):
        app([*options, "--encoder", f"hub:{unstated}", "--checkpoint", "unified"], standalone_mode=False)
    with pytest.raises(QueryError, match="--accept-licence is for --encoder"):
        app([*options, "--accept-licence"], standalone_mode=False)
    app([*options, "--encoder", f"hub:{unstated}", "--accept-licence"], standalone_mode=False)
    assert "60 cases" in capsys.readouterr().out
    assert np.load(tmp_path / "book" / "embeddings" / "image.npy").shape == (60, 16)


def test_the_pages_of_a_casebook_of_films_alone(film_book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(film_book)])
    app = AppTest.from_file(Path(explorer.__file__).parent / "app" / "main.py", default_timeout=60).run()
    app.text_area(key="query_text").set_value("clear lungs").run()
    assert not app.exception
    assert ["reads films, not texts" in one.value for one in app.error] == [True]
    app.switch_page("../../pages/about.py").run()
    assert not app.exception
    told = " ".join(str(one.proto.body) for one in app.get("html"))
    assert "Licence of the encoder" in told
    assert "it reads films alone" in told
