"""Short queries to train a text encoder with: what people type of a finding, and what denies it.

A report tells what is there and what is not; three typed words tell either. Trained on reports alone, an encoder reads
"no cardiomegaly" as a text about large hearts, and "left" as "right". So each batch also holds queries made of the
facts of its own reports, each with its contrary, and queries of findings drawn at random, all worded from the terms
file (`index_builder.facts.terms`). What a query leaves open stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.cases.labels import openi_labels
from index_builder.facts.fact import Fact, Side
from index_builder.facts.parse import read_facts
from index_builder.facts.terms import FindingTerm, Terms, report_terms
from index_builder.systems.queries import Queries

#: How a finding is stated, denied and suspected in a few words; the last are queries that ask, not texts that state.
_STATED = (
    "{}",
    "{}",
    "{}",
    "{} seen",
    "there is {}",
    "show me {}",
    "with {}",
    "{} is present",
    "findings: {}",
    "new {}",
)
_DENIED = (
    "no {}", "no {}", "without {}", "no evidence of {}", "negative for {}", "{} absent", "no sign of {}", "w/o {}",
    "{} has resolved", "resolved {}", "{} is not seen", "rule out {}", "r/o {}", "there is no {}", "no {} seen",
    "absence of {}", "{} has cleared", "free of {}",
)  # fmt: skip
_OTHER_SIDE: dict[Side, Side] = {"left": "right", "right": "left"}
_SIDE_WORDS: dict[Side, tuple[str, ...]] = {
    "left": ("left", "left", "left-sided", "L"),
    "right": ("right", "right", "right-sided", "R"),
    "both": ("bilateral", "bilateral", "both sides"),
}
#: How often a typed word is its name rather than another of its words.
_BY_NAME = 0.4


class QueryMaker:
    """Makes queries about the labels of a training."""

    def __init__(self, label_names: Sequence[str]) -> None:
        self._terms = report_terms()
        self._columns = {
            name: columns
            for name, term in self._terms.findings.items()
            if (columns := [label_names.index(label) for label in labels_of(term) if label in label_names])
        }
        self._names = [name for name in self._columns if name != "normal"]
        self._width = len(label_names)

    def make(self, reports: Sequence[str], generator: torch.Generator) -> Queries | None:
        """A query of each report that states or denies something, and half as many of findings drawn at random.

        Args:
            reports: Reports of the batch's cases; empty where a case has none.
            generator: Draws facts and words.
        """
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        asked: list[tuple[Fact, int]] = []
        for row, report in enumerate(reports):
            if report and (fact := self._fact_of(report, rng)) is not None:
                asked.append((fact, row))
        asked += [(self._any_fact(rng), -1) for _ in range((len(asked) + 1) // 2)] if self._names else []
        if not asked:
            return None
        pairs = [(fact, self._contrary(fact, rng)) for fact, _ in asked]
        told = [self._said(fact) for fact, _ in pairs]
        denied = [self._said(other) for _, other in pairs]
        return Queries(
            texts=[self._worded(fact, rng) for fact, _ in pairs],
            contraries=[self._worded(other, rng) for _, other in pairs],
            labels=torch.from_numpy(np.stack([labels for labels, _ in told])),
            contrary_labels=torch.from_numpy(np.stack([labels for labels, _ in denied])),
            known=torch.from_numpy(np.stack([known for _, known in told])),
            contrary_known=torch.from_numpy(np.stack([known for _, known in denied])),
            case=torch.tensor([row for _, row in asked]),
        )

    def _fact_of(self, report: str, rng: np.random.Generator) -> Fact | None:
        """One fact of a report; what is stated four times as often as what is denied, which every report does."""
        usable = [fact for fact in _facts(report) if fact.finding in self._columns and fact.status != "uncertain"]
        facts = [fact for fact in usable if (fact.finding, fact.status) != ("normal", "absent")]
        if not facts:
            return None
        weights = np.array([4.0 if fact.status == "present" else 1.0 for fact in facts])
        return facts[int(rng.choice(len(facts), p=weights / weights.sum()))]

    def _any_fact(self, rng: np.random.Generator) -> Fact:
        """A finding, stated or denied, on either side or none."""
        name = self._names[int(rng.integers(len(self._names)))]
        side: Side | None = (None, None, "left", "right")[int(rng.integers(4))]
        return Fact(name, "absent" if rng.random() < 0.5 else "present", side)

    def _contrary(self, fact: Fact, rng: np.random.Generator) -> Fact:
        if fact.finding == "normal":
            return replace(self._any_fact(rng), status="present")
        if fact.status == "absent":
            return replace(fact, status="present")
        if fact.side in _OTHER_SIDE and rng.random() < 0.5:
            return replace(fact, side=_OTHER_SIDE[fact.side])
        return replace(fact, status="absent", degree=None)

    def _said(self, fact: Fact) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What a query says of each label, [C], and of which labels it speaks, [C]."""
        labels, known = np.zeros(self._width, np.float32), np.zeros(self._width, np.bool_)
        columns = self._columns.get(fact.finding, [])
        known[columns] = True
        if fact.status == "present":
            labels[columns] = 1
            if fact.finding != "normal":  # who has a finding is not normal
                known[self._columns.get("normal", [])] = True
        return labels, known

    def _worded(self, fact: Fact, rng: np.random.Generator) -> str:
        terms = self._terms
        finding = _word(terms.findings[fact.finding].words, rng)
        degree = "" if fact.degree is None else _word(terms.degrees[fact.degree].words[:6], rng)
        side = "" if fact.side is None else _pick(_SIDE_WORDS[fact.side], rng)
        site = _word(terms.sites[fact.sites[0]].words[:4], rng) if fact.sites and rng.random() < 0.8 else ""
        place = _short(f"{side} {site}".strip(), terms, rng)
        orders = (f"{degree} {place} {finding}", f"{degree} {finding} {place}", f"{place} {degree} {finding}")
        phrase = _pick(orders, rng)
        if site and rng.random() < 0.3:
            phrase = f"{degree} {finding} in the {place}"
        elif side and not site and rng.random() < 0.2:
            phrase = f"{degree} {finding} on the {side}"
        phrase = " ".join(phrase.split())
        text = _pick(_DENIED if fact.status == "absent" else _STATED, rng).format(phrase)
        return text.capitalize() if rng.random() < 0.3 else text


def labels_of(term: FindingTerm) -> tuple[str, ...]:
    """Labels of any collection that a finding means: those of its codes, those its entry names, its own name."""
    return tuple(dict.fromkeys((*openi_labels(term.mesh), *(term.labels or ()), term.name.capitalize(), term.name)))


@lru_cache(maxsize=65536)  # epochs read the same reports again
def _facts(report: str) -> tuple[Fact, ...]:
    return read_facts(report)


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _word(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[0] if rng.random() < _BY_NAME else _pick(words, rng)


def _short(place: str, terms: Terms, rng: np.random.Generator) -> str:
    """A place, sometimes as its abbreviation: right upper lobe, RUL."""
    known = [short.upper() for short, meaning in terms.short.items() if meaning == place and len(short) == 3]
    return _pick(known, rng) if known and rng.random() < 0.3 else place
