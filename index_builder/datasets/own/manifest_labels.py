"""Labels of a manifest's rows: what each case carries, what it lacks, and what is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from index_builder.cases.case import Case
from index_builder.datasets.own.column_map import ColumnMap
from index_builder.datasets.reading.cases import TablePass
from index_builder.datasets.reading.label_cells import (
    NO_FINDING,
    Mark,
    Spellings,
    State,
    alike_labels,
    label_items,
    parse_mark,
)
from index_builder.datasets.reading.rows import Row, Table
from index_builder.datasets.reading.values import counted, shown

MAX_NAME_CHARS = 200
#: More different labels than this are no label set; most often the separator is wrong or the column holds prose.
MAX_LABELS = 1_000

#: A column of this name says that every other label is absent; it is no label itself.
_NO_FINDING_COLUMN = frozenset({"no finding", "no findings"})
#: Stands beside "No Finding" in CheXpert and MIMIC-CXR: a tube is no finding.
_NO_CONTRADICTION = frozenset({"support devices"})
#: Pairs or spellings that one message names.
_NAMED = 5


#: Labels that a row has, and those that nobody told; each sorted.
RowLabels = tuple[tuple[str, ...], tuple[str, ...]]


class ManifestLabels:
    """Reads the labels of a table's rows, as the column map says, and reports what is odd about them."""

    def __init__(self, table: Table, columns: ColumnMap) -> None:
        self._columns = columns
        self._spellings = (
            Spellings(table.rows, columns.labels, columns.labels_separator) if columns.labels is not None else None
        )
        names = dict.fromkeys(columns.label_columns)
        self._nothing = [name for name in names if _normal(name) in _NO_FINDING_COLUMN]
        self._names = tuple(name for name in names if name not in self._nothing)
        self._marks: Counter[tuple[str, Mark]] = Counter()

    def read(self, row: Row, run: TablePass) -> RowLabels:
        """Labels of a row. Faults are noted in the pass."""
        if self._names or self._nothing:
            return self._of_columns(row, run)
        return ((), ()) if self._spellings is None else (self._of_cell(row, self._spellings, run), ())

    def tells(self, row: Row) -> bool:
        """Whether a row's one cell of labels says anything, if only that nothing was found."""
        column = self._columns.labels
        if column is None or self._columns.blank == "absent":
            return True
        return label_items(row.cell(column), self._columns.labels_separator) is not None

    def settle(
        self, cases: Sequence[Case], untold: set[str], run: TablePass
    ) -> tuple[tuple[Case, ...], tuple[str, ...]]:
        """Give cases without any stated label every label as unknown, and report what is odd.

        Args:
            cases: Sound cases with the labels that `read` gave.
            untold: Ids of those whose rows tell nothing.
            run: Takes the notes and warnings.

        Returns:
            The cases and the names of the label set.
        """
        columns = self._columns
        carried = {label for case in cases for label in case.labels}
        names = self._names or tuple(sorted(carried))
        if len(names) > MAX_LABELS:
            message = (
                f"{len(names):,} different labels, more than the limit of {MAX_LABELS:,}. Is the separator "
                f"{columns.labels_separator!r} right, and is it a column of labels?"
            )
            run.error("label", message, None, columns.labels)
            return tuple(cases), names
        if untold and names:
            cases = [replace(case, unknown=names) if case.case_id in untold else case for case in cases]
            run.tell(
                f"{counted(len(untold), 'case')} without a label, not even No Finding: theirs are unknown, neither "
                "trained on nor scored. Where an empty cell means that nothing was found, say `blank: absent` in the "
                "column map."
            )
        self._tell_spellings(run)
        self._warn_of_columns(run)
        if pairs := alike_labels(names):
            named = ", ".join(f"{one!r} and {other!r}" for one, other in pairs[:_NAMED])
            more = f" and {len(pairs) - _NAMED} more pairs" if len(pairs) > _NAMED else ""
            run.warning("label", f"{named}{more} look like the same label twice. Write each in one way.", None)
        return tuple(cases), names

    def _of_cell(self, row: Row, spellings: Spellings, run: TablePass) -> tuple[str, ...]:
        column = self._columns.labels
        assert column is not None, "there are no spellings without a column"
        items = label_items(row.cell(column), self._columns.labels_separator) or ()
        nothing = [name for name in items if name.casefold() in NO_FINDING]
        present = {spellings.of(name) for name in items if name.casefold() not in NO_FINDING}
        if nothing and present:
            run.warning("label", _contradiction(nothing[0], min(present)), row, column)
        for name in sorted(present):
            if len(name) > MAX_NAME_CHARS or not name.isprintable():
                message = f"{shown(name)} is not a label: give at most {MAX_NAME_CHARS} printable characters."
                run.error("label", message, row, column)
        return tuple(sorted(present))

    def _of_columns(self, row: Row, run: TablePass) -> RowLabels:
        nothing = any(run.parsed(parse_mark, row, name, "label") == "present" for name in self._nothing)
        states: dict[str, State] = {}
        for name in self._names:
            mark = run.parsed(parse_mark, row, name, "label")
            if mark is not None:
                self._marks[name, mark] += 1
                states[name] = self._state(mark, nothing)
        present = tuple(sorted(name for name, state in states.items() if state == "present"))
        against = [name for name in present if _normal(name) not in _NO_CONTRADICTION]
        if nothing and against:
            run.warning("label", _contradiction(self._nothing[0], against[0]), row, self._nothing[0])
        return present, tuple(sorted(name for name, state in states.items() if state == "unknown"))

    def _state(self, mark: Mark, nothing: bool) -> State:
        if mark == "uncertain":
            return self._columns.uncertain
        if mark == "blank":
            return "absent" if nothing else self._columns.blank
        return mark

    def _tell_spellings(self, run: TablePass) -> None:
        folded = {} if self._spellings is None else self._spellings.folded
        if folded:
            named = ", ".join(f"{given!r} as {kept!r}" for given, kept in list(folded.items())[:_NAMED])
            more = f" and {len(folded) - _NAMED} more" if len(folded) > _NAMED else ""
            run.tell(f"Labels that differ in case only are one: {named}{more}.")

    def _warn_of_columns(self, run: TablePass) -> None:
        unsure = sum(self._marks[name, "uncertain"] for name in self._names)
        blank = sum(self._marks[name, "blank"] for name in self._names)
        if unsure or blank:
            run.tell(
                f"Label columns: uncertain cells, taken as {self._columns.uncertain}: {unsure:,}; empty cells, taken "
                f"as {self._columns.blank}: {blank:,} (`uncertain:` and `blank:` in the column map)."
            )
        never = [name for name in self._names if self._marks[name, "blank"] and not self._marks[name, "absent"]]
        if never and self._columns.blank == "unknown" and not self._nothing:
            message = (
                f"no cell of {', '.join(map(repr, never[:_NAMED]))} says 0, so no case is known to lack it. Where an "
                "empty cell means that the finding is absent, say `blank: absent` in the column map."
            )
            run.warning("label", message, None)


def _contradiction(nothing: str, finding: str) -> str:
    return f"{shown(nothing)} stands beside {shown(finding)}; the finding is kept. Keep one of the two."


def _normal(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())
