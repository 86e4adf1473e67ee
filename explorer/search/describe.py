"""Say of a found case why it matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.search.fact_scores import answers
from explorer.search.labels import denied_labels, may_be_shared
from explorer.search.phrases import WordRuns, shared_phrases, shared_runs
from explorer.search.reading.understanding import fact_words
from explorer.search.result import Neighbour
from explorer.search.retrieve import Candidates
from index_builder.cases.profile import text_read
from index_builder.cases.space import SPACES, Space
from index_builder.facts.fact import Fact
from index_builder.facts.parse import read_facts

if TYPE_CHECKING:
    from explorer.casebook import Casebook
    from index_builder.cases.case import Case

#: Share of the vote from which a finding counts as shared with a neighbour.
VOTE_MAJORITY = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """The query as neighbours are compared with it.

    Attributes:
        space: The space searched.
        nearest: Percentiles of the cosine of what is indexed to its own nearest other.
        vectors: The query's, [D] float32 by modality.
        text: The query's, that phrases are looked for in.
        findings: The query's and how sure they are, 0..1; from `VOTE_MAJORITY` they can be shared.
        facts: Facts of the text.
        runs: Its word runs.
    """

    space: Space
    nearest: Sequence[float]
    vectors: Mapping[Space, NDArray[np.float32]]
    text: str
    findings: Mapping[str, float]
    facts: Sequence[Fact]
    runs: WordRuns


def describe_neighbour(casebook: Casebook, row: int, rank: int, candidates: Candidates, asked: Asked) -> Neighbour:
    """Say of a found case why it matched.

    Args:
        casebook: It is of.
        row: The case's.
        rank: 1 is best.
        candidates: It was chosen from.
        asked: The query.
    """
    case = casebook.case(casebook.case_ids[row])
    read = text_read(case, casebook.manifest.system.reads)
    held = facts_of(casebook, row, case)
    place = int(np.flatnonzero(candidates.rows == row)[0])
    score = float(candidates.cosine[place])
    similarity: dict[str, float] = {}
    for modality in SPACES:
        if modality in asked.vectors and modality in casebook.spaces:
            own = casebook.vectors(modality)[row].astype(np.float32)
            if own.any():
                similarity[modality] = float(asked.vectors[modality] @ own)
    matched = candidates.films.get(row)
    if matched is not None:
        similarity[asked.space] = score  # to that film, not to all films of the case
    similarity.setdefault(asked.space, score)
    denied = denied_labels(case.labels, case.report, held)
    present = {label for label, share in asked.findings.items() if share >= VOTE_MAJORITY}
    shared = tuple(
        label
        for label in case.labels
        if label in present and label not in denied and may_be_shared(label, asked.facts, held)
    )
    return Neighbour(
        rank=rank,
        case_id=case.case_id,
        score=score,
        closeness=float(np.searchsorted(asked.nearest, score, side="right") / max(1, len(asked.nearest))),
        labels=case.labels,
        split=case.split,
        view=case.view,
        views=tuple(film.view for film in case.films),
        film=matched,
        report=case.report,
        profile=read if casebook.manifest.system.reads == "profile" else "",
        synthetic=case.synthetic,
        similarity=similarity,
        shared_labels=shared,
        other_labels=tuple(label for label in case.labels if label not in shared),
        unknown_labels=case.unknown,
        shared_phrases=_shared_phrases(casebook, asked, read, held),
        found_by=candidates.found_by(row),
        relevance=None if candidates.relevance is None else float(candidates.relevance[place]),
        matched_facts=tuple(fact_words(fact) for fact in answers(held, asked.facts)),
        denied_labels=denied,
    )


def facts_of(casebook: Casebook, row: int, case: Case) -> tuple[Fact, ...]:
    """What a case's report says; read now where the casebook is older than the index of reports."""
    reports = casebook.reports
    return read_facts(case.report) if reports is None else reports.facts.of(row)


def _shared_phrases(casebook: Casebook, asked: Asked, read: str, held: Sequence[Fact]) -> tuple[str, ...]:
    if casebook.manifest.system.reads == "profile":
        # Each clause of a profile stands for itself: "no cough" denies nothing but the cough.
        return shared_phrases(asked.text.replace(",", "."), read.replace(",", "."))
    return shared_runs(asked.runs, read, held)
