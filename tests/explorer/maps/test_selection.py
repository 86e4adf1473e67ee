"""What chosen cases have more often, by hand and against SciPy; and as files."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, fisher_exact, hypergeom
from scipy.stats.contingency import odds_ratio

from explorer import Casebook, Query
from explorer.maps.selection import label_excess, selection_csv, selection_zip
from explorer.search.search import search_cases
from index_builder.build.subset import write_subset
from index_builder.casebook.manifest import read_manifest, read_maps, verify
from index_builder.casebook.thumbnails import ThumbnailReader
from index_builder.errors import CasebookError


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def test_odds_ratio_by_hand() -> None:
    # Of 8 chosen 6 carry it, of 12 others 3 do: odds 3 to 1/3.
    carried = np.array([True] * 6 + [False] * 2 + [True] * 3 + [False] * 9)
    labels = np.stack([carried, np.zeros(20, bool), np.ones(20, bool)], 1)
    chosen = np.arange(20) < 8
    found = {one.label: one for one in label_excess(labels, ("A", "never", "always"), chosen)}
    assert set(found) == {"A", "always"}
    one = found["A"]
    assert (one.chosen, one.chosen_share, one.others_share) == (6, 0.75, 0.25)
    assert one.odds_ratio == pytest.approx(9)
    spread = 1.959964 * (1 / 6 + 1 / 2 + 1 / 3 + 1 / 9) ** 0.5
    assert one.interval == pytest.approx((9 * np.exp(-spread), 9 * np.exp(spread)))
    # Two-sided: all tables as unlikely as this one or more.
    outcomes = hypergeom(20, 9, 8)
    assert one.p == pytest.approx(
        sum(outcomes.pmf(k) for k in range(9) if outcomes.pmf(k) <= outcomes.pmf(6) * 1.0000001)
    )
    assert one.q == pytest.approx(min(1, 2 * one.p))
    # A zero cell: a half is added to each.
    assert found["always"].odds_ratio == pytest.approx((8.5 * 0.5) / (0.5 * 12.5))
    assert found["always"].p == 1


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 5))
def test_against_scipy(seed: int, cases: int, kinds: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.random((cases, kinds)) < random.random(kinds)
    chosen = random.random(cases) < 0.4
    names = [f"label {number}" for number in range(kinds)]
    found = label_excess(labels, names, chosen)
    if not chosen.any() or chosen.all():
        assert found == []
        return
    tables = {
        name: np.array(
            [[(held & chosen).sum(), (~held & chosen).sum()], [(held & ~chosen).sum(), (~held & ~chosen).sum()]]
        )
        for name, held in zip(names, labels.T, strict=True)
        if held.any()
    }
    assert {one.label for one in found} == set(tables)
    expected = (
        dict(
            zip(tables, false_discovery_control([fisher_exact(table).pvalue for table in tables.values()]), strict=True)
        )
        if tables
        else {}
    )
    for one in found:
        table = tables[one.label]
        assert one.q == pytest.approx(expected[one.label])
        if (table > 0).all():
            sample = odds_ratio(table, kind="sample")
            assert one.odds_ratio == pytest.approx(sample.statistic)
            assert one.interval == pytest.approx(tuple(sample.confidence_interval(0.95)), rel=1e-5)
    assert [one.q for one in found] == sorted(one.q for one in found)


def test_chance_selections_are_seldom_called_different() -> None:
    random = np.random.default_rng(0)
    labels = random.random((400, 20)) < 0.2
    names = [str(number) for number in range(20)]
    alarms = [any(one.notable for one in label_excess(labels, names, random.random(400) < 0.2)) for _ in range(30)]
    assert np.mean(alarms) < 0.15


@pytest.fixture(scope="module")
def casebook(small_casebook: Path) -> Casebook:
    return Casebook.open(small_casebook)


def test_csv_of_chosen_cases_without_patients_and_formulas(casebook: Casebook) -> None:
    rows = np.array([0, 4, 17])
    found = list(csv.DictReader(io.StringIO(selection_csv(casebook, rows, "joint", "umap3d").decode("utf-8-sig"))))
    assert [row["case_id"] for row in found] == ["case-000", "case-004", "case-017"]
    assert {"labels", "cluster", "x", "y", "z", "age", "sex", "split", "casebook"} <= set(found[0])
    assert float(found[1]["z"]) == pytest.approx(casebook.projection("joint", "umap3d")[4, 2], abs=1e-4)
    assert not any("patient" in name or "patient" in value for row in found for name, value in row.items())


@pytest.fixture(scope="module")
def subset(casebook: Casebook, tmp_path_factory: pytest.TempPathFactory) -> Casebook:
    out = tmp_path_factory.mktemp("subsets") / "chosen"
    write_subset(casebook.folder, [f"case-{number:03d}" for number in (9, *range(60, 140), 9)], out, quiet)
    return Casebook.open(out)


def test_a_subset_is_a_sound_casebook_of_the_same_cases(casebook: Casebook, subset: Casebook) -> None:
    assert verify(subset.folder) == []
    assert list(subset.case_ids) == [f"case-{number:03d}" for number in (9, *range(60, 140))]
    rows = [casebook.row(case_id) for case_id in subset.case_ids]
    for row, case_id in enumerate(subset.case_ids):
        assert subset.case(case_id) == casebook.case(case_id)
        assert subset.thumbnail(case_id) == casebook.thumbnail(case_id)
        assert subset.labels[row] == casebook.labels[rows[row]]
    for space in casebook.spaces:
        np.testing.assert_array_equal(subset.vectors(space), casebook.vectors(space)[rows])
        for name in casebook.map_names(space):
            np.testing.assert_array_equal(subset.projection(space, name), casebook.projection(space, name)[rows])
    manifest = read_manifest(subset.folder)
    assert manifest.subset_of is not None
    assert casebook.manifest.digest in manifest.subset_of
    assert (manifest.cases, manifest.films) == (81, sum(subset.thumbnail(one) is not None for one in subset.case_ids))
    assert manifest.system == casebook.manifest.system


def test_a_subset_searches_as_the_casebook_does_among_these_cases(casebook: Casebook, subset: Casebook) -> None:
    query = Query(text="small left pleural effusion")
    everything = search_cases(casebook, query, k=200).neighbours
    expected = [one.case_id for one in everything if one.case_id in subset][:5]
    assert [one.case_id for one in search_cases(subset, query, k=5).neighbours] == expected


def test_maps_of_a_subset_are_measured_on_it(casebook: Casebook, subset: Casebook) -> None:
    for space, found in read_maps(subset.folder).spaces.items():
        held = int(subset.has_vector(space).sum())
        assert all(record.cases == held for record in found.maps.values())
        clusters = subset.clusters(space)
        assert [one.cases for one in found.clusters] == [(clusters == n).sum() for n in range(len(found.clusters))]
        same = casebook.clusters(space)[[casebook.row(case_id) for case_id in subset.case_ids]]
        assert ((clusters[:, None] == clusters) == (same[:, None] == same)).all()


def test_a_subset_of_a_subset_and_of_one_case(subset: Casebook, tmp_path: Path) -> None:
    write_subset(subset.folder, ["case-070"], tmp_path / "one", quiet)
    one = Casebook.open(tmp_path / "one")
    assert verify(one.folder) == []
    assert search_cases(one, Query(case_id="case-070"), k=1).neighbours == ()
    assert all(sum(group.cases for group in found.clusters) <= 1 for found in one.maps.spaces.values())
    assert one.projection("joint").shape == (1, 2)


def test_what_cannot_be_a_subset(casebook: Casebook, subset: Casebook, tmp_path: Path) -> None:
    with pytest.raises(CasebookError, match="no case 'nobody'"):
        write_subset(casebook.folder, ["case-001", "nobody"], tmp_path / "out", quiet)
    with pytest.raises(CasebookError, match="no case named"):
        write_subset(casebook.folder, [], tmp_path / "out", quiet)
    with pytest.raises(CasebookError, match="--replace"):
        write_subset(casebook.folder, ["case-001"], subset.folder, quiet)
    with pytest.raises(CasebookError, match="its own subset"):
        write_subset(subset.folder, ["case-070"], subset.folder, quiet, replace=True)
    assert not (tmp_path / "out").exists()
    assert verify(subset.folder) == []


def test_a_zip_holds_a_sound_casebook(casebook: Casebook, tmp_path: Path) -> None:
    content = selection_zip(casebook, np.arange(5, 30), "five-to-thirty")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"five-to-thirty"}
        archive.extractall(tmp_path)
    assert verify(tmp_path / "five-to-thirty") == []
    assert list(Casebook.open(tmp_path / "five-to-thirty").case_ids) == [
        f"case-{number:03d}" for number in range(5, 30)
    ]


def test_subset_on_the_command_line_takes_ids_the_page_s_csv_and_filters(casebook: Casebook, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("case-003\n\ncase-001\n", "utf-8")
    (tmp_path / "page.csv").write_bytes(selection_csv(casebook, np.arange(40), "joint", "umap"))
    female = [case_id for case_id in casebook.case_ids[:40] if casebook.case(case_id).profile["sex"] == "F"]
    for arguments, expected in (
        (["--cases", tmp_path / "ids.txt"], ["case-001", "case-003"]),
        (["--cases", tmp_path / "page.csv", "--filter", "sex=F"], female),
    ):
        out = tmp_path / f"out-{len(expected)}"
        done = _run("subset", casebook.folder, *arguments, "--out", out)
        assert done.returncode == 0, done.stderr
        assert f"{len(expected)} cases" in done.stdout
        assert list(Casebook.open(out).case_ids) == expected
    done = _run("subset", casebook.folder, "--out", tmp_path / "none")
    assert done.returncode == 2
    assert "--cases" in done.stderr
    done = _run("maps", casebook.folder)
    assert done.returncode == 0
    assert "cluster 1" in done.stdout
    assert "tsne" in done.stdout


def test_thumbnails_are_read_by_group_and_a_damaged_file_is_told(casebook: Casebook, tmp_path: Path) -> None:
    reader = ThumbnailReader(casebook.folder / "thumbnails.parquet")
    assert reader[4] is None
    assert reader[0] == reader[1]  # a copy of the first film
    assert reader[298][:2] == b"\xff\xd8"
    with pytest.raises(IndexError):
        reader[300]
    damaged = tmp_path / "thumbnails.parquet"
    damaged.write_bytes(b"PAR1 not really")
    with pytest.raises(CasebookError, match="unreadable"):
        ThumbnailReader(damaged)


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "explorer.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
