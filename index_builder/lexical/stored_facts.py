"""The facts of every report of a casebook, read when it was built.

kinds.json    the different facts, each once: [finding, status, side, [site, …], degree]
starts.npy    [N + 1] int64: the facts of row r are those from starts[r] to starts[r + 1]
facts.npy     [M, 3] int32: kind, and first and last character in `Case.report`, of each fact

A casebook has far fewer kinds than facts, so a question is put to the kinds and the answer looked up.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_builder.errors import CasebookError
from index_builder.facts.fact import Fact
from index_builder.facts.match import similarity
from index_builder.facts.terms import report_terms

#: Answers that are kept: filters ask the same again and again.
_REMEMBERED = 256
_KINDS, _STARTS, _FACTS = "kinds.json", "starts.npy", "facts.npy"


def write_facts(folder: Path, by_row: Iterable[Sequence[Fact]]) -> int:
    """Write the facts of all cases and give their number.

    Args:
        folder: To write to; it must not be there yet.
        by_row: Facts of each case; empty where it has no report.
    """
    folder.mkdir(parents=True)
    number_of: dict[Fact, int] = {}
    starts, facts = array("q", [0]), array("i")
    for several in by_row:
        for fact in several:
            kind = replace(fact, start=0, end=0)
            facts.extend((number_of.setdefault(kind, len(number_of)), fact.start, fact.end))
        starts.append(len(facts) // 3)
    kinds = [[kind.finding, kind.status, kind.side, kind.sites, kind.degree] for kind in number_of]
    (folder / _KINDS).write_text(json.dumps(kinds, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
    np.save(folder / _STARTS, np.array(starts, np.int64), allow_pickle=False)
    np.save(folder / _FACTS, np.array(facts, np.int32).reshape(-1, 3), allow_pickle=False)
    return len(facts) // 3


class StoredFacts:
    """Facts of a casebook's reports, mapped.

    Attributes:
        kinds: The different facts, without place in a text.
        starts: [N + 1] int64.
        facts: [M, 3] int32: kind, start, end.
    """

    def __init__(self, kinds: tuple[Fact, ...], starts: NDArray[np.int64], facts: NDArray[np.int32]) -> None:
        self.kinds, self.starts, self.facts = kinds, starts, facts
        self._that_say = lru_cache(_REMEMBERED)(self._find_kinds)

    @classmethod
    def read(cls, folder: Path, rows: int, count: int) -> StoredFacts:
        """Open what `write_facts` wrote.

        Raises:
            CasebookError: A file is missing, damaged, or not of so many cases and facts.
        """
        try:
            told = json.loads((folder / _KINDS).read_text("utf-8"))
            kinds = tuple(Fact(name, status, side, tuple(sites), degree) for name, status, side, sites, degree in told)
            starts = np.load(folder / _STARTS, mmap_mode="r", allow_pickle=False)
            facts = np.load(folder / _FACTS, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, TypeError) as error:
            raise CasebookError(f"{folder}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error
        sound = starts.shape == (rows + 1,) and facts.shape == (count, 3) and int(starts[-1]) == count
        if not sound or (count and int(facts[:, 0].max()) >= len(kinds)):
            raise CasebookError(f"{folder}: not the facts of {rows} cases. Rebuild the casebook.")
        return cls(kinds, np.asarray(starts), np.asarray(facts))

    def of(self, row: int) -> tuple[Fact, ...]:
        """Facts of a case, in the order of its report."""
        own = self.facts[self.starts[row] : self.starts[row + 1]].tolist()
        return tuple(replace(self.kinds[kind], start=start, end=end) for kind, start, end in own)

    def kinds_that_say(self, wanted: Fact, *, doubted: bool = False) -> NDArray[np.bool_]:
        """Which kinds say all of a wanted fact, [K]; with `doubted` also those that only suspect it."""
        return self._that_say(wanted, doubted)

    def rows_with(self, kinds: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which cases have a fact of some kinds, [N], given which kinds, [K]."""
        marked = np.zeros(len(self.starts) - 1, bool)
        marked[self.row_of(np.flatnonzero(kinds[self.facts[:, 0]]))] = True
        return marked

    def _find_kinds(self, wanted: Fact, doubted: bool) -> NDArray[np.bool_]:
        wider, place = report_terms().wider_findings, replace(wanted, finding="")

        def says(kind: Fact) -> bool:
            if wanted.finding not in ("", kind.finding, *wider.get(kind.finding, ())):
                return False
            sure = replace(kind, status="present") if doubted and kind.status == "uncertain" else kind
            return similarity(place, sure) == 1

        return np.array([says(kind) for kind in self.kinds], bool)

    def row_of(self, places: NDArray[np.integer]) -> NDArray[np.int64]:
        """Rows of facts, given their places among all."""
        return np.searchsorted(self.starts, places, side="right") - 1
