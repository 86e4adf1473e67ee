"""One drawn chest film in the many forms that DICOM files take, sound and malformed."""

from __future__ import annotations

from functools import cache

import malformed_variants
import sound_variants
from drawn_film import GreyFilms, Variant


@cache
def variants() -> tuple[Variant, ...]:
    """All forms, in both polarities where they are grey."""
    found: list[Variant] = []
    for inverse in (False, True):
        make = GreyFilms(inverse=inverse)
        sound_variants.add_all(make)
        malformed_variants.add_all(make)
        found += make.found
    return (*found, *sound_variants.colour())
