"""Maps show every case once, in the colour of its field, and a query among its neighbours."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from explorer import Casebook, Query, SearchOptions
from explorer.charts.palette import ABSENT, CATEGORIES, SEQUENCE
from explorer.maps.colouring import (
    CLUSTER,
    ERROR,
    MAIN_FINDING,
    PREDICTION,
    SHAPES,
    UNCERTAINTY,
    colour_fields,
    colouring,
    shape_fields,
    shapes,
)
from explorer.maps.points import MapPoints, map_points, matched_positions, neighbours_kept, place_query
from explorer.maps.refit import refit
from explorer.search.search import search_cases
from index_builder.cases.space import Space
from index_builder.errors import QueryError


@pytest.fixture(scope="module")
def casebook(small_casebook: Path) -> Casebook:
    return Casebook.open(small_casebook)


def points_of(casebook: Casebook, space: Space, field: str) -> MapPoints:
    everyone = np.ones(len(casebook), bool)
    return map_points([casebook.projection(space)], colouring(casebook, space, field), everyone)


def test_map_leaves_out_cases_without_the_modality(casebook: Casebook) -> None:
    points = points_of(casebook, "image", "split")
    films = np.flatnonzero(casebook.has_vector("image"))
    assert points.rows.tolist() == films.tolist()
    assert len(points.rows) < len(casebook)
    assert points.positions[0].shape == (len(films), 2)
    assert np.isfinite(points.positions[0]).all()


def test_two_maps_show_the_cases_of_both_and_only_those_asked_for(casebook: Casebook) -> None:
    among = np.arange(len(casebook)) % 2 == 0
    positions = [casebook.projection("image"), casebook.projection("text", "umap3d")]
    points = map_points(positions, colouring(casebook, "image", "split"), among)
    expected = among & casebook.has_vector("image") & casebook.has_vector("text")
    assert points.rows.tolist() == np.flatnonzero(expected).tolist()
    assert [one.shape[1] for one in points.positions] == [2, 3]
    np.testing.assert_array_equal(points.positions[1], positions[1][points.rows])


@pytest.mark.parametrize(
    "field",
    [MAIN_FINDING, CLUSTER, "split", "view", "age", "sex", "label:Cardiomegaly", PREDICTION, UNCERTAINTY, ERROR],
)
def test_every_colour_field_counts_each_case_once(casebook: Casebook, field: str) -> None:
    assert field in colour_fields(casebook, "joint")
    points = points_of(casebook, "joint", field)
    assert sum(entry.count for entry in points.legend) == len(points.rows)
    counts = np.bincount(points.categories, minlength=len(points.legend))
    assert counts.tolist() == [entry.count for entry in points.legend]
    assert len(points.legend) <= len(CATEGORIES) + 1


def test_categories_are_right_for_single_cases(casebook: Casebook) -> None:
    by_sex = points_of(casebook, "joint", "sex")
    by_label = points_of(casebook, "joint", "label:Nodule")
    by_age = points_of(casebook, "joint", "age")
    for number, row in enumerate(by_sex.rows[:50]):
        case = casebook.case(casebook.case_ids[row])
        assert by_sex.legend[by_sex.categories[number]].name == case.profile["sex"]
        assert by_label.legend[by_label.categories[number]].name == ("Nodule" if "Nodule" in case.labels else "without")
        step = by_age.legend[by_age.categories[number]].name
        if "age" in case.profile:
            low, high = map(float, step.split(" to "))
            assert low <= case.profile["age"] <= high
        else:
            assert step == "unknown"


def test_main_finding_has_a_quiet_colour_where_nothing_is_labelled(casebook: Casebook) -> None:
    legend = {entry.name: entry for entry in points_of(casebook, "joint", MAIN_FINDING).legend}
    absent = legend.pop("no finding labelled")
    assert (absent.light, absent.dark) == ABSENT
    assert {(entry.light, entry.dark) for entry in legend.values()} <= set(CATEGORIES)
    assert len({entry.light for entry in legend.values()}) == len(legend)


def test_stages_keep_their_order_and_a_sequence_of_colours(stage_casebook: Path) -> None:
    casebook = Casebook.open(stage_casebook)
    found = colouring(casebook, "image", MAIN_FINDING)
    assert found.ordered
    assert found.names == casebook.label_names == tuple(sorted(casebook.label_names))
    assert set(found.colours) <= set(SEQUENCE)
    assert [found.names[number] for number in found.numbers] == [labels[0] for labels in casebook.labels]


def test_clusters_are_named_by_their_words(casebook: Casebook) -> None:
    found = colouring(casebook, "joint", CLUSTER)
    records = casebook.maps.spaces["joint"].clusters
    assert records
    for number, record in enumerate(records[: len(CATEGORIES) - 1]):
        assert found.names[number].startswith(f"{number + 1}")
        assert all(word in found.names[number] for word in record.words[:3])
        assert (found.numbers == number).sum() == record.cases


@pytest.mark.parametrize("kind", ["small_casebook", "profile_casebook", "stage_casebook"])
def test_predictions_agree_with_a_search_for_the_case(kind: str, request: pytest.FixtureRequest) -> None:
    """By classifier, by the vote of neighbours, and by stages."""
    import torch

    from explorer.prediction.whole_casebook import case_predictions

    casebook = Casebook.open(request.getfixturevalue(kind))
    found = case_predictions(casebook, "image")
    rows = np.flatnonzero(casebook.has_vector("image"))[:12]
    record = casebook.manifest.system
    for row in rows:
        if record.predicts_by == "vote":
            hits = casebook.store("image").search(casebook.vectors("image")[row].astype(np.float32), len(casebook))
            others = casebook.rows_of_keys(hits.keys) != row
            near = casebook.rows_of_keys(hits.keys)[others][: record.vote_neighbours]
            weights = np.exp(
                hits.scores[others][: record.vote_neighbours].astype(float) / record.temperature_of("image")
            )
            shares = weights / weights.sum() @ casebook.label_matrix[near]
        else:
            vector = torch.from_numpy(casebook.vectors("image")[row : row + 1].astype(np.float32))
            with torch.inference_mode():
                everything = casebook.system.label_probabilities(vector)[0].numpy()
            shares = everything[[record.label_names.index(name) for name in found.names]]
        assert found.uncertainty[row] == pytest.approx(1 - shares.max(), abs=1e-4)
        name = found.names[found.likeliest[row]]
        labels = set(casebook.labels[row])
        known = labels & set(found.names)
        assert found.wrong[row] == (-1 if not known else name not in labels)
    absent = ~casebook.has_vector("image")
    assert (found.likeliest[absent] == -1).all()
    assert np.isnan(found.uncertainty[absent]).all()


def test_shapes_are_for_fields_of_two_to_four_values(casebook: Casebook) -> None:
    assert set(shape_fields(casebook)) == {"split", "view", "sex"}
    names, numbers = shapes(casebook, "view")
    assert names == ("PA", "AP")
    assert len(names) <= len(SHAPES)
    assert [names[number] for number in numbers] == list(casebook.column("view"))


def test_query_stands_among_its_neighbours(casebook: Casebook) -> None:
    points = points_of(casebook, "text", "split")
    positions = casebook.projection("text")
    query = Query(text="small left pleural effusion")
    result = search_cases(casebook, query, k=10)
    placed = place_query(casebook, "text", positions, points.rows, query, result)
    assert placed is not None
    assert not placed.exact
    at = positions[[casebook.row(hit.case_id) for hit in result.neighbours]]
    assert (at.min(0) - 1e-4 <= placed.position).all()
    assert (at.max(0) + 1e-4 >= placed.position).all()
    # Filters and reranking of the search do not move the query.
    options = SearchOptions(k=3, filters=(), rerank=0.5)
    again = place_query(casebook, "text", positions, points.rows, query, search_cases(casebook, query, options))
    assert again is not None
    np.testing.assert_allclose(again.position, placed.position, atol=1e-5)
    # Of cases that are not on the map none places it.
    few = points.rows[:20]
    near = place_query(casebook, "text", positions, few, query, result)
    assert near is not None
    assert (positions[few].min(0) - 1e-4 <= near.position).all()
    assert (positions[few].max(0) + 1e-4 >= near.position).all()


def test_a_case_as_query_stands_at_its_own_place(casebook: Casebook) -> None:
    points = points_of(casebook, "image", "split")
    row = int(points.rows[3])
    query = Query(case_id=casebook.case_ids[row])
    positions = casebook.projection("image", "umap3d")
    placed = place_query(casebook, "image", positions, points.rows, query, search_cases(casebook, query, k=3))
    assert placed is not None
    assert placed.exact
    np.testing.assert_array_equal(placed.position, positions[row])


def test_unknown_field_is_refused(casebook: Casebook) -> None:
    with pytest.raises(QueryError, match="no field 'colour'"):
        colouring(casebook, "image", "colour")


def test_cases_of_two_casebooks_meet_by_their_id(casebook: Casebook, tmp_path: Path) -> None:
    from index_builder.build.subset import write_subset

    kept = [casebook.case_ids[row] for row in range(0, 300, 3)]
    write_subset(casebook.folder, kept, tmp_path / "third", lambda stage, done, total: None)
    third = Casebook.open(tmp_path / "third")
    found = matched_positions(casebook, third, "joint", "umap")
    assert np.isfinite(found[::3]).all()
    assert np.isnan(found[1::3]).all()
    np.testing.assert_array_equal(found[::3], casebook.projection("joint")[::3])
    assert neighbours_kept(casebook, "joint", third, "joint") == pytest.approx(1)
    mixed = neighbours_kept(casebook, "image", third, "text")
    assert mixed is not None
    assert 0 <= mixed < 0.9
    few = [casebook.case_ids[row] for row in range(8)]
    write_subset(casebook.folder, few, tmp_path / "few", lambda stage, done, total: None)
    assert neighbours_kept(casebook, "joint", Casebook.open(tmp_path / "few"), "joint") is None
    shutil.rmtree(tmp_path / "third")


def test_a_map_of_some_cases_is_laid_out_anew(casebook: Casebook) -> None:
    rows = np.arange(0, 300, 4)
    said: list[tuple[int, int]] = []
    found = refit(casebook, "image", "umap", rows, lambda done, total: said.append((done, total)))
    held = rows[casebook.has_vector("image")[rows]]
    assert np.flatnonzero(np.isfinite(found.positions).all(1)).tolist() == held.tolist()
    assert found.record.cases == len(held)
    assert said[-1][0] == said[-1][1]
    assert not np.allclose(found.positions[held], casebook.projection("image")[held])
    with pytest.raises(QueryError, match="at least 12"):
        refit(casebook, "image", "umap", rows[:10], lambda done, total: None)
