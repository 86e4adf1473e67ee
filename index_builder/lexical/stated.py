"""What the reports of a casebook state, ready to be counted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from index_builder.facts.fact import Fact
from index_builder.facts.terms import report_terms
from index_builder.lexical.stored_facts import StoredFacts

#: What is counted and filtered by.
FACT_FIELDS = ("finding", "side", "site", "degree")


class Stated:
    """What the reports of a casebook state, each case once for each value: counted without looking at the facts."""

    def __init__(self, facts: StoredFacts) -> None:
        self._facts = facts
        self._of_kind = [_values(kind) for kind in facts.kinds]
        self._pairs = lru_cache(len(FACT_FIELDS))(self._count_once)

    def values(self, field: str) -> list[str]:
        """Values of `finding`, `side`, `site` or `degree` that at least one report states, sorted."""
        return sorted({name for one in self._of_kind for name in one[field]})

    def _count_once(self, field: str) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
        """Names of a field's values, and every pair of a row and the number of a name."""
        names = self.values(field)
        number = {name: place for place, name in enumerate(names)}
        counts = np.array([len(one[field]) for one in self._of_kind], np.int64)
        flat = np.array([number[name] for one in self._of_kind for name in one[field]], np.int64)
        starts = np.cumsum(counts) - counts
        kind_of = self._facts.facts[:, 0]
        own = counts[kind_of]
        rows = np.repeat(self._facts.row_of(np.arange(len(kind_of))), own)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(own) - own, own) + np.repeat(starts[kind_of], own)
        width = max(1, len(names))
        pairs = np.unique(rows * width + flat[places])
        return names, pairs // width, pairs % width

    def counts(self, field: str, among: NDArray[np.bool_]) -> dict[str, int]:
        """How many of some cases, [N], have each value, the most frequent first."""
        names, rows, numbers = self._pairs(field)
        return ordered_counts(names, np.bincount(numbers[among[rows]], minlength=len(names)))


def _values(kind: Fact) -> dict[str, tuple[str, ...]]:
    """What a fact counts for, by field; nothing where it is not stated."""
    if kind.status != "present":
        return dict.fromkeys(FACT_FIELDS, ())
    terms = report_terms()
    usual = terms.findings[kind.finding].site if kind.finding in terms.findings else None
    sites = kind.sites or ((usual,) if usual is not None else ())
    return {
        "finding": (kind.finding, *terms.wider_findings.get(kind.finding, ())) if kind.finding else (),
        "side": () if kind.side is None else ("left", "right", "both") if kind.side == "both" else (kind.side,),
        "site": tuple({*sites, *(wider for site in sites for wider in terms.wider_sites.get(site, ()))}),
        "degree": () if kind.degree is None else (kind.degree,),
    }


def ordered_counts(names: Sequence[str], counts: NDArray[np.integer]) -> dict[str, int]:
    """Counts by name, the largest first, without those of nothing."""
    order = np.argsort(-counts, kind="stable")
    return {names[place]: int(counts[place]) for place in order.tolist() if counts[place]}
