"""Open-i films that were published turned, and are hung upright when they are read.

Found by asking each of the 3,292 primary films that are not named laterals for its anatomy
(docs/explanation/anatomy.md), and looked at. A film that lies on its side because the patient did (CXR1339, a decubitus
film) is as it was taken, and one whose heart lies on the right (CXR2278) may show the patient: both stay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from index_builder.imaging import Film

#: Quarter turns, counter-clockwise, that bring a film upright, by `film_key`.
_QUARTERS = {"994_IM-2478-1001": 3, "1285_IM-0188-0001": 2}


def hung_upright(film: Film, key: str) -> Film:
    """The film as it should hang, with a note where it was turned for that; `key` is its `film_key`."""
    quarters = _QUARTERS.get(key)
    if quarters is None:
        return film
    pixels = np.ascontiguousarray(np.rot90(film.pixels, quarters))
    return replace(film, pixels=pixels, notes=(*film.notes, "published turned, hung upright"))
