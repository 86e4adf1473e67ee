"""Labels of a case beside what its report and the query say: coded labels know neither denial nor side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from index_builder.cases.sentences import SENTENCE_ENDS
from index_builder.facts.fact import Fact
from index_builder.facts.terms import report_terms

#: Says that a film shows nothing: no finding that a report could deny.
_NORMAL = "normal"


def denied_labels(labels: Iterable[str], report: str, facts: Sequence[Fact]) -> dict[str, str]:
    """Labels that a report denies, with the sentence that does.

    A label of several findings is denied where all of them are. A report that denies and states a finding, or denies
    it on one side or in one place only, does not deny it.
    """
    found = {}
    for label in labels:
        named, meant = _findings(label)
        stated = any(fact.status != "absent" and _is_one_of(fact.finding, meant) for fact in facts)
        denials = [
            fact for fact in facts if fact.status == "absent" and fact.side in (None, "both") and fact.degree is None
        ]
        denied = {fact.finding: fact for fact in reversed(denials) if fact.finding in named}
        if named and not stated and denied.keys() == named:
            first = min(denied.values(), key=lambda fact: fact.start)
            found[label] = sentence_at(report, first.start)
    return found


def may_be_shared(label: str, asked: Sequence[Fact], held: Sequence[Fact]) -> bool:
    """Whether a label of a case can be shared with a query, given the facts of the query and of the report.

    It cannot where the query denies the finding, or states it on the side on which the report does not.
    """
    _, meant = _findings(label)
    wanted = [fact for fact in asked if _is_one_of(fact.finding, meant)]
    if not wanted:
        return True
    stated = [fact for fact in wanted if fact.status != "absent"]
    if not stated:
        return False
    there = [fact for fact in held if fact.status != "absent" and _is_one_of(fact.finding, meant)]
    return not there or any(sides_agree(one, other) for one in stated for other in there)


def sides_agree(one: Fact, other: Fact) -> bool:
    """Whether two facts can be of one side: "both" holds each, and a fact without side excludes none."""
    return one.side == other.side or None in (one.side, other.side) or "both" in (one.side, other.side)


def sentence_at(text: str, place: int) -> str:
    """The sentence of a text that a character stands in."""
    start = max(text.rfind(sign, 0, place) for sign in SENTENCE_ENDS) + 1
    stops = [stop + 1 for sign in SENTENCE_ENDS if (stop := text.find(sign, place)) >= 0]
    return text[start : min(stops, default=len(text))].strip()


@cache
def _findings(label: str) -> tuple[frozenset[str], frozenset[str]]:
    """Findings that a label names, and all that it may stand for."""
    plain = label.lower().replace("_", " ")
    terms = report_terms().findings.values()
    called = {term.name for term in terms if plain in map(str.lower, term.words)}
    listing = {term.name for term in terms if plain in (one.lower().replace("_", " ") for one in term.labels or ())}
    return frozenset(called or listing) - {_NORMAL}, frozenset(called | listing) - {_NORMAL}


def _is_one_of(finding: str, meant: frozenset[str]) -> bool:
    """Whether a finding is among those meant, or a kind of one."""
    return finding in meant or not meant.isdisjoint(report_terms().wider_findings.get(finding, ()))
