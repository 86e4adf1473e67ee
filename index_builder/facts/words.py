"""A fact in words that are read as that fact again: how a query is changed without being typed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice, product

from index_builder.facts.fact import Fact
from index_builder.facts.parse import report_parser
from index_builder.facts.terms import report_terms

_STATUS = {"present": ("",), "absent": ("no ", "without "), "uncertain": ("possible ", "suspected ")}
_SIDE = {"left": "left", "right": "right", "both": "bilateral"}
#: Other names of a finding or place that are tried where its own is not read as it.
_NAMES_TRIED = 12
#: Phrasings that are tried: of the facts of 4,000 reports, all that can be said are said within the first 311.
_PHRASINGS_TRIED = 400


@lru_cache(maxsize=8192)
def words_of_fact(fact: Fact) -> str | None:
    """Words for a fact, e.g. "no small right pleural effusion"; None where no words are read as it.

    The words are read before they are given: `read_facts` finds this fact in them, and nothing else.
    """
    return next((words for words in islice(_phrasings(fact), _PHRASINGS_TRIED) if _is_read_as(words, fact)), None)


def own_sites(fact: Fact) -> tuple[str, ...]:
    """Sites that a fact names, without those that contain them."""
    wider = report_terms().wider_sites
    return tuple(one for one in fact.sites if not any(one in wider.get(other, ()) for other in fact.sites))


def same_statement(one: Fact, other: Fact) -> bool:
    """Whether two facts say the same, wherever in a text they stand."""
    return replace(one, start=0, end=0, sites=()) == replace(other, start=0, end=0, sites=()) and set(
        own_sites(one)
    ) == set(own_sites(other))


def read_query(text: str) -> tuple[Fact, ...]:
    """Facts of a typed text; a place alone is one of no finding."""
    parser = report_parser()
    return parser.facts(text) or parser.places(text)


def _is_read_as(words: str, fact: Fact) -> bool:
    found = read_query(words)
    return len(found) == 1 and same_statement(found[0], fact)


def _phrasings(fact: Fact) -> Iterator[str]:
    """Ways to say a fact, the plainest first."""
    terms = report_terms()
    sites = own_sites(fact)
    finding = terms.findings.get(fact.finding)
    names = (fact.finding,) if finding is None else finding.words[:_NAMES_TRIED]
    sides = ("", _SIDE[fact.side]) if fact.side is not None else ("",)
    degrees = (
        ("",)
        if fact.degree is None
        else (*terms.degrees[fact.degree].words[:_NAMES_TRIED], "")
        if fact.degree in terms.degrees
        else (fact.degree, "")
    )
    places = [" and ".join(sites)]
    if len(sites) == 1 and sites[0] in terms.sites:
        places = [*terms.sites[sites[0]].words[:_NAMES_TRIED]]
    if sites and finding is not None:
        places.insert(0, "")  # the finding's own name may say it: "rib fracture"
    numbered = product(enumerate(names), enumerate(places), enumerate(degrees))
    for (_, name), (_, place), (_, degree) in sorted(numbered, key=lambda several: sum(rank for rank, _ in several)):
        for status, side in product(_STATUS[fact.status], reversed(sides)):
            yield status + " ".join(filter(None, (degree, side, place, name)))
            if place:
                yield status + " ".join(filter(None, (degree, name, "in the", side, place)))
            if degree:
                yield status + " ".join(filter(None, (side, place, name, degree)))
