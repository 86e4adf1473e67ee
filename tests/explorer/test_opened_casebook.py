"""An opened casebook gives back what was built in, and refuses what does not fit together."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from explorer import Casebook, Query
from explorer.search.search import search_cases
from index_builder.datasets import open_dataset
from index_builder.errors import CasebookError, CxrError, QueryError


def test_cases_columns_and_films_are_those_of_the_source(small_casebook: Path, film_folder: Path) -> None:
    casebook = Casebook.open(small_casebook)
    cases = open_dataset("manifest", film_folder).cases()
    assert [casebook.case(case.case_id) for case in cases] == list(cases)
    assert casebook.column("report").tolist() == [case.report for case in cases]
    assert casebook.column("split").tolist() == [case.split for case in cases]
    ages = [float(case.profile.get("age", np.nan)) for case in cases]
    np.testing.assert_array_equal(casebook.column("age"), ages)
    assert [casebook.labels[row] for row in range(300)] == [case.labels for case in cases]
    assert casebook.thumbnail("case-004") is None
    assert casebook.film("000.png").pixels.shape == (72, 64)
    assert casebook.map_names("joint") == ("umap", "tsne", "umap3d")
    assert casebook.projection("joint").shape == (300, 2)
    assert casebook.projection("joint", "umap3d").shape == (300, 3)
    assert casebook.clusters("joint").shape == (300,)
    assert casebook.distinct("view") == ["AP", "PA"]
    with pytest.raises(QueryError, match="no pca map"):
        casebook.projection("joint", "pca")
    assert "case-004" in casebook
    assert "nobody" not in casebook


def test_a_search_knows_its_system_without_loading_it(small_casebook: Path, profile_casebook: Path) -> None:
    record = Casebook.open(small_casebook).manifest.system
    assert (record.name, record.reads, record.predicts_by) == ("unified", "report", "classifier")
    assert (record.label_names, record.vote_neighbours, record.theta) == (("Cardiomegaly", "Normal"), 7, None)
    record = Casebook.open(profile_casebook).manifest.system
    assert (record.name, record.reads, record.predicts_by) == ("siclip", "profile", "vote")
    assert (record.vote_neighbours, record.theta) == (5, None)


def test_unknown_things_are_named(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    for call, said in (
        (lambda: casebook.case("nobody"), "nobody"),
        (lambda: casebook.column("shoe"), "shoe"),
        (lambda: casebook.film("../secret.png"), "secret"),
        (lambda: casebook.film("absent.png"), "absent"),
    ):
        with pytest.raises(CxrError, match=said):
            call()


def test_a_copied_casebook_needs_neither_its_source_nor_its_place(
    tmp_path: Path, small_casebook: Path, film_folder: Path
) -> None:
    copy = Casebook.open(shutil.copytree(small_casebook, tmp_path / "copy"))
    original = Casebook.open(small_casebook)
    query = Query(text="small effusion")
    assert [n.case_id for n in search_cases(copy, query).neighbours] == [
        n.case_id for n in search_cases(original, query).neighbours
    ]
    assert copy.thumbnail("case-000") == original.thumbnail("case-000")


def test_an_index_of_another_build_is_refused(tmp_path: Path, small_casebook: Path) -> None:
    from index_builder.stores.base import case_keys

    folder = shutil.copytree(small_casebook, tmp_path / "copy")
    keys = folder / "index" / "text.keys.npy"
    np.save(keys, case_keys([f"stranger-{number}" for number in range(len(np.load(keys)))]))
    with pytest.raises(CasebookError, match="not of one build"):
        search_cases(Casebook.open(folder), Query(text="effusion"))


def test_other_weights_than_those_that_embedded_are_refused(tmp_path: Path, small_casebook: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "copy")
    weights = folder / "system" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CasebookError, match=r"model\.safetensors: not what embedded these cases"):
        _ = Casebook.open(folder).system
    weights.unlink()
    with pytest.raises(CasebookError, match=r"model\.safetensors: not what embedded these cases"):
        _ = Casebook.open(folder).system


def test_a_space_without_vectors_is_refused(tmp_path: Path, tiny_checkpoint: Path) -> None:
    from index_builder.build.build import BuildRequest, build

    root = tmp_path / "texts"
    root.mkdir()
    (root / "manifest.csv").write_text("case_id,report\na,normal heart\nb,small effusion\nc,clear lung\n")
    out = tmp_path / "texts-casebook"
    build(BuildRequest("manifest", root, out, tiny_checkpoint), lambda stage, done, total: None)
    casebook = Casebook.open(out)
    assert casebook.spaces == ("text", "joint")
    with pytest.raises(QueryError, match="no image space"):
        casebook.store("image")
    assert len(search_cases(casebook, Query(text="effusion"), k=5).neighbours) == 3
    assert len(search_cases(casebook, Query(case_id="a"), k=5).neighbours) == 2
