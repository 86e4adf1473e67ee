"""Filters by what reports say: fields `finding`, `side`, `site` and `degree`; the module `filters` shows the forms.

A condition is met by one present fact of the report that says all of it: nodule@right upper lobe is a nodule that lies
there, not a nodule and something else there. A wider finding or site is met by a narrower one: finding=opacity by a
nodule, site=lung by the upper lobe. Side left or right is met by a finding of both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from index_builder.errors import QueryError
from index_builder.facts.fact import Fact, Side
from index_builder.facts.terms import DegreeTerm, FindingTerm, SiteTerm, report_terms
from index_builder.lexical.stated import FACT_FIELDS

if TYPE_CHECKING:
    from explorer.casebook import Casebook
    from explorer.search.filters.expression import Filter
    from index_builder.lexical.stored_facts import StoredFacts

#: Names that an error lists.
_NAMED = 12


def is_fact_field(casebook: Casebook, field: str) -> bool:
    """Whether a filter on a field asks for facts: not where the patients of the casebook have a field of that name."""
    return field in FACT_FIELDS and field not in casebook.profile_fields


def rows_by_facts(casebook: Casebook, condition: Filter) -> NDArray[np.bool_]:
    """Which cases meet a filter by facts, [N].

    What a case has not (!=) its report neither states nor suspects; a case without report has and lacks nothing.

    Raises:
        QueryError: Reports are not indexed here, or the filter names what no report can say.
    """
    if condition.operator not in ("any", "all", "none"):
        raise QueryError(f"filter {str(condition)!r}: what reports say is compared with =, !=, all(...) or none(...).")
    wanted = [_wanted(condition.field, value) for value in condition.values]
    if casebook.reports is None:
        raise QueryError(f"casebook {casebook.name!r} has no index of reports to filter by. Rebuild it.")
    held = np.stack([_rows(casebook.reports.facts, one, doubted=condition.operator == "none") for one in wanted])
    if condition.operator == "none":
        return ~held.any(axis=0) & _has_report(casebook)
    return np.asarray(held.all(axis=0) if condition.operator == "all" else held.any(axis=0), bool)


def _rows(facts: StoredFacts, wanted: Fact, *, doubted: bool) -> NDArray[np.bool_]:
    return facts.rows_with(facts.kinds_that_say(wanted, doubted=doubted))


def _has_report(casebook: Casebook) -> NDArray[np.bool_]:
    held = np.zeros(len(casebook), bool)
    for section in casebook.report_sections:
        held |= np.asarray(pc.fill_null(pc.greater(pc.binary_length(section), 0), False), bool)
    return held


def _wanted(field: str, value: str) -> Fact:
    """The fact that a value of a filter asks for."""
    if field == "finding":
        rest, _, degree = value.partition("#")
        finding, _, place = rest.partition("@")
        side, site = _place(place) if place.strip() else (None, ())
        return Fact(
            _name("finding", finding),
            side=side,
            sites=site,
            degree=_name("degree", degree) if degree.strip() else None,
        )
    if field == "degree":
        return Fact("", degree=_name("degree", value))
    if field == "side":
        return Fact("", side=_side(value))
    side, site = _place(value)
    return Fact("", side=side, sites=site)


def _place(words: str) -> tuple[Side | None, tuple[str, ...]]:
    """A side, a site, or a side and a site."""
    parts = _written_out(words).split()
    if (side := _sides().get(" ".join(parts).casefold())) is not None:
        return side, ()
    for length in range(len(parts) - 1, 0, -1):
        side = _sides().get(" ".join(parts[:length]).casefold())
        if side is not None:
            return side, (_name("site", " ".join(parts[length:])),)
    return None, (_name("site", " ".join(parts)),)


def _side(value: str) -> Side:
    side = _sides().get(value.strip().casefold())
    if side is None:
        raise QueryError(f"filter: {value.strip()!r} is not a side. Write left, right or both.")
    return side


def _name(part: str, words: str) -> str:
    """The name that facts have for a finding, site or degree, given any of its words."""
    found = _names(part).get(_written_out(words).casefold())
    if found is None:
        known = list(dict.fromkeys(_names(part).values()))
        alike = [one for one in known if words.strip() and words.strip().casefold()[:4] in one.casefold()]
        told = ", ".join((alike or known)[:_NAMED])
        raise QueryError(f"filter: no {part} {words.strip()!r} is known to reports. Known are {told}, and others.")
    return found


def _written_out(words: str) -> str:
    """Words with single blanks between them, an abbreviation as what it stands for."""
    plain = " ".join(words.split())
    return report_terms().short.get(plain.casefold(), plain)


@cache
def _names(part: str) -> Mapping[str, str]:
    """Word in lower case -> name, of a part of the terms; a name goes before another's synonym."""
    terms = report_terms()
    parts: dict[str, Mapping[str, FindingTerm | SiteTerm | DegreeTerm]] = {
        "finding": {**terms.findings},
        "site": {**terms.sites},
        "degree": {**terms.degrees},
    }
    names = {name.casefold(): name for name in parts[part]}
    for name, term in parts[part].items():
        for word in term.words:
            names.setdefault(word.casefold(), name)
    return names


@cache
def _sides() -> Mapping[str, Side]:
    return {word.casefold(): side for side, words in report_terms().sides.items() for word in words}
