"""The words of reports: findings, sites, sides, degrees and devices, as `assets/report_terms.json` names them.

The file is data: a synonym is added there and needs no code. docs/reference/report-facts.md says how.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, get_args

from index_builder.errors import InstallationError
from index_builder.facts.fact import Side
from index_builder.resources import resource

TERMS_FILE = "report_terms.json"

_FINDING_KEYS = frozenset({"also", "es", "mesh", "site", "labels"})
_PLACE_KEYS = frozenset({"also", "es", "mesh", "side"})
_DEGREE_KEYS = frozenset({"also", "es", "mesh"})
_SIDE_KEYS = frozenset({"also", "es"})
_ORGAN_KEYS = frozenset({"words", "es", "normal", "states", "states_es"})
_CUE_KEYS = frozenset({"words", "es"})
_CUES = ("deny", "deny_after", "doubt", "doubt_after", "past", "pass_over", "end", "normal")
_PARTS = frozenset(
    {"about", "findings", "devices", "sites", "sides", "degrees", "short", "organs", "cues", "is_a", "part_of", "near"}
    | {"close_degrees", "there", "together", "other"}
)


@dataclass(frozen=True, slots=True)
class FindingTerm:
    """A finding or device that reports name.

    Attributes:
        name: Its name in facts.
        words: All its names, `name` first.
        mesh: Headings of Open-i that mean it: "Nodule", or with a qualifier, "Opacity/round".
        site: Where it lies when nothing else is said; None: anywhere.
        device: Whether it is a device or a trace of surgery.
        labels: Labels of published collections that mean it or its group, where a reader is told that a casebook
            has none; None: nobody is told.
    """

    name: str
    words: tuple[str, ...]
    mesh: tuple[str, ...]
    site: str | None
    device: bool
    labels: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class SiteTerm:
    """A place in the chest. `side` is set where only one side has it (the lingula is left)."""

    name: str
    words: tuple[str, ...]
    mesh: tuple[str, ...]
    side: Side | None


@dataclass(frozen=True, slots=True)
class DegreeTerm:
    """A degree or size; `mesh` has the qualifiers of Open-i that mean it."""

    name: str
    words: tuple[str, ...]
    mesh: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OrganTerm:
    """A part of the body that reports judge: "the heart is enlarged", "the lungs are clear".

    Attributes:
        name: Name of the organ.
        words: How reports call it.
        normal: Findings that are absent where it is called normal.
        states: Finding -> words that state it of this organ.
    """

    name: str
    words: tuple[str, ...]
    normal: tuple[str, ...]
    states: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Terms:
    """All terms of a file, and how they relate.

    Attributes:
        findings: By name, devices among them.
        sites: By name.
        sides: Side -> words.
        degrees: By name.
        short: Abbreviation or compound -> what it stands for, in words of the other parts.
        organs: By name.
        cues: Kind of cue -> words; the kinds are explained in docs/reference/report-facts.md.
        is_a: Finding -> the wider findings it is one of.
        part_of: Site -> the sites that contain it.
        near: Unordered pairs of sites that reports use for the same place.
        close_degrees: Unordered pairs of degrees that lie side by side.
        spanish: Words of all parts that are Spanish; PadChest has their stems.
        there: (finding, site) -> what the finding is called there: calcification at the aorta is atherosclerosis.
        other: Words that reports use and that name none of these: they are spelt right.
        together: (finding, finding) -> the one finding that both name in turn: calcified ... nodule.
    """

    findings: Mapping[str, FindingTerm]
    sites: Mapping[str, SiteTerm]
    sides: Mapping[Side, tuple[str, ...]]
    degrees: Mapping[str, DegreeTerm]
    short: Mapping[str, str]
    organs: Mapping[str, OrganTerm]
    cues: Mapping[str, tuple[str, ...]]
    is_a: Mapping[str, tuple[str, ...]]
    part_of: Mapping[str, tuple[str, ...]]
    near: frozenset[frozenset[str]]
    close_degrees: frozenset[frozenset[str]]
    spanish: frozenset[str]
    there: Mapping[tuple[str, str], str]
    together: Mapping[tuple[str, str], str]
    other: tuple[str, ...]

    @cached_property
    def wider_findings(self) -> Mapping[str, tuple[str, ...]]:
        """Finding -> all wider findings, nearest first."""
        return {name: _closure(name, self.is_a) for name in self.findings}

    @cached_property
    def wider_sites(self) -> Mapping[str, tuple[str, ...]]:
        """Site -> all sites that contain it, nearest first."""
        return {name: _closure(name, self.part_of) for name in self.sites}

    def all_words(self) -> Iterator[str]:
        """Every term as it is written, of all parts."""
        named: list[FindingTerm | SiteTerm | DegreeTerm] = [*self.findings.values(), *self.sites.values()]
        for term in (*named, *self.degrees.values()):
            yield from term.words
        for words in (*self.sides.values(), *self.cues.values()):
            yield from words
        yield from self.other
        for organ in self.organs.values():
            yield from organ.words
            for words in organ.states.values():
                yield from words
        for short, meaning in self.short.items():
            yield short
            yield meaning


@cache
def report_terms() -> Terms:
    """The terms that the program comes with. Raises `InstallationError` as `read_terms` does."""
    return read_terms(resource("assets", TERMS_FILE))


def read_terms(path: Path) -> Terms:
    """Read and check a terms file.

    Raises:
        InstallationError: The file is missing or no JSON, or an entry is wrong; the message names it.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InstallationError(f"{path} cannot be read: {error}. Restore the file.") from error
    return _Reader(path).terms(content)


