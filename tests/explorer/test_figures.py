"""Maps and charts show what the casebook holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer import Casebook, Query
from explorer.figures import (
    CATEGORIES,
    MAIN_FINDING,
    REST,
    colour_fields,
    label_frequency,
    map_points,
    number_histogram,
    place_query,
)
from index_builder.errors import QueryError


@pytest.fixture(scope="module")
def casebook(small_casebook: Path) -> Casebook:
    return Casebook.open(small_casebook)


def test_map_leaves_out_cases_without_the_modality(casebook: Casebook) -> None:
    points = map_points(casebook, "image", "split")
    films = np.flatnonzero(casebook.has_vector("image"))
    assert points.rows.tolist() == films.tolist()
    assert len(points.rows) < len(casebook)
    assert points.positions.shape == (len(films), 2)
    assert np.isfinite(points.positions).all()


@pytest.mark.parametrize("field", ["main finding", "split", "view", "age", "sex", "label:Cardiomegaly"])
def test_every_colour_field_counts_each_case_once(casebook: Casebook, field: str) -> None:
    assert field in colour_fields(casebook)
    points = map_points(casebook, "joint", field)
    assert sum(entry.count for entry in points.legend) == len(points.rows)
    counts = np.bincount(points.categories, minlength=len(points.legend))
    assert counts.tolist() == [entry.count for entry in points.legend]


def test_categories_are_right_for_single_cases(casebook: Casebook) -> None:
    by_sex = map_points(casebook, "joint", "sex")
    by_label = map_points(casebook, "joint", "label:Nodule")
    by_age = map_points(casebook, "joint", "age")
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
    legend = {entry.name: entry for entry in map_points(casebook, "joint", MAIN_FINDING).legend}
    absent = legend.pop("no finding labelled")
    assert (absent.light, absent.dark) == REST
    assert {(entry.light, entry.dark) for entry in legend.values()} <= set(CATEGORIES)
    assert len({entry.light for entry in legend.values()}) == len(legend)


def test_query_stands_among_its_neighbours(casebook: Casebook) -> None:
    points = map_points(casebook, "text", "split")
    query = Query(text="small left pleural effusion")
    result = casebook.search(query, k=5)
    placed = place_query(casebook, points, query, result)
    assert placed is not None
    assert not placed.exact
    assert [rank for _, rank in placed.neighbours] == [1, 2, 3, 4, 5]
    at = points.positions[[number for number, _ in placed.neighbours]]
    assert (at.min(0) <= placed.position).all()
    assert (at.max(0) >= placed.position).all()
    found = [casebook.case_ids[points.rows[number]] for number, _ in placed.neighbours]
    assert found == [hit.case_id for hit in result.neighbours]


def test_a_case_as_query_stands_at_its_own_place(casebook: Casebook) -> None:
    points = map_points(casebook, "image", "split")
    row = int(points.rows[3])
    query = Query(case_id=casebook.case_ids[row])
    placed = place_query(casebook, points, query, casebook.search(query, k=3))
    assert placed is not None
    assert placed.exact
    assert placed.position == pytest.approx(points.positions[3].tolist())


def test_unknown_map_and_field_are_refused(casebook: Casebook) -> None:
    with pytest.raises(QueryError, match="no field 'colour'"):
        map_points(casebook, "image", "colour")


def test_label_chart_adds_up_to_the_label_counts(casebook: Casebook) -> None:
    figure = label_frequency(casebook)
    totals = np.sum([trace.x for trace in figure.data], axis=0)
    expected = dict(zip(casebook.label_names, casebook.label_matrix.sum(0).tolist(), strict=True))
    assert dict(zip(figure.data[0].y, totals.tolist(), strict=True)) == expected
    assert totals.tolist() == sorted(totals.tolist())


def test_histogram_leaves_out_absent_values() -> None:
    figure = number_histogram(np.array([1.0, np.nan, 3.0]), "years")
    assert list(figure.data[0].x) == [1.0, 3.0]
