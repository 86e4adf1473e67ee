"""Text burned into films is found; drawn chests without any are not accused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imaging_samples import codes, dicom
from PIL import Image, ImageDraw, ImageFont
from table_samples import sample

from index_builder.datasets import open_dataset
from index_builder.datasets.check import check_dataset
from index_builder.datasets.own.manifest import Manifest
from index_builder.imaging import decode_film, read_film
from index_builder.imaging.burned_in import find_text


@pytest.fixture(scope="module")
def phantoms() -> list[np.ndarray]:
    """Ten drawn films of either cohort."""
    films = []
    for name in ("phantom-openi", "phantom-dust"):
        dataset = open_dataset(name)
        references = [case.image for case in dataset.cases()[:30] if case.image is not None]
        films += [dataset.load_film(reference).pixels for reference in references[:10]]
    return films


def test_films_without_text_are_not_accused(phantoms: list[np.ndarray]) -> None:
    assert sum(bool(find_text(film)) for film in phantoms) == 0


@pytest.mark.parametrize("bright", [True, False])
def test_a_name_on_a_ground_that_lets_it_be_read_is_found(phantoms: list[np.ndarray], bright: bool) -> None:
    found = 0
    for film in phantoms:
        image = Image.fromarray(np.full_like(film, 0.05 if bright else 0.95))
        image.paste(Image.fromarray(film), (0, 60))
        size = max(film.shape) // 32
        font = ImageFont.load_default(size)
        ImageDraw.Draw(image).text((12, 20), "DOE^JOHN 12.03.1957", 1.0 if bright else 0.0, font)
        boxes = find_text(np.asarray(image))
        found += any(box.top < 0.12 and box.left < 0.6 for box in boxes)
    assert found >= 0.9 * len(phantoms)


def test_a_marker_of_side_is_no_text_to_warn_of() -> None:
    image = Image.fromarray(np.full((512, 512), 0.1, np.float32))
    ImageDraw.Draw(image).text((20, 20), "L", 1.0, ImageFont.load_default(28))
    assert find_text(np.asarray(image)) == ()
    assert find_text(np.zeros((512, 512), np.float32)) == ()


def test_check_warns_of_films_with_text(tmp_path: Path) -> None:
    image = Image.fromarray(np.tile(np.linspace(0, 90, 400).astype(np.uint8), (400, 1)))
    image.save(tmp_path / "clean.png")
    ImageDraw.Draw(image).text((20, 20), "DOE^JOHN 1957", 255, ImageFont.load_default(16))
    image.save(tmp_path / "named.png")
    (tmp_path / "manifest.csv").write_text("case_id,patient_id,image\na,1,clean.png\nb,2,named.png\n", "utf-8")
    report = check_dataset(Manifest(tmp_path), text=True)
    assert report.ok
    assert report.undecodable_films == 0
    assert [(one.kind, one.file) for one in report.warnings] == [("text in film", "named.png")]
    assert check_dataset(Manifest(tmp_path), decode=True).warnings == ()


def test_the_header_is_believed() -> None:
    film = decode_film(dicom(codes(12), 12, BurnedInAnnotation="YES"), name="film")
    assert "its header says that text is burned into the picture" in film.notes
    film = decode_film(dicom(codes(12), 12, BurnedInAnnotation="NO"), name="film")
    assert not any("burned" in note for note in film.notes)


def test_text_on_a_real_film_is_found() -> None:
    """A film whose console wrote date, time and place into its corners."""
    film = read_film(sample("covid_sample") / "images" / "covid-19-caso-95-2-16.jpg")
    assert find_text(film.pixels)
