"""Films that stand in more than one collection: what is trained on one must not be validated or tested on another.

A pair of copies is found in two steps:

1. Of every film, the films of other collections that it is most like in detail: 64 × 64 px, less their own blurring, so
   that the shape that all chests share does not count.
2. Of these, the ones in which the middle of the film is found again, at sizes of 90 to 110 % and wherever it lies, so
   that copies that were cropped or squeezed a little are found too. Turned and mirrored copies are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.feature import match_template

from index_builder.cases.case import Case
from index_builder.datasets.base import Dataset
from index_builder.errors import ImagingError
from index_builder.training.films import Progress

#: Side in pixels of the films that are compared.
KEPT = 128
#: Step 1: side in pixels, blurring in pixels, most likely films looked at, and how alike they must be at least.
SIDE, BLUR, NEAREST, LIKELY = 64, 4, 4, 0.6
#: Step 2: side in pixels, the middle part that is looked for, sizes, and the correlation of a copy.
CLOSE_SIDE, MIDDLE, SIZES, COPY = 96, 0.6, (0.9, 0.95, 1.0, 1.05, 1.1), 0.9

_BLOCK = 1_000

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Copy:
    """Two films, by place, and the correlation that says that they are one."""

    one: int
    other: int
    likeness: float


def left_out_copies(datasets: Sequence[Dataset], films_file: Path, progress: Progress) -> set[tuple[str, str | None]]:
    """Primary films for training of which another dataset holds a copy for validation or testing: (dataset, film).

    Found once and kept beside `films_file` for a run that is taken up again. Drawn films are no copies of anything.

    Args:
        datasets: All that is trained on; of one alone nothing is compared.
        films_file: Where the decoded films are kept.
        progress: Called as films are read and pairs are compared.
    """
    real = [
        (dataset, case, str(case.image))
        for dataset in datasets
        for case in dataset.cases()
        if case.image is not None and not case.synthetic
    ]
    if len({dataset.card.name for dataset, _, _ in real}) < 2:
        return set()
    origin = hashlib.sha256(
        json.dumps([(d.card.name, case.split, film) for d, case, film in real]).encode()
    ).hexdigest()
    kept = copies_beside(films_file)
    if kept.is_file() and (stored := json.loads(kept.read_text("utf-8")))["origin"] == origin:
        return {(name, film) for name, film in stored["left_out"]}
    left_out = sorted(_compare(real, progress))
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"origin": origin, "left_out": left_out}), "utf-8")
    return set(left_out)


def copies_beside(films_file: Path) -> Path:
    """The file that says which films are left out as copies."""
    return films_file.with_suffix(".copies.json")


def _compare(real: Sequence[tuple[Dataset, Case, str]], progress: Progress) -> set[tuple[str, str]]:
    def read(place: int) -> Image.Image | None:
        dataset, _, film = real[place]
        try:
            return reduced(dataset.load_film(film).pixels)
        except ImagingError:
            return None  # told where films are decoded to be trained on

    with ThreadPoolExecutor() as readers:
        films = []
        for done, film in enumerate(readers.map(read, range(len(real))), start=1):
            films.append(film)
            progress("Reading films to find copies", done, len(real))
    there = [place for place, film in enumerate(films) if film is not None]
    pairs = near_copies(
        [film for film in films if film is not None],
        [real[place][0].card.name for place in there],
        lambda done, total: progress("Comparing films", done, total),
    )
    left_out = set()
    for pair in pairs:
        both = [real[there[place]] for place in (pair.one, pair.other)]
        if any(case.split != "train" for _, case, _ in both):
            left_out |= {(dataset.card.name, film) for dataset, case, film in both if case.split == "train"}
    return left_out


def reduced(pixels: Floats) -> Image.Image:
    """A film [H, W], 0..1, squeezed to a grey square of `KEPT` pixels a side."""
    film = Image.fromarray((pixels * 255).round().astype(np.uint8))
    return film.resize((KEPT, KEPT), Image.Resampling.BOX)


def near_copies(
    films: Sequence[Image.Image],
    collections: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Copy]:
    """Pairs of films of different collections that are one film, the most certain first.

    Args:
        films: Each as `reduced` gives it.
        collections: What each belongs to.
        progress: Told (pairs looked at closely, of how many).
    """
    likely = sorted(_likely_pairs(films, np.asarray(collections)))
    found = []
    for done, (one, other) in enumerate(likely, start=1):
        found.append(Copy(one, other, _found_again(films[one], films[other])))
        progress(done, len(likely))
    return sorted((pair for pair in found if pair.likeness >= COPY), key=lambda pair: -pair.likeness)


def _at(film: Image.Image, side: int) -> Floats:
    """A film's detail at a size, [side, side]: ribs and vessels, not the shape of the chest."""
    values = np.asarray(film.resize((side, side), Image.Resampling.BOX), np.float32)
    return np.asarray(values - gaussian_filter(values, BLUR * side / SIDE), np.float32)


def _likely_pairs(films: Sequence[Image.Image], collections: NDArray[np.str_]) -> set[tuple[int, int]]:
    """Pairs that are worth a closer look."""
    flat = np.stack([_at(film, SIDE).ravel() for film in films])
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    nearest = min(NEAREST, len(films) - 1)
    found = set()
    for start in range(0, len(films), _BLOCK):
        alike = flat[start : start + _BLOCK] @ flat.T
        alike[collections[start : start + _BLOCK, None] == collections[None]] = -1
        for row, columns in enumerate(np.argpartition(-alike, nearest, axis=1)[:, :nearest]):
            for column in columns[alike[row, columns] >= LIKELY]:
                one, other = sorted((start + row, int(column)))
                found.add((one, other))
    return found


def _found_again(film: Image.Image, other: Image.Image) -> float:
    """Highest correlation of the middle of one film with any place of the other, over the sizes."""
    whole = _at(other, CLOSE_SIDE)
    best = -1.0
    for size in SIZES:
        scaled = _at(film, round(CLOSE_SIDE * size))
        edge = round(len(scaled) * (1 - MIDDLE) / 2)
        best = max(best, float(match_template(whole, scaled[edge:-edge, edge:-edge]).max()))
    return best
