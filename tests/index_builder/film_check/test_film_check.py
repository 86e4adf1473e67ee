"""The check of films: what it is fitted to, and what it tells of phantoms, photographs and drawings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from explorer import Casebook, Query
from explorer.search.reading.film_report import FilmReport, examine, look
from explorer.search.search import search_cases
from index_builder.casebook.films import film_counts
from index_builder.cases.case import Case
from index_builder.errors import CasebookError
from index_builder.film_check.check import TURNS, FilmCheck, is_blank, nearest_distances, righted, turned, unit
from index_builder.film_check.fit import _similarity_percentiles, fit_film_check, reference_films
from index_builder.systems.backbones.encoders import ImageEncoder


@pytest.fixture(scope="module")
def casebook(phantom_casebook: Path) -> Iterator[Casebook]:
    """64 phantoms, of which those of the test part are not compared with."""
    opened = Casebook.open(phantom_casebook)
    check = opened.film_check
    assert check is not None
    held_in = opened.column("split")[check.rows] != "test"
    vars(opened)["film_check"] = check.of_references(held_in)
    return opened


@pytest.fixture(scope="module")
def films(casebook: Casebook) -> list[np.ndarray]:
    """Eight films of the test part."""
    rows = np.flatnonzero(casebook.column("split") == "test")[:8]
    return [casebook.film(str(casebook.case(casebook.case_ids[row]).image)).pixels for row in rows]


def report(casebook: Casebook, pixels: np.ndarray, view: str | None = None) -> FilmReport:
    return examine(casebook, pixels, view, look(casebook.encoder, pixels))


def kinds(found: FilmReport) -> list[str]:
    return [flag.kind for flag in found.flags]


def test_films_of_the_kind_indexed_pass(casebook: Casebook, films: list[np.ndarray]) -> None:
    found = [report(casebook, film) for film in films]
    assert sum(bool(one.flags) for one in found) <= 1
    assert all(one.checked and 0 <= (one.percentile or 0) <= 1 for one in found)


def test_turned_and_inverted_films_are_named(casebook: Casebook, films: list[np.ndarray]) -> None:
    for turn in TURNS[1:]:
        found = [report(casebook, turned(film, turn)) for film in films]
        assert [one.turn for one in found] == [turn] * len(films)
        assert all(kinds(one) == ["turned"] for one in found)


def drawn_figure() -> np.ndarray:
    image = Image.new("L", (300, 260), 255)
    draw = ImageDraw.Draw(image)
    for bar in range(6):
        draw.rectangle([30 + 42 * bar, 200 - 25 * bar, 60 + 42 * bar, 230], fill=90)
    draw.line([(20, 20), (20, 232), (290, 232)], fill=0, width=3)
    return np.asarray(image, np.float32) / 255


def photograph() -> np.ndarray:
    import sklearn

    path = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), np.float32) / 255


def test_photographs_drawings_and_noise_are_no_chest_films(casebook: Casebook) -> None:
    noise = np.random.default_rng(0).random((200, 200)).astype(np.float32)
    for pixels in (photograph(), drawn_figure(), noise):
        found = report(casebook, pixels)
        assert kinds(found) == ["no chest film"]
        assert found.percentile == 1
    assert kinds(report(casebook, np.full((64, 64), 0.4, np.float32))) == ["blank"]


def test_a_lateral_by_its_header_where_frontals_are_indexed(casebook: Casebook, films: list[np.ndarray]) -> None:
    assert kinds(report(casebook, films[0], "LATERAL")) == ["lateral"]
    assert report(casebook, films[0], "PA").flags == report(casebook, films[0]).flags


def test_a_search_tells_before_its_results(casebook: Casebook) -> None:
    result = search_cases(casebook, Query(pixels=photograph()), k=2)
    assert result.film is not None
    assert kinds(result.film) == ["no chest film"]
    assert result.as_dict()["film"]["flags"][0]["kind"] == "no chest film"
    assert len(result.neighbours) == 2
    assert search_cases(casebook, Query(text="heart"), k=1).film is None


def test_what_is_written_is_read(tmp_path: Path, phantom_casebook: Path) -> None:
    path = tmp_path / "check.safetensors"
    assert FilmCheck.read(path) is None
    check = Casebook.open(phantom_casebook).film_check
    assert check is not None
    check.write(path)
    again = FilmCheck.read(path)
    assert again is not None
    assert again.unlike == check.unlike < check.no_chest
    np.testing.assert_array_equal(again.references, check.references)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CasebookError, match=r"check\.safetensors.*Rebuild"):
        FilmCheck.read(path)


def test_with_few_films_or_patients_nothing_is_checked(phantom_casebook: Path) -> None:
    opened = Casebook.open(phantom_casebook)
    cases = [opened.case(case_id) for case_id in opened.case_ids]
    features = np.random.default_rng(0).random((len(cases), 8))
    rows = reference_films(film_counts(cases)).rows

    def jpeg(place: int) -> bytes:
        found = opened.thumbnail(opened.case_ids[place])
        assert found is not None
        return found

    def fitted(chosen: list[Case]) -> FilmCheck | None:
        own = reference_films(film_counts(chosen))
        known, vectors = features[own.rows], opened.vectors("image")[own.rows]
        return fit_film_check(opened.encoder, chosen, own, known, vectors, jpeg, numbered=False)

    assert rows.tolist() == list(range(64))
    assert fitted(cases[:15]) is None
    assert fitted([replace(case, patient_id="one") for case in cases]) is None
    assert fitted([replace(case, split="test") for case in cases]) is None


@pytest.mark.parametrize(("films", "told"), [(98, False), (99, True)])
def test_few_films_call_none_far(films: int, told: bool) -> None:
    similar = np.linspace(0.5, 0.9, films, dtype=np.float32)
    assert _similarity_percentiles(similar)[0] == pytest.approx(0.5 if told else -1)
    np.testing.assert_allclose(_similarity_percentiles(similar)[1:], np.percentile(similar, range(1, 101)), atol=1e-4)


def test_many_films_are_compared_with_some(phantom_casebook: Path) -> None:
    case = Casebook.open(phantom_casebook).case(Casebook.open(phantom_casebook).case_ids[0])
    chosen = reference_films(film_counts([case, replace(case, image=None)] * 2500))
    rows = chosen.rows
    assert not chosen.places.any()
    assert len(rows) <= 2000
    assert (rows % 2 == 0).all()
    assert rows[-1] > 4000


@given(st.sampled_from(TURNS), st.integers(1, 6), st.integers(1, 6))
def test_turning_is_undone(turn, rows, columns):
    pixels = np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns)
    np.testing.assert_allclose(righted(turned(pixels, turn), turn), pixels, atol=1e-6)


def test_distance_is_the_mean_to_the_five_nearest_that_may_count():
    references = unit(np.eye(8, dtype=np.float32))
    query = unit(np.array([[1, 1, 0, 0, 0, 0, 0, 0]], np.float32))
    near, far = np.sqrt(2 - np.sqrt(2)), np.sqrt(2)
    assert nearest_distances(query, references)[0] == pytest.approx((2 * near + 3 * far) / 5, abs=1e-5)
    barred = np.zeros((1, 8), bool)
    barred[0, 0] = True
    assert nearest_distances(query, references, barred)[0] == pytest.approx((near + 4 * far) / 5, abs=1e-5)


def test_blank_means_no_contrast():
    assert is_blank(np.zeros((10, 10), np.float32))
    speck = np.zeros((100, 100), np.float32)
    speck[0, 0] = 1
    assert is_blank(speck)
    assert not is_blank(np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10))


@pytest.mark.parametrize("pyramid_width", [0, 8])
def test_features_are_those_of_the_backbone_at_no_further_pass(pyramid_width: int) -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder("timm:test_resnet", 64, pretrained=False, pyramid_width=pyramid_width).eval()
    films = torch.rand(3, 64, 64)
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    stem = next(iter(encoder.stages.values()))
    stem.register_forward_hook(count)
    with torch.inference_mode():
        tokens, seen = encoder.look(films)
        first, alone = encoder.look(films[:1])
        assert passes == 2
        torch.testing.assert_close(seen[:1], alone, atol=1e-5, rtol=1e-4)
        if pyramid_width == 0:
            torch.testing.assert_close(seen, tokens.mean(1))
        torch.testing.assert_close(encoder(films[:1]), first)
