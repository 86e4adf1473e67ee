"""Studies of several films in a casebook: every film embedded, a case found by all of them, laterals by themselves."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from explorer import Casebook
from index_builder.build.build import BuildRequest, build
from index_builder.build.subset import write_subset
from index_builder.calibration.held_out import read_answers
from index_builder.casebook.films import FilmTable, film_counts, read_films
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import read_manifest, verify, write_manifest
from index_builder.casebook.thumbnails import ThumbnailReader
from index_builder.cases.case import Case, CaseFilm
from index_builder.cases.space import SPACES
from index_builder.cases.table import case_from_row, cases_table
from index_builder.datasets import open_dataset
from index_builder.errors import CasebookError
from index_builder.systems.graphs.cases import encode_cases, fused
from index_builder.systems.registry import load_system
from index_builder.systems.running.opening import open_encoder


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def opened(folder: Path) -> tuple[Casebook, FilmTable]:
    casebook = Casebook.open(folder)
    table = casebook.case_films.table
    assert table is not None
    return casebook, table


def test_a_case_names_its_films_and_keeps_their_views_in_the_table() -> None:
    case = Case("a", "p", "train", (), "1.png", ("2.png", "3.png"), "PA", other_views=("LATERAL", None))
    assert case.films == (CaseFilm("1.png", "PA"), CaseFilm("2.png", "LATERAL"), CaseFilm("3.png", None))
    assert case.with_films(case.films) == case
    without = case.with_films(case.films[1:])
    assert (without.image, without.view, without.other_images, without.other_views) == (
        "2.png",
        "LATERAL",
        ("3.png",),
        (),
    )
    assert case.with_films(()).films == ()
    several = [case, without, Case("b", "q", "test", ())]
    assert [case_from_row(row) for row in cases_table(several).to_pylist()] == several
    assert "other_views" not in cases_table(several[1:]).column_names


def test_a_manifest_tells_the_views_of_further_films(tmp_path: Path, study_folder: Path) -> None:
    cases = {case.case_id: case for case in open_dataset("manifest", study_folder).cases()}
    assert [film.view for film in cases["study-000"].films] == ["PA", "LATERAL"]
    assert [film.view for film in cases["study-004"].films] == ["PA", "LATERAL", "LATERAL"]
    assert [film.view for film in cases["study-006"].films] == ["PA", None]
    assert [film.view for film in cases["study-095"].films] == ["LATERAL"]
    folder = shutil.copytree(study_folder, tmp_path / "other")
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    rows[0]["other_views"], rows[4]["other_views"] = "LATERAL|PA", "LATERAL|sideways"
    rows[1]["image"] = ""  # the first further film stands in
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    dataset = open_dataset("manifest", folder)
    odd = {case.case_id: case for case in dataset.cases()}
    assert [film.view for film in odd["study-000"].films] == ["PA", None]
    assert [film.view for film in odd["study-004"].films] == ["PA", None, None]
    assert odd["study-001"].films == (CaseFilm("001-2.png", "LATERAL"),)
    told = [problem.message for problem in dataset.problems()]  # type: ignore[attr-defined]
    assert any("2 views for 1 films" in one for one in told)
    assert any("'sideways' is not a view" in one for one in told)


def test_every_film_is_embedded_and_a_case_is_the_sum_of_its_films(study_casebook: Path, study_folder: Path) -> None:
    assert verify(study_casebook) == []
    casebook, films = opened(study_casebook)
    cases = [casebook.case(case_id) for case_id in casebook.case_ids]
    expected = [(row, film.reference, film.view) for row, case in enumerate(cases) for film in case.films]
    assert (
        list(zip(films.rows.tolist(), films.references.to_pylist(), films.views.to_pylist(), strict=True)) == expected
    )
    assert casebook.manifest.films == len(films) == film_counts(cases).sum()
    system = load_system(study_casebook / "system")
    for row in (0, 2, 4, 95):
        with torch.inference_mode():
            inputs = [system.prepare(casebook.film(film.reference).pixels) for film in cases[row].films]
            alone = system.encode_images(torch.from_numpy(np.stack(inputs))).vector.numpy()
        np.testing.assert_allclose(films.vectors[films.rows == row], alone, atol=5e-3)
        total = alone.sum(axis=0)
        np.testing.assert_allclose(casebook.vectors("image")[row], total / np.linalg.norm(total), atol=5e-3)
    assert films.primary.tolist() == [films.rows.tolist().index(row) for row in range(96)]


def test_a_case_is_joined_by_its_first_film_as_before(study_casebook: Path) -> None:
    encoder = open_encoder(study_casebook / "system")
    random = np.random.default_rng(0)
    pixels = random.random((3, 64, 64), dtype=np.float32)
    both = encode_cases(encoder, pixels, np.array([2, 0, 1]), ["heart", "lung clear", ""])
    first = encode_cases(encoder, pixels[[0, 2]], np.array([1, 0, 1]), ["heart", "lung clear", ""])
    for space in ("text", "joint"):
        np.testing.assert_allclose(both.spaces[space], first.spaces[space], atol=1e-5)
    np.testing.assert_allclose(both.spaces["image"][1:], first.spaces["image"][1:], atol=1e-6)
    assert not np.allclose(both.spaces["image"][0], first.spaces["image"][0], atol=1e-3)
    assert both.films.shape == (3, 16)
    assert both.features.shape[0] == 3
    one = random.random((2, 16), dtype=np.float32)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    assert np.array_equal(fused(one, np.array([1, 1])), one)


def test_small_copies_and_the_check_are_of_every_film(study_casebook: Path) -> None:
    casebook, films = opened(study_casebook)
    small = ThumbnailReader(Layout(study_casebook).film_thumbnails)
    assert [small[film] is None for film in range(len(films))] == [film in films.primary for film in range(len(films))]
    case = casebook.case("study-004")
    copies = [casebook.case_films.small_copy("study-004", film.reference) for film in case.films]
    assert copies[0] == casebook.thumbnail("study-004")
    assert all(copies)
    assert len(set(copies)) == 3
    check = casebook.film_check
    assert check is not None
    assert check.views is not None
    assert check.films is not None
    assert check.films.tolist() == list(range(len(films)))
    assert check.rows.tolist() == films.rows.tolist()
    own = {"LATERAL": 1, "PA": 0, None: -1}
    assert check.views.tolist() == [own[view] for view in films.views.to_pylist()]
    for film in range(0, len(films), 9):
        share = check.lateral_share(check.references[film], check.rows == check.rows[film])
        assert share == (0 if film in films.primary and films.rows[film] != 95 else 1)


def test_validation_cases_ask_with_one_film_and_with_all(study_casebook: Path) -> None:
    casebook, films = opened(study_casebook)
    answers = read_answers(Layout(study_casebook).held_out)
    val = np.flatnonzero(np.array([casebook.case(one).split == "val" for one in casebook.case_ids]))
    counts = np.bincount(films.rows)
    assert len(answers["image", "vote"].truth) == len(val) == 24
    assert ("films", "vote") not in answers  # 16 validation studies have several films, too few
    assert (counts[val] > 1).sum() < 20
    assert casebook.held_out.keys() == answers.keys()


def test_a_casebook_without_further_films_has_none_of_it(small_casebook: Path) -> None:
    layout, manifest = Layout(small_casebook), read_manifest(small_casebook)
    assert manifest.each_film is None
    assert not any(path.exists() for path in (layout.films, layout.film_thumbnails, layout.film_embeddings))
    casebook = Casebook.open(small_casebook)
    assert casebook.case_films.table is None
    assert not casebook.case_films.has_lateral.any()
    check = casebook.film_check
    assert check is not None
    assert check.films is None
    assert check.lateral_share(check.references[0]) is None


def test_an_older_casebook_still_opens_with_its_primary_films(tmp_path: Path, study_casebook: Path) -> None:
    folder = shutil.copytree(study_casebook, tmp_path / "older")
    layout = Layout(folder)
    for path in (layout.films, layout.film_thumbnails, layout.film_embeddings, *layout.indexes.glob("laterals*")):
        path.unlink()
    content = json.loads(layout.manifest.read_text())
    del content["each_film"], content["digest"]
    content["schema_version"] = 6
    content["files"] = {name: digest for name, digest in content["files"].items() if (folder / name).exists()}
    layout.manifest.write_text(json.dumps(content))
    write_manifest(folder, read_manifest(folder))
    assert verify(folder) == []
    casebook = Casebook.open(folder)
    assert casebook.manifest.schema_version == 6
    assert casebook.case_films.table is None
    assert np.flatnonzero(casebook.case_films.has_lateral).tolist() == [95]
    assert casebook.case_films.small_copy("study-000", "000-2.png") is None


def test_a_subset_keeps_the_films_of_its_cases(tmp_path: Path, study_casebook: Path) -> None:
    source, films = opened(study_casebook)
    chosen = [*(f"study-{number:03d}" for number in range(4, 40)), "study-095"]
    write_subset(study_casebook, chosen, tmp_path / "part", quiet)
    assert verify(tmp_path / "part") == []
    part, kept = opened(tmp_path / "part")
    numbers = films.of_rows([source.row(case_id) for case_id in chosen])
    assert kept.references.to_pylist() == [films.references[number].as_py() for number in numbers.tolist()]
    np.testing.assert_array_equal(kept.vectors, films.vectors[numbers])
    assert part.case_films.small_copy("study-004", "004-3.png") == source.case_films.small_copy(
        "study-004", "004-3.png"
    )
    check = part.film_check
    assert check is not None
    assert check.films is not None
    assert [part.case_ids[row] for row in check.rows] == [part.case_ids[kept.rows[film]] for film in check.films]
    alone = [f"study-{number:03d}" for number in range(2, 90, 3)]
    write_subset(study_casebook, alone, tmp_path / "alone", quiet)
    assert verify(tmp_path / "alone") == []
    assert read_manifest(tmp_path / "alone").each_film is None
    assert Casebook.open(tmp_path / "alone").case_films.table is None


def test_a_further_film_that_cannot_be_read_is_left_out_alone(
    tmp_path: Path, study_folder: Path, tiny_checkpoint: Path
) -> None:
    folder = shutil.copytree(study_folder, tmp_path / "films")
    (folder / "000-2.png").write_bytes(b"no film")  # the lateral of a case without a report
    (folder / "001-1.png").write_bytes(b"")  # the frontal film of a case whose lateral is sound
    (folder / "008-1.png").write_bytes(b"")  # all there is of a case
    out = tmp_path / "casebook"
    build(BuildRequest("manifest", folder, out, tiny_checkpoint, skip_unreadable=True), quiet)
    assert verify(out) == []
    assert [(one.case_id, one.film, one.kept) for one in read_manifest(out).unreadable] == [
        ("study-000", "000-2.png", True),
        ("study-001", "001-1.png", True),
        ("study-008", "008-1.png", False),
    ]
    casebook, films = opened(out)
    assert casebook.case("study-000").films == (CaseFilm("000-1.png", "PA"),)
    assert casebook.case("study-001").films == (CaseFilm("001-2.png", "LATERAL"),)
    assert "study-008" not in casebook
    row = casebook.row("study-001")
    np.testing.assert_array_equal(films.vectors[films.rows == row][0], casebook.vectors("image")[row])
    assert casebook.thumbnail("study-001") is not None


def test_the_same_films_give_the_same_bytes(
    tmp_path: Path, study_folder: Path, study_casebook: Path, tiny_checkpoint: Path
) -> None:
    out = tmp_path / "again"
    build(BuildRequest("manifest", study_folder, out, tiny_checkpoint), quiet)
    assert read_manifest(out).files == read_manifest(study_casebook).files


def test_damaged_films_are_explained(tmp_path: Path, study_casebook: Path) -> None:
    folder = shutil.copytree(study_casebook, tmp_path / "damaged")
    count = len(opened(study_casebook)[1])
    with pytest.raises(CasebookError, match=rf"films\.parquet: {count} films where the manifest says 3"):
        read_films(folder, 3)
    np.save(Layout(folder).film_embeddings, np.zeros((2, 16), np.float16))
    with pytest.raises(CasebookError, match=rf"films\.npy: shape \(2, 16\) for {count} films"):
        read_films(folder, count)
    assert set(SPACES) == {"image", "text", "joint"}  # the films are no space of their own
