"""Network input, thumbnails and display images."""

from __future__ import annotations

import io

import numpy as np
import pytest
from imaging_samples import STEP, codes, film, picture
from PIL import Image

from index_builder.errors import ImagingError
from index_builder.imaging import (
    display_png,
    input_geometry,
    model_input,
    thumbnail_jpeg,
)

CHEST = film(picture(codes(16, 300, 240))).pixels


def test_model_input_keeps_aspect_and_range() -> None:
    result = model_input(CHEST, 64)
    assert result.shape == (64, 64)
    assert result.dtype == np.float32
    assert (result.min(), result.max()) == (0, 1)
    geometry = input_geometry(CHEST, 64)
    assert geometry.crop == (0, 0, 300, 240)
    assert geometry.paste == (0, 6, 64, 57)
    assert result[:, :6].max() == result[:, 57:].max() == 0
    np.testing.assert_array_equal(result, model_input(CHEST.copy(), 64))


def test_model_input_ignores_exposure_letterbox_and_resolution() -> None:
    reference = model_input(CHEST, 64)
    np.testing.assert_allclose(model_input(CHEST * 0.2 + 0.3, 64), reference, atol=1e-4)
    for border in (0.0, 1.0):
        boxed = np.full((340, 400), border, dtype=np.float32)
        boxed[20:320, 80:320] = CHEST
        assert input_geometry(boxed, 64).crop == (20, 80, 320, 320)
        np.testing.assert_array_equal(model_input(boxed, 64), reference)
    doubled = np.kron(CHEST, np.ones((2, 2), dtype=np.float32))
    assert np.abs(model_input(doubled, 64) - reference).mean() < STEP


def test_borders_are_found_under_noise_and_in_flat_films() -> None:
    boxed = np.zeros((340, 400), dtype=np.float32)
    boxed[20:320, 80:320] = CHEST
    noise = np.random.default_rng(0).integers(0, 4, boxed.shape).astype(np.float32) * np.float32(STEP)
    for film_in_box in (np.maximum(boxed, noise), boxed * 0.01, boxed * 0.01 + 0.9):
        assert input_geometry(film_in_box, 64).crop == (20, 80, 320, 320)
    # Faint anatomy is no border: the tolerance shrinks with the contrast.
    assert input_geometry(CHEST * 0.05, 64).crop == (0, 0, 300, 240)


def test_reduction_does_not_alias() -> None:
    y, x = np.mgrid[0:256, 0:256]
    ramp = (x / 255 * 0.6 + 0.2).astype(np.float32)
    grid = ramp + ((x + y) % 2 * 0.2 - 0.1).astype(np.float32)
    np.testing.assert_allclose(model_input(grid, 48)[2:-2, 2:-2], model_input(ramp, 48)[2:-2, 2:-2], atol=0.02)


def test_model_input_of_constant_tiny_and_wrong_arrays() -> None:
    assert model_input(np.full((50, 40), 0.7, dtype=np.float32), 32).max() == 0
    assert model_input(np.full((1, 1), 0.7, dtype=np.float32), 32).shape == (32, 32)
    assert model_input(np.eye(2, 500, dtype=np.float32), 32).shape == (32, 32)
    for wrong in (np.zeros((0, 4)), np.zeros((3, 3, 3)), np.full((5, 5), np.nan, dtype=np.float32)):
        with pytest.raises(ImagingError):
            model_input(wrong, 32)


def test_thumbnail_and_display_image() -> None:
    thumbnail = thumbnail_jpeg(CHEST)
    assert thumbnail == thumbnail_jpeg(CHEST.copy())
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "L", (205, 256))
    with Image.open(io.BytesIO(display_png(CHEST, None))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (240, 300))
        np.testing.assert_allclose(np.asarray(image) / 255, CHEST, atol=STEP)
    with Image.open(io.BytesIO(display_png(CHEST, 100))) as image:
        assert image.size == (80, 100)
    with Image.open(io.BytesIO(display_png(CHEST * 0.05, None))) as image:
        assert np.asarray(image).max() == 255
