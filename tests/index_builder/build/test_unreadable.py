"""Films that cannot be read: every one named by its path below the folder, and left out where that is asked for."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer import Casebook, Query
from explorer.cli.commands import app
from explorer.search.search import search_cases
from index_builder.build.build import BuildRequest, build
from index_builder.build.subset import write_subset
from index_builder.casebook.files import read_embeddings, read_table
from index_builder.casebook.manifest import read_manifest, verify
from index_builder.datasets import open_dataset
from index_builder.datasets.check import check_dataset
from index_builder.datasets.own.manifest import Manifest
from index_builder.datasets.reading.cases import FilmFolder
from index_builder.deidentify import Pseudonyms, write_deidentified
from index_builder.errors import DatasetError, ImagingError
from index_builder.evaluation.embedding import embed_modality
from index_builder.systems.registry import load_system
from index_builder.systems.unified import Unified
from index_builder.training.cases import Source, gather

CASES = 20
#: Numbers of cases whose film is damaged, and how; case 12 alone has a report too.
DAMAGED = {5: b"", 12: b"\x89PNG\r\n\x1a\n broken", 17: b"no film at all"}
REPORTED = range(10, 15)


def film(number: int) -> str:
    """As in CheXpert, where thousands of films have one name."""
    return f"patient{number:05d}/study1/view1_frontal.png"


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def write_source(root: Path, numbers: range | list[int], damaged: dict[int, bytes]) -> Path:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (CASES, 9, 8), dtype=np.uint8)
    root.mkdir()
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case_id", "image", "report", "labels", "view", "split"])
        for number in numbers:
            path = root / film(number)
            path.parent.mkdir(parents=True)
            Image.fromarray(pixels[number]).resize((64, 72), Image.Resampling.NEAREST).save(path)
            if number in damaged:
                path.write_bytes(damaged[number])
            report = f"the heart is normal {number}" if number in REPORTED else ""
            label = ("Cardiomegaly", "Nodule")[number % 2]
            writer.writerow(
                [f"case-{number:02d}", film(number), report, label, "PA", ("train", "val")[number % 4 == 3]]
            )
    return root


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index_builder.build.embed.SHARD_CASES", 8)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("chexpert") / "films", range(CASES), DAMAGED)


@pytest.fixture(scope="module")
def casebook(tmp_path_factory: pytest.TempPathFactory, source: Path, tiny_checkpoint: Path) -> Path:
    """Built without the three films. Read only."""
    out = tmp_path_factory.mktemp("casebooks") / "skipped"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("index_builder.build.embed.SHARD_CASES", 8)
        build(request(source, out, tiny_checkpoint), quiet)
    return out


def request(source: Path, out: Path, checkpoint: Path, *, skip: bool = True, **others: object) -> BuildRequest:
    return BuildRequest("manifest", source, out, checkpoint, skip_unreadable=skip, **others)  # type: ignore[arg-type]


def _check(source: Path, out: Path, checkpoint: Path) -> None:
    report = check_dataset(open_dataset("manifest", source), decode=True)
    raise ImagingError("\n".join(map(str, report.errors)))


def _gather(source: Path, out: Path, checkpoint: Path) -> None:
    gather([Source("manifest", source)], Unified, 32, out / "films.npy", quiet)


def _evaluate(source: Path, out: Path, checkpoint: Path) -> None:
    dataset = open_dataset("manifest", source)
    embed_modality(load_system(checkpoint), dataset, dataset.cases(), "image", quiet)


def _copy(source: Path, out: Path, checkpoint: Path) -> None:
    dataset = open_dataset("manifest", source)
    write_deidentified(dataset, dataset.cases(), out, Pseudonyms(b"k" * 32), quiet)


def _build(source: Path, out: Path, checkpoint: Path) -> None:
    build(request(source, out, checkpoint, skip=False), quiet)


@pytest.mark.parametrize(
    ("stage", "way_on"),
    [(_build, True), (_gather, True), (_copy, True), (_check, False), (_evaluate, False)],
)
@pytest.mark.parametrize("number", [5, 12])
def test_every_stage_names_the_path_below_the_folder_and_the_way_on_where_there_is_one(
    tmp_path: Path, tiny_checkpoint: Path, stage: Callable[[Path, Path, Path], None], way_on: bool, number: int
) -> None:
    root = write_source(tmp_path / "films", [number, number + 1], {number: DAMAGED[number]})
    with pytest.raises(ImagingError, match=rf"^patient{number:05d}/study1/view1_frontal\.png: ") as told:
        stage(root, tmp_path / "out", tiny_checkpoint)
    assert ("--skip-unreadable" in str(told.value)) == way_on
    assert str(told.value).count("view1_frontal") == 1
    assert not (tmp_path / "out").is_dir() or stage is _gather


def test_a_build_goes_on_without_and_lists_every_film(source: Path, casebook: Path) -> None:
    manifest = read_manifest(casebook)
    assert [(one.case_id, one.film, one.kept) for one in manifest.unreadable] == [
        ("case-05", film(5), False),
        ("case-12", film(12), True),
        ("case-17", film(17), False),
    ]
    for one, said in zip(manifest.unreadable, ("is empty", "PNG", "neither DICOM"), strict=True):
        assert said in one.reason
        assert not one.reason.startswith(one.film)
    assert (manifest.cases, manifest.films, manifest.reports) == (CASES - 2, CASES - 3, len(REPORTED))
    assert verify(casebook) == []
    opened = Casebook.open(casebook)
    assert "case-05" not in opened
    kept = opened.case("case-12")
    assert (kept.image, kept.view, kept.report) == (None, None, "the heart is normal 12")
    assert opened.thumbnail("case-12") is None
    assert opened.thumbnail("case-11") is not None
    assert "case-12" in [one.case_id for one in search_cases(opened, Query(text="the heart is normal"), k=5).neighbours]


def test_what_is_left_is_what_a_table_without_those_films_gives(
    tmp_path: Path, casebook: Path, tiny_checkpoint: Path
) -> None:
    sound = write_source(tmp_path / "films", [one for one in range(CASES) if one not in (5, 17)], {})
    rows = (sound / "manifest.csv").read_text().replace(film(12), "")
    (sound / "manifest.csv").write_text(rows)
    out = tmp_path / "sound"
    build(request(sound, out, tiny_checkpoint, skip=False), quiet)
    for space in ("image", "text", "joint"):
        found, expected = (read_embeddings(one, space, CASES - 2).astype(np.float32) for one in (casebook, out))
        np.testing.assert_allclose(found, expected, atol=2e-3)
    thumbnails = (read_table(one / "thumbnails.parquet") for one in (casebook, out))
    assert next(thumbnails).equals(next(thumbnails))
    assert Casebook.open(casebook).case_ids[:] == Casebook.open(out).case_ids[:]


def test_where_every_film_is_sound_the_flag_changes_nothing(tmp_path: Path, tiny_checkpoint: Path) -> None:
    sound = write_source(tmp_path / "films", range(6), {})
    for skip in (False, True):
        build(request(sound, tmp_path / f"skip-{skip}", tiny_checkpoint, skip=skip), quiet)
    off, on = (read_manifest(tmp_path / f"skip-{skip}") for skip in (False, True))
    assert on.files == off.files
    assert on.unreadable == off.unreadable == ()


def test_a_build_that_was_refused_goes_on_with_the_flag(
    tmp_path: Path, source: Path, casebook: Path, tiny_checkpoint: Path
) -> None:
    out = tmp_path / "skipped"
    with pytest.raises(ImagingError, match=r"view1_frontal\.png"):
        build(request(source, out, tiny_checkpoint, skip=False), quiet)
    assert not out.exists()
    build(request(source, out, tiny_checkpoint), quiet)
    assert read_manifest(out).files == read_manifest(casebook).files
    assert read_manifest(out).unreadable == read_manifest(casebook).unreadable


def test_a_film_mended_while_a_build_lay_still_is_read(tmp_path: Path, source: Path, tiny_checkpoint: Path) -> None:
    root, out = shutil.copytree(source, tmp_path / "films"), tmp_path / "skipped"

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Calibrating":
            raise KeyboardInterrupt

    def stopped(skip: bool) -> None:
        with pytest.raises(KeyboardInterrupt):
            build(request(root, out, tiny_checkpoint, skip=skip), stop)

    stopped(True)
    shards = sorted((tmp_path / ".skipped.building" / "shards").glob("*/*.parquet"))
    before = [shard.stat().st_mtime_ns for shard in shards]
    stopped(True)  # what still cannot be read is not made again
    assert [shard.stat().st_mtime_ns for shard in shards] == before
    with pytest.raises(ImagingError, match=r"patient00005/study1"):  # nor is it kept from whoever wants all films
        build(request(root, out, tiny_checkpoint, skip=False), quiet)
    shutil.copy(root / film(6), root / film(5))
    build(request(root, out, tiny_checkpoint), quiet)
    assert [one.case_id for one in read_manifest(out).unreadable] == ["case-12", "case-17"]
    assert Casebook.open(out).thumbnail("case-05") is not None


def test_a_build_without_a_readable_film_or_report_is_refused(tmp_path: Path, tiny_checkpoint: Path) -> None:
    root = write_source(tmp_path / "films", range(3), dict.fromkeys(range(3), b""))
    with pytest.raises(DatasetError, match=r"none of the 3 films can be read.*patient00000/study1.*is empty"):
        build(request(root, tmp_path / "out", tiny_checkpoint), quiet)
    assert not (tmp_path / "out").exists()
    Image.new("L", (64, 72), 90).save(root / film(0))
    build(request(root, tmp_path / "out", tiny_checkpoint), quiet)
    assert read_manifest(tmp_path / "out").cases == 1


def test_milvus_and_subsets_have_the_same_cases(
    tmp_path: Path, source: Path, casebook: Path, tiny_checkpoint: Path
) -> None:
    pytest.importorskip("milvus_lite", reason="needs the extra [milvus]")
    out = tmp_path / "skipped"
    build(request(source, out, tiny_checkpoint, store="milvus:"), quiet)
    assert verify(out) == []
    query = Query(text="the heart is normal")
    for space in ("text", "joint"):
        found = [
            [one.case_id for one in search_cases(Casebook.open(place), Query(case_id="case-12"), k=5).neighbours]
            for place in (out, casebook)
        ]
        assert found[0] == found[1], space
    assert search_cases(Casebook.open(out), query, k=3).neighbours
    chosen = write_subset(out, ["case-11", "case-12"], tmp_path / "chosen", quiet)
    assert [one.case_id for one in chosen.unreadable] == ["case-12"]
    assert verify(tmp_path / "chosen") == []


def test_check_lists_all_at_once(source: Path) -> None:
    report = check_dataset(open_dataset("manifest", source), decode=True)
    assert [problem.file for problem in report.errors] == [film(number) for number in DAMAGED]
    assert all(str(problem).count("view1_frontal.png") == 1 for problem in report.errors)
    assert "3 undecodable (build --skip-unreadable goes on without)" in report.lines()[1]


def test_training_goes_on_without_and_takes_up_the_same_cases(tmp_path: Path, source: Path) -> None:
    root, films = shutil.copytree(source, tmp_path / "films"), tmp_path / "films.npy"
    one = Source("manifest", root)
    first = gather([one], Unified, 32, films, quiet, skip_unreadable=True)
    assert [(film.case_id, film.kept) for film in first.unreadable] == [
        ("case-05", False),
        ("case-12", True),
        ("case-17", False),
    ]
    assert len(first.examples) == CASES - 2
    assert [example.texts for example in first.examples if example.film is None] == [("the heart is normal 12",)]
    sound = Manifest(root)
    for example, case in zip(
        first.examples, [case for case in sound.cases() if case.case_id not in ("case-05", "case-17")], strict=True
    ):
        if example.film is not None:
            assert first.films[example.film].any()
            assert case.image is not None
    shutil.copy(root / film(6), root / film(5))
    again = gather([one], Unified, 32, films, quiet, skip_unreadable=True)
    assert again.origin == first.origin
    assert len(again.examples) == len(first.examples)
    with pytest.raises(ImagingError, match=r"patient000(12|17)/study1/view1_frontal\.png.*--skip-unreadable"):
        gather([one], Unified, 32, films, quiet)
    for number in (12, 17):
        shutil.copy(root / film(6), root / film(number))
    whole = gather([one], Unified, 32, films, quiet)
    assert len(whole.examples) == CASES
    assert whole.origin != first.origin
    assert whole.unreadable == ()


def test_training_on_nothing_but_damaged_films_is_refused(tmp_path: Path) -> None:
    root = write_source(tmp_path / "films", [0, 3], {0: b""})
    with pytest.raises(DatasetError, match="no training cases"):
        gather([Source("manifest", root)], Unified, 32, tmp_path / "films.npy", quiet, skip_unreadable=True)


def test_a_deidentified_copy_goes_on_without(tmp_path: Path, source: Path) -> None:
    dataset = open_dataset("manifest", source)
    out = tmp_path / "copy"
    report = write_deidentified(dataset, dataset.cases(), out, Pseudonyms(b"k" * 32), quiet, skip_unreadable=True)
    assert (report.cases, report.films) == (CASES - 2, CASES - 3)
    assert [one.split(": ")[0] for one in report.unreadable] == [film(number) for number in DAMAGED]
    assert [line for line in report.lines() if film(17) in line]
    copied = Manifest(out)
    assert sum(case.image is None for case in copied.cases()) == 1
    assert "view1_frontal" not in (out / "manifest.jsonl").read_text()


def test_nothing_left_to_copy_is_told(tmp_path: Path) -> None:
    root = write_source(tmp_path / "films", range(2), dict.fromkeys(range(2), b""))
    dataset = open_dataset("manifest", root)
    with pytest.raises(DatasetError, match=r"no case is left to copy.*patient00000/study1.*is empty"):
        write_deidentified(
            dataset, dataset.cases(), tmp_path / "copy", Pseudonyms(b"k" * 32), quiet, skip_unreadable=True
        )
    assert not (tmp_path / "copy").exists()


def test_the_command_line_lists_them_at_the_end(
    tmp_path: Path, source: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    place = ["--dataset", "manifest", "--root", str(source), "--out", str(out), "--checkpoint", str(tiny_checkpoint)]
    app(["build", *place, "--skip-unreadable"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4] == "films that cannot be read: 3; cases left out: 2"
    assert lines[-3].startswith(f"  {film(5)}: ")
    assert lines[-3].endswith("(case 'case-05' left out)")
    assert lines[-2].endswith("(case 'case-12' kept without it)")
    written = json.loads((out / "manifest.json").read_text())
    assert [one["film"] for one in written["unreadable"]] == [film(number) for number in DAMAGED]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("folder", "is a folder, not a file"),
        ("dangling", "is a link to nothing, not a file"),
        ("loop", r"cannot be reached \(Too many levels of symbolic links\)"),
        ("pipe", "is a device or pipe, not a file"),
        ("other case", r"but .A\.png. is: the same name in another case of its letters"),
        ("folder of other case", r"is not a file in .*\. Copy it there or correct the path"),
        ("absent", r"is not a file in .*\. Copy it there or correct the path"),
    ],
)
def test_a_name_that_is_no_file_is_told_for_what_it_is(tmp_path: Path, kind: str, words: str) -> None:
    place = tmp_path / "a.png"
    if kind == "folder":
        place.mkdir()
    elif kind == "dangling":
        place.symlink_to("nothing.png")
    elif kind == "loop":
        place.symlink_to("a.png")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "other case":
        (tmp_path / "A.png").write_bytes(b"film")
    elif kind == "folder of other case":
        (tmp_path / "A.png").mkdir()
    with pytest.raises(ImagingError, match=words) as told:
        FilmFolder(tmp_path).path("a.png")
    assert "Unicode" not in str(told.value)
