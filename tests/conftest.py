"""Casebooks and systems that many tests share, each made once per run, whatever the number of its workers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Beside one another, test processes and the apps they start wait longer for their threads than several threads save.
# Before anything imports PyTorch, which reads it once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from filelock import FileLock
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


#: Makes a folder that all workers of a run share: its name, and what fills it.
Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Folders made by the worker that asks first; the others wait for it. What is in them is read only."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    shared.mkdir(exist_ok=True)

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def compiled_maps() -> None:
    """UMAP's loops are kept on disk once compiled: else each process that draws maps compiles them, five seconds."""
    from umap import layouts, umap_

    for loop in (
        umap_.smooth_knn_dist,
        umap_.compute_membership_strengths,
        layouts._nb_optimize_layout_euclidean_single_epoch,
    ):
        loop.enable_caching()


#: Builds a casebook that all workers share: its name, dataset, root and checkpoint, and a limit of cases.
Built = Callable[..., Path]


@pytest.fixture(scope="session")
def built(once: Once, compiled_maps: None) -> Built:
    """Casebooks built once per run."""

    def make(name: str, dataset: str, root: Path | None, checkpoint: Path, limit: int | None = None) -> Path:
        def fill(folder: Path) -> None:
            build(BuildRequest(dataset, root, folder / name, checkpoint, limit=limit), quiet)

        return once(f"casebook-{name}", fill) / name

    return make


@pytest.fixture(scope="session")
def tiny_text_encoder(once: Once) -> Path:
    """A random two-layer BERT in the hub's own file format."""
    return once("tiny-bert", save_text_encoder)


@pytest.fixture(scope="session")
def tiny_settings(tiny_text_encoder: Path) -> dict[str, Any]:
    """Configuration that every system has in common, of a few hundred kilobytes."""
    return system_settings(tiny_text_encoder)


@pytest.fixture(scope="session")
def tiny_checkpoint(once: Once, tiny_text_encoder: Path, compiled_maps: None) -> Path:
    """`unified` as `save_untrained` saves it; it knows one of the labels of `film_folder`."""
    return once("tiny-system", lambda folder: save_unified(folder, tiny_text_encoder))


@pytest.fixture(scope="session")
def tiny_siclip(once: Once, tiny_settings: dict[str, Any], tiny_text_encoder: Path) -> Path:
    """`siclip` as `save_untrained` saves it."""
    from index_builder.systems.siclip import SiClipConfig

    config = SiClipConfig(**tiny_settings, label_names=DUST_STAGES, vote_neighbours=5)
    return once("tiny-siclip", lambda folder: save_untrained(folder, config, tiny_text_encoder))


@pytest.fixture(scope="session")
def tiny_mskpt(once: Once, tiny_settings: dict[str, Any], tiny_text_encoder: Path) -> Path:
    """`mskpt` as `save_untrained` saves it."""
    from index_builder.systems.mskpt import MskPtConfig

    config = MskPtConfig(**tiny_settings, label_names=DUST_STAGES, theta=0.4)
    return once("tiny-mskpt", lambda folder: save_untrained(folder, config, tiny_text_encoder))


@pytest.fixture(scope="session")
def film_folder(once: Once) -> Path:
    """A manifest of 300 small cases: films with reports, films alone, reports alone, shared patients, one copy."""
    return once("films", lambda folder: write_films(folder, 300))


@pytest.fixture(scope="session")
def small_casebook(built: Built, film_folder: Path, tiny_checkpoint: Path) -> Path:
    """The 300 cases of `film_folder`, embedded by the untrained system. Read only."""
    return built("small", "manifest", film_folder, tiny_checkpoint)


@pytest.fixture(scope="session")
def study_folder(once: Once) -> Path:
    """A manifest of 96 studies, most of a frontal film and a lateral; see `write_studies`."""
    return once("studies", lambda folder: write_studies(folder, 96))


@pytest.fixture(scope="session")
def study_casebook(built: Built, study_folder: Path, tiny_checkpoint: Path) -> Path:
    """The studies of `study_folder`, embedded by the untrained system. Read only."""
    return built("studies", "manifest", study_folder, tiny_checkpoint)


@pytest.fixture(scope="session")
def report_casebook(once: Once, built: Built, tiny_checkpoint: Path) -> Path:
    """The cases of `write_reports`, embedded by the untrained system. Read only."""
    return built("reports", "manifest", once("reports", write_reports), tiny_checkpoint)


@pytest.fixture(scope="session")
def hedged_folder(once: Once) -> Path:
    """120 cases like those of `film_folder` with a column a label, in which labels are unknown of some cases."""
    return once("hedged", lambda folder: write_hedged_films(folder, 120))


@pytest.fixture(scope="session")
def hedged_casebook(once: Once, hedged_folder: Path, tiny_checkpoint: Path) -> Path:
    """The cases of `hedged_folder`, embedded by the untrained system. Read only."""

    def fill(folder: Path) -> None:
        told = list[str]()
        build(BuildRequest("manifest", hedged_folder, folder / "hedged", tiny_checkpoint), quiet, told.append)
        # Before anything is embedded, a build says what it made of the table.
        assert told == reader_lines(Manifest(hedged_folder))
        assert told[0].startswith("note: Columns as mapped: case_id from 'case_id'")
        assert "uncertain cells, taken as unknown" in told[1]

    return once("casebook-hedged", fill) / "hedged"


@pytest.fixture(scope="session")
def phantom_casebook(built: Built) -> Path:
    """64 cases of phantom-openi, embedded by the shipped system. Read only."""
    return built("phantom-openi", "phantom-openi", None, checkpoint_for("phantom-openi"), limit=64)


@pytest.fixture(scope="session")
def profile_casebook(built: Built, tiny_siclip: Path) -> Path:
    """40 cases of phantom-dust, embedded by an untrained system that reads profiles. Read only."""
    return built("profiles", "phantom-dust", None, tiny_siclip, limit=40)


@pytest.fixture(scope="session")
def stage_casebook(built: Built, tiny_mskpt: Path) -> Path:
    """40 cases of phantom-dust, embedded by an untrained system that stages films. Read only."""
    return built("stages", "phantom-dust", None, tiny_mskpt, limit=40)


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
