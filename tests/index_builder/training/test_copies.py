"""Films of one collection that stand in another: found, and left out of training where the other is tested on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_samples import Opened, Renamed, quiet

from index_builder.cases.case import Case
from index_builder.datasets.phantom import PhantomDust
from index_builder.imaging import Film
from index_builder.systems.unified import Unified
from index_builder.training.cases import gather
from index_builder.training.copies import copies_beside, left_out_copies, near_copies, reduced

COUNT = 12


@pytest.fixture(scope="module")
def drawn() -> list[Film]:
    """Different chests."""
    dataset = PhantomDust()
    return [dataset.load_film(str(case.image)) for case in dataset.cases()[:COUNT]]


def cropped(film: Film) -> Film:
    """The film as another collection may hold it: cut at the edges, squeezed, of another size and exposure."""
    pixels = film.pixels[8:-14, 12:-6]
    image = Image.fromarray((pixels * 255).astype(np.uint8)).resize((230, 256), Image.Resampling.BILINEAR)
    return replace(film, pixels=(np.asarray(image, np.float32) / 255) ** 1.2)


class Held:
    """A collection of films that are held in memory."""

    def __init__(self, name: str, films: list[Film], parts: list[str]) -> None:
        dust = PhantomDust()
        self.card, self.label_names = replace(dust.card, name=name), dust.label_names
        self._films = films
        self._cases = [
            Case(f"{name}{number}", f"{name}{number}", part, (), image=str(number))  # type: ignore[arg-type]
            for number, part in enumerate(parts)
        ]

    def cases(self) -> list[Case]:
        return self._cases

    def load_film(self, reference: str) -> Film:
        return self._films[int(reference)]


def test_copies_are_found_though_cropped_and_squeezed_and_others_are_not(drawn: list[Film]) -> None:
    films = [reduced(film.pixels) for film in [*drawn, *map(cropped, drawn[:4])]]
    found = near_copies(films, ["one"] * COUNT + ["other"] * 4)
    assert {(pair.one, pair.other) for pair in found} == {(number, COUNT + number) for number in range(4)}
    assert near_copies(films, ["one"] * len(films)) == []


def test_a_copy_of_what_is_tested_on_elsewhere_is_not_trained_on(drawn: list[Film], tmp_path: Path) -> None:
    one = Held("one", drawn, ["train"] * COUNT)
    other = Held("other", [*map(cropped, drawn[:4])], ["test", "val", "train", "test"])
    films_file = tmp_path / "films.npy"
    assert left_out_copies([one, other], films_file, quiet) == {("one", "0"), ("one", "1"), ("one", "3")}
    cases = gather([Opened("a", dataset=one), Opened("b", dataset=other)], Unified, 32, films_file, quiet)
    assert len(cases.of("train")) == COUNT - 3 + 1
    assert len(cases.of("val")) == 1
    assert cases.copies == 3
    stored = json.loads(copies_beside(films_file).read_text("utf-8"))
    assert stored["left_out"] == [["one", "0"], ["one", "1"], ["one", "3"]]


def test_drawn_films_and_one_collection_alone_are_not_compared(drawn: list[Film], tmp_path: Path) -> None:
    dust = PhantomDust()
    synthetic = Renamed(dust, "drawn", list(dust.cases()[:8]), dust.label_names)
    one = Held("one", drawn[:3], ["train"] * 3)
    assert left_out_copies([synthetic, one], tmp_path / "films.npy", quiet) == set()
    assert left_out_copies([one, one], tmp_path / "films.npy", quiet) == set()
    assert not copies_beside(tmp_path / "films.npy").exists()
