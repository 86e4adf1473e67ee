"""The query of a search and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from explorer.search.filters.expression import Filter
from explorer.search.profiles import check_profile
from index_builder.cases.case import ProfileValue
from index_builder.cases.profile import profile_sentence
from index_builder.cases.space import Space
from index_builder.errors import QueryError

if TYPE_CHECKING:
    from explorer.casebook import Casebook

#: How a typed text finds cases: by words, facts and vectors together, by vectors alone, or by words alone.
Mode = Literal["hybrid", "dense", "lexical"]
MODES: tuple[Mode, ...] = get_args(Mode)
MAX_NEIGHBOURS = 200
#: Longest text or sentence of a profile that is searched with; encoders read less.
MAX_QUERY_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Query:
    """A search query: one or two films, a text or profile, films with either, or a case of the casebook.

    Attributes:
        pixels: [H, W] float32 in 0..1, `Film.pixels`.
        text: A report, a sentence or a few words.
        case_id: A case already in the casebook; excludes the others.
        image_weight: Share of the film when a text or profile is given too, 0..1.
        profile: Fields of a patient profile instead of a text, where the casebook's system reads profiles; searched as
            the sentence that `profile_sentence` makes of them.
        view: What the film's header says of its view, where there is one.
        correct: Whether misspelt words of the text are searched for as the words they are taken for.
        second: A second film of the same study, such as the lateral beside a frontal film; like `pixels`.
        second_view: What its header says of its view.
    """

    pixels: NDArray[np.float32] | None = None
    text: str | None = None
    case_id: str | None = None
    image_weight: float = 0.5
    profile: Mapping[str, ProfileValue] | None = None
    view: str | None = None
    correct: bool = True
    second: NDArray[np.float32] | None = None
    second_view: str | None = None

    @property
    def films(self) -> tuple[tuple[NDArray[np.float32], str | None], ...]:
        """The films there are, each with what its header says of its view."""
        several = ((self.pixels, self.view), (self.second, self.second_view))
        return tuple((pixels, view) for pixels, view in several if pixels is not None)

    @property
    def typed(self) -> str:
        """The text without blanks around it; empty where there is none."""
        return (self.text or "").strip()


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Options of a search.

    Attributes:
        k: Neighbours wanted, 1 to 200.
        space: Which vectors are searched; None: those of the query's own modality where there are any.
        filters: Conditions a neighbour must meet.
        rerank: 0 orders by similarity alone, 1 as the system itself mixes similarity and findings
            (`Casebook.ranking`), or by overlap of findings alone where it has no mixture of its own.
        one_per_patient: Keep the best case of each patient, and none of a queried case's own patient.
        hide_duplicates: Leave out copies of better-placed films (or, without film, reports) and of a queried case.
        mode: How a typed text finds cases where the casebook's system reads reports. Films, profiles and cases are
            compared by vectors in every mode.
        all_films: Compare a lateral film with all films of each case too. Otherwise a lateral that is searched with
            alone is compared with laterals.
    """

    k: int = 5
    space: Space | None = None
    filters: tuple[Filter, ...] = ()
    rerank: float = 0.0
    one_per_patient: bool = False
    hide_duplicates: bool = False
    mode: Mode = "hybrid"
    all_films: bool = False


def check_query(query: Query, options: SearchOptions) -> None:
    """Refuse what cannot be searched with.

    Raises:
        QueryError: Nothing to search with, two things that exclude each other, or a number out of range.
    """
    text = bool(query.typed)
    if query.text:
        _check_text(query.text)
    given = query.pixels is not None or text or bool(query.profile)
    if query.case_id is not None and given:
        raise QueryError("search with a case or with a film and text, not both.")
    if query.case_id is None and not given:
        raise QueryError("nothing to search with. Give a film, a text, a profile or a case id.")
    if query.second is not None and query.pixels is None:
        raise QueryError("a second film without a first. Give one film as the first.")
    if text and query.profile:
        raise QueryError("search with a text or with a profile, not both.")
    if not 1 <= options.k <= MAX_NEIGHBOURS:
        raise QueryError(f"k = {options.k}: give a number from 1 to {MAX_NEIGHBOURS}.")
    if options.mode not in MODES:
        raise QueryError(f"mode {options.mode!r}: give one of {', '.join(MODES)}.")
    for name, value in (("image weight", query.image_weight), ("rerank", options.rerank)):
        if not 0 <= value <= 1:
            raise QueryError(f"{name} = {value}: give a number from 0 to 1.")


def _check_text(text: str) -> None:
    if len(text) > MAX_QUERY_CHARS:
        raise QueryError(f"a text of {len(text):,} characters: give at most {MAX_QUERY_CHARS:,}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError("the text is not valid Unicode. Save or copy it as UTF-8.") from None


def worded(casebook: Casebook, query: Query) -> Query:
    """The query with its profile said in a sentence."""
    if not query.profile:
        return query
    check_profile(casebook, query.profile)
    sentence = profile_sentence(query.profile)
    _check_text(sentence)
    if not sentence and query.pixels is None:
        raise QueryError("the profile has no value to search with. Give at least one.")
    return replace(query, text=sentence, profile=None)
