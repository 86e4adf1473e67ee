"""Searching with the views of a study: two films together, a lateral among laterals, and what is said of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from places import ROOT
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from explorer import Casebook, Query, SearchOptions, parse_filter
from explorer.cli.commands import app as commands
from explorer.explanation.explain import open_study
from explorer.search.filters.expression import matching_rows
from explorer.search.result import SearchResult
from explorer.search.search import search_cases
from index_builder.errors import QueryError

_ROOT = ROOT


@pytest.fixture(scope="module")
def casebook(study_casebook: Path) -> Casebook:
    return Casebook.open(study_casebook)


def pixels(casebook: Casebook, reference: str) -> np.ndarray:
    return casebook.film(reference).pixels


def ids(result: SearchResult) -> list[str]:
    return [one.case_id for one in result.neighbours]


def test_two_films_are_searched_with_as_a_case_is_made_of_its_own(casebook: Casebook) -> None:
    both = Query(pixels=pixels(casebook, "012-1.png"), second=pixels(casebook, "012-2.png"))
    result = search_cases(casebook, both, k=5)
    like = search_cases(casebook, Query(case_id="study-012"), SearchOptions(k=4, space="image"))
    assert (result.space, result.laterals, [film.view for film in result.films]) == (
        "image",
        False,
        ["frontal", "lateral"],
    )
    assert ids(result) == ["study-012", *ids(like)]
    assert result.neighbours[0].score == pytest.approx(1, abs=2e-3)
    assert result.neighbours[0].views == ("PA", "LATERAL")
    swapped = search_cases(casebook, Query(pixels=both.second, second=both.pixels), k=5)
    assert ids(swapped) == ids(result)
    assert result.scores is not None
    assert result.scores.given == "films"
    # Joined with a text, the frontal film counts whichever was given first.
    texted = [
        search_cases(casebook, Query(pixels=first, second=second, text="heart"), SearchOptions(k=5, mode="dense"))
        for first, second in ((both.pixels, both.second), (both.second, both.pixels))
    ]
    assert ids(texted[0]) == ids(texted[1])
    assert texted[0].space == "joint"


@pytest.mark.parametrize("filters", [(), ("label=Nodule",), ("split=test",)])
def test_a_lateral_alone_finds_laterals_each_case_once(casebook: Casebook, filters: tuple[str, ...]) -> None:
    films = casebook.case_films.table
    assert films is not None
    parsed = tuple(parse_filter(one) for one in filters)
    result = search_cases(casebook, Query(pixels=pixels(casebook, "004-3.png")), SearchOptions(k=60, filters=parsed))
    assert result.laterals
    assert (result.films[0].view, result.films[0].view_by) == ("lateral", "likeness")
    met = matching_rows(casebook, parsed) if parsed else np.ones(len(casebook), bool)
    scores = films.vectors.astype(np.float32) @ result.vector
    scores[~(films.is_lateral & met[films.rows])] = -2
    expected: dict[str, str] = {}
    for film in np.argsort(-scores, kind="stable"):
        if scores[film] > -2:
            expected.setdefault(casebook.case_ids[films.rows[film]], films.references[int(film)].as_py())
    assert [(one.case_id, one.film) for one in result.neighbours] == list(expected.items())
    assert result.searched == len(expected)
    if not filters:
        assert (result.neighbours[0].case_id, result.neighbours[0].film) == ("study-004", "004-3.png")
        assert result.neighbours[0].similarity["image"] == result.neighbours[0].score


def test_all_films_can_be_searched_instead_and_a_frontal_film_is_searched_as_ever(casebook: Casebook) -> None:
    lateral, frontal = pixels(casebook, "004-3.png"), pixels(casebook, "002-1.png")
    every = search_cases(casebook, Query(pixels=lateral), SearchOptions(k=9, all_films=True))
    assert (every.laterals, every.searched) == (False, 96)
    plain = search_cases(casebook, Query(pixels=frontal), k=9)
    assert (plain.laterals, plain.searched, plain.films[0].view) == (False, 96, "frontal")
    assert plain.neighbours[0].case_id == "study-002"  # it has no other film
    vectors = casebook.vectors("image").astype(np.float32)
    for result in (every, plain):
        order = np.argsort(-(vectors @ result.vector), kind="stable")[:9]
        assert ids(result) == [casebook.case_ids[row] for row in order]
        assert all(one.film is None for one in result.neighbours)
    for space in ("joint", "text"):
        assert not search_cases(casebook, Query(pixels=lateral), SearchOptions(space=space)).laterals
    assert not search_cases(casebook, Query(pixels=lateral, text="heart")).laterals


def test_the_header_goes_before_likeness(casebook: Casebook) -> None:
    said = search_cases(casebook, Query(pixels=pixels(casebook, "004-3.png"), view="PA"))
    assert (said.films[0].view, said.films[0].view_by, said.laterals) == ("frontal", "header", False)
    turned = search_cases(casebook, Query(pixels=pixels(casebook, "002-1.png"), view="LATERAL"))
    assert (turned.films[0].view_by, turned.laterals, turned.films[0].flags) == ("header", True, ())


def test_nothing_is_stated_of_a_lateral_alone(casebook: Casebook) -> None:
    alone = search_cases(casebook, Query(pixels=pixels(casebook, "004-2.png")))
    assert alone.assessment is not None
    assert alone.assessment.withheld == "predictions were calibrated on frontal films, and yours is a lateral."
    frontal = search_cases(casebook, Query(pixels=pixels(casebook, "004-1.png")))
    assert frontal.assessment is not None
    assert not frontal.assessment.withheld
    pair = search_cases(casebook, Query(pixels=pixels(casebook, "004-1.png"), second=pixels(casebook, "004-2.png")))
    assert pair.assessment is not None
    assert not pair.assessment.withheld
    assert "studies of several films" in pair.assessment.why_not
    content = json.loads(json.dumps(alone.as_dict()))
    assert (content["laterals"], content["film"]["view"], content["second_film"]) == (True, "lateral", None)


def test_a_match_is_as_close_as_matches_of_its_kind_are(casebook: Casebook) -> None:
    record = casebook.manifest.each_film
    assert record is not None
    assert record.laterals is not None
    for reference, nearest in (
        ("010-1.png", record.nearest_similarity),
        ("010-2.png", record.laterals.nearest_similarity),
    ):
        one = search_cases(casebook, Query(pixels=pixels(casebook, reference)), k=3).neighbours[2]
        assert one.closeness == pytest.approx(np.searchsorted(nearest, one.score, side="right") / 101)


def test_in_a_casebook_of_one_film_a_case_its_own_laterals_are_found(
    tmp_path: Path, study_casebook: Path, tiny_checkpoint: Path
) -> None:
    from index_builder.build.subset import write_subset

    alone = [*(f"study-{number:03d}" for number in range(2, 93, 3)), "study-095"]
    write_subset(study_casebook, alone, tmp_path / "alone", lambda stage, done, total: None)
    casebook = Casebook.open(tmp_path / "alone")
    assert casebook.case_films.table is None
    result = search_cases(casebook, Query(pixels=pixels(casebook, "095-1.png"), view="LATERAL"), k=5)
    assert result.laterals
    assert [(one.case_id, one.film) for one in result.neighbours] == [("study-095", "095-1.png")]


def test_queries_of_films_that_make_no_sense_are_refused(casebook: Casebook) -> None:
    film = pixels(casebook, "000-1.png")
    with pytest.raises(QueryError, match="a second film without a first"):
        search_cases(casebook, Query(second=film, text="heart"))
    with pytest.raises(QueryError, match=r"film 3: there are 2"):
        open_study(casebook, Query(case_id="study-000"), 2)


def test_the_second_film_is_explained_where_it_is_chosen(casebook: Casebook) -> None:
    query = Query(pixels=pixels(casebook, "000-1.png"), second=pixels(casebook, "000-2.png"))
    first, second = open_study(casebook, query), open_study(casebook, query, 1)
    assert first.film is not None
    assert second.film is not None
    assert not np.array_equal(first.film, second.film)
    assert (first.name, second.name, second.films) == ("Your query", "Your query, film 2", (None, None))
    case = open_study(casebook, Query(case_id="study-000"), 1)
    np.testing.assert_array_equal(case.film, second.film)
    assert (case.name, case.films) == ("Case study-000, film 2", ("PA", "LATERAL"))
    assert case.key != open_study(casebook, Query(case_id="study-000")).key


def test_the_terminal_takes_two_films_and_tells_of_a_lateral(study_casebook: Path, study_folder: Path) -> None:
    run = CliRunner()
    films = [str(study_folder / name) for name in ("012-1.png", "012-2.png", "012-2.png")]
    both = run.invoke(commands, ["search", str(study_casebook), "--film", films[0], "--film", films[1], "--json"])
    assert json.loads(both.stdout)["neighbours"][0]["case_id"] == "study-012"
    alone = run.invoke(commands, ["search", str(study_casebook), "--image", films[1], "-k", "2"])
    assert "the film is a lateral by likeness to the films here; compared with lateral films" in alone.stdout
    assert "film: 012-2.png" in alone.stdout
    every = run.invoke(commands, ["search", str(study_casebook), "--film", films[1], "--all-films", "-k", "2"])
    assert "compared with all films of each case" in every.stdout
    three = run.invoke(commands, ["search", str(study_casebook), *(part for one in films for part in ("--film", one))])
    assert "3 films: give one, or the two views of one study" in str(three.exception)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, study_casebook: Path) -> AppTest:
    monkeypatch.setattr("sys.argv", ["app.py", str(study_casebook)])
    st.cache_data.clear()
    return AppTest.from_file(_ROOT / "explorer" / "app" / "main.py", default_timeout=280).run()


def visit(app: AppTest, page: str, **parameters: str) -> AppTest:
    """Open a page by an address, as a fresh link would."""
    for name in list(app.query_params):
        del app.query_params[name]
    for name, value in parameters.items():
        app.query_params[name] = value
    app.switch_page(f"../../pages/{page}.py").run()
    assert not app.exception
    assert not app.error, app.error[0].value
    return app


def upload(app: AppTest, path: Path) -> AppTest:
    app.file_uploader[0].set_value((f"Doe^Jane {path.name}", path.read_bytes(), "image/png")).run()
    assert not app.exception
    return app


def asked(app: AppTest, name: str) -> list[str]:
    """Values of a parameter of the address."""
    values = app.query_params[name]
    return [values] if isinstance(values, str) else list(values)


def shown(app: AppTest) -> str:
    return " ".join(str(getattr(one, "value", "")) for kind in ("markdown", "caption", "html") for one in app.get(kind))


def test_the_page_takes_both_views_and_lets_go_of_each(app: AppTest, study_folder: Path) -> None:
    upload(app, study_folder / "012-1.png")
    assert app.file_uploader[0].label == "Second film"
    one = asked(app, "film")
    upload(app, study_folder / "012-1.png")
    assert "already in the search" in app.error[0].value
    upload(app, study_folder / "012-2.png")
    assert not app.error
    assert not app.file_uploader
    both = asked(app, "film")
    assert both[:1] == one
    assert len(both) == 2
    assert "your two films" in shown(app)
    outcome: Any = app.session_state["outcome"]
    assert outcome.result.neighbours[0].case_id == "study-012"
    app.button(key="remove-film").click().run()
    assert asked(app, "film") == both[1:]
    assert len(app.session_state["films"]) == 1
    assert app.session_state["second_film"] is None
    assert app.session_state["outcome"].result.laterals
    app.button(key="remove-film").click().run()
    assert "film" not in app.query_params
    assert app.session_state["films"] == {}


def test_the_page_says_that_a_lateral_is_one_and_searches_all_films_on_request(
    app: AppTest, study_folder: Path
) -> None:
    upload(app, study_folder / "004-3.png")
    assert "Your film is a lateral" in shown(app)
    assert "cases with a lateral compared" in shown(app)
    app.button(key="search-all-films").click().run()
    assert not app.exception
    assert asked(app, "all_films") == ["yes"]
    assert not app.session_state["outcome"].result.laterals
    app.button(key="search-laterals").click().run()
    assert app.session_state["outcome"].result.laterals


def test_case_and_explain_pages_show_the_film_a_link_names(app: AppTest) -> None:
    visit(app, "case", case="study-004", shown="3")
    films = next(group for group in app.button_group if str(group.key).startswith("film-shown"))
    assert [one.replace("\\", "") for one in films.options] == ["Film 1 (PA)", "Film 2 (lateral)", "Film 3 (lateral)"]
    assert films.value == "3"
    assert asked(app, "shown") == ["3"]
    assert "PA, lateral and lateral views" in shown(app)
    films.set_value("1").run()
    assert "shown" not in app.query_params
    visit(app, "explain", case="study-004", shown="2")
    assert asked(app, "shown") == ["2"]
    assert "Explain study-004" in shown(app)


def test_a_casebook_that_was_copied_without_its_source_shows_small_copies(tmp_path: Path, study_casebook: Path) -> None:
    folder = shutil.copytree(study_casebook, tmp_path / "copied")
    casebook = Casebook.open(folder)
    copy = casebook.case_films.small_copy("study-000", "000-2.png")
    assert copy is not None
    assert copy.startswith(b"\xff\xd8")
