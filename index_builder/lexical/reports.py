"""The opened index of a casebook's reports."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import LexicalRecord
from index_builder.lexical.stated import Stated
from index_builder.lexical.stored_facts import StoredFacts

if TYPE_CHECKING:
    from index_builder.lexical.word_index import WordIndex


class Reports:
    """Reports of a casebook by words and facts; each part is opened when it is first asked for."""

    def __init__(self, layout: Layout, record: LexicalRecord, rows: int) -> None:
        self._layout, self._record, self._rows = layout, record, rows

    @cached_property
    def words(self) -> WordIndex:
        """Full-text index.

        Raises:
            CasebookError: It is missing or damaged.
        """
        from index_builder.lexical.word_index import WordIndex

        return WordIndex.read(self._layout.words, self._record.reports)

    @cached_property
    def facts(self) -> StoredFacts:
        """What each report says.

        Raises:
            CasebookError: It is missing or damaged.
        """
        return StoredFacts.read(self._layout.facts, self._rows, self._record.facts)

    @cached_property
    def stated(self) -> Stated:
        """What the reports state, ready to be counted."""
        return Stated(self.facts)
