"""What goes wrong around a build: a clear error, nothing damaged, and the same bytes once it is mended."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from explorer import Casebook
from index_builder.build import BuildRequest, build
from index_builder.casebook import Manifest, read_manifest, verify
from index_builder.errors import CasebookError, ImagingError

#: Too few for a map that takes time.
FEW = 12


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, film_folder: Path, tiny_checkpoint: Path) -> Manifest:
    """Of a casebook of few cases, built without any fault."""
    request = BuildRequest("manifest", film_folder, tmp_path_factory.mktemp("few") / "few", tiny_checkpoint, limit=FEW)
    return build(request, quiet).manifest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory; called again, mounts it with other options, e.g. size=1m or ro."""
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


def test_a_full_disk_is_told_and_the_build_goes_on_where_there_is_space(
    small_disk: Callable[[str], Path], film_folder: Path, tiny_checkpoint: Path, few: Manifest
) -> None:
    failures = 0
    for kilobytes in (100, 400, 600, 700, 800, 1000, 10_000):
        out = small_disk(f"size={kilobytes}k") / "few"
        try:
            build(BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=FEW), quiet)
        except CasebookError as error:
            assert str(out.parent) in str(error)
            assert "Free the space or fix the rights" in str(error)
            failures += 1
        if out.exists():
            break
    assert failures >= 2
    assert read_manifest(out).files == few.files
    assert verify(out) == []


def test_a_read_only_target_is_told(
    small_disk: Callable[[str], Path], film_folder: Path, tiny_checkpoint: Path
) -> None:
    out = small_disk("ro") / "few"
    with pytest.raises(CasebookError, match=r"disk: cannot write there.*Choose another --out"):
        build(BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=FEW), quiet)


def test_a_film_that_vanished_is_named_and_once_back_the_build_goes_on(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, few: Manifest
) -> None:
    root = shutil.copytree(film_folder, tmp_path / "films")
    out = tmp_path / "few"
    request = BuildRequest("manifest", root, out, tiny_checkpoint, limit=FEW)
    gone: list[str] = []

    def vanish(stage: str, done: int, total: int) -> None:
        if stage == "Embedding cases" and not gone:
            for film in root.glob("*.png"):
                film.rename(film.with_suffix(".gone"))
                gone.append(film.name)

    with pytest.raises(ImagingError, match=r"\.png"):
        build(request, vanish)
    assert not out.exists()
    for name in gone:
        (root / name).with_suffix(".gone").rename(root / name)
    build(request, quiet)
    assert read_manifest(out).files == few.files


def _build(request: BuildRequest, reports: "multiprocessing.queues.Queue[str]") -> None:
    build(request, lambda stage, done, total: reports.put(stage))


@pytest.mark.parametrize("seed", range(2))
def test_a_build_killed_again_and_again_gives_the_same_bytes_and_spares_what_was_there(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, few: Manifest, seed: int
) -> None:
    """Each time after a random number of reports and a random pause; twice two times here, see `kill_builds.py`."""
    out = tmp_path / "few"
    before = BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=5)
    old = build(before, quiet).manifest
    request = BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=FEW, replace=True)
    draw = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["index_builder.build", "index_builder.embed", "index_builder.calibrate"])
    for _ in range(2):
        reports = context.Queue()
        process = context.Process(target=_build, args=(request, reports))
        process.start()
        for _ in range(draw.randint(1, 12)):
            reports.get(timeout=250)
        time.sleep(draw.uniform(0, 0.2))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        if out.exists():
            assert verify(out) == []
            assert read_manifest(out).files in (old.files, few.files)
    build(request, quiet)
    assert read_manifest(out).files == few.files
    assert verify(out) == []
    assert [path.name for path in tmp_path.iterdir()] == ["few"]


def test_a_casebook_with_other_weights_is_refused_before_a_query(tmp_path: Path, small_casebook: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "copy")
    weights = folder / "system" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    casebook = Casebook.open(folder)
    with pytest.raises(CasebookError, match=r"model\.safetensors: not what embedded these cases"):
        _ = casebook.system
    weights.unlink()
    with pytest.raises(CasebookError, match=r"model\.safetensors: not what embedded"):
        _ = Casebook.open(folder).system
