"""A query or a case as the system reads it and as a reader sees it: what an explanation is about."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explorer.casebook import Casebook
from explorer.explanation.overlay import display_grey
from explorer.prediction.scores import withheld_words
from explorer.search.profiles import check_profile
from explorer.search.query import Query
from explorer.search.reading.film_report import FilmReport, examine, look
from explorer.search.reading.text_report import examine_text
from explorer.search.reading.understanding import understand_query
from index_builder.anatomy.zones import ZoneMap, zone_map
from index_builder.cases.profile import profile_sentence
from index_builder.cases.space import Space
from index_builder.errors import CxrError, QueryError
from index_builder.explanation import Inputs
from index_builder.facts.understand import Correction
from index_builder.imaging import InputGeometry

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
        synthetic: Whether the film is computer-drawn, not an X-ray.
        note: What a reader must know of the film, possibly empty.
        warnings: What is wrong with the film or text of a query, as a search of it tells; empty for a case.
        withheld: Why nothing may be stated of it, see `Scores.withheld`; empty: it may.
        number: Which of its films is explained; 0: the first.
        films: The views of all its films, None where unknown.
        zones: Zones of the lungs on the film; None without a film, or where lungs and heart were not found.
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
    warnings: tuple[str, ...] = ()
    withheld: str = ""
    number: int = 0
    films: tuple[str | None, ...] = ()
    zones: ZoneMap | None = None

    @property
    def name(self) -> str:
        """How a reader knows it."""
        name = "Your query" if self.case_id is None else f"Case {self.case_id}"
        return f"{name}, film {self.number + 1}" if self.number else name

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


def open_study(casebook: Casebook, query: Query, number: int = 0) -> Study:
    """Prepare a query or one of the casebook's cases, with one of its films: one at a time is explained.

    A case whose source cannot be reached is prepared from the small copy in the casebook, and its note says so.

    Args:
        casebook: Casebook that is searched.
        query: The query, or a case.
        number: Which of its films; 0: the first.

    Raises:
        QueryError: An unknown case, film or field of a profile, nothing given, or a case with something else.
        CxrError: A case that has a film of which there is no copy either.
    """
    text = query.typed
    if query.case_id is not None:
        if query.films or text or query.profile:
            raise QueryError("explain a case or a film and text, not both.")
        return _case_study(casebook, query.case_id, number)
    if text and query.profile:
        raise QueryError("explain a text or a profile, not both.")
    if query.profile:
        check_profile(casebook, query.profile)
        text = profile_sentence(query.profile)
    if not query.films and not text:
        raise QueryError("nothing to explain. Give a film, a text, or both.")
    corrections: Sequence[Correction] = ()
    if (understood := understand_query(casebook, query)) is not None:
        text, corrections = understood.spelled_out, understood.corrections
    digest = hashlib.sha256(text.encode())
    pixels, view = query.films[_checked(number, len(query.films))] if query.films else (None, None)
    films: tuple[FilmReport, ...] = ()
    if pixels is not None:
        digest.update(pixels.tobytes())
        films = (_film_report(casebook, pixels, view),)
    report = examine_text(casebook, text, corrections) if text else None
    warnings = [words for film in films for words in (*(flag.words for flag in film.flags), *film.hints)]
    warnings += [flag.words for flag in report.flags] if report is not None else []
    study = _study(casebook, digest.hexdigest(), None, pixels, text, False, "")
    return replace(
        study,
        warnings=tuple(warnings),
        withheld=withheld_words(casebook, films, report),
        number=number,
        films=tuple(view for _, view in query.films),
    )


def _checked(number: int, count: int) -> int:
    if not 0 <= number < count:
        raise QueryError(f"film {number + 1}: there are {count}. Give a number from 1 to {count}.")
    return number


def _film_report(casebook: Casebook, pixels: NDArray[np.float32], view: str | None) -> FilmReport:
    return examine(casebook, pixels, view, look(casebook.encoder, pixels))


def _case_study(casebook: Casebook, case_id: str, number: int) -> Study:
    case = casebook.case(case_id)
    pixels, note = None, ""
    if case.films:
        reference = case.films[_checked(number, len(case.films))].reference
        try:
            pixels = casebook.film(reference).pixels
        except CxrError as error:
            thumbnail = casebook.case_films.small_copy(case_id, reference)
            if thumbnail is None:
                raise
            with Image.open(io.BytesIO(thumbnail)) as image:
                pixels = np.asarray(image.convert("L"), np.float32) / 255
            note = f"Explained from the small copy kept in the casebook: {error}"
    text = casebook.encoder.read(case).strip()
    if pixels is None and not text:
        raise QueryError(f"case {case_id!r} has neither film nor text to explain.")
    key = f"case {case_id}" + (f" film {number}" if number else "")
    study = _study(casebook, key, case_id, pixels, text, case.synthetic, note)
    return replace(study, number=number, films=tuple(film.view for film in case.films))


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
    encoder = casebook.encoder
    return Study(
        key,
        case_id,
        encoder.prepare(pixels),
        display_grey(pixels, _SHOWN_SIDE),
        encoder.geometry(pixels),
        pixels.shape,
        text,
        synthetic,
        note,
        zones=_zones(pixels),
    )


def _zones(pixels: NDArray[np.float32]) -> ZoneMap | None:
    from index_builder.anatomy.measure import implausible
    from index_builder.anatomy.segmenter import shipped_segmenter

    anatomy = shipped_segmenter().outline(pixels)
    return None if implausible(anatomy) else zone_map(anatomy)
