"""Filter expressions over a casebook's fields, applied before the nearest cases are chosen.

label=Cardiomegaly           carries the label
label=Mass,Nodule            carries any of them        (also label=any(Mass,Nodule))
label=all(Mass,Nodule)       carries all of them
label!=Normal                carries none               (also label=none(Normal))
split=train   view=PA,AP   sex=F   age=40..60   age>=65   report~pleural effusion
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from index_builder.errors import QueryError

Operator = Literal["any", "all", "none", "<", "<=", ">", ">=", "between", "contains"]

_EXPRESSION = re.compile(r"^\s*([\w.\- ]+?)\s*(!=|<=|>=|==|=|<|>|~|:)\s*([^=<>!~].*?)\s*$", re.DOTALL)
_SET = re.compile(r"^(any|all|none)\s*\((.*)\)$", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"^(-?\d+(?:\.\d+)?)?\s*\.\.\s*(-?\d+(?:\.\d+)?)?$")
_LABEL_FIELDS = ("label", "labels")
#: Longest expression. The patterns above take time that grows with the square of a run of blanks.
_MAX_EXPRESSION = 2_000


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition; several are combined with "and".

    Attributes:
        field: `label`, `split`, `view`, `report` or a profile field such as `age`.
        operator: How the field is compared; `between` includes both ends, either of which may be "".
        values: What it is compared with.
    """

    field: str
    operator: Operator
    values: tuple[str, ...]

    def __str__(self) -> str:
        if self.operator == "between":
            return f"{self.field}={self.values[0]}..{self.values[1]}"
        if self.operator in ("any", "none"):
            return f"{self.field}{'=' if self.operator == 'any' else '!='}{','.join(self.values)}"
        if self.operator == "all":
            return f"{self.field}=all({','.join(self.values)})"
        return f"{self.field}{'~' if self.operator == 'contains' else self.operator}{self.values[0]}"


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
        return Filter(field, "contains", (value,))
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
        mask &= (
            _labels_match(casebook, condition) if condition.field == "label" else _field_matches(casebook, condition)
        )
    return mask


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
                f"no label {value!r} in casebook {casebook.name!r}. Labels: {', '.join(casebook.label_names)}."
            )
        elif condition.operator == "all":
            return np.zeros(len(casebook), bool)
    held = casebook.label_matrix[:, chosen]
    if condition.operator == "any":
        return np.asarray(held.any(axis=1), bool)
    return np.asarray(held.all(axis=1) if condition.operator == "all" else ~held.any(axis=1), bool)


def _field_matches(casebook: Casebook, condition: Filter) -> NDArray[np.bool_]:
    column = casebook.column(condition.field)
    if condition.operator == "contains":
        needle = condition.values[0].casefold()
        return np.array([value is not None and needle in str(value).casefold() for value in column], bool)
    if condition.operator in ("any", "none", "all"):
        held = _equals(column, condition)
        return ~held if condition.operator == "none" else held
    if column.dtype != np.float64:
        raise QueryError(f"filter {str(condition)!r}: {condition.field} is not a number. Use = or ~.")
    with np.errstate(invalid="ignore"):  # NaN, an absent value, meets no condition
        if condition.operator == "between":
            low, high = condition.values
            mask = ~np.isnan(column)
            if low:
                mask &= column >= _number(low, condition)
            if high:
                mask &= column <= _number(high, condition)
            return mask
        bound = _number(condition.values[0], condition)
        compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
        return compare[condition.operator](column, bound)


def _equals(column: np.ndarray, condition: Filter) -> NDArray[np.bool_]:
    if column.dtype == np.float64:
        return np.isin(column, [_number(value, condition) for value in condition.values])
    wanted = {value.casefold() for value in condition.values}
    return np.array([value is not None and str(value).casefold() in wanted for value in column], bool)


def _number(value: str, condition: Filter) -> float:
    try:
        return float(value)
    except ValueError:
        raise QueryError(f"filter {str(condition)!r}: {value!r} is not a number.") from None


def _values(text: str, expression: str) -> tuple[str, ...]:
    values = tuple(value.strip().strip("\"'") for value in text.split(",") if value.strip())
    if not values:
        raise QueryError(f"filter {expression!r}: no value given.")
    return values
