"""How often text in films is found, and how often it is found where nobody put any.

python tests/benchmarks/burned_in_text.py [--films N] [--folder DIR …]

On the films as they are, and with a name in white burned into a corner in four sizes. Real films may have text of
their own: those found are listed, to be looked at.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from index_builder.datasets import open_dataset
from index_builder.imaging import read_film
from index_builder.imaging.burned_in import find_text

_TEXT = "DOE^JOHN 12.03.1957"
#: Font sizes as shares of the longest side.
_SIZES = (0.015, 0.02, 0.03, 0.045)


def burn(pixels: np.ndarray, size: float, random: np.random.Generator) -> np.ndarray:
    """A film with a name in one of its corners."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(round(size * max(pixels.shape)))
    _, _, width, height = draw.textbbox((0, 0), _TEXT, font)
    x = random.choice([6, max(6, image.width - int(width) - 6)])
    y = random.choice([6, image.height - int(height) - 6])
    draw.text((x, y), _TEXT, 1.0, font)
    return np.asarray(image)


def measure(name: str, films: list[tuple[str, np.ndarray]]) -> None:
    """Print one line, and the films in which text was found as they are."""
    random = np.random.default_rng(0)
    hits, flagged, seconds = dict.fromkeys(_SIZES, 0), [], 0.0
    clean = 0
    for reference, pixels in films:
        began = perf_counter()
        own = find_text(pixels)
        seconds += perf_counter() - began
        if own:
            flagged.append(reference)
            continue
        clean += 1
        for size in _SIZES:
            hits[size] += bool(find_text(burn(pixels, size, random)))
    rates = ", ".join(f"{size:.1%}: {count / max(clean, 1):.0%}" for size, count in hits.items())
    print(
        f"{name}: {len(flagged)} of {len(films)} flagged as they are; found by size of font {rates}; "
        f"{1000 * seconds / len(films):.0f} ms a film"
    )
    for reference in flagged:
        print("  ", reference)


def main() -> None:
    """Measure phantoms and the folders named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument("--folder", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    for name in ("phantom-openi", "phantom-dust"):
        dataset = open_dataset(name)
        wanted = [case.image for case in dataset.cases() if case.image is not None][: arguments.films]
        measure(name, [(reference, dataset.load_film(reference).pixels) for reference in wanted])
    for folder in arguments.folder:
        paths = sorted(folder.iterdir())
        chosen = np.random.default_rng(1).permutation(len(paths))[: arguments.films]
        measure(folder.name, [(paths[place].name, read_film(paths[place]).pixels) for place in chosen])


if __name__ == "__main__":
    main()
