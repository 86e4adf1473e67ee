"""Casebooks and systems that many tests share, each made once per run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tiny_samples import (
    save_text_encoder,
    save_unified,
    save_untrained,
    system_settings,
    write_films,
    write_hedged_films,
    write_reports,
    write_studies,
)

from index_builder.build.build import BuildRequest, build
from index_builder.cases.labels import DUST_STAGES
from index_builder.datasets.check import reader_lines
from index_builder.datasets.own.manifest import Manifest
from index_builder.systems.shipped import checkpoint_for

# Machines that run this are shared: a slow call says nothing about the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="session")
def tiny_text_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT in the hub's own file format."""
    return save_text_encoder(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_settings(tiny_text_encoder: Path) -> dict[str, Any]:
    """Configuration that every system has in common, of a few hundred kilobytes."""
    return system_settings(tiny_text_encoder)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_text_encoder: Path) -> Path:
    """`unified` as `save_untrained` saves it; it knows one of the labels of `film_folder`."""
    return save_unified(tmp_path_factory.mktemp("tiny-system"), tiny_text_encoder)


@pytest.fixture(scope="session")
def tiny_siclip(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, Any], tiny_text_encoder: Path
) -> Path:
    """`siclip` as `save_untrained` saves it."""
    from index_builder.systems.siclip import SiClipConfig

    config = SiClipConfig(**tiny_settings, label_names=DUST_STAGES, vote_neighbours=5)
    return save_untrained(tmp_path_factory.mktemp("tiny-siclip"), config, tiny_text_encoder)


@pytest.fixture(scope="session")
def tiny_mskpt(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, Any], tiny_text_encoder: Path
) -> Path:
    """`mskpt` as `save_untrained` saves it."""
    from index_builder.systems.mskpt import MskPtConfig

    config = MskPtConfig(**tiny_settings, label_names=DUST_STAGES, theta=0.4)
    return save_untrained(tmp_path_factory.mktemp("tiny-mskpt"), config, tiny_text_encoder)


@pytest.fixture(scope="session")
def film_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 300 small cases: films with reports, films alone, reports alone, shared patients, one copy."""
    return write_films(tmp_path_factory.mktemp("films"), 300)


@pytest.fixture(scope="session")
def small_casebook(tmp_path_factory: pytest.TempPathFactory, film_folder: Path, tiny_checkpoint: Path) -> Path:
    """The 300 cases of `film_folder`, embedded by the untrained system. Read only."""
    out = tmp_path_factory.mktemp("casebooks") / "small"
    build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), quiet)
    return out


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 96 studies, most of a frontal film and a lateral; see `write_studies`."""
    return write_studies(tmp_path_factory.mktemp("studies"), 96)


@pytest.fixture(scope="session")
def study_casebook(tmp_path_factory: pytest.TempPathFactory, study_folder: Path, tiny_checkpoint: Path) -> Path:
    """The studies of `study_folder`, embedded by the untrained system. Read only."""
    out = tmp_path_factory.mktemp("casebooks") / "studies"
    build(BuildRequest("manifest", study_folder, out, tiny_checkpoint), quiet)
    return out


@pytest.fixture(scope="session")
def report_casebook(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """The cases of `write_reports`, embedded by the untrained system. Read only."""
    folder, out = write_reports(tmp_path_factory.mktemp("reports")), tmp_path_factory.mktemp("casebooks") / "reports"
    build(BuildRequest("manifest", folder, out, tiny_checkpoint), quiet)
    return out


@pytest.fixture(scope="session")
def hedged_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 cases like those of `film_folder` with a column a label, in which labels are unknown of some cases."""
    return write_hedged_films(tmp_path_factory.mktemp("hedged"), 120)


@pytest.fixture(scope="session")
def hedged_casebook(tmp_path_factory: pytest.TempPathFactory, hedged_folder: Path, tiny_checkpoint: Path) -> Path:
    """The cases of `hedged_folder`, embedded by the untrained system. Read only."""
    out, told = tmp_path_factory.mktemp("casebooks") / "hedged", list[str]()
    build(BuildRequest("manifest", hedged_folder, out, tiny_checkpoint), quiet, told.append)
    # Before anything is embedded, a build says what it made of the table.
    assert told == reader_lines(Manifest(hedged_folder))
    assert told[0].startswith("note: Columns as mapped: case_id from 'case_id'")
    assert "uncertain cells, taken as unknown" in told[1]
    return out


@pytest.fixture(scope="session")
def phantom_casebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 cases of phantom-openi, embedded by the shipped system. Read only."""
    out = tmp_path_factory.mktemp("casebooks") / "phantom-openi"
    build(BuildRequest("phantom-openi", None, out, checkpoint_for("phantom-openi"), limit=64), quiet)
    return out


@pytest.fixture(scope="session")
def profile_casebook(tmp_path_factory: pytest.TempPathFactory, tiny_siclip: Path) -> Path:
    """40 cases of phantom-dust, embedded by an untrained system that reads profiles. Read only."""
    out = tmp_path_factory.mktemp("casebooks") / "profiles"
    build(BuildRequest("phantom-dust", None, out, tiny_siclip, limit=40), quiet)
    return out


@pytest.fixture(scope="session")
def stage_casebook(tmp_path_factory: pytest.TempPathFactory, tiny_mskpt: Path) -> Path:
    """40 cases of phantom-dust, embedded by an untrained system that stages films. Read only."""
    out = tmp_path_factory.mktemp("casebooks") / "stages"
    build(BuildRequest("phantom-dust", None, out, tiny_mskpt, limit=40), quiet)
    return out


@pytest.fixture(scope="session")
def casebooks(small_casebook: Path, profile_casebook: Path, stage_casebook: Path) -> list[Path]:
    """Three casebooks of three systems, as `make demo` opens them; the first is `small_casebook`. Read only."""
    return [small_casebook, profile_casebook, stage_casebook]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory; called again, with other options, e.g. size=1m or ro."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        options = f"remount,{options}" if mounted else options
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs the right to mount a file system in memory")
        mounted = True
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", str(place)], check=True)
