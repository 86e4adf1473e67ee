"""What a casebook's system has learnt of a finding, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from index_builder.calibration.learnt import TOO_FEW, Evidence, dataset_title

if TYPE_CHECKING:
    from explorer.casebook import Casebook


def taught_words(row: Evidence) -> str:
    """Training examples of a dataset, e.g. "88 with it, 1,357 without"."""
    if row.taught is None:
        return "not trained on"
    return f"{row.positives:,} with it, {row.taught.negatives:,} without"


def film_words(row: Evidence) -> str:
    """How well the finding is predicted from films of a dataset, e.g. "0.86 [0.80, 0.91], 41 with it"."""
    one = row.measured.get("image")
    return "not measured on films" if one is None else f"{one.words}, {one.positives:,} with it"


def other_data_words(casebook: Casebook, label: str) -> str:
    """A sentence where the system learnt a finding, but not on data of this casebook's kind; else empty."""
    if casebook.learnt is None:
        return ""
    rows = [row for row in casebook.learnt.evidence(label) if row.positives]
    dataset = casebook.manifest.dataset
    own = dataset_title(dataset.title, dataset.kind, None if dataset.root is None else Path(dataset.root))
    if not rows or any(row.dataset == own for row in rows):
        return ""
    first = rows[0]
    measured = first.measured.get("image")
    if measured is None:
        good = "not measured on films there"
    elif measured.words == TOO_FEW:
        good = "too few validation films there to say how good it is"
    else:
        good = f"AUROC on validation films there {measured.words}"
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"The classifier learnt this on other data than this casebook's: {first.title}{more}; {good}."
