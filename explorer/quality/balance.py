"""How labels, views and gaps are spread over the parts of a casebook."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.cases.labelled import LABELS_UNKNOWN, labels_unknown
from explorer.charts.cases_behind import CaseList, JudgedCase, Token
from explorer.charts.chart import words
from index_builder.cases.case import SPLITS
from index_builder.errors import QueryError

#: Stands among the labels for cases that carry none; `LABELS_UNKNOWN` for those that carry none and may have some.
NO_LABEL = "no label"


def parts_of(casebook: Casebook) -> dict[str, NDArray[np.bool_]]:
    """Which cases belong to each part that has any, [N] each."""
    splits = casebook.column("split")
    return {part: held for part in SPLITS if (held := np.asarray(splits == part, bool)).any()}


def label_balance(casebook: Casebook) -> pd.DataFrame:
    """Cases with each label by part: `label`, `part`, `cases`, `share` of those of the part whose label is known.

    The share is NaN where it is known of none.
    """
    known = dict(zip(casebook.label_names, casebook.known_matrix.T, strict=True))
    return _table("label", _label_groups(casebook), casebook, known)


def view_balance(casebook: Casebook) -> pd.DataFrame:
    """Cases of each view by part: `view`, `part`, `cases`, `share`."""
    views = casebook.column("view")
    names = sorted({str(view) for view in views if view is not None})
    if None in views:
        names.append("unknown")
    given = np.array(["unknown" if view is None else str(view) for view in views], object)
    return _table("view", {name: given == name for name in names}, casebook)


def missing_fields(casebook: Casebook) -> pd.DataFrame:
    """Cases that lack film, report, view, labels or a profile field, by part: `field`, `part`, `cases`, `share`."""
    return _table("field", lacks(casebook), casebook)


def lacks(casebook: Casebook) -> dict[str, NDArray[np.bool_]]:
    """Which cases lack film, report, view, labels or a profile field, [N] each; what no case has is left out.

    A case that is known to have no finding lacks no label.
    """
    lacking: dict[str, NDArray[np.bool_]] = {
        "film": np.array([image is None for image in casebook.table.column("image").to_pylist()]),
        "report": np.array([not report for report in casebook.column("report")]),
        "view": np.array([view is None for view in casebook.column("view")]),
        "known label": labels_unknown(casebook),
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
    groups = _label_groups(casebook)
    if kind != "part" or label not in groups:
        raise QueryError(f"no cases behind {list(token)!r}.")
    inside = casebook.column("split") == part
    rows = np.flatnonzero(groups[str(label)] & inside)
    cases = [JudgedCase(casebook.case_ids[row], "", False) for row in rows.tolist()]
    return CaseList(f"{words(str(label))} in {part}", cases)


def _label_groups(casebook: Casebook) -> dict[str, NDArray[np.bool_]]:
    """Which cases carry each label, none, and none while some are unknown, [N] each."""
    unknown = labels_unknown(casebook)
    none = np.asarray(~casebook.label_matrix.any(axis=1) & ~unknown, bool)
    groups = {**dict(zip(casebook.label_names, casebook.label_matrix.T, strict=True)), NO_LABEL: none}
    return {**groups, LABELS_UNKNOWN: unknown} if unknown.any() else groups


def _table(
    kind: str,
    held: Mapping[str, NDArray[np.bool_]],
    casebook: Casebook,
    known: Mapping[str, NDArray[np.bool_]] | None = None,
) -> pd.DataFrame:
    """Cases of each part of which something holds, and their share of those of which it is known; by default of all."""
    rows = []
    for name, holds in held.items():
        for part, inside in parts_of(casebook).items():
            asked = inside & known[name] if known is not None and name in known else inside
            cases, among = int((holds & inside).sum()), int(asked.sum())
            rows.append({kind: name, "part": part, "cases": cases, "share": cases / among if among else np.nan})
    return pd.DataFrame(rows, columns=[kind, "part", "cases", "share"])
