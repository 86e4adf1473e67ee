"""Maps go back to where their films lie, on one scale, in colours that mean what the bar says."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from explorer.explanation.overlay import (
    FilmMap,
    Scale,
    blend,
    colour_table,
    display_grey,
    film_map,
    number_words,
    shared_scale,
)
from explorer.explanation.picture import Panel, figure_png
from index_builder.imaging import input_geometry, model_input

_SIZE = 64


def _film(rows: int, columns: int, borders: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """A smooth film with one bright place, between black borders (top, left, bottom, right)."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    ground = 0.2 + 0.1 * np.sin(1 + y / rows * 5) * np.cos(x / columns * 4)
    film = ground + 0.6 * np.exp(-(((y - 0.6 * rows) / 12) ** 2) - ((x - 0.45 * columns) / 12) ** 2)
    top, left, bottom, right = borders
    return np.pad(film.astype(np.float32), ((top, bottom), (left, right)))


@pytest.mark.parametrize(
    ("rows", "columns", "borders"),
    [(120, 120, (0, 0, 0, 0)), (150, 90, (0, 0, 0, 0)), (90, 150, (0, 0, 0, 0)), (140, 100, (11, 25, 1, 7))],
)
def test_a_map_lies_where_its_film_lies(rows: int, columns: int, borders: tuple[int, int, int, int]) -> None:
    film = _film(rows, columns, borders)
    # The network input is itself a map of which it is known where every value belongs.
    laid = film_map(model_input(film, _SIZE), input_geometry(film, _SIZE), film.shape)
    drawn = laid.on_film(*film.shape)
    top, left, bottom, right = borders
    inside = np.zeros(film.shape, bool)
    inside[top : film.shape[0] - bottom, left : film.shape[1] - right] = True
    assert np.array_equal(~np.isnan(drawn), inside)
    assert np.corrcoef(drawn[inside], film[inside])[0, 1] > 0.999
    bright = np.argwhere(np.nan_to_num(drawn) > 0.6).mean(0)
    assert np.abs(bright - np.argwhere(film > 0.55).mean(0)).max() < 0.75
    # Drawn smaller, it is the same map.
    small = laid.on_film(film.shape[0] // 2, film.shape[1] // 2)
    halved = drawn[: 2 * small.shape[0], : 2 * small.shape[1]].reshape(small.shape[0], 2, small.shape[1], 2)
    both = ~np.isnan(small) & ~np.isnan(halved).any((1, 3))
    assert np.abs(small - halved.mean((1, 3)))[both].max() < 0.02


def test_values_stand_at_the_centres_of_their_pixels() -> None:
    laid = FilmMap(np.array([[0, 2, 4], [6, 8, 10]], np.float32), (2, 3, 6, 9), (8, 12))
    drawn = laid.on_film(8, 12)
    assert np.isnan(drawn[:2]).all()
    assert np.isnan(drawn[6:]).all()
    assert np.isnan(drawn[:, :3]).all()
    assert np.isnan(drawn[:, 9:]).all()
    assert drawn[2, 3:9].tolist() == [0, 0.5, 1.5, 2.5, 3.5, 4]
    assert drawn[2:6, 3].tolist() == [0, 1.5, 4.5, 6]


def test_equal_values_have_equal_colours_on_films_that_share_a_scale() -> None:
    weak = FilmMap(np.full((4, 4), 0.5, np.float32), (0, 0, 8, 8), (8, 8))
    strong = FilmMap(np.linspace(0, 2, 16, dtype=np.float32).reshape(4, 4), (0, 0, 8, 8), (8, 8))
    scale = shared_scale([weak, strong])
    assert scale.limit == pytest.approx(2, rel=0.02)
    assert not scale.signed
    assert np.allclose(scale.shares(weak.values), 0.25, atol=0.01)
    assert shared_scale([strong]).limit == pytest.approx(scale.limit, rel=0.02)
    against = FilmMap(np.full((4, 4), -3, np.float32), (0, 0, 8, 8), (8, 8))
    assert shared_scale([weak, against]) == Scale(3, True)
    assert shared_scale([FilmMap(np.zeros((4, 4), np.float32), (0, 0, 8, 8), (8, 8))]).limit == 1


def test_numbers_of_the_colour_bar() -> None:
    assert Scale(0.042, False).ticks() == ((0.0, "0"), (0.5, "0.021"), (1.0, "0.042"))
    assert [text for _, text in Scale(3, True).ticks()] == ["−3 against", "−1.5", "0", "1.5", "3 for"]
    assert [number_words(value) for value in (0.0, 324.2, -0.0153, 7.04e-7, 1.9e5)] == [
        "0",
        "320",
        "−0.015",
        "7.0e−07",
        "1.9e+05",
    ]


def test_colours_are_ordered_by_lightness_and_dark_where_nothing_is() -> None:
    def lightness(signed: bool) -> NDArray[np.float64]:
        return colour_table(signed) @ np.array([0.2126, 0.7152, 0.0722])

    assert (np.diff(lightness(False)) > -0.5).all()
    signed = lightness(True)
    assert (np.diff(signed[:120]) < 1).all()
    assert (np.diff(signed[136:]) > -1).all()
    assert lightness(False)[0] < 5
    red, _, blue = (colour_table(True)[entry].astype(int) for entry in (255, 128, 0))
    assert red[0] > red[2]
    assert blue[2] > blue[0]


@pytest.mark.parametrize("signed", [False, True])
def test_a_film_is_covered_as_far_as_its_map_is_strong(signed: bool) -> None:
    grey = np.full((1, 6), 100, np.uint8)
    shares = np.array([[np.nan, 0, 0.1, 0.5, 1, -1 if signed else 0]], np.float32)
    drawn = blend(grey, shares, signed=signed, opacity=1, threshold=0.2)
    assert (drawn[0, :3] == 100).all()
    table = colour_table(signed)
    assert drawn[0, 4].tolist() == table[255].tolist()
    assert drawn[0, 5].tolist() == (table[0].tolist() if signed else [100] * 3)
    half = table[round(255 * (0.75 if signed else 0.5))]
    assert np.abs(drawn[0, 3].astype(int) - (50 + half / 2)).max() <= 1
    assert (blend(grey, shares, signed=signed, opacity=0, threshold=0) == 100).all()


def test_the_picture_holds_films_overlays_bar_and_legend() -> None:
    films = [_film(150, 90, (0, 12, 0, 0)), _film(90, 150, (0, 0, 0, 0))]
    panels = [
        Panel(
            f"Case {number}",
            display_grey(film, 768),
            film_map(model_input(film, _SIZE), input_geometry(film, _SIZE), film.shape),
            synthetic=number == 0,
        )
        for number, film in enumerate(films)
    ]
    scale = shared_scale([panel.film_map for panel in panels])

    def picture(legend: list[str], threshold: float = 0.0) -> NDArray[np.uint8]:
        data = figure_png(panels, scale, legend, opacity=1, threshold=threshold)
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG"
            return np.asarray(image)

    drawn = picture(["Why Émile’s film → “é”. " * 12])
    assert drawn.shape[1] == 2 * 150 + 3 * 16
    plain, laid = drawn[40:190, 16 : 16 + 102], drawn[40:190, 16 + 102 + 16 : 16 + 2 * 102 + 16]
    assert np.array_equal(plain[:100], np.repeat(panels[0].grey[:100, :, None], 3, axis=2))
    # The trimmed border is left as it is, the film is covered.
    assert np.array_equal(laid[:100, :12], plain[:100, :12])
    assert (laid[:100, 12:] != plain[:100, 12:]).any(axis=2).mean() > 0.8
    assert (drawn == colour_table(False)[255]).all(axis=2).any()
    assert len(picture(["Short."])) < len(drawn)
    # Below the threshold film and bar are bare.
    bare = picture(["Short."], threshold=0.99)
    assert (bare == 208).all(axis=2).sum() > (picture(["Short."]) == 208).all(axis=2).sum()
