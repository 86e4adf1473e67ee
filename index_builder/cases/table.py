"""Cases of a casebook as a table that is looked at on disk: memory-mapped Arrow, nothing read at opening."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index_builder.cases.case import SECTION_ORDER, Case
from index_builder.errors import CasebookError
from index_builder.stores.base import case_keys

SECTION_PREFIX = "section."
PROFILE_PREFIX = "profile."

#: Cases per record batch.
_BATCH = 65_536
#: Cases made at a time, unless their rows span more than so many times as many rows of the table.
_MADE_AT_ONCE, _SPREAD = 1024, 4
#: Texts of at most so many different values are written as numbers into a list of them.
_MOST_VALUES = 256
#: Tables up to this size are checked whole when they are opened; larger ones by `verify` alone.
_CHECKED_BYTES = 256 << 20

T = TypeVar("T")


class Values(Sequence[T]):
    """A column by row; each value is read when it is asked for."""

    def __init__(self, column: pa.ChunkedArray, convert: Callable[[Any], T]) -> None:
        self._column = column
        self._convert = convert

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, row: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, row: slice) -> list[T]: ...
    def __getitem__(self, row: SupportsIndex | slice) -> T | list[T]:
        if isinstance(row, slice):
            start, stop, step = row.indices(len(self))
            return [self[one] for one in range(start, stop, step)]
        return self._convert(self._column[int(row)].as_py())

    def __iter__(self) -> Iterator[T]:
        for chunk in self._column.chunks:
            yield from map(self._convert, chunk.to_pylist())


class CaseRows(Sequence[Case]):
    """Cases of a table, each made when it is asked for: held as objects they would fill over a kilobyte each.

    Attributes:
        rows: [N] int64, rows of the table.
    """

    def __init__(self, table: pa.Table, rows: NDArray[np.int64] | None = None) -> None:
        self._table = table
        self.rows = np.arange(len(table)) if rows is None else rows

    @property
    def column_names(self) -> list[str]:
        """Names of the table's columns."""
        return list(self._table.column_names)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: SupportsIndex) -> Case: ...
    @overload
    def __getitem__(self, place: slice) -> CaseRows: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Case | CaseRows:
        if isinstance(place, slice):
            return CaseRows(self._table, self.rows[place])
        return case_from_row(self._table.slice(int(self.rows[int(place)]), 1).to_pylist()[0])

    def __iter__(self) -> Iterator[Case]:
        for start in range(0, len(self), _MADE_AT_ONCE):
            rows = self.rows[start : start + _MADE_AT_ONCE]
            low, high = int(rows.min()), int(rows.max())
            if high - low < _SPREAD * _MADE_AT_ONCE:
                # Arrow copies a column whole to take rows out of several batches of it: here it has a part of it.
                part = self._table.slice(low, high - low + 1)
                yield from map(case_from_row, part.take(pa.array(rows - low)).to_pylist())
            else:
                yield from (self[place] for place in range(start, start + len(rows)))

    def at(self, places: NDArray[np.integer]) -> CaseRows:
        """Cases at some places."""
        return CaseRows(self._table, self.rows[places])

    def table(self, names: Iterable[str]) -> pa.Table:
        """Columns of theirs, as `cases_table` gives them."""
        return pa.table({name: _decoded(self.column(name)) for name in names})

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of theirs, as the table has it."""
        return self._table.column(name).take(pa.array(self.rows))

    def known(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each label of each case was decided, [N, C] with a column per name."""
        return known_matrix(self._table, names)[self.rows]


def cases_at(cases: Sequence[Case], places: NDArray[np.integer]) -> Sequence[Case]:
    """Cases at some places, as a list where they are one."""
    return cases.at(places) if isinstance(cases, CaseRows) else [cases[int(place)] for place in places]


def cases_table(cases: Sequence[Case]) -> pa.Table:
    """Cases as a table: fixed columns, then `section.NAME` and `profile.NAME` columns in a stable order.

    A column `unknown` is there where a label of some case is unknown, `other_views` where the view of some further film
    is known.
    """
    columns: dict[str, pa.Array] = {
        "case_id": pa.array([case.case_id for case in cases], pa.string()),
        "patient_id": pa.array([case.patient_id for case in cases], pa.string()),
        "split": pa.array([case.split for case in cases], pa.string()),
        "view": pa.array([case.view for case in cases], pa.string()),
        "labels": pa.array([list(case.labels) for case in cases], pa.list_(pa.string())),
        "codes": pa.array([list(case.codes) for case in cases], pa.list_(pa.string())),
        "image": pa.array([case.image for case in cases], pa.string()),
        "other_images": pa.array([list(case.other_images) for case in cases], pa.list_(pa.string())),
        "synthetic": pa.array([case.synthetic for case in cases], pa.bool_()),
    }
    if any(case.unknown for case in cases):
        columns["unknown"] = pa.array([list(case.unknown) for case in cases], pa.list_(pa.string()))
    if any(case.other_views for case in cases):
        columns["other_views"] = pa.array([list(case.other_views) for case in cases], pa.list_(pa.string()))
    sections = {name for case in cases for name in case.sections}
    for name in [*(s for s in SECTION_ORDER if s in sections), *sorted(sections.difference(SECTION_ORDER))]:
        columns[SECTION_PREFIX + name] = pa.array([case.sections.get(name) for case in cases], pa.string())
    for name in sorted({name for case in cases for name in case.profile}):
        columns[PROFILE_PREFIX + name] = _profile_array([case.profile.get(name) for case in cases])
    return pa.table(columns)


