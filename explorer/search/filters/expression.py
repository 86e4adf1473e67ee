"""Filter expressions over a casebook's fields, applied before the nearest cases are chosen.

label=Cardiomegaly           carries the label
label=Mass,Nodule            carries any of them        (also label=any(Mass,Nodule))
label=all(Mass,Nodule)       carries all of them
label!=Normal                carries none               (also label=none(Normal))
split=train   view=PA,AP   sex=F   age=40..60   age>=65   report~pleural effusion
finding=nodule               the report states it, or a kind of it; also finding=all(nodule,scar), finding!=nodule
finding=nodule@right upper lobe   states it there;  finding=effusion#small   of that degree;  finding=nodule@left#small
side=left   site=upper lobe   degree=mild      the report states anything there, or of that degree
label="A, or B"              a value with a comma or a sign in it, between double quotes, as in CSV
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.search.filters.facts import is_fact_field, rows_by_facts
from index_builder.cases.table import PROFILE_PREFIX
from index_builder.errors import QueryError
from index_builder.stores.base import Condition

Operator = Literal["any", "all", "none", "<", "<=", ">", ">=", "between", "contains"]

_EXPRESSION = re.compile(r"^\s*([\w.\- ]+?)\s*(!=|<=|>=|==|=|<|>|~|:)\s*([^=<>!~].*?)\s*$", re.DOTALL)
_SET = re.compile(r"^(any|all|none)\s*\((.*)\)$", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"^(-?\d+(?:\.\d+)?)?\s*\.\.\s*(-?\d+(?:\.\d+)?)?$")
#: A value that needs no quotes.
_PLAIN = re.compile(r"\w(?:[\w .%/+-]*[\w%+-])?")
_SIGNS = {"any": "=", "none": "!=", "contains": "~"}
_LABEL_FIELDS = ("label", "labels")
#: Longest expression. The patterns above take time that grows with the square of a run of blanks.
_MAX_EXPRESSION = 2_000


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition; several are combined with "and".

    Attributes:
        field: `label`, `split`, `view`, `report`, a profile field such as `age`, or what the report states: `finding`,
            `side`, `site`, `degree` (a profile field of such a name goes first).
        operator: How the field is compared; `between` includes both ends, either of which may be "".
        values: What it is compared with.
    """

    field: str
    operator: Operator
    values: tuple[str, ...]

    def __str__(self) -> str:
        if self.operator == "between":
            return f"{self.field}={self.values[0]}..{self.values[1]}"
        values = ",".join(map(_written, self.values))
        if self.operator == "all":
            return f"{self.field}=all({values})"
        return f"{self.field}{_SIGNS.get(self.operator, self.operator)}{values}"


def number_words(value: float) -> str:
    """A number in full, as filters and addresses write it: the shortest digits that mean it, without an exponent."""
    return np.format_float_positional(float(value), trim="-")


def parse_filter(expression: str) -> Filter:
    """Read one filter expression; the module's docstring shows the forms.

    Raises:
        QueryError: It is not one.
    """
    if len(expression) > _MAX_EXPRESSION:
        raise QueryError(
            f"a filter of {len(expression):,} characters: give at most {_MAX_EXPRESSION:,}, or several filters."
        )
    match = _EXPRESSION.match(expression)
    if match is None:
        raise QueryError(
            f"filter {expression!r} is not understood. Write FIELD=VALUE, FIELD!=VALUE, age>=40, age=40..60, "
            "label=all(A,B) or report~words."
        )
    field, sign, value = match[1].strip().lower(), match[2], match[3]
    if field in _LABEL_FIELDS:
        field = "label"
    if sign == "~":
        return Filter(field, "contains", _values(value, expression) if value.startswith('"') else (value,))
    if sign in ("<", "<=", ">", ">="):
        return Filter(field, sign, (value,))  # type: ignore[arg-type]  # narrowed by the test
    if sign == "!=":
        return Filter(field, "none", _values(value, expression))
    if found := _RANGE.match(value):
        return Filter(field, "between", (found[1] or "", found[2] or ""))
    if found := _SET.match(value):
        return Filter(field, found[1].lower(), _values(found[2], expression))  # type: ignore[arg-type]
    return Filter(field, "any", _values(value, expression))


def matching_rows(casebook: Casebook, filters: Sequence[Filter]) -> NDArray[np.bool_]:
    """Which cases meet all filters, [N].

    Raises:
        QueryError: A field or label this casebook does not have, or a value of the wrong kind.
    """
    mask = np.ones(len(casebook), bool)
    for condition in filters:
        if condition.field == "label":
            mask &= _labels_match(casebook, condition)
        elif is_fact_field(casebook, condition.field):
            mask &= rows_by_facts(casebook, condition)
        else:
            mask &= _field_matches(casebook, condition)
    return mask


def stored_conditions(casebook: Casebook, filters: Sequence[Filter]) -> tuple[Condition, ...] | None:
    """Filters as conditions of a vector store that keeps the fields; None where they cannot be expressed so.

    Raises:
        QueryError: As `matching_rows`.
    """
    if any(
        one.operator == "contains" or one.field in ("case_id", "patient_id") or is_fact_field(casebook, one.field)
        for one in filters
    ):
        return None
    found = []
    for one in filters:
        if one.field == "label":
            names = {name.casefold(): name for name in casebook.label_names}
            values = tuple(names[value.casefold()] for value in one.values if value.casefold() in names)
            columns = [casebook.label_names.index(value) for value in values]
            if one.operator == "none" and not casebook.known_matrix[:, columns].all():
                return None  # a store knows what a case carries, not what is unknown of it
            if values:
                found.append(Condition("labels", one.operator, values))  # type: ignore[arg-type]  # no "contains" left
            continue
        field = PROFILE_PREFIX + one.field if one.field in casebook.profile_fields else one.field
        operator = "any" if one.operator == "all" else one.operator
        if stored := _stored(casebook, one):
            found.append(Condition(field, operator, stored))  # type: ignore[arg-type]
    return tuple(found)


