"""Which values of a film without a window count as its exposed field."""

from __future__ import annotations

import numpy as np
import pytest
from imaging_samples import codes, dicom, film

from index_builder.imaging.stored_values import StoredValues, exposed_range


def seen(pixels: np.ndarray, bits: int = 16) -> tuple[float, float, list[int]]:
    """Lowest and highest value shown, and the padding found, of unsigned pixels."""
    values = StoredValues.of(pixels.astype(np.uint16), bits)
    low, high, padding = exposed_range(np.arange(2.0**bits), values.present, values.corners)
    return low, high, np.flatnonzero(padding).tolist()


def inside() -> np.ndarray:
    """uint16 [90, 71], noise from 300 to 4000, both of them there."""
    pixels = np.random.default_rng(0).integers(300, 4001, (90, 71)).astype(np.uint16)
    pixels[40, 30:32] = 300, 4000
    return pixels


@pytest.mark.parametrize("value", [0, 200, 4100, 65535])
@pytest.mark.parametrize("where", [np.s_[:4], np.s_[-4:], np.s_[:, :4], np.s_[:, -4:], np.s_[:4, :4], np.s_[-4:, -4:]])
def test_a_flat_border_or_corner_beyond_the_film_is_padding(where: tuple[slice, ...], value: int) -> None:
    pixels = inside()
    pixels[where] = value
    assert seen(pixels) == (300, 4000, [value])


def test_several_paddings_are_found_one_after_the_other() -> None:
    pixels = inside()
    pixels[:4, :4], pixels[-4:, -4:], pixels[:4, -4:] = 0, 65535, 30000
    assert seen(pixels) == (300, 4000, [0, 30000, 65535])


def test_saturated_corners_belong_to_the_film() -> None:
    """Their neighbours in value are there too: nothing is lost by them, and they must not go black."""
    pixels = inside()
    pixels[:9, :9] = 4000
    assert seen(pixels) == (300, 4000, [])
    pixels[:9, :9] = 4010  # a gap of a quarter of a percent, as of a film that was stretched
    assert seen(pixels) == (300, 4010, [])


def test_what_is_no_corner_is_no_padding() -> None:
    pixels = inside()
    pixels[20:30, 20:30] = 65535  # a marker
    assert seen(pixels) == (300, 65535, [])
    pixels = inside()
    pixels[0, 0] = 65535  # a single pixel
    assert seen(pixels) == (300, 65535, [])


def test_masks_and_flat_films_have_no_padding() -> None:
    mask = np.zeros((90, 71))
    mask[20:60, 20:60], mask[30:40, 30:40] = 100, 255
    assert seen(mask) == (0, 255, [])
    assert seen(np.full((90, 71), 7)) == (7, 7, [])
    assert seen(np.full((1, 1), 7)) == (7, 7, [])


def test_a_film_of_one_value_is_black() -> None:
    assert not film(dicom(np.full((9, 9), 700), 12)).pixels.any()


def test_padding_found_is_told() -> None:
    pixels = codes(12)
    pixels[:4] = 60000
    notes = film(dicom(pixels, 16)).notes
    assert "flat corners or borders beyond the range of the film taken for padding" in notes
