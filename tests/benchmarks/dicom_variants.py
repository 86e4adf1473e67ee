"""How one drawn film comes out of each form that a DICOM file can have: `python tests/benchmarks/dicom_variants.py`.

One line for each form of `tests/samples/dicom_variants.py`: correlation with the film as drawn, largest
difference of a grey value, correlation with what pydicom's LUT functions and dcmtk's dcm2pnm show ("-" where they show
nothing), and what was ignored. Then the same for pydicom's own films, which have no drawing to be compared with.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom

from index_builder.errors import ImagingError
from index_builder.imaging import Film, decode_film

sys.path.insert(0, str(Path(__file__).parents[1] / "samples"))

from dicom_variants import variants
from film_references import NO_DCMTK, agreement, by_dcmtk, by_pydicom

_WIDTH = 72


def theirs(data: bytes, film: Film, exposed: np.ndarray) -> str:
    """Correlation with pydicom and dcmtk, in two columns."""
    shown: list[np.ndarray | None] = []
    try:
        shown.append(by_pydicom(data))
    except Exception:  # whatever pydicom raises of a malformed file: the table says that it shows nothing
        shown.append(None)
    shown.append(None if NO_DCMTK else by_dcmtk(data, film.notes))
    return " ".join(f"{'-' if one is None else f'{agreement(film.pixels, one, exposed):.4f}':>8}" for one in shown)


def drawn_forms() -> None:
    """Print the table of the drawn film's forms."""
    print(f"{'form':{_WIDTH}} {'drawn':>8} {'largest':>8} {'pydicom':>8} {'dcmtk':>8}  ignored")
    alike = 0
    for variant in variants():
        film = decode_film(variant.data, name=variant.name)
        drawn = agreement(film.pixels, variant.shown, variant.exposed)
        largest = np.abs(film.pixels - variant.shown)[variant.exposed].max()
        alike += drawn > 0.999
        others = theirs(variant.data, film, variant.exposed)
        print(f"{variant.name:{_WIDTH}} {drawn:8.4f} {largest:8.4f} {others}  {'; '.join(film.ignored)}")
    print(f"{alike} of {len(variants())} forms correlate with the drawn film by more than 0.999\n")


def pydicoms_films() -> None:
    """Print the same for the images among pydicom's test files."""
    print(f"{'file of pydicom':{_WIDTH}} {'pydicom':>8} {'dcmtk':>8}  ignored, or why it is refused")
    for path in sorted(Path(pydicom.__file__).parent.glob("data/test_files/*.dcm")):
        data = path.read_bytes()
        try:
            film = decode_film(data, name=path.name)
        except ImagingError as error:
            print(f"{path.name:{_WIDTH}} {'':8} {'':8}  {str(error).partition(': ')[2]}")
            continue
        everywhere = np.ones(film.pixels.shape, np.bool_)
        print(f"{path.name:{_WIDTH}} {theirs(data, film, everywhere)}  {'; '.join(film.ignored)}")


if __name__ == "__main__":
    drawn_forms()
    pydicoms_films()
