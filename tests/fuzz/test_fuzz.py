"""A small part of the 10,000 inputs of `run_fuzz.py`, and the faults that those found."""

from __future__ import annotations

import shutil
from pathlib import Path

import fuzz_inputs as inputs
import numpy as np
import pytest
from fuzz_mutation import mutated, with_png_sums
from imaging_samples import codes, dicom, picture
from run_fuzz import fuzz

from explorer.casebook import Casebook
from explorer.search.filters.expression import parse_filter
from explorer.search.phrases import shared_phrases
from explorer.search.query import Query
from explorer.search.search import search_cases
from index_builder.datasets.own.manifest import Manifest
from index_builder.datasets.published.openi import OpenI
from index_builder.errors import DatasetError, ImagingError, QueryError
from index_builder.imaging import decode_film

#: Kind and inputs of it: those made to do harm, which come first, and some mutated ones.
COUNTS = {"dicom": 90, "png": 40, "jpeg": 40, "table": 60, "parquet": 50, "text": 40, "profile": 20, "pixels": 15}


def test_mutations_are_the_same_in_every_run() -> None:
    from random import Random

    data = picture(codes(8).astype(np.uint8))
    first, again = (mutated(data, [data], inputs.PICTURE_WORDS, Random("7")) for _ in range(2))
    assert first == again != data
    assert with_png_sums(data) == data
    assert with_png_sums(data[:-1] + b"\0") == data


@pytest.mark.parametrize("kind", COUNTS)
def test_no_input_crashes_hangs_or_takes_a_gigabyte(kind: str, small_casebook: Path, profile_casebook: Path) -> None:
    report = fuzz(kind, COUNTS[kind], small_casebook, profile_casebook)
    assert report.faults == {}
    assert sum(report.outcomes.values()) == COUNTS[kind]
    assert report.outcomes["refused"]
    assert 20 < report.peak_mib < 1024


def test_a_hang_and_hoarded_memory_are_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The harness itself: what it stands for is worth nothing unless it notices."""
    import run_fuzz

    shutil.copy(run_fuzz.__file__, tmp_path / "run_fuzz.py")
    (tmp_path / "fuzz_targets.py").write_text(
        "import pathlib, tempfile\n"
        "class Aim:\n"
        "    def input(self, kind, number): return number\n"
        "    @staticmethod\n"
        "    def check(number):\n"
        "        if number == 1:\n"
        "            while True: pass\n"
        "        if number == 2: b'x' * (1100 * 2**20)\n"
        "        if number == 3: raise ValueError('escaped')\n"
        "        if number == 4: import os; os.abort()\n"
        "def target(*_): return Aim()\n"
        "def scratch_folder(): return pathlib.Path(tempfile.mkdtemp())\n"
        "def outcome(check, given): check(given); return 'taken'\n",
        "utf-8",
    )
    monkeypatch.setattr(run_fuzz, "_HERE", tmp_path)
    report = fuzz("any", 6, tmp_path, tmp_path)
    assert sorted(report.faults) == [1, 2, 3, 4]
    assert "processor time" in report.faults[1]
    assert "MiB" in report.faults[2]
    assert "ValueError" in report.faults[3]
    assert "died with -6" in report.faults[4]


@pytest.mark.parametrize("make", [*inputs.hostile_dicom()][3:8])
def test_dicom_files_of_millions_of_parts_are_refused(make: object) -> None:
    with pytest.raises(ImagingError):
        decode_film(make(), name="film")  # type: ignore[operator]


def test_strips_are_no_films() -> None:
    with pytest.raises(ImagingError, match="20,000 a side"):
        decode_film(picture(np.zeros((20_001, 2), np.uint8)), name="film")


def test_colour_is_converted_band_by_band_to_the_same_luminance() -> None:
    stored = np.stack([codes(8, 700, 40)] * 3, -1)
    stored[..., 0] = 255 - stored[..., 0]
    film = decode_film(dicom(stored, 8, allocated=8), name="film")
    np.testing.assert_allclose(film.pixels, stored / 255 @ np.array([0.299, 0.587, 0.114]), atol=1e-5)


def test_fields_that_differ_from_line_to_line_cost_no_more_than_the_file(tmp_path: Path) -> None:
    lines = ['{"id":"%d","text":"Clear.","k%d":"x"}' % (number, number) for number in range(3000)]  # noqa: UP031
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines), "utf-8")
    cases = Manifest(tmp_path).cases()
    assert [case.case_id for case in cases] == [str(number) for number in range(3000)]
    assert {case.report for case in cases} == {"Clear."}


def test_endless_records_are_refused(tmp_path: Path) -> None:
    for name, content in (("csv", "id,text\na,b" + ",xyz" * 3_000_000), ("jsonl", '{"text":[' + "11," * 4_000_000)):
        (tmp_path / f"manifest.{name}").write_text(content, "utf-8")
        with pytest.raises(DatasetError, match="more than 8,000,000 characters"):
            Manifest(tmp_path / f"manifest.{name}").cases()


@pytest.mark.parametrize("make", [*inputs.hostile_parquet()][:4])
def test_parquet_bombs_and_unknown_time_zones_are_refused(make: object, tmp_path: Path) -> None:
    (tmp_path / "manifest.parquet").write_bytes(make())  # type: ignore[operator]
    with pytest.raises(DatasetError, match=r"unpack to far more|not a readable Parquet"):
        Manifest(tmp_path).cases()


def test_a_report_of_a_megabyte_is_read(tmp_path: Path) -> None:
    report = [*inputs.hostile_xml()][4]()
    (tmp_path / "1.xml").write_bytes(report)
    (case,) = OpenI(reports=tmp_path).cases()
    assert len(case.report) > 500_000
    assert shared_phrases("pleural effusion", case.report) == ("effusion",)


def test_reports_that_vanish_or_are_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "1.xml").mkdir()
    with pytest.raises(DatasetError, match=r"1\.xml cannot be read"):
        OpenI(reports=tmp_path).cases()


def test_texts_that_cannot_be_searched_with_are_refused(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    for text, reason in (("effusion " * 3000, "27,000 characters"), ("large heart \ud800", "not valid Unicode")):
        with pytest.raises(QueryError, match=reason):
            search_cases(casebook, Query(text=text))
    with pytest.raises(QueryError, match="at most 2,000"):
        parse_filter("a" + " " * 200_000)


def test_absurd_numbers_in_a_profile_are_refused(profile_casebook: Path) -> None:
    casebook = Casebook.open(profile_casebook)
    for age in (10**400, float("inf"), float("nan")):
        with pytest.raises(QueryError, match="not plausible"):
            search_cases(casebook, Query(profile={"age": age}))
