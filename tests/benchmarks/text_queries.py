"""Typed queries, plain, abbreviated, denied and misspelt, whose relevant reports the coders' MeSH codes tell.

A report is relevant where one code carries all that is asked for: the finding (`text_findings`), its side, its site and
its degree. Left and right include bilateral codes; bilateral takes a bilateral code or two codes, one of each side. The
lingula lies left and the middle lobe right, said or not; a lobe is not its base, nor a base its lobe. Degrees are the
coders' words, of which people type others ("tiny" for small). A denied finding is one that a coded report has no code
of; reports that nobody coded, or only for their film's quality, are relevant to nothing.

Two sets, `val` to choose by and `test` to report, ask for what occurs in reports of their part, share no wording, and
are drawn by one seed.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
from benchmarks.text_finding import Finding
from benchmarks.text_findings import FINDINGS, LUNG_DISEASE

from index_builder.cases.case import Case

Kind = Literal["finding", "side", "lobe", "degree", "abbreviation", "negation", "typo"]
Part = Literal["val", "test"]

KINDS: tuple[Kind, ...] = ("finding", "side", "lobe", "degree", "abbreviation", "negation", "typo")

#: Fewer make a query a matter of luck.
LEAST_RELEVANT = 3

_SEED = 20261129

#: Wordings that each part takes of one thing asked for.
_WORDINGS: dict[Kind, int] = {
    "finding": 2,
    "side": 1,
    "lobe": 1,
    "degree": 1,
    "abbreviation": 1,
    "negation": 2,
    "typo": 1,
}

_UNCODED = frozenset({"no indexing", "technical quality of image unsatisfactory"})

_SIDES = ("left", "right", "bilateral")
_DEGREES: dict[str, tuple[str, ...]] = {
    "mild": ("mild", "slight", "minimal"),
    "moderate": ("moderate",),
    "severe": ("severe", "marked"),
    "borderline": ("borderline",),
    "small": ("small", "tiny"),
    "large": ("large", "big"),
}
_SHORT_DEGREES = {"moderate": "mod", "severe": "sev", "small": "sm", "large": "lg"}
#: A word that describes rather than names takes the adverb: mildly enlarged heart.
_DESCRIBING = frozenset(
    """enlarged prominent blunted consolidated calcified tortuous ectatic unfolded thickened thick hyperinflated
    hyperexpanded overinflated low reduced hypoinflated flattened flat elevated raised high widened demineralized
    osteopenic scoliotic kyphotic wedged crowded increased decreased""".split()  # noqa: SIM905  a list reads worse
)

_SITES: dict[tuple[str, str | None], tuple[str, ...]] = {
    **{
        (lobe, side): (
            f"{side} {lobe} {{}}",
            f"{{}} in the {side} {lobe}",
            f"{{}} {side} {lobe}",
            f"{{}}, {side} {lobe}",
        )
        for lobe, side in product(("upper lobe", "lower lobe"), ("left", "right"))
    },
    ("middle lobe", "right"): (
        "right middle lobe {}",
        "{} in the right middle lobe",
        "{} middle lobe",
        "middle lobe {}",
    ),
    ("lingula", None): ("lingular {}", "{} in the lingula", "lingula {}"),
    ("upper lobe", "bilateral"): ("{} in both upper lobes", "bilateral upper lobe {}"),
    ("lower lobe", "bilateral"): ("{} in both lower lobes", "bilateral lower lobe {}"),
    ("base", "left"): ("left basilar {}", "{} at the left lung base", "left base {}", "left basal {}"),
    ("base", "right"): ("right basilar {}", "{} at the right lung base", "right base {}", "right basal {}"),
    ("base", "bilateral"): ("bibasilar {}", "{} at both lung bases", "{} in both bases", "bibasal {}"),
    ("apex", "left"): ("left apical {}", "{} at the left apex", "left apex {}"),
    ("apex", "right"): ("right apical {}", "{} at the right apex", "right apex {}"),
    ("apex", "bilateral"): ("biapical {}", "{} at both apices", "bilateral apical {}"),
    ("hilum", "left"): ("left hilar {}", "{} at the left hilum"),
    ("hilum", "right"): ("right hilar {}", "{} at the right hilum"),
    ("hilum", "bilateral"): ("bilateral hilar {}", "{} in both hila"),
    ("retrocardiac", None): ("retrocardiac {}", "{} behind the heart"),
}
_SHORT_SITES: dict[tuple[str, str | None], str] = {
    ("upper lobe", "left"): "LUL",
    ("upper lobe", "right"): "RUL",
    ("middle lobe", "right"): "RML",
    ("lower lobe", "left"): "LLL",
    ("lower lobe", "right"): "RLL",
    ("base", "left"): "L base",
    ("base", "right"): "R base",
    ("base", "bilateral"): "bil bases",
    ("apex", "left"): "L apex",
    ("apex", "right"): "R apex",
}

_ASKING = ("x-ray with {}", "{} on chest film", "patient with {}", "show me {}", "chest x-rays showing {}")
_SIDED = {
    "left": ("left {}", "{} on the left", "left-sided {}", "{} left", "left side {}"),
    "right": ("right {}", "{} on the right", "right-sided {}", "{} right", "right side {}"),
    "bilateral": ("bilateral {}", "{} on both sides", "{} bilaterally", "{}, both sides"),
}
_SHORT_SIDED = {
    "left": ("L {}", "{} L", "lt {}", "L-sided {}"),
    "right": ("R {}", "{} R", "rt {}", "R-sided {}"),
    "bilateral": ("bilat {}", "b/l {}", "{} bilat"),
}
_DENYING = ("no {}", "without {}", "no evidence of {}", "no sign of {}", "negative for {}", "absence of {}", "w/o {}")


@dataclass(frozen=True, slots=True)
class Target:
    """What a query asks for; None: not said."""

    finding: Finding
    side: str | None = None
    site: str | None = None
    degree: str | None = None
    absent: bool = False

    def relevant(self, codes: Collection[str]) -> bool:
        """Whether a report with these codes answers it."""
        if all(_parsed(code)[0] in _UNCODED for code in codes):
            return False
        if self.absent:
            return not any(map(self.met_by, codes))
        sides = [_sides(_parsed(code)[1]) for code in codes if self.met_by(code)]
        if self.side == "bilateral":
            return {"left", "right"} <= {side for one in sides for side in one}
        return bool(sides) if self.side is None else any(self.side in one for one in sides)

    def met_by(self, code: str) -> bool:
        """Whether a code is of the finding, at the site and of the degree; the side is compared over all codes."""
        if not _means(self.finding.rules, self.finding.without, code):
            return False
        return all(one is None or one in _parsed(code)[1] for one in (self.site, self.degree))


@dataclass(frozen=True, slots=True)
class TextQuery:
    """One typed query; `target` says what answers it."""

    kind: Kind
    text: str
    target: Target


def text_queries(cases: Sequence[Case], part: Part, *, within: bool = False) -> list[TextQuery]:
    """Queries of one part, the same ones each time.

    Args:
        cases: All reports that are searched.
        part: Which set.
        within: Whether the reports of the part alone are searched, of which then enough must be relevant.
    """
    reports = CodedReports([case.codes if not within or case.split == part else () for case in cases])
    own = np.array([case.split == part for case in cases])

    @cache
    def asked(target: Target) -> bool:
        rows = reports.relevant(target)
        return len(rows) >= LEAST_RELEVANT and bool(own[rows].any())

    return [query for query in _all_queries()[part] if asked(query.target)]


class CodedReports:
    """Codes of many reports, in which the relevant ones are found by code."""

    def __init__(self, codes: Sequence[Sequence[str]]) -> None:
        self._codes = codes
        self._rows: dict[str, set[int]] = {}
        for row, own in enumerate(codes):
            for code in own:
                self._rows.setdefault(code, set()).add(row)
        self._meaning: dict[str, list[str]] = {}

    def relevant(self, target: Target) -> list[int]:
        """Rows of the reports that answer a target, in order."""
        if target.absent:
            return [row for row, own in enumerate(self._codes) if target.relevant(own)]
        if (name := target.finding.name) not in self._meaning:
            self._meaning[name] = list(filter(Target(target.finding).met_by, self._rows))
        answering = [self._rows[code] for code in self._meaning[name] if target.met_by(code)]
        return sorted(row for row in set().union(*answering) if target.relevant(self._codes[row]))


@cache
def _all_queries() -> dict[Part, tuple[TextQuery, ...]]:
    """Both sets before the reports are counted; no text is there twice."""
    parts: dict[Part, list[TextQuery]] = {"val": [], "test": []}
    taken: set[str] = set()
    for kind, target, wordings in _wordings():
        random_of = random.Random(f"{_SEED} {kind} {target.finding.name} {target.side} {target.site} {target.degree}")
        fresh = [text for text in dict.fromkeys(wordings) if text.lower() not in taken]
        random_of.shuffle(fresh)
        chosen = fresh[: 2 * _WORDINGS[kind]]
        taken.update(text.lower() for text in chosen)
        order: list[Part] = ["val", "test"]
        random_of.shuffle(order)
        for place, text in enumerate(chosen):
            parts[order[place % 2]].append(TextQuery(kind, text, target))
    return {
        "val": (*parts["val"], *_misspelt(parts["val"], "val", taken)),
        "test": (*parts["test"], *_misspelt(parts["test"], "test", taken)),
    }


def _wordings() -> Iterator[tuple[Kind, Target, list[str]]]:
    for number, finding in enumerate(FINDINGS):
        asking = _ASKING[number % len(_ASKING)].format(finding.words[number % len(finding.words)])
        yield "finding", Target(finding), [*finding.words, asking]
        if finding.denied:
            said = (*finding.words[:3], *finding.short[:1])
            texts = [text for text in _filled(_DENYING, said) if "w/ " not in text]
            yield "negation", Target(finding, absent=True), [*texts, *finding.healthy]
        yield "abbreviation", Target(finding), list(finding.short)
        for side in _SIDES if finding.sided else ():
            yield "side", Target(finding, side), _filled(_SIDED[side], finding.words)
            yield "abbreviation", Target(finding, side), _filled(_SHORT_SIDED[side], _sidable(finding))
        for (site, side), templates in _SITES.items() if finding.sited else ():
            yield "lobe", Target(finding, side, site), _filled(templates, finding.words)
            short = _SHORT_SITES.get((site, side))
            if short:
                yield (
                    "abbreviation",
                    Target(finding, side, site),
                    _filled((f"{short} {{}}", f"{{}} {short}", f"{{}} in {short}"), _sidable(finding)),
                )
        for degree in _DEGREES:
            yield from _by_degree(finding, degree)
    yield "negation", Target(LUNG_DISEASE, absent=True), list(LUNG_DISEASE.healthy)


def _by_degree(finding: Finding, degree: str) -> Iterator[tuple[Kind, Target, list[str]]]:
    plain = [_of_degree(said, word) for said, word in product(_DEGREES[degree], finding.words)]
    yield "degree", Target(finding, degree=degree), plain
    short = _SHORT_DEGREES.get(degree)
    if short:
        texts = [f"{short} {word}" for word in _sidable(finding)]
        yield "abbreviation", Target(finding, degree=degree), texts
    for side in _SIDES if finding.sided else ():
        yield "degree", Target(finding, side, degree=degree), _filled(_SIDED[side], plain)
        if short:
            texts = _filled(_SHORT_SIDED[side], [f"{short} {word}" for word in finding.short])
            yield "abbreviation", Target(finding, side, degree=degree), texts
    for (site, side), templates in _SITES.items() if finding.sited else ():
        yield "degree", Target(finding, side, site, degree), _filled(templates, plain)


def _of_degree(said: str, word: str) -> str:
    if word.split()[0] in _DESCRIBING and said in ("mild", "moderate", "severe", "slight", "minimal", "marked"):
        return f"{said}ly {word}" if said != "marked" else f"markedly {word}"
    return f"{said} {word}"


def _sidable(finding: Finding) -> list[str]:
    """Words and abbreviations that a short side or lobe is written before."""
    return [*finding.words[:2], *(short for short in finding.short if not short.startswith(("w/", "s/p", "RUQ")))]


def _filled(templates: Iterable[str], words: Iterable[str]) -> list[str]:
    return [template.format(word) for template, word in product(templates, words)]


def _misspelt(queries: Sequence[TextQuery], part: Part, taken: set[str]) -> Iterator[TextQuery]:
    """A slip in every third query that names a finding, by turns one of four."""
    random_of = random.Random(f"{_SEED} {part}")
    spelt = [query for query in queries if query.kind in ("finding", "side", "lobe", "degree")]
    for place, query in enumerate(query for query in spelt if random_of.random() < 1 / 3):
        text = _SLIPS[place % len(_SLIPS)](query.text, random_of)
        if text.lower() not in taken:
            taken.add(text.lower())
            yield TextQuery("typo", text, query.target)


def _swapped(word: str, place: int) -> str:
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _missing(word: str, place: int) -> str:
    return word[:place] + word[place + 1 :]


def _doubled(word: str, place: int) -> str:
    return word[:place] + word[place] + word[place:]


def _in_long_word(text: str, random_of: random.Random, slip: str) -> str:
    """The text with one slip behind the first letter of its longest word, where it changes something."""
    words = text.split(" ")
    longest = max(range(len(words)), key=lambda place: len(words[place]))
    word = words[longest]
    slips = {"swapped": _swapped, "missing": _missing, "doubled": _doubled}
    forms = {slips[slip](word, place) for place in range(1, len(word) - 1)} - {word}
    return " ".join([*words[:longest], random_of.choice(sorted(forms) or [word]), *words[longest + 1 :]])


def _joined(text: str, random_of: random.Random) -> str:
    words = text.split(" ")
    if len(words) == 1:
        return _in_long_word(text, random_of, "missing")
    place = random_of.randrange(len(words) - 1)
    return " ".join([*words[:place], words[place] + words[place + 1], *words[place + 2 :]])


_SLIPS = (
    lambda text, random_of: _in_long_word(text, random_of, "swapped"),
    lambda text, random_of: _in_long_word(text, random_of, "missing"),
    lambda text, random_of: _in_long_word(text, random_of, "doubled"),
    _joined,
)


@cache
def _parsed(code: str) -> tuple[str, frozenset[str]]:
    heading, *qualifiers = (part.strip().lower() for part in code.split("/"))
    return heading, frozenset(qualifiers)


@cache
def _means(rules: tuple[str, ...], without: frozenset[str], code: str) -> bool:
    """Whether a code is one of a finding."""
    heading, qualifiers = _parsed(code)
    needed = [_parsed(rule)[1] for rule in rules if _parsed(rule)[0] == heading]
    return not qualifiers & without and any(one <= qualifiers for one in needed)


@cache
def _sides(qualifiers: frozenset[str]) -> frozenset[str]:
    """Sides that a code names, or that its lobe lies on."""
    if "bilateral" in qualifiers:
        return frozenset({"left", "right"})
    implied = {"lingula": "left", "middle lobe": "right"}
    named = qualifiers & {"left", "right"}
    return named or frozenset(side for site, side in implied.items() if site in qualifiers)
