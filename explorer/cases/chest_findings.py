"""Common findings of a chest film, and which of them a casebook has a label for.

Names, synonyms and published labels are data (`assets/report_terms.json`: every finding with `labels`), those whose
absence from the labels matters most first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from index_builder.facts.parse import read_facts
from index_builder.facts.terms import report_terms

if TYPE_CHECKING:
    from explorer.casebook import Casebook


@dataclass(frozen=True, slots=True)
class ChestFinding:
    """A finding as reports name it.

    Attributes:
        name: Its usual name.
        words: All names, `name` among them.
        labels: Labels of published collections that mean it, or a group it belongs to; compared by `_plain`.
    """

    name: str
    words: tuple[str, ...]
    labels: frozenset[str]


@cache
def chest_findings() -> tuple[ChestFinding, ...]:
    """All findings whose missing label is reported. Raises `InstallationError` where the terms are missing or wrong."""
    return tuple(
        ChestFinding(term.name, term.words, frozenset(map(_plain, (*term.words, *term.labels))))
        for term in report_terms().findings.values()
        if term.labels is not None
    )


def named_findings(text: str) -> tuple[ChestFinding, ...]:
    """Findings that a text states or suspects, in their order in it."""
    stated = dict.fromkeys(fact.finding for fact in read_facts(text) if fact.status != "absent")
    by_name = {one.name: one for one in chest_findings()}
    return tuple(by_name[name] for name in stated if name in by_name)


def without_label(casebook: Casebook) -> tuple[ChestFinding, ...]:
    """Findings that no case of the casebook is labelled with, so that no prediction speaks of them."""
    return tuple(one for one in chest_findings() if not is_labelled(one, casebook.label_names))


def is_labelled(finding: ChestFinding, labels: Collection[str]) -> bool:
    """Whether one of the labels means the finding or a group it belongs to."""
    return not finding.labels.isdisjoint(map(_plain, labels))


def silence_words(casebook: Casebook, finding: ChestFinding) -> str:
    """What a reader must know who asks for a finding that no case is labelled with."""
    in_set = is_labelled(finding, casebook.manifest.dataset.label_names)
    told = "No case of this casebook is labelled with" if in_set else "This casebook has no label for"
    return f"{told} {finding.name}; predictions do not cover it."


def _plain(label: str) -> str:
    return label.lower().replace("_", " ")
