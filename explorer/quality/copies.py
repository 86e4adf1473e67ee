"""What a test part should not share with the training part: films, reports, patients."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from explorer.casebook import Casebook
from explorer.search.phrases import DUPLICATE_CORRELATION, thumbnail_signature
from index_builder.cases.case import SPLITS

_BLOCK = 2_000
_WORD = re.compile(r"\w+")
#: A shorter report, such as "No acute disease", may well be written twice.
_WORDS = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cases of different parts that share what they should not.

    Attributes:
        first: Row of the case of the part nearer to training.
        second: Row of the other.
        likeness: Correlation of the films; None where reports or patients are the same.
    """

    first: int
    second: int
    likeness: float | None = None


def film_copies(casebook: Casebook, progress: Callable[[int, int], None]) -> list[Pair]:
    """Films of different parts whose thumbnails correlate as only copies do, the most alike first."""
    splits = casebook.column("split")
    signatures, rows = [], []
    for row, case_id in enumerate(casebook.case_ids):
        if row % 100 == 0:
            progress(row, len(casebook))
        if (jpeg := casebook.thumbnail(case_id)) is not None:
            signatures.append(thumbnail_signature(jpeg))
            rows.append(row)
    if not rows:
        return []
    of_part = {part: np.flatnonzero(splits[rows] == part) for part in SPLITS}
    films, found = np.stack(signatures), []
    for left, right in combinations(SPLITS, 2):
        for start in range(0, len(of_part[left]), _BLOCK):
            block = of_part[left][start : start + _BLOCK]
            alike = films[block] @ films[of_part[right]].T
            for one, other in np.argwhere(alike >= DUPLICATE_CORRELATION).tolist():
                pair = (rows[block[one]], rows[of_part[right][other]])
                found.append((float(alike[one, other]), pair))
    return [Pair(*pair, likeness) for likeness, pair in sorted(found, reverse=True)]


def report_copies(casebook: Casebook) -> list[Pair]:
    """Cases of different parts whose reports of eight words or more are the same but for case and punctuation."""
    words = [tuple(_WORD.findall(str(report).lower())) for report in casebook.column("report")]
    return _across(casebook, [one if len(one) >= _WORDS else None for one in words])


def shared_patients(casebook: Casebook) -> list[Pair]:
    """Cases of one patient in different parts."""
    return _across(casebook, casebook.column("patient_id").tolist())


def _across(casebook: Casebook, keys: Iterable[Hashable | None]) -> list[Pair]:
    """One pair of each two parts for everything that is the same in both."""
    splits = casebook.column("split")
    first: dict[Hashable, dict[str, int]] = defaultdict(dict)
    for row, key in enumerate(keys):
        if key is not None:
            first[key].setdefault(splits[row], row)
    return [
        Pair(rows[left], rows[right])
        for rows in first.values()
        for left, right in combinations(SPLITS, 2)
        if left in rows and right in rows
    ]
