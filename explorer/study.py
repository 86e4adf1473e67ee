"""A query or a case as the system reads it and as a reader sees it: what an explanation is about."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explorer.casebook import Casebook
from explorer.overlay import display_grey
from explorer.profiles import check_profile
from explorer.search import Query
from index_builder.casebook import Space
from index_builder.errors import CxrError, QueryError
from index_builder.explanation import Inputs
from index_builder.imaging import InputGeometry, input_geometry, model_input
from index_builder.systems.profile import profile_sentence

#: Longest side in pixels of a film that is shown with a map over it.
_SHOWN_SIDE = 768


@dataclass(frozen=True, slots=True)
class Study:
    """A query or case to explain.

    Attributes:
        key: Tells studies apart; made from the content of a query, so it belongs to the query's session alone.
        case_id: None for a query.
        film: [S, S] float32 in 0..1, the network input; None without a film.
        shown: [rows, columns] uint8, the film as it is shown; None without a film.
        geometry: Where the film lies in the network input; None without a film.
        shape: (rows, columns) of the film that `geometry` speaks of.
        text: What the system reads: report, typed text or profile sentence; possibly empty.
        synthetic: Whether the film is drawn, not exposed.
        note: What a reader must know of the film, possibly empty.
    """

    key: str
    case_id: str | None
    film: NDArray[np.float32] | None
    shown: NDArray[np.uint8] | None
    geometry: InputGeometry | None
    shape: tuple[int, int]
    text: str
    synthetic: bool
    note: str

    @property
    def name(self) -> str:
        """How a reader knows it."""
        return "Your query" if self.case_id is None else f"Case {self.case_id}"

    @property
    def parts(self) -> tuple[Space, ...]:
        """What can be read of it, the fullest first."""
        if self.film is None:
            return ("text",)
        return ("joint", "image", "text") if self.text else ("image",)

    def inputs(self, part: Space) -> Inputs:
        """What the system reads of it for a part: film and text, or either; what there is where that is missing."""
        part = part if part in self.parts else self.parts[0]
        return Inputs(None if part == "text" else self.film, "" if part == "image" else self.text)


def open_study(casebook: Casebook, query: Query) -> Study:
    """Prepare a query or one of the casebook's cases.

    A case whose source is out of reach is prepared from the small copy in the casebook, and its note says so.

    Raises:
        QueryError: An unknown case, an unknown field of a profile, nothing given, or a case with something else.
        CxrError: A case that has a film of which there is no copy either.
    """
    text = (query.text or "").strip()
    if query.case_id is not None:
        if query.pixels is not None or text or query.profile:
            raise QueryError("explain a case or a film and text, not both.")
        return _case_study(casebook, query.case_id)
    if text and query.profile:
        raise QueryError("explain a text or a profile, not both.")
    if query.profile:
        check_profile(casebook, query.profile)
        text = profile_sentence(query.profile)
    if query.pixels is None and not text:
        raise QueryError("nothing to explain. Give a film, a text, or both.")
    digest = hashlib.sha256(text.encode())
    if query.pixels is not None:
        digest.update(query.pixels.tobytes())
    return _study(casebook, digest.hexdigest(), None, query.pixels, text, False, "")


def _case_study(casebook: Casebook, case_id: str) -> Study:
    case = casebook.case(case_id)
    pixels, note = None, ""
    if case.image is not None:
        try:
            pixels = casebook.film(case.image).pixels
        except CxrError as error:
            thumbnail = casebook.thumbnail(case_id)
            if thumbnail is None:
                raise
            with Image.open(io.BytesIO(thumbnail)) as image:
                pixels = np.asarray(image.convert("L"), np.float32) / 255
            note = f"Explained from the small copy kept in the casebook: {error}"
    text = casebook.system.text_of(case).strip()
    if pixels is None and not text:
        raise QueryError(f"case {case_id!r} has neither film nor text to explain.")
    return _study(casebook, f"case {case_id}", case_id, pixels, text, case.synthetic, note)


def _study(
    casebook: Casebook,
    key: str,
    case_id: str | None,
    pixels: NDArray[np.float32] | None,
    text: str,
    synthetic: bool,
    note: str,
) -> Study:
    if pixels is None:
        return Study(key, case_id, None, None, None, (0, 0), text, synthetic, note)
    size = casebook.system.config.image_size
    return Study(
        key,
        case_id,
        model_input(pixels, size),
        display_grey(pixels, _SHOWN_SIDE),
        input_geometry(pixels, size),
        pixels.shape,
        text,
        synthetic,
        note,
    )
