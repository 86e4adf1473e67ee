"""Labels of a manifest whose labels are ordered stages: one for each case, or none where it is unknown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from index_builder.datasets.base import Case
from index_builder.datasets.own.column_map import ColumnMap
from index_builder.datasets.own.manifest_labels import RowLabels
from index_builder.datasets.reading.cases import TablePass
from index_builder.datasets.reading.label_cells import label_items, parse_mark
from index_builder.datasets.reading.tables import Row
from index_builder.datasets.reading.values import counted, shown


class ManifestStages:
    """Reads the stage of a table's rows, as the column map says. Does what `ManifestLabels` does for findings."""

    def __init__(self, columns: ColumnMap) -> None:
        self._columns = columns
        self._names = tuple(columns.stages or columns.label_columns)
        self._by_key = {_key(name): name for name in self._names}

    def read(self, row: Row, run: TablePass) -> RowLabels:
        """The stage of a row, or all stages as unknown. Faults are noted in the pass."""
        found = self._of_cell(row, run) if self._columns.labels is not None else self._of_columns(row, run)
        return ((), tuple(sorted(self._names))) if found is None else ((found,), ())

    def tells(self, row: Row) -> bool:
        """Always: of a row without a stage `read` says that it is unknown."""
        return True

    def settle(
        self, cases: Sequence[Case], untold: set[str], run: TablePass
    ) -> tuple[tuple[Case, ...], tuple[str, ...]]:
        """Say how many cases are of each stage. Arguments and result as of `ManifestLabels.settle`."""
        counts = Counter(label for case in cases for label in case.labels)
        said = ", ".join(f"{name} ({counts[name]:,})" for name in self._names)
        without = len(cases) - counts.total()
        unknown = f" {counted(without, 'case')} without one: unknown, neither trained on nor scored." if without else ""
        run.tell(f"Labels are stages, lowest first: {said}.{unknown}")
        return tuple(cases), self._names

    def _of_cell(self, row: Row, run: TablePass) -> str | None:
        column = self._columns.labels
        assert column is not None, "labels are in one column"
        cell = row.cell(column)
        items = cell if isinstance(cell, tuple) else (cell,)
        found = {self._by_key.get(_key(item)) for item in items}
        if len(found) == 1 and (stage := found.pop()) is not None:
            return stage
        # Looked at only now: a stage may well be called "None" or "0".
        if label_items(cell, self._columns.labels_separator):
            named = ", ".join(map(repr, self._names))
            message = f"{shown(' '.join(items))} is no stage. Write one of {named}, or nothing where it is unknown."
            run.error("label", message, row, column)
        return None

    def _of_columns(self, row: Row, run: TablePass) -> str | None:
        held = [name for name in self._names if run.parsed(parse_mark, row, name, "label") == "present"]
        if len(held) > 1:
            run.error("label", f"{' and '.join(map(shown, held))} at once. A case has one stage.", row, held[1])
        return held[0] if len(held) == 1 else None


def _key(text: str) -> str:
    """What a stage is compared by. Tables write a whole number as 2.0 where other cells of the column are empty."""
    return re.sub(r"^(\d+)\.0+$", r"\1", " ".join(text.casefold().split()))
