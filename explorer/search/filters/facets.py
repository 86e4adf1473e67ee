"""How many cases each value of a field would leave: what reports state, views, ages and parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.search.filters.expression import Filter, matching_rows
from index_builder.lexical.stated import FACT_FIELDS, ordered_counts

if TYPE_CHECKING:
    from explorer.casebook import Casebook


#: Ages in years at which a range begins.
_AGES = (0, 18, 40, 60, 80)


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts of the cases that meet some filters, the largest first; values that no case has are left out.

    Each count of `finding`, `side`, `site` and `degree` is what a filter by that value would leave.

    Attributes:
        cases: Cases that meet the filters.
        finding: By what reports state, wider findings among them.
        side: By the side of anything stated; findings of both sides count as left, as right, and as both.
        site: By the site of anything stated, wider sites among them.
        degree: By the degree of anything stated.
        view: By view of the film.
        age: By range of age in years, in order, as filters write them: "..17", "18..39"; empty where none is known.
        split: By part of the data.
    """

    cases: int
    finding: Mapping[str, int]
    side: Mapping[str, int]
    site: Mapping[str, int]
    degree: Mapping[str, int]
    view: Mapping[str, int]
    age: Mapping[str, int]
    split: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def facets(casebook: Casebook, filters: Sequence[Filter] = ()) -> Facets:
    """Count the cases that meet all filters by each field; facts are empty where reports are not indexed.

    Raises:
        QueryError: As `matching_rows`.
    """
    met = matching_rows(casebook, filters)
    reports = casebook.reports
    said = {field: {} if reports is None else reports.stated.counts(field, met) for field in FACT_FIELDS}
    return Facets(
        int(met.sum()),
        **said,
        view=_column(casebook, "view", met),
        age=_ages(casebook, met),
        split=_column(casebook, "split", met),
    )


def _ages(casebook: Casebook, met: NDArray[np.bool_]) -> dict[str, int]:
    if "age" not in casebook.profile_fields or not casebook.is_number("age"):
        return {}
    ages = casebook.column("age")
    known = ages[~np.isnan(ages)]
    if not len(known):
        return {}
    # A filter includes both ends: whole years end before the next range, others at it.
    whole = bool(np.all(known == np.round(known)))
    starts = [one for one in _AGES if one <= known.max()]
    found: dict[str, int] = {}
    for low, following in zip(starts, [*starts[1:], None], strict=True):
        high = None if following is None else following - whole
        if high is not None and high < known.min():
            continue
        count = int(np.sum(met & (ages >= low) & (True if high is None else ages <= high)))
        # The first and the last range are open, as the youngest and the oldest end them.
        first = low if low > known.min() else ""
        if count and not (first == "" and high is None):
            found[f"{first}..{'' if high is None else high}"] = count
    return found


def _column(casebook: Casebook, field: str, met: NDArray[np.bool_]) -> dict[str, int]:
    values = casebook.column(field)[met]
    names, counts = np.unique(values[values != np.array(None)].astype(str), return_counts=True)
    return ordered_counts(names.tolist(), counts)