def case_from_row(row: Mapping[str, Any]) -> Case:
    """The case a row of `cases_table` was made from."""

    def fields(prefix: str) -> dict[str, Any]:
        return {
            name.removeprefix(prefix): value
            for name, value in row.items()
            if name.startswith(prefix) and value is not None
        }

    return Case(
        case_id=row["case_id"],
        patient_id=row["patient_id"],
        split=row["split"],
        labels=tuple(row["labels"]),
        image=row["image"],
        other_images=tuple(row["other_images"]),
        view=row["view"],
        sections=fields(SECTION_PREFIX),
        profile=fields(PROFILE_PREFIX),
        codes=tuple(row["codes"]),
        synthetic=row["synthetic"],
        unknown=tuple(row.get("unknown", ())),
        other_views=tuple(row.get("other_views", ())),
    )


def write_cases(table: pa.Table, path: Path, keys_path: Path) -> None:
    """Write what `cases_table` made, the same bytes for the same cases, and what finds a case by its key.

    Args:
        table: N cases.
        path: Path of an Arrow file, uncompressed so that it can be mapped.
        keys_path: Path of an .npy file, [2, N] int64: each case's `case_key`, and the rows in the order of the keys.
    """
    encoded = pa.table({name: _encoded(name, table.column(name)) for name in table.column_names})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, encoded.schema) as writer:
        writer.write_table(encoded, max_chunksize=_BATCH)
    keys = case_keys(table.column("case_id").to_pylist())
    np.save(keys_path, np.stack([keys, np.argsort(keys, kind="stable")]), allow_pickle=False)


def read_cases(path: Path, rows: int) -> pa.Table:
    """Map the table of a casebook.

    Args:
        path: What `write_cases` wrote.
        rows: How many cases it must have.

    Raises:
        CasebookError: The file is missing, damaged or of another length.
    """
    try:
        source = pa.memory_map(str(path))
        table = pa.ipc.open_file(source).read_all()
        table.validate(full=source.size() <= _CHECKED_BYTES)
    except (OSError, pa.ArrowException) as error:
        raise CasebookError(f"{path}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error
    if len(table) != rows:
        raise CasebookError(f"{path}: {len(table)} cases where the manifest says {rows}. Rebuild the casebook.")
    return table


def read_case_keys(path: Path, rows: int) -> NDArray[np.int64]:
    """Map the keys [2, N] that `write_cases` wrote.

    Raises:
        CasebookError: The file is missing, damaged or of another length.
    """
    try:
        keys = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CasebookError(f"{path}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error
    if keys.shape != (2, rows) or keys.dtype != np.int64:
        raise CasebookError(f"{path}: {keys.dtype} {keys.shape} for {rows} cases. Rebuild the casebook.")
    return np.asarray(keys)


def label_matrix(column: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which case carries which label, [N, C] with a column, contiguous in memory, per name; other labels do not count.

    Args:
        column: Lists of labels, [N].
        names: [C].
    """
    matrix = np.zeros((len(column), len(names)), bool, order="F")
    number_of = {name: number for number, name in enumerate(names)}
    start = 0
    for chunk in column.chunks:
        # By DLPack: `to_numpy` imports pandas, which a search need not wait for.
        labels, rows = pc.dictionary_encode(chunk.flatten()), np.from_dlpack(pc.list_parent_indices(chunk))
        numbers = np.array([number_of.get(name, -1) for name in labels.dictionary.to_pylist()], np.int64)
        found = numbers[np.from_dlpack(labels.indices)]
        matrix[start + rows[found >= 0], found[found >= 0]] = True
        start += len(chunk)
    return matrix


def known_matrix(table: pa.Table, names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each label of each case of a table was decided, [N, C] with a column per name."""
    if "unknown" not in table.column_names:
        return np.ones((len(table), len(names)), bool, order="F")
    return ~label_matrix(table.column("unknown"), names)


def carried_labels(column: pa.ChunkedArray) -> set[str]:
    """All labels in a column of lists of labels."""
    return set().union(*(pc.unique(chunk.flatten()).to_pylist() for chunk in column.chunks))


def _encoded(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Texts of few different values as numbers into a list of those."""
    if name in ("labels", "unknown", "other_views"):
        plain = column.combine_chunks()
        return pa.ListArray.from_arrays(plain.offsets, plain.values.dictionary_encode())
    if name in ("split", "view") or (name.startswith(PROFILE_PREFIX) and pa.types.is_string(column.type)):
        encoded = column.combine_chunks().dictionary_encode()
        if len(encoded.dictionary) <= _MOST_VALUES:
            return encoded
    return column


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What `_encoded` was given."""
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if pa.types.is_list(column.type) and pa.types.is_dictionary(column.type.value_type):
        return column.cast(pa.list_(column.type.value_type.value_type))
    return column


def _profile_array(values: list[Any]) -> pa.Array:
    """Numbers as numbers where all present values are, booleans likewise, everything else as text."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return pa.array(values, pa.bool_())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        whole = all(isinstance(value, int) for value in present)
        return pa.array(values, pa.int64() if whole else pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
