"""Leave out further cases of a patient and copies of a film among what a search found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.search.phrases import DUPLICATE_CORRELATION, thumbnail_signature

if TYPE_CHECKING:
    from explorer.search.query import Query, SearchOptions


def suppress(casebook: Casebook, rows: NDArray[np.int64], query: Query, options: SearchOptions) -> list[int]:
    """Rows that remain, in order, without further cases of a patient or copies of a film."""
    if not options.one_per_patient and not options.hide_duplicates:
        return rows.tolist()
    patients = casebook.patient_ids
    own = None if query.case_id is None else casebook.row(query.case_id)
    seen_patients = set() if own is None else {patients[own]}
    signatures: list[np.ndarray] = []
    texts: set[str] = set()

    def is_copy(row: int) -> bool:
        """Whether this film (or report, where there is none) was met before; remembers it if not."""
        thumbnail = casebook.thumbnail(casebook.case_ids[row])
        if thumbnail is None:
            text = casebook.case(casebook.case_ids[row]).report.casefold()
            known = text in texts
            texts.add(text)
            return known
        signature = thumbnail_signature(thumbnail)
        known = any(float(signature @ other) >= DUPLICATE_CORRELATION for other in signatures)
        if not known:
            signatures.append(signature)
        return known

    if own is not None and options.hide_duplicates:
        is_copy(own)
    kept: list[int] = []
    for row in rows.tolist():
        if options.one_per_patient and patients[row] in seen_patients:
            continue
        if options.hide_duplicates and is_copy(row):
            continue
        seen_patients.add(patients[row])
        kept.append(row)
        if len(kept) == options.k:
            break
    return kept
