"""The nearest cases with a finding beside the nearest without it, and what else separates the two.

Alike as they all are to the query, one row has the finding and the other has not: what differs between them is what to
look for on the query.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from explorer.search.filters.expression import Filter, Operator
from explorer.search.phrases import stated_phrases
from explorer.search.query import Query, SearchOptions
from explorer.search.result import Neighbour
from explorer.search.search import search_cases
from index_builder.errors import QueryError

if TYPE_CHECKING:
    from explorer.casebook import Casebook

#: Cases in a row.
ROW = 4
_PHRASES = 6


@dataclass(frozen=True, slots=True)
class CounterEvidence:
    """The two rows for one finding: cases with it, cases without it.

    Attributes:
        label: The finding.
        present: Nearest cases that have it, one of each patient, best first.
        absent: Nearest cases that have it not.
        present_labels: Other findings that at least two more cases have in the first row than have them, or may have
            them, in the second.
        absent_labels: The same of the second row.
        present_phrases: Words that reports of at least two cases of the first row state and none of the second.
        absent_phrases: The same of the second row.
    """

    label: str
    present: tuple[Neighbour, ...]
    absent: tuple[Neighbour, ...]
    present_labels: tuple[str, ...]
    absent_labels: tuple[str, ...]
    present_phrases: tuple[str, ...]
    absent_phrases: tuple[str, ...]

    @property
    def margin(self) -> float | None:
        """How much nearer the nearest case with the finding is than the nearest without, in cosine."""
        return self.present[0].score - self.absent[0].score if self.present and self.absent else None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"margin": self.margin}


def counter_evidence(
    casebook: Casebook, query: Query, label: str, options: SearchOptions | None = None
) -> CounterEvidence:
    """Search among the cases with a finding, and among those without.

    Args:
        casebook: Casebook that is searched.
        query: As for `search`.
        label: The finding.
        options: Its space and filters hold for both rows; of each patient one case is taken. Both rows are compared by
            vectors in every mode: by words, a text that names the finding would find it on one side alone.

    Raises:
        QueryError: As `search`, or no case has the finding.
    """
    if label not in casebook.label_names:
        raise QueryError(f"no case of {casebook.name!r} has {label!r}. Findings: {', '.join(casebook.label_names)}.")
    options = replace(
        options or SearchOptions(), k=ROW, rerank=0.0, one_per_patient=True, hide_duplicates=True, mode="dense"
    )

    def row(having: Operator) -> tuple[Neighbour, ...]:
        condition = Filter("label", having, (label,))
        return search_cases(casebook, query, replace(options, filters=(*options.filters, condition))).neighbours

    present, absent = row("any"), row("none")
    return CounterEvidence(
        label=label,
        present=present,
        absent=absent,
        present_labels=_more_often(present, absent, label),
        absent_labels=_more_often(absent, present, label),
        present_phrases=_phrases(present, absent),
        absent_phrases=_phrases(absent, present),
    )


def _more_often(row: Sequence[Neighbour], other: Sequence[Neighbour], label: str) -> tuple[str, ...]:
    here = Counter(name for one in row for name in one.labels)
    there = Counter(name for one in other for name in (*one.labels, *one.unknown_labels))
    return tuple(name for name, count in here.most_common() if name != label and count - there[name] >= 2)


def _phrases(row: Sequence[Neighbour], other: Sequence[Neighbour]) -> tuple[str, ...]:
    """Longest phrases first that no longer one of them holds."""
    here = Counter(phrase for one in row for phrase in stated_phrases(_read(one)))
    there = {phrase for one in other for phrase in stated_phrases(_read(one))}
    found: list[str] = []
    for phrase in sorted(_twice(here), key=lambda phrase: (-here[phrase], -len(phrase.split()), phrase)):
        if phrase not in there and not any(f" {phrase} " in f" {longer} " for longer in found):
            found.append(phrase)
        if len(found) == _PHRASES:
            break
    return tuple(found)


def _twice(counts: Counter[str]) -> Iterable[str]:
    return (phrase for phrase, count in counts.items() if count >= 2)


def _read(one: Neighbour) -> str:
    return one.report or one.profile
