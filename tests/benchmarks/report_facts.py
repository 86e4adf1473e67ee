"""Facts that the parser reads from Open-i reports, against the MeSH codes that human coders gave them.

    python tests/benchmarks/report_facts.py [train|val|train+val|test] [--wrong FINDING]

How a code becomes a wanted fact: `mesh` of the terms file names its finding (heading with qualifier before heading
alone), `left`, `right`, `bilateral` its side, a site's `mesh` its sites, a degree's `mesh` its degree. Codes without
a term are counted and left out. Facts of findings and impression count as read where they are present or uncertain,
as coders code "may represent atelectasis" too. Finding: does the report have it, per report, exactly or as a narrower
or wider finding ("near"). Side, site and degree: of the codes whose finding was read, how many have theirs read
(recall), and of what was read for such a finding, how much is coded (precision). Coders leave normal variants, old
and repeated findings out at will and skip sides and degrees, so precision is a lower bound.
Negation: of the findings read as absent, how many are coded nevertheless; and of the mentions of uncoded findings,
how many are read as present.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from index_builder.cases.labels import parse_mesh
from index_builder.datasets.published.openi import OpenI
from index_builder.facts.fact import Fact
from index_builder.facts.match import NEAR_SITE, similarity
from index_builder.facts.parse import NORMAL, read_facts
from index_builder.facts.terms import report_terms

TERMS = report_terms()
SKIPPED = frozenset({"normal", "no indexing", "technical quality of image unsatisfactory"})
RULES = {rule.lower(): name for name, term in TERMS.findings.items() for rule in term.mesh}
SITES = {code.lower(): name for name, term in TERMS.sites.items() for code in term.mesh}
DEGREES = {code.lower(): name for name, term in TERMS.degrees.items() for code in term.mesh}


def fact_of_code(code: str) -> Fact | None:
    """What a code says as a fact; None where no term of the file means it."""
    mesh = parse_mesh(code)
    heading, qualifiers = mesh.heading.lower(), [one.lower() for one in mesh.qualifiers]
    finding = next((RULES[rule] for one in qualifiers if (rule := f"{heading}/{one}") in RULES), RULES.get(heading))
    if finding is None:
        return None
    side = "both" if mesh.side == "bilateral" else mesh.side
    sites = tuple(dict.fromkeys(SITES[one] for one in qualifiers if one in SITES))
    if heading in SITES:
        sites = (*sites, SITES[heading])
    side = side or next((TERMS.sites[one].side for one in sites if TERMS.sites[one].side), None)
    degree = next((DEGREES[one] for one in qualifiers if one in DEGREES), None)
    return Fact(finding, "present", side, sites, degree)


def coded_name(name: str) -> str:
    """The finding itself, or the nearest wider one where coders have no code for it."""
    coded = (one for one in (name, *TERMS.wider_findings[name]) if TERMS.findings[one].mesh)
    return next(coded, name)


@dataclass
class Count:
    """Right and wrong ones of one attribute."""

    hit: int = 0
    wanted: int = 0
    good: int = 0
    read: int = 0
    misses: Counter[str] = field(default_factory=Counter)

    def row(self, name: str) -> str:
        recall, precision = self.hit / max(1, self.wanted), self.good / max(1, self.read)
        return f"| {name} | {precision:.3f} ({self.good}/{self.read}) | {recall:.3f} ({self.hit}/{self.wanted}) |"


def related(first: str, second: str) -> bool:
    wider = TERMS.wider_findings
    return first == second or first in wider[second] or second in wider[first]


def main(part: str, wrong: str | None) -> None:
    cases = [case for case in OpenI().cases() if part in ("all", case.split) or case.split in part.split("+")]
    texts = [". ".join(case.sections.get(name, "") for name in ("findings", "impression")) for case in cases]
    began = time.perf_counter()
    facts = [read_facts(text) for text in texts]
    took = time.perf_counter() - began
    print(f"{len(cases)} reports of {part}, {len(cases) / took:.0f} reports/s, {sum(map(len, facts))} facts\n")
    exact, near, side, site, degree = Count(), Count(), Count(), Count(), Count()
    denied, normal = Count(), Count()
    by_finding: dict[str, Count] = defaultdict(Count)
    unmapped: Counter[str] = Counter()
    missed_text: list[str] = []
    for case, text, read in zip(cases, texts, facts, strict=True):
        coded = [code for code in case.codes if parse_mesh(code).heading.lower() not in SKIPPED]
        if not case.codes or any(code.lower() == "no indexing" for code in case.codes):
            continue
        wanted = {code: fact for code in coded if (fact := fact_of_code(code)) is not None}
        unmapped.update(code for code in coded if code not in wanted)
        held = [fact for fact in read if fact.status != "absent" and fact.finding not in (NORMAL, "poor image quality")]
        held = [Fact(coded_name(fact.finding), fact.status, fact.side, fact.sites, fact.degree) for fact in held]
        names, coded_names = {fact.finding for fact in held}, {fact.finding for fact in wanted.values()}
        for name in coded_names:
            by_finding[name].wanted += 1
            by_finding[name].hit += name in names
            exact.wanted, exact.hit = exact.wanted + 1, exact.hit + (name in names)
            near.wanted, near.hit = near.wanted + 1, near.hit + any(related(name, one) for one in names)
            if name == wrong and name not in names:
                missed_text.append(f"MISSED {case.case_id} {'; '.join(coded)}\n    {text}\n    read {sorted(names)}")
        for name in names:
            by_finding[name].read += 1
            by_finding[name].good += name in coded_names
            exact.read, exact.good = exact.read + 1, exact.good + (name in coded_names)
            near.read, near.good = near.read + 1, near.good + any(related(name, one) for one in coded_names)
            if name == wrong and name not in coded_names:
                missed_text.append(f"EXTRA {case.case_id} {'; '.join(coded)}\n    {text}")
        calls_normal, is_normal = any(fact.finding == NORMAL for fact in read), case.codes == (NORMAL,)
        normal.read, normal.wanted = normal.read + calls_normal, normal.wanted + is_normal
        normal.good, normal.hit = normal.good + (calls_normal and is_normal), normal.hit + (calls_normal and is_normal)
        _attributes(wanted.values(), held, side, site, degree)
        absent = {fact.finding for fact in read if fact.status == "absent"} - names
        denied.read += len(absent)
        denied.good += len(absent - coded_names)
        silent = {fact.finding for fact in read} - coded_names - {"normal"}
        denied.wanted += len(silent)
        denied.hit += len(silent & absent)
    print("| attribute | precision | recall |\n|---|---:|---:|")
    for name, count in (
        ("finding", exact),
        ("finding, or narrower or wider", near),
        ("side", side),
        ("site, or near", site),
        ("degree", degree),
        ("absent", denied),
        ("whole report normal", normal),
    ):
        print(count.row(name))
    print("\n| finding | precision | recall |\n|---|---:|---:|")
    for name, count in sorted(by_finding.items(), key=lambda one: -one[1].wanted):
        if count.wanted >= 5 or count.read >= 20:
            print(count.row(name))
    for name, count in (("side", side), ("site", site), ("degree", degree)):
        print(f"\n{name}s most often wrong: {count.misses.most_common(25)}")
    print(f"\ncodes without a term: {sum(unmapped.values())}: {unmapped.most_common(25)}")
    print("\n".join(missed_text))


def _attributes(wanted: object, held: list[Fact], side: Count, site: Count, degree: Count) -> None:
    for fact in wanted:  # type: ignore[attr-defined]
        same = [one for one in held if one.finding == fact.finding]
        if not same:
            continue
        if fact.side:
            side.wanted += 1
            ok = any(one.side in (fact.side, "both") for one in same)
            side.hit += ok
            if not ok:
                side.misses[f"{fact.finding} {fact.side} read {same[0].side}"] += 1
        said = {one.side for one in same} - {None}
        if said:
            side.read += 1
            side.good += (
                fact.side in said or (fact.side == "both" and bool(said)) or (fact.side is not None and "both" in said)
            )
        places = [one for one in fact.sites if one not in ("lung", "chest")]
        for place in places:
            asked = Fact(fact.finding, "present", None, (place,))
            site.wanted += 1
            ok = any(similarity(asked, Fact(one.finding, "present", None, one.sites)) >= NEAR_SITE for one in same)
            site.hit += ok
            if not ok:
                site.misses[f"{fact.finding} {place} read {same[0].sites[:2]}"] += 1
        told = {place for one in same for place in one.sites if place not in ("lung", "chest")}
        if told:
            site.read += 1
            coded_place = Fact(fact.finding, "present", None, fact.sites)
            site.good += any(
                similarity(Fact(fact.finding, "present", None, (one,)), coded_place) >= NEAR_SITE for one in told
            )
        if fact.degree:
            degree.wanted += 1
            ok = any(one.degree == fact.degree for one in same)
            degree.hit += ok
            if not ok:
                degree.misses[f"{fact.finding} {fact.degree} read {same[0].degree}"] += 1
        degrees = {one.degree for one in same} - {None}
        if degrees:
            degree.read += 1
            degree.good += fact.degree in degrees


if __name__ == "__main__":
    given = [one for one in sys.argv[1:] if not one.startswith("--")]
    asked = sys.argv[sys.argv.index("--wrong") + 1] if "--wrong" in sys.argv else None
    main(given[0] if given else "train+val", asked)
