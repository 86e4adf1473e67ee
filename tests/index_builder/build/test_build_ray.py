"""A build on Ray: the same bytes, a worker that dies, and what a worker refuses."""

import json
import os
import pickle
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import yaml
from places import ROOT

from index_builder.build import build as building
from index_builder.build import embed_ray
from index_builder.build.build import BuildRequest, build
from index_builder.build.embed_ray import RayCluster
from index_builder.casebook.manifest import read_manifest, verify
from index_builder.cases.case import Case
from index_builder.datasets import open_dataset
from index_builder.datasets.base import Dataset
from index_builder.errors import CasebookError, DatasetError, ImagingError, WorkerError
from index_builder.imaging import Film
from index_builder.systems.registry import load_system
from index_builder.systems.running.parts import torch_encoder

# Starting Ray and its workers takes ten seconds on an idle machine and minutes on a busy one.
pytestmark = pytest.mark.timeout(900)
TWO = RayCluster(workers=2)

open_on_worker = building._open_on_worker


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class Deadly:
    """A dataset that kills the process that reads its film, once in all."""

    def __init__(self, dataset: Dataset, mark: Path) -> None:
        self._dataset = dataset
        self._mark = mark

    def load_film(self, reference: str) -> Film:
        if reference == "200.png" and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._dataset.load_film(reference)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One Ray for all tests here, with one processor more than workers."""
    ray = pytest.importorskip("ray", reason="needs the extra [ray]")
    with embed_ray._ray(TWO):
        files = Path(ray._private.worker.global_worker.node.get_temp_dir_path())
        assert files.is_dir()
        # Workers do not find this module by its name.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield ray
    assert not ray.is_initialized()
    assert not files.exists()


def test_begun_here_and_ended_on_ray_with_a_truncated_shard_and_a_killed_worker_it_gives_the_same_bytes(
    ray: Any,
    tmp_path: Path,
    film_folder: Path,
    tiny_checkpoint: Path,
    small_casebook: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, mark = tmp_path / "small", tmp_path / "killed"

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Embedding cases" and done > 256:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), stop)
    shard = next((tmp_path / ".small.building" / "shards").glob("*/000001.parquet"))
    shard.write_bytes(shard.read_bytes()[:1000])

    def open_deadly(request: BuildRequest, folder: Path) -> tuple[Any, Any, Sequence[Case]]:
        dataset, encoder, cases = open_on_worker(request, folder)
        return Deadly(dataset, mark), encoder, cases

    monkeypatch.setattr(building, "_open_on_worker", open_deadly)
    steps: list[tuple[str, int, int]] = []
    build(BuildRequest("manifest", film_folder, out, tiny_checkpoint, ray=TWO), lambda *step: steps.append(step))
    assert mark.exists()
    assert next(done for stage, done, _ in steps if stage == "Embedding cases") == 128
    assert read_manifest(out).files == read_manifest(small_casebook).files
    assert verify(out) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "small"]


@pytest.mark.slow
def test_films_that_cannot_be_read_are_left_out_as_they_are_here(
    ray: Any, tmp_path: Path, film_folder: Path, tiny_checkpoint: Path
) -> None:
    root = shutil.copytree(film_folder, tmp_path / "films")
    for name in ("006.png", "250.png"):
        (root / name).write_bytes(b"no film at all")
    request = BuildRequest("manifest", root, tmp_path / "ray", tiny_checkpoint, limit=140, ray=TWO)
    with pytest.raises(ImagingError, match=r"^(006|250)\.png: .*--skip-unreadable"):
        build(request, quiet)
    build(replace(request, skip_unreadable=True), quiet)
    here = replace(request, out=tmp_path / "here", ray=None, skip_unreadable=True)
    build(here, quiet)
    there, expected = read_manifest(tmp_path / "ray"), read_manifest(tmp_path / "here")
    assert there.files == expected.files
    assert there.unreadable == expected.unreadable
    assert [(one.film, one.kept) for one in there.unreadable] == [("006.png", False), ("250.png", True)]


def test_what_a_worker_cannot_read_is_told_as_if_read_here(
    ray: Any, tmp_path: Path, film_folder: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(film_folder, tmp_path / "films")

    def open_before_it_vanishes(request: BuildRequest, folder: Path) -> tuple[Any, Any, Sequence[Case]]:
        work = open_on_worker(request, folder)
        (root / "250.png").unlink(missing_ok=True)
        return work

    monkeypatch.setattr(building, "_open_on_worker", open_before_it_vanishes)
    one = RayCluster(workers=1)  # a second would miss the film while it opens the dataset
    with pytest.raises(ImagingError, match=r"250\.png") as raised:
        build(BuildRequest("manifest", root, tmp_path / "out", tiny_checkpoint, ray=one), quiet)
    assert "UDF" not in str(raised.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_full_or_read_only_disk_is_told_and_with_room_the_build_goes_on(
    ray: Any, small_disk: Callable[[str], Path], film_folder: Path, tiny_checkpoint: Path, small_casebook: Path
) -> None:
    out = small_disk("size=1000k") / "small"  # room for the system, not for the shards
    request = BuildRequest("manifest", film_folder, out, tiny_checkpoint, ray=TWO)
    with pytest.raises(CasebookError, match=r"disk.*No space left on device.*Free the space"):
        build(request, quiet)
    assert not out.exists()
    small_disk("size=64m")
    build(request, quiet)
    assert read_manifest(out).files == read_manifest(small_casebook).files
    small_disk("ro")
    with pytest.raises(CasebookError, match=r"disk: cannot write there.*Choose another --out"):
        build(replace(request, out=out.with_name("other")), quiet)
    assert verify(out) == []


def test_what_the_disk_of_a_worker_refuses_reaches_the_build_as_it_is(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path
) -> None:
    dataset = open_dataset("manifest", film_folder)
    worker = embed_ray._Worker(
        lambda: (dataset, torch_encoder(load_system(tiny_checkpoint)), dataset.cases()), str(tmp_path / "gone"), False
    )
    with pytest.raises(embed_ray._WorkerFailed) as raised:
        worker({"number": np.array([2])})
    error = embed_ray._cause(pickle.loads(pickle.dumps(raised.value)))
    assert isinstance(error, FileNotFoundError)
    assert str(tmp_path / "gone") in str(error)


def test_a_worker_that_sees_something_else_than_the_build_refuses(
    tmp_path: Path, film_folder: Path, tiny_checkpoint: Path
) -> None:
    out = tmp_path / "small"
    request = BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=40)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Embedding cases":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(request, stop)
    folder = out.with_name(".small.building")
    dataset, encoder, cases = open_on_worker(request, folder)
    assert [case.case_id for case in cases] == [case.case_id for case in building._open_cases(request)[1]]
    assert dataset.label_names == open_dataset("manifest", film_folder).label_names
    assert encoder.record.dim == 16
    with pytest.raises(CasebookError, match="filesystem that all nodes share"):
        open_on_worker(request, tmp_path / "elsewhere")
    other = BuildRequest("manifest", film_folder, out, tiny_checkpoint, limit=39)
    with pytest.raises(DatasetError, match="reads other cases"):
        open_on_worker(other, folder)
    content = json.loads((folder / "build.json").read_text())
    content["versions"]["torch"] = "1.0"
    (folder / "build.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="Install the same versions"):
        open_on_worker(request, folder)


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_told_at_once(prefix: str) -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        address = f"{prefix}127.0.0.1:{closed.getsockname()[1]}"
        began = perf_counter()
        with pytest.raises(WorkerError, match=f"no Ray at --address {address} .*refused.*ray status"):
            embed_ray._check_answers(address)
        assert perf_counter() - began < 5


@pytest.mark.parametrize("address", ["somewhere", "host:", ":6379", "host:port", "host:99999"])
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(WorkerError, match=f"--address {address}: give HOST:PORT"):
        embed_ray._check_answers(address)


def test_a_cluster_that_wants_its_token_is_told_from_one_that_is_gone() -> None:
    refused = ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")
    assert "wants its token" not in str(embed_ray._not_started(refused, "10.0.0.1:6379"))
    refused.__cause__ = RuntimeError(
        "AuthenticationError: RPC error: InvalidAuthToken: Authentication token is missing"
    )
    assert "10.0.0.1:6379 wants its token" in str(embed_ray._not_started(refused, "10.0.0.1:6379"))
    assert "no Ray here (timed out)" in str(embed_ray._not_started(TimeoutError("timed out"), None))


def test_the_files_for_a_cluster_are_of_the_form_that_ray_wants() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util", reason="needs the extra [ray]")
    text = ROOT.joinpath("docs", "how-to", "scale-build.md").read_text("utf-8")
    cluster, job = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    util.validate_config(util.prepare_config(cluster))
    assert cluster["head_node_type"] in cluster["available_node_types"]
    assert job["kind"] == "RayJob"
    groups = [job["spec"]["rayClusterSpec"]["headGroupSpec"], *job["spec"]["rayClusterSpec"]["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        assert {one["name"] for one in pod["containers"][0]["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
