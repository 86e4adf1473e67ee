"""How well a held fact answers a wanted one, and the index terms under which facts are found."""

from __future__ import annotations

from functools import lru_cache

from index_builder.facts.fact import Fact, Status
from index_builder.facts.terms import report_terms

#: Share of a full match that is left where the held fact names ... instead of what is wanted.
NARROWER_FINDING = 0.9  # pneumonia, where airspace disease is wanted
WIDER_FINDING = 0.55  # airspace disease, where pneumonia is wanted
SISTER_FINDING = 0.4  # infiltrate, where pneumonia is wanted: both are airspace disease
DOUBTED = 0.6  # "possible pneumonia", where pneumonia is wanted
SIDE_OF_BOTH = 0.85  # one side, where both are wanted
UNKNOWN_SIDE = 0.45
OTHER_SIDE = 0.1
NEAR_SITE = 0.8  # base, where lower lobe is wanted
WIDER_SITE = 0.45  # lung or nothing, where lower lobe is wanted
OTHER_SITE = 0.15
CLOSE_DEGREE = 0.6  # small, where mild is wanted
UNKNOWN_DEGREE = 0.5
OTHER_DEGREE = 0.25

_MARK = {"present": "+", "absent": "-", "uncertain": "?"}


def similarity(wanted: Fact, held: Fact) -> float:
    """How well a fact of a report answers a fact of a query, 0 (not at all) to 1.

    Product of what is left for finding, status, side, sites and degree. Only what `wanted` says counts: a wanted
    fact without a side is answered in full by either side. What the held fact adds costs nothing. A wanted fact
    without finding (a place alone) is answered by every present finding there.
    """
    same = _status(wanted, held) * _finding(wanted, held)
    return same and same * _side(wanted, held) * _sites(wanted, held) * _degree(wanted, held)


def fact_terms(fact: Fact) -> tuple[str, ...]:
    """Index terms of a held fact, the most specific first; also those of the wider findings that it is one of.

    A term is a mark of the status (+ present, - absent, ? uncertain), the finding, then maybe @side, @site and
    #degree in this order: "+nodule@right@upper lobe#small". "+@left@lower lobe" is any present finding there.
    A fact of both sides is found under left, right and both.
    """
    terms = report_terms()
    names = (fact.finding, *terms.wider_findings.get(fact.finding, ()), *([""] if fact.finding else []))
    sides = ("both", "left", "right", None) if fact.side == "both" else (fact.side, None) if fact.side else (None,)
    sites = (*_with_wider(fact), None)
    degrees = (fact.degree, None) if fact.degree else (None,)
    found = [
        (-((side is not None) + (site is not None) + (degree is not None)), rank, _term(fact, name, side, site, degree))
        for rank, name in enumerate(names)
        for side in sides
        for site in sites
        for degree in degrees
        if name or side or site
    ]
    return tuple(dict.fromkeys(term for _, _, term in sorted(found, key=lambda one: one[:2])))


def wanted_terms(fact: Fact) -> tuple[str, ...]:
    """Index terms to look a wanted fact up by, the most specific first, widening step by step.

    First all it says, then with a near site, then without degree, without site, without side; then the same of
    the wider findings; last as doubted. The cases under the first terms answer best; `similarity` says how well.
    """
    terms = report_terms()
    specific = fact.sites[:1]
    near = [site for site in terms.sites if specific and frozenset((specific[0], site)) in terms.near]
    found: dict[str, None] = {}
    marks: tuple[Status, ...] = (fact.status, "uncertain") if fact.status == "present" else (fact.status,)
    for status in marks:
        for name in (fact.finding, *terms.wider_findings.get(fact.finding, ())):
            for degree in (fact.degree, None) if fact.degree else (None,):
                for side in (fact.side, None) if fact.side else (None,):
                    for site in (*specific, *near, None):
                        if name or side or site:
                            found[_term(Fact(name, status), name, side, site, degree)] = None
    return tuple(found)


def _term(fact: Fact, name: str, side: str | None, site: str | None, degree: str | None) -> str:
    return (
        _MARK[fact.status]
        + name
        + (f"@{side}" if side else "")
        + (f"@{site}" if site else "")
        + (f"#{degree}" if degree else "")
    )


def _with_wider(fact: Fact) -> tuple[str, ...]:
    """Sites of a fact and all that contain them; its finding's usual site where it names none."""
    return _sites_of(fact.finding, fact.sites)


@lru_cache(maxsize=65536)
def _sites_of(finding: str, sites: tuple[str, ...]) -> tuple[str, ...]:
    terms = report_terms()
    known = terms.findings.get(finding)
    usual = known.site if known is not None else None
    own = sites or ((usual,) if usual is not None else ())
    return tuple(dict.fromkeys((*own, *(wide for site in own for wide in terms.wider_sites.get(site, ())))))


def _finding(wanted: Fact, held: Fact) -> float:
    if wanted.finding in ("", held.finding):
        return 1.0
    wider = report_terms().wider_findings
    above_held, above_wanted = wider.get(held.finding, ()), wider.get(wanted.finding, ())
    if wanted.finding in above_held:
        return NARROWER_FINDING
    if held.finding in above_wanted:
        return WIDER_FINDING
    return SISTER_FINDING if set(above_held[:1]) & set(above_wanted[:1]) else 0.0


def _status(wanted: Fact, held: Fact) -> float:
    if wanted.status == held.status:
        return 1.0
    return 0.0 if {wanted.status, held.status} == {"present", "absent"} else DOUBTED


def _side(wanted: Fact, held: Fact) -> float:
    if wanted.side is None or wanted.side == held.side or held.side == "both":
        return 1.0
    if held.side is None:
        return UNKNOWN_SIDE
    return SIDE_OF_BOTH if wanted.side == "both" else OTHER_SIDE


def _sites(wanted: Fact, held: Fact) -> float:
    """The best that any held site answers to the most specific wanted ones."""
    terms = report_terms()
    asked = [one for one in wanted.sites if not any(one in terms.wider_sites.get(two, ()) for two in wanted.sites)]
    if not asked:
        return 1.0
    there = _with_wider(held)
    return sum(_site(site, there, held.sites, terms.near) for site in asked) / len(asked)


def _site(asked: str, there: tuple[str, ...], told: tuple[str, ...], near: frozenset[frozenset[str]]) -> float:
    if asked in there:
        return 1.0
    if any(frozenset((asked, site)) in near for site in told):
        return NEAR_SITE
    above = report_terms().wider_sites.get(asked, ())
    return WIDER_SITE if all(site in above for site in told) else OTHER_SITE


def _degree(wanted: Fact, held: Fact) -> float:
    if wanted.degree is None or wanted.degree == held.degree:
        return 1.0
    if held.degree is None:
        return UNKNOWN_DEGREE
    close = frozenset((wanted.degree, held.degree)) in report_terms().close_degrees
    return CLOSE_DEGREE if close else OTHER_DEGREE