class _Reader:
    """Turns the content of one file into terms; knows the file for its messages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spanish: set[str] = set()

    def terms(self, content: Any) -> Terms:
        parts = self._keys(content, _PARTS, "the file", needed=True)
        findings = {
            name: self._finding(name, told, device=part == "devices")
            for part in ("findings", "devices")
            for name, told in self._object(parts[part], part).items()
        }
        self._one_finding_a_word(findings.values())
        sites = {name: self._site(name, told) for name, told in self._object(parts["sites"], "sites").items()}
        degrees = {name: self._degree(name, told) for name, told in self._object(parts["degrees"], "degrees").items()}
        organs = {name: self._organ(name, told) for name, told in self._object(parts["organs"], "organs").items()}
        for organ in organs.values():
            for finding in (*organ.normal, *organ.states):
                self._known(finding, findings, f"organs: {organ.name}")
        for term in findings.values():
            if term.site is not None:
                self._known(term.site, sites, f"findings: {term.name}: site")
        short = self._object(parts["short"], "short")
        for name, meaning in short.items():
            self._text(meaning, f"short: {name}")
        cues = self._keys(parts["cues"], frozenset(_CUES), "cues", needed=True)
        return Terms(
            findings,
            sites,
            self._sides(parts["sides"]),
            degrees,
            short,
            organs,
            {kind: self._cue(kind, told) for kind, told in cues.items()},
            self._tree(parts["is_a"], findings, "is_a"),
            self._tree(parts["part_of"], sites, "part_of"),
            frozenset(map(frozenset, self._pairs(parts["near"], sites, "near"))),
            frozenset(map(frozenset, self._pairs(parts["close_degrees"], degrees, "close_degrees"))),
            frozenset(self._spanish),
            self._triples(parts["there"], (findings, sites, findings), "there"),
            self._triples(parts["together"], (findings, findings, findings), "together"),
            self._texts(parts["other"], "other"),
        )

    def _finding(self, name: str, told: Any, *, device: bool) -> FindingTerm:
        where = f"{'devices' if device else 'findings'}: {name}"
        entry = self._keys(told, _FINDING_KEYS, where)
        site = entry.get("site")
        if site is not None:
            self._text(site, f"{where}: site")
        mesh = self._texts(entry.get("mesh", []), f"{where}: mesh")
        labels = self._texts(entry["labels"], f"{where}: labels") if "labels" in entry else None
        return FindingTerm(name, self._words(name, entry, where), mesh, site, device, labels)

    def _one_finding_a_word(self, findings: Iterable[FindingTerm]) -> None:
        owner: dict[str, str] = {}
        for finding in findings:
            for word in finding.words:
                other = owner.setdefault(word.lower(), finding.name)
                if other != finding.name:
                    raise self._wrong(f"findings: {finding.name}", f"{word!r} already means {other!r}; delete one")

    def _site(self, name: str, told: Any) -> SiteTerm:
        where = f"sites: {name}"
        entry = self._keys(told, _PLACE_KEYS, where)
        side = entry.get("side")
        if side is not None and side not in get_args(Side):
            raise self._wrong(f"{where}: side", f"{side!r} is no side; use left, right or both")
        mesh = self._texts(entry.get("mesh", [name]), f"{where}: mesh")
        return SiteTerm(name, self._words(name, entry, where), mesh, side)

    def _degree(self, name: str, told: Any) -> DegreeTerm:
        where = f"degrees: {name}"
        entry = self._keys(told, _DEGREE_KEYS, where)
        return DegreeTerm(
            name, self._words(name, entry, where), self._texts(entry.get("mesh", [name]), f"{where}: mesh")
        )

    def _organ(self, name: str, told: Any) -> OrganTerm:
        where = f"organs: {name}"
        entry = self._keys(told, _ORGAN_KEYS, where)
        words = self._texts(entry.get("words", []), f"{where}: words")
        words += self._in_spanish(entry.get("es", []), f"{where}: es")
        states = {
            finding: self._texts(said, f"{where}: states: {finding}")
            for finding, said in self._object(entry.get("states", {}), f"{where}: states").items()
        }
        for finding, said in self._object(entry.get("states_es", {}), f"{where}: states_es").items():
            states[finding] = (*states.get(finding, ()), *self._in_spanish(said, f"{where}: states_es: {finding}"))
        return OrganTerm(name, words, self._texts(entry.get("normal", []), f"{where}: normal"), states)

    def _cue(self, kind: str, told: Any) -> tuple[str, ...]:
        entry = self._keys(told, _CUE_KEYS, f"cues: {kind}", needed=True)
        return (*self._texts(entry["words"], f"cues: {kind}"), *self._in_spanish(entry["es"], f"cues: {kind}: es"))

    def _in_spanish(self, told: Any, where: str) -> tuple[str, ...]:
        words = self._texts(told, where)
        self._spanish.update(words)
        return words

    def _sides(self, told: Any) -> dict[Side, tuple[str, ...]]:
        entries = self._keys(told, frozenset(get_args(Side)), "sides", needed=True)
        return {
            side: self._words(side, self._keys(entries[side], _SIDE_KEYS, f"sides: {side}"), f"sides: {side}")
            for side in get_args(Side)
        }

    def _words(self, name: str, entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
        lists = [self._texts(entry.get("also", []), f"{where}: also"), self._in_spanish(entry.get("es", []), where)]
        twice = next((word for words in lists for word in words if words.count(word) > 1), None)
        if twice is not None:
            raise self._wrong(where, f"{twice!r} stands there twice; delete one")
        return tuple(dict.fromkeys((name, *lists[0], *lists[1])))  # both languages may share a word

    def _tree(self, told: Any, known: Mapping[str, object], where: str) -> dict[str, tuple[str, ...]]:
        tree: dict[str, tuple[str, ...]] = {}
        for narrow, wide in self._pairs(told, known, where):
            tree[narrow] = (*tree.get(narrow, ()), wide)
        for name in tree:
            if name in _closure(name, tree):
                raise self._wrong(where, f"{name!r} would contain itself; delete one of its relations")
        return tree

    def _pairs(self, told: Any, known: Mapping[str, object], where: str) -> list[tuple[str, str]]:
        if not isinstance(told, list):
            raise self._wrong(where, "a list of pairs is expected")
        for pair in told:
            if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
                raise self._wrong(where, f"{pair!r} is no pair of two different names")
            for name in pair:
                self._known(name, known, where)
        return [(first, second) for first, second in told]

    def _triples(self, told: Any, known: tuple[Mapping[str, object], ...], where: str) -> dict[tuple[str, str], str]:
        if not isinstance(told, list):
            raise self._wrong(where, "a list of triples is expected")
        for triple in told:
            if not isinstance(triple, list) or len(triple) != 3:
                raise self._wrong(where, f"{triple!r} is no triple of names")
            for name, names in zip(triple, known, strict=True):
                self._known(name, names, where)
        return {(first, second): meant for first, second, meant in told}

    def _known(self, name: Any, known: Mapping[str, object], where: str) -> None:
        if not isinstance(name, str) or name not in known:
            raise self._wrong(where, f"{name!r} is not defined in the file; define it or correct the spelling")

    def _keys(self, told: Any, allowed: frozenset[str], where: str, *, needed: bool = False) -> Mapping[str, Any]:
        entry = self._object(told, where)
        strange = sorted(entry.keys() - allowed)
        if strange:
            raise self._wrong(where, f"{strange[0]!r} is not known here; known are {', '.join(sorted(allowed))}")
        missing = sorted(allowed - entry.keys()) if needed else []
        if missing:
            raise self._wrong(where, f"{missing[0]!r} is missing")
        return entry

    def _object(self, told: Any, where: str) -> dict[str, Any]:
        if not isinstance(told, dict):
            raise self._wrong(where, "an object {…} is expected")
        return told

    def _texts(self, told: Any, where: str) -> tuple[str, ...]:
        if not isinstance(told, list):
            raise self._wrong(where, "a list of words […] is expected")
        return tuple(self._text(word, where) for word in told)

    def _text(self, told: Any, where: str) -> str:
        if not isinstance(told, str) or not any(map(str.isalnum, told)):
            raise self._wrong(where, f"{told!r} is no word")
        return told

    def _wrong(self, where: str, what: str) -> InstallationError:
        return InstallationError(f"{self._path}: {where}: {what}.")


def _closure(name: str, tree: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Everything above a name, nearest first, each once; a loop leads back to the name itself."""
    above: list[str] = []
    level = list(tree.get(name, ()))
    while level:
        above.extend(one for one in dict.fromkeys(level) if one not in above)
        level = [upper for one in level for upper in tree.get(one, ()) if upper not in above]
    return tuple(above)
