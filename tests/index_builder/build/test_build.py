"""The pipeline: what it writes, what it refuses, and what a killed build leaves."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from index_builder.build.build import BuildRequest, build, select_cases
from index_builder.build.embed import embed_shards, shard_path, unfinished_shards
from index_builder.casebook.files import read_embeddings, read_table
from index_builder.casebook.manifest import read_manifest, read_maps, verify
from index_builder.cases.case import Case
from index_builder.cases.table import case_from_row, read_cases
from index_builder.datasets import open_dataset
from index_builder.errors import CasebookError, DatasetError, ImagingError, ModelError
from index_builder.systems.mskpt import MskPt
from index_builder.systems.registry import load_system
from index_builder.systems.running.parts import torch_encoder
from index_builder.systems.siclip import SiClip


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def building(out: Path) -> Path:
    return out.with_name(f".{out.name}.building")


def test_vectors_are_unit_where_a_modality_is_and_zero_where_not(small_casebook: Path, film_folder: Path) -> None:
    cases = open_dataset("manifest", film_folder).cases()
    for space in ("image", "text", "joint"):
        lengths = np.linalg.norm(read_embeddings(small_casebook, space, 300).astype(np.float32), axis=1)
        present = {
            "image": [case.image is not None for case in cases],
            "text": [bool(case.report) for case in cases],
            "joint": [True] * 300,
        }[space]
        np.testing.assert_allclose(lengths, np.array(present, float), atol=2e-3)


def test_projection_and_thumbnails_cover_the_cases(small_casebook: Path) -> None:
    projections = read_table(small_casebook / "projections.parquet")
    maps = {"umap": "xy", "tsne": "xy", "umap3d": "xyz"}
    assert projections.column_names == [
        "case_id",
        *(
            column
            for space in ("image", "text", "joint")
            for column in [*(f"{space}_{name}_{axis}" for name in maps for axis in maps[name]), f"{space}_cluster"]
        ),
    ]
    assert projections.column("image_umap_x").null_count == 60
    assert projections.column("image_cluster").null_count == 60
    assert projections.column("joint_umap_x").null_count == 0
    spaces = read_maps(small_casebook).spaces
    held = {space: int(read_embeddings(small_casebook, space, 300).any(axis=1).sum()) for space in spaces}
    assert {space: spaces[space].maps["tsne"].cases for space in spaces} == held
    clusters = projections.column("image_cluster").drop_null().to_numpy()
    assert [one.cases for one in spaces["image"].clusters] == [
        (clusters == number).sum() for number in range(clusters.max() + 1)
    ]
    thumbnails = read_table(small_casebook / "thumbnails.parquet").column("thumbnail")
    assert thumbnails.null_count == 60
    assert thumbnails[0].as_py()[:2] == b"\xff\xd8"


def test_progress_reaches_every_case(tmp_path: Path, film_folder: Path, tiny_checkpoint: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    request = BuildRequest("manifest", film_folder, tmp_path / "out", tiny_checkpoint, limit=40)
    report = build(request, lambda *step: seen.append(step))
    assert ("Evaluating", 3, 3) in seen
    assert seen[-1] == ("Drawing maps", 9, 9)
    assert ("Embedding cases", 40, 40) in seen
    assert {"read cases", "embed", "index", "draw maps", "evaluate", "finish"} <= set(report.seconds)


def test_a_killed_build_resumes_to_the_same_bytes(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, small_casebook: Path
) -> None:
    out = tmp_path / "small"
    command = [sys.executable, "-m", "explorer.cli", "build", "--dataset", "manifest", "--root", str(film_folder)]
    command += ["--out", str(out), "--checkpoint", str(tiny_checkpoint)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    shards = building(out) / "shards"
    deadline = time.monotonic() + 120
    while not list(shards.glob("*/*.parquet")):
        assert time.monotonic() < deadline
        assert process.poll() is None, "the build ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    survived = sorted(shards.glob("*/*.parquet"))
    assert survived
    written = survived[0].stat().st_mtime_ns

    steps: list[tuple[str, int, int]] = []

    def watch(stage: str, done: int, total: int) -> None:
        steps.append((stage, done, total))
        if stage == "Embedding cases":
            assert survived[0].stat().st_mtime_ns == written, "a finished shard was made again"

    report = build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), watch)
    assert next(done for stage, done, _ in steps if stage == "Embedding cases") == 128 * len(survived)
    assert report.manifest.files == read_manifest(small_casebook).files
    assert verify(out) == []
    assert not building(out).exists()


def test_a_truncated_shard_is_made_again(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, small_casebook: Path
) -> None:
    out = tmp_path / "small"

    class StopError(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Embedding cases" and done > 200:
            raise StopError

    with pytest.raises(StopError):
        build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), stop)
    shard = next((building(out) / "shards").glob("*/000000.parquet"))
    shard.write_bytes(shard.read_bytes()[:1000])
    build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), quiet)
    assert read_manifest(out).files == read_manifest(small_casebook).files


def test_what_lies_there_from_another_build_is_not_mixed_in(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, small_casebook: Path
) -> None:
    out = tmp_path / "small"

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Embedding cases" and done > 128:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=290, seed=3), stop)
    build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), quiet)
    assert read_manifest(out).files == read_manifest(small_casebook).files


def test_an_existing_casebook_is_kept_unless_replacing_and_until_the_new_one_is_done(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, small_casebook: Path
) -> None:
    out = shutil.copytree(small_casebook, tmp_path / "small")
    with pytest.raises(CasebookError, match="--replace"):
        build(BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=20), quiet)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Drawing maps":
            raise KeyboardInterrupt

    request = BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=20, replace=True)
    with pytest.raises(KeyboardInterrupt):
        build(request, stop)
    assert verify(out) == []
    assert read_manifest(out).cases == 300
    build(request, quiet)
    assert verify(out) == []
    assert read_manifest(out).cases == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]


def test_a_swap_that_died_half_way_is_undone(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, small_casebook: Path
) -> None:
    out = tmp_path / "small"
    shutil.copytree(small_casebook, tmp_path / ".small.superseded")
    with pytest.raises(CasebookError, match="--replace"):
        build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), quiet)
    assert verify(out) == []


#: Another process that holds a folder's lock until its input ends. No `multiprocessing`: what that starts runs the
#: program's main module again, which is the app's once a test has run a page.
_HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_two_builds_cannot_share_a_target(tmp_path: Path, film_folder: Path, tiny_checkpoint: Path) -> None:
    out = tmp_path / "small"
    building(out).mkdir()
    command = [sys.executable, "-c", _HOLD, str(building(out))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CasebookError, match="another build"):
            build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), quiet)
        holder.communicate()


def test_a_foreign_folder_is_never_touched(tmp_path: Path, film_folder: Path, tiny_checkpoint: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(CasebookError, match="not a casebook"):
        build(BuildRequest("manifest", film_folder, tmp_path, tiny_checkpoint, replace=True), quiet)
    assert (tmp_path / "thesis.doc").read_text() == "years of work"


def test_an_unreadable_film_stops_the_build_and_is_named(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path
) -> None:
    root = shutil.copytree(film_folder, tmp_path / "films")
    (root / "250.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    out = tmp_path / "out"
    with pytest.raises(ImagingError, match=r"250\.png"):
        build(BuildRequest("manifest", root, out, tiny_checkpoint), quiet)
    assert not out.exists()


def test_a_film_that_vanished_is_named_and_once_back_the_build_goes_on(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, small_casebook: Path
) -> None:
    root = shutil.copytree(film_folder, tmp_path / "films")
    film, elsewhere = root / "250.png", tmp_path / "250.png"
    out = tmp_path / "small"

    def vanish(stage: str, done: int, total: int) -> None:
        if stage == "Embedding cases" and film.exists():
            film.rename(elsewhere)

    with pytest.raises(ImagingError, match=r"250\.png"):
        build(BuildRequest("manifest", root, out, tiny_checkpoint), vanish)
    assert not out.exists()
    elsewhere.rename(film)
    build(BuildRequest("manifest", root, out, tiny_checkpoint), quiet)
    assert read_manifest(out).files == read_manifest(small_casebook).files


def test_a_full_or_read_only_disk_is_told(
    small_disk: Callable[[str], Path], film_folder: Path, tiny_checkpoint: Path
) -> None:
    for kilobytes in (64, 1000):  # too little for the system, for the shards
        out = small_disk(f"size={kilobytes}k") / "small"
        with pytest.raises(CasebookError, match=r"disk.*No space left on device.*Free the space"):
            build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), quiet)
        assert not out.exists()
    small_disk("ro")
    with pytest.raises(CasebookError, match=r"disk: cannot write there.*Choose another --out"):
        build(BuildRequest("manifest", film_folder, out.with_name("other"), tiny_checkpoint), quiet)


def test_a_shard_is_the_same_on_any_number_of_threads(tmp_path: Path, film_folder: Path, tiny_checkpoint: Path) -> None:
    dataset = open_dataset("manifest", film_folder)
    cases = dataset.cases()
    encoder = torch_encoder(load_system(tiny_checkpoint))
    written = []
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        folder.mkdir()
        advanced: list[int] = []
        embed_shards(dataset, encoder, cases, folder, [2], advanced.append, threads)
        assert sum(advanced) == 300 - 2 * 128
        assert unfinished_shards(cases, folder) == [0, 1]
        written.append(shard_path(folder, 2).read_bytes())
    assert written[0] == written[1]


def test_what_the_system_reads_of_a_case_is_embedded(profile_casebook: Path, stage_casebook: Path) -> None:
    """The text vector of a case is that of its profile where the system reads profiles, else that of its report."""
    for folder, text_of in ((profile_casebook, SiClip.text_of), (stage_casebook, MskPt.text_of)):
        manifest = read_manifest(folder)
        system = load_system(folder / "system")
        cases = [
            case_from_row(row)
            for row in read_cases(folder / "cases.arrow", read_manifest(folder).cases).to_pylist()[:3]
        ]
        with torch.inference_mode():
            expected = system.encode_texts([text_of(case) for case in cases]).vector.numpy()
        held = read_embeddings(folder, "text", manifest.cases)[:3].astype(np.float32)
        assert ((held * expected).sum(1) > 0.999).all()
        assert manifest.system.name == system.name


def test_a_build_with_another_vote_does_not_go_on_from_the_first(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path
) -> None:
    out = tmp_path / "small"

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Embedding cases" and done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=40), stop)
    other = shutil.copytree(tiny_checkpoint, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"vote_neighbours": 3}))
    build(BuildRequest("manifest", film_folder, out, other, limit=40), quiet)
    assert read_manifest(out).system.vote_neighbours == 3
    assert load_system(out / "system").config.vote_neighbours == 3


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"dataset": "mimic"}, DatasetError, "Known: openi"),
        ({"root": None}, DatasetError, "--root"),
        ({"limit": 0}, DatasetError, "--limit 0"),
        ({"checkpoint": Path("/nowhere")}, ModelError, "/nowhere"),
        ({"dataset": "phantom-dust"}, DatasetError, "leave out --root"),
    ],
)
def test_bad_requests_are_refused(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, change: dict, error: type[Exception], said: str
) -> None:
    fields = {"dataset": "manifest", "root": film_folder, "out": tmp_path / "o", "checkpoint": tiny_checkpoint} | change
    with pytest.raises(error, match=said):
        build(BuildRequest(**fields), quiet)


def test_limit_draws_the_same_cases_in_order() -> None:
    cases = [Case(f"{number:03d}", "p", "train", ()) for number in range(100)]
    drawn = [case.case_id for case in select_cases(cases, 10, seed=1)]
    assert drawn == sorted(drawn)
    assert drawn == [case.case_id for case in select_cases(cases, 10, seed=1)]
    assert drawn != [case.case_id for case in select_cases(cases, 10, seed=2)]
    with pytest.raises(DatasetError, match="occurs twice"):
        select_cases([*cases, cases[0]], None, 0)
