"""How well reports answer the facts of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index_builder.facts.fact import Fact
from index_builder.facts.match import similarity
from index_builder.lexical.stored_facts import StoredFacts

#: What a report that says nothing of a finding answers to a query that denies it: less than one that denies it too.
SILENT = 0.4
#: From here on a held fact counts as an answer to a wanted one, and is shown as such.
ANSWERS = 0.5


@dataclass(frozen=True, slots=True)
class FactScores:
    """Scores of some cases.

    Attributes:
        scores: Mean over the wanted facts of how well the case answers each, 0..1, [n] float32.
        answered: Whether it answers at least one of them by what it says, [n].
    """

    scores: NDArray[np.float32]
    answered: NDArray[np.bool_]


def score_facts(stored: StoredFacts, rows: NDArray[np.int64], wanted: Sequence[Fact]) -> FactScores:
    """Score cases, given their rows [n], by at least one wanted fact.

    A wanted fact is answered by the best fact of the report. One that the query denies is answered in full by a
    report that denies it, by `SILENT` where the report says nothing of it, and the less the more the report states it.
    """
    begins, ends = stored.starts[rows], stored.starts[rows + 1]
    counts = ends - begins
    case = np.repeat(np.arange(len(rows)), counts)
    places = np.arange(len(case)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begins, counts)
    numbers, kind = np.unique(stored.facts[places, 0], return_inverse=True)
    kinds = [stored.kinds[number] for number in numbers.tolist()]

    def best(fact: Fact, held: Sequence[Fact | None]) -> NDArray[np.float32]:
        """The best similarity of a fact to those that each case holds."""
        each = np.array([0.0 if one is None else similarity(fact, one) for one in held], np.float32)
        found = np.zeros(len(rows), np.float32)
        np.maximum.at(found, case, each[kind])
        return found

    total, answered = np.zeros(len(rows), np.float32), np.zeros(len(rows), bool)
    for fact in wanted:
        if fact.status == "absent":
            # "No large effusion" is not answered by a small one, which most would call an effusion all the same.
            there = replace(fact, status="present", degree=None)
            stated = best(there, [None if one.status == "absent" else one for one in kinds])
            denied = best(fact, [one if one.status == "absent" else None for one in kinds])
            found = (1 - stated) * (SILENT + (1 - SILENT) * denied)
            answered |= (denied >= ANSWERS) & (found >= ANSWERS)
        else:
            found = best(fact, kinds)
            answered |= found >= ANSWERS
        total += found
    return FactScores(np.asarray(total / len(wanted), np.float32), answered)


def answers(held: Sequence[Fact], wanted: Sequence[Fact]) -> tuple[Fact, ...]:
    """The facts of a report that answer those of a query best, each once, in the order of the query."""
    found = []
    for fact in wanted:
        score, best = max(((similarity(fact, one), one) for one in held), default=(0.0, None), key=lambda pair: pair[0])
        if best is not None and score >= ANSWERS:
            found.append(replace(best, start=0, end=0))
    return tuple(dict.fromkeys(found))
