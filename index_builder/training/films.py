"""Films decoded once for all epochs, and where the findings of drawn ones lie."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from index_builder.cases.case import Case
from index_builder.datasets.base import Dataset, LocatesFindings
from index_builder.datasets.unreadable import reason_of, with_remedy
from index_builder.errors import ImagingError
from index_builder.evaluation.faithfulness.localisation import regions
from index_builder.imaging import model_input

#: (what is being done, cases done, cases in all)
Progress = Callable[[str, int, int], None]

#: Cells along a film's edge that say where its findings lie.
CELLS = 28


@dataclass(frozen=True, slots=True)
class DecodedFilms:
    """The films of all cases that have one, in order.

    Attributes:
        films: [F, S, S] uint8, a memory map.
        regions: By film that tells, and by label: [R, R] uint8, share of each cell that its finding covers, in 255ths.
        unreadable: Why a film could not be decoded, by its place among the F; black in `films`.
    """

    films: NDArray[np.uint8]
    regions: Mapping[int, Mapping[str, NDArray[np.uint8]]]
    unreadable: Mapping[int, str]


def decode_films(
    cases: Sequence[tuple[Dataset, Case]],
    image_size: int,
    films_file: Path,
    origin: str,
    progress: Progress,
    *,
    with_regions: bool,
    skip_unreadable: bool = False,
) -> DecodedFilms:
    """Decode films into a file, or take the file as it is where it holds these very films.

    Args:
        cases: With or without a film.
        image_size: S.
        films_file: Written with `stored_beside` it.
        origin: Digest of which films they are.
        progress: Called as films are decoded.
        with_regions: Ask drawn films where their findings lie. Real ones are not asked: boxes on them are kept for
            evaluation.
        skip_unreadable: Go on without films that cannot be decoded.

    Raises:
        ImagingError: A film cannot be decoded.
    """
    filmed = [(dataset, case, str(case.image)) for dataset, case in cases if case.image is not None]
    complete, regions_file, unreadable_file = stored_beside(films_file)
    found: dict[int, dict[str, NDArray[np.uint8]]] = {
        place: {}
        for place, (dataset, case, _) in enumerate(filmed)
        if with_regions and case.synthetic and isinstance(dataset, LocatesFindings)
    }
    there = all(path.is_file() for path in (films_file, complete, *([regions_file] if found else ())))
    # A run that goes on must have the films it began with, so those it began without are not tried again.
    if there and complete.read_text("utf-8") == origin and (skip_unreadable or not unreadable_file.is_file()):
        if found:
            with np.load(regions_file) as stored:
                for place, label, cells in zip(stored["place"], stored["label"], stored["cells"], strict=True):
                    found[int(place)][str(label)] = cells
        unreadable = json.loads(unreadable_file.read_text("utf-8")) if unreadable_file.is_file() else {}
        known = {int(place): str(reason) for place, reason in unreadable.items()}
        return DecodedFilms(np.load(films_file, mmap_mode="r"), found, known)
    for path in (complete, regions_file, unreadable_file):
        path.unlink(missing_ok=True)
    films_file.parent.mkdir(parents=True, exist_ok=True)
    shape = (max(1, len(filmed)), image_size, image_size)
    films = np.lib.format.open_memmap(films_file, mode="w+", dtype=np.uint8, shape=shape)

    reasons: dict[int, str] = {}

    def load(place: int) -> None:
        dataset, case, name = filmed[place]
        try:
            pixels = dataset.load_film(name).pixels
        except ImagingError as error:
            if not skip_unreadable:
                raise with_remedy(error) from error
            reasons[place] = reason_of(error, name)
            return
        films[place] = (model_input(pixels, image_size) * 255).round().astype(np.uint8)
        if place in found:
            found[place] = {one.label: _cells(one.mask) for one in regions(dataset, case, pixels, image_size)}

    with ThreadPoolExecutor(os.cpu_count()) as readers:
        for done, _ in enumerate(readers.map(load, range(len(filmed))), start=1):
            progress("Reading films", done, len(filmed))
    films.flush()
    if found:
        rows = [(place, label, cells) for place, of in found.items() for label, cells in of.items()]
        np.savez(
            regions_file,
            place=np.array([place for place, _, _ in rows], np.int64),
            label=np.array([label for _, label, _ in rows], np.str_),
            cells=np.array([cells for _, _, cells in rows], np.uint8).reshape(-1, CELLS, CELLS),
        )
    if reasons:
        unreadable_file.write_text(json.dumps(reasons), "utf-8")
    complete.write_text(origin, "utf-8")
    return DecodedFilms(films, found, reasons)


def stored_beside(films_file: Path) -> tuple[Path, Path, Path]:
    """The files that say which films a file holds, where their findings lie, and which could not be decoded."""
    return (
        films_file.with_suffix(".sha256"),
        films_file.with_suffix(".regions.npz"),
        films_file.with_suffix(".unreadable.json"),
    )


def _cells(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Mask [S, S] to the share of each cell that it covers; a cell that is merely touched has some."""
    shares = functional.adaptive_avg_pool2d(torch.from_numpy(mask)[None].float(), CELLS)[0]
    return np.asarray((shares * 255).ceil().byte().numpy())