def _stored(casebook: Casebook, condition: Filter) -> tuple[str | float | bool | None, ...]:
    """A filter's values as a store keeps them."""
    if casebook.is_number(condition.field):
        return tuple(_number(value, condition) if value else None for value in condition.values)
    words = [value.lower() for value in condition.values]
    if pa.types.is_boolean(casebook.field(condition.field).type):
        return tuple(word == "true" for word in words if word in ("true", "false"))
    return tuple(words)


def _labels_match(casebook: Casebook, condition: Filter) -> NDArray[np.bool_]:
    if condition.operator not in ("any", "all", "none"):
        raise QueryError(f"filter {str(condition)!r}: labels are compared with =, !=, all(...) or none(...).")
    known = {name.casefold(): number for number, name in enumerate(casebook.label_names)}
    declared = {name.casefold() for name in casebook.manifest.dataset.label_names}
    chosen = []
    for value in condition.values:
        if value.casefold() in known:
            chosen.append(known[value.casefold()])
        elif value.casefold() not in declared:
            raise QueryError(
                f"no label {value!r} in casebook {casebook.name!r}. "
                f"Labels: {', '.join(casebook.label_names) or 'none'}."
            )
        elif condition.operator == "all":
            return np.zeros(len(casebook), bool)
    held = casebook.label_matrix[:, chosen]
    if condition.operator == "any":
        return np.asarray(held.any(axis=1), bool)
    if condition.operator == "all":
        return np.asarray(held.all(axis=1), bool)
    # A case of which the label is unknown does not lack it.
    return np.asarray((~held & casebook.known_matrix[:, chosen]).all(axis=1), bool)


def _field_matches(casebook: Casebook, condition: Filter) -> NDArray[np.bool_]:
    if condition.operator == "contains":
        return _contains(casebook, condition)
    if condition.field == "report":
        raise QueryError(f"filter {str(condition)!r}: reports are searched with ~.")
    column = casebook.field(condition.field)
    if condition.operator in ("any", "none", "all"):
        held = _equals(column, condition, casebook.is_number(condition.field))
        return ~held if condition.operator == "none" else held
    if not casebook.is_number(condition.field):
        raise QueryError(f"filter {str(condition)!r}: {condition.field} is not a number. Use = or ~.")
    if condition.operator == "between":
        low, high = condition.values
        mask = pc.is_valid(column)
        if low:
            mask = pc.and_(mask, pc.greater_equal(column, _number(low, condition)))
        if high:
            mask = pc.and_(mask, pc.less_equal(column, _number(high, condition)))
        return _mask(mask)
    compare = {"<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal}
    return _mask(compare[condition.operator](column, _number(condition.values[0], condition)))


def _contains(casebook: Casebook, condition: Filter) -> NDArray[np.bool_]:
    held = np.zeros(len(casebook), bool)
    columns = casebook.report_sections if condition.field == "report" else (casebook.field(condition.field),)
    for column in columns:
        held |= _of_texts(column, lambda texts: pc.match_substring(texts, condition.values[0], ignore_case=True))
    return held


def _equals(column: pa.ChunkedArray, condition: Filter, number: bool) -> NDArray[np.bool_]:
    if number:
        wanted = pa.array([_number(value, condition) for value in condition.values], pa.float64())
        return _mask(pc.is_in(column.cast(pa.float64()), wanted))
    words = pa.array([value.lower() for value in condition.values], pa.string())
    return _of_texts(column, lambda texts: pc.is_in(pc.utf8_lower(texts), words))


def _of_texts(column: pa.ChunkedArray, test: Callable[[Any], Any]) -> NDArray[np.bool_]:
    """A test of a field's texts, [N]; False where absent. Of a column of few texts, those few are tested."""
    if not pa.types.is_dictionary(column.type):
        return _mask(pc.and_(test(column.cast(pa.string())), pc.is_valid(column)))
    passed = [number for number, value in enumerate(test(column.chunk(0).dictionary).to_pylist()) if value]
    numbers = pa.chunked_array([chunk.indices for chunk in column.chunks])
    return _mask(pc.is_in(numbers, pa.array(passed, numbers.type)))


def _mask(values: Any) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False), bool)


def _number(value: str, condition: Filter) -> float:
    try:
        return float(value)
    except ValueError:
        raise QueryError(f"filter {str(condition)!r}: {value!r} is not a number.") from None


def _values(text: str, expression: str) -> tuple[str, ...]:
    """Values between commas, each plain, between single quotes, or quoted as in CSV (RFC 4180)."""
    cells = next(csv.reader([text], skipinitialspace=True), [])
    values = tuple(cell.strip() if '"' in text else cell.strip().strip("'") for cell in cells if cell.strip())
    if not values:
        raise QueryError(f"filter {expression!r}: no value given.")
    return values


def _written(value: str) -> str:
    """A value as `_values` reads it."""
    if _PLAIN.fullmatch(value) and ".." not in value:
        return value
    return '"' + value.replace('"', '""') + '"'
