"""What a case is labelled with, in words; an undecided label is distinct from one that is absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

if TYPE_CHECKING:
    from explorer.casebook import Casebook

NO_FINDING = "no finding labelled"
LABELS_UNKNOWN = "labels unknown"
#: Unknown labels that are named; CheXpert leaves most of its labels open in most cases.
_NAMED = 3


def labelled_words(labels: Sequence[str], unknown: Sequence[str]) -> str:
    """A case's labels and which are unknown, e.g. "Edema, Nodule; not known: Effusion"."""
    return "; ".join(filter(None, (", ".join(labels), unlabelled_words(labels, unknown))))


def unlabelled_words(labels: Sequence[str], unknown: Sequence[str]) -> str:
    """What is to be said beside a case's labels: which are unknown, or that there are none; empty: nothing."""
    if not unknown:
        return "" if labels else NO_FINDING
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    return f"{'not known' if labels else LABELS_UNKNOWN}: {', '.join(unknown[:_NAMED])}{more}"


def labels_of(casebook: Casebook, rows: NDArray[np.int64]) -> list[tuple[Sequence[str], Sequence[str]]]:
    """Labels and unknown labels of the cases at `rows`, without reading anything else of them."""
    names = [name for name in ("labels", "unknown") if name in casebook.table.column_names]
    taken = casebook.table.select(names).take(rows).to_pylist()
    return [(one["labels"], one.get("unknown", ())) for one in taken]


def labels_unknown(casebook: Casebook) -> NDArray[np.bool_]:
    """Which cases carry no label while some are unknown of them, [N]: it cannot be said that they have no finding."""
    table = casebook.table
    if "unknown" not in table.column_names:
        return np.zeros(len(table), bool)
    carried, unknown = (pc.list_value_length(table.column(name)).to_numpy() for name in ("labels", "unknown"))
    return np.asarray((carried == 0) & (unknown > 0), bool)
