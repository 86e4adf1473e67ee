"""How labels, views and gaps are spread over the parts of a casebook."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.evaluation.cases import CaseList, JudgedCase, Token
from explorer.evaluation.chart import words
from index_builder.datasets.base import SPLITS
from index_builder.errors import QueryError

#: Stands among the labels for cases that carry none.
NO_LABEL = "no label"


def parts_of(casebook: Casebook) -> dict[str, NDArray[np.bool_]]:
    """Which cases belong to each part that has any, [N] each."""
    splits = casebook.column("split")
    return {part: held for part in SPLITS if (held := np.asarray(splits == part, bool)).any()}


def label_balance(casebook: Casebook) -> pd.DataFrame:
    """Cases with each label by part: `label`, `part`, `cases`, `share` of the part."""
    held = _labels_or_none(casebook)
    return _table("label", [*casebook.label_names, NO_LABEL], casebook, lambda number: held[:, number])


def view_balance(casebook: Casebook) -> pd.DataFrame:
    """Cases of each view by part: `view`, `part`, `cases`, `share`."""
    views = casebook.column("view")
    names = sorted({str(view) for view in views if view is not None})
    if None in views:
        names.append("unknown")
    given = np.array(["unknown" if view is None else str(view) for view in views], object)
    return _table("view", names, casebook, lambda number: given == names[number])


def missing_fields(casebook: Casebook) -> pd.DataFrame:
    """Cases that lack film, report, view, label or a profile field, by part: `field`, `part`, `cases`, `share`."""
    lacking = lacks(casebook)
    names = list(lacking)
    return _table("field", names, casebook, lambda number: lacking[names[number]])


def lacks(casebook: Casebook) -> dict[str, NDArray[np.bool_]]:
    """Which cases lack film, report, view, label or a profile field, [N] each; what no case has is left out."""
    lacking: dict[str, NDArray[np.bool_]] = {
        "film": np.array([image is None for image in casebook.table.column("image").to_pylist()]),
        "report": np.array([not report for report in casebook.column("report")]),
        "view": np.array([view is None for view in casebook.column("view")]),
        "label": np.asarray(~casebook.label_matrix.any(axis=1), bool),
    }
    for field in casebook.profile_fields:
        column = casebook.column(field)
        lacking[field] = np.isnan(column) if column.dtype == np.float64 else np.array([one is None for one in column])
    return {field: absent for field, absent in lacking.items() if not absent.all()}


def cases_of_part(casebook: Casebook, token: Token) -> CaseList:
    """Cases of a part with a label, behind a point of the balance chart.

    Raises:
        QueryError: Not a token of that chart.
    """
    kind, label, part = token
    names = [*casebook.label_names, NO_LABEL]
    if kind != "part" or label not in names:
        raise QueryError(f"no cases behind {list(token)!r}.")
    inside = casebook.column("split") == part
    rows = np.flatnonzero(_labels_or_none(casebook)[:, names.index(label)] & inside)
    cases = [JudgedCase(casebook.case_ids[row], "", False) for row in rows.tolist()]
    return CaseList(f"{words(str(label))} in {part}", cases)


def _labels_or_none(casebook: Casebook) -> NDArray[np.bool_]:
    """[N, C + 1], the last column for cases without a label."""
    return np.column_stack([casebook.label_matrix, ~casebook.label_matrix.any(axis=1)])


def _table(kind: str, names: list[str], casebook: Casebook, held: Callable[[int], NDArray[np.bool_]]) -> pd.DataFrame:
    rows = []
    for number, name in enumerate(names):
        for part, inside in parts_of(casebook).items():
            cases = int((held(number) & inside).sum())
            rows.append({kind: name, "part": part, "cases": cases, "share": cases / int(inside.sum())})
    return pd.DataFrame(rows, columns=[kind, "part", "cases", "share"])
