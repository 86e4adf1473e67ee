"""The stage of a build that indexes reports by words and facts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence

from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import LexicalRecord
from index_builder.cases.case import REPORT_SECTIONS
from index_builder.cases.table import SECTION_PREFIX, CaseRows
from index_builder.facts.fact import Fact
from index_builder.facts.match import fact_terms
from index_builder.facts.parse import read_facts
from index_builder.lexical.stored_facts import write_facts
from index_builder.lexical.word_index import write_word_index

#: Reports read at a time.
_RUN = 1024


def index_reports(layout: Layout, cases: CaseRows, progress: Callable[[int], None]) -> LexicalRecord | None:
    """Index the reports of a casebook under way; None where no case has one.

    Only `REPORT_SECTIONS` are read, never labels or codes. What an interrupted build left is written again.

    Args:
        layout: Layout of the casebook.
        cases: Cases of the casebook.
        progress: Told of the number of reports read.
    """
    for folder in (layout.words, layout.facts):
        shutil.rmtree(folder, ignore_errors=True)
    if not any(text for _, text in _reports(cases)):
        return None
    facts: list[tuple[Fact, ...]] = []

    def documents() -> Iterator[tuple[int, str, Sequence[str]]]:
        for row, text in _reports(cases):
            facts.append(read_facts(text) if text else ())
            progress(row + 1)
            if text:
                yield row, text, tuple(dict.fromkeys(term for fact in facts[row] for term in fact_terms(fact)))

    reports = write_word_index(layout.words, documents())
    return LexicalRecord(reports=reports, facts=write_facts(layout.facts, facts))


def _reports(cases: CaseRows) -> Iterator[tuple[int, str]]:
    """Row and text of each case, as `Case.report` gives it; empty without one."""
    names = [SECTION_PREFIX + name for name in REPORT_SECTIONS if SECTION_PREFIX + name in cases.column_names]
    for start in range(0, len(cases), _RUN):
        run = cases[start : start + _RUN]
        columns = [run.column(name).to_pylist() for name in names]
        texts = [" ".join(filter(None, parts)) for parts in zip(*columns, strict=True)] if names else [""] * len(run)
        yield from enumerate(texts, start)
