"""What points of a map can be coloured and shaped by, as categories with colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.cases.labelled import LABELS_UNKNOWN, NO_FINDING, labels_unknown
from explorer.charts.palette import ABSENT, CATEGORIES, REST, SEQUENCE
from explorer.prediction.whole_casebook import case_predictions, predictable_labels
from index_builder.cases.space import Space

MAIN_FINDING = "main finding"
CLUSTER = "cluster"
PREDICTION = "prediction"
UNCERTAINTY = "uncertainty"
ERROR = "right or wrong"
LABEL_PREFIX = "label:"
#: Fields that need the system's predictions.
PREDICTED = (PREDICTION, UNCERTAINTY, ERROR)

#: Shapes that points can have; a field of more values has none.
SHAPES = ("disc", "square", "triangle", "diamond")

_NORMAL = ("Normal", "No Finding")
#: Words that name a cluster.
_CLUSTER_WORDS = 3


@dataclass(frozen=True, slots=True)
class Colouring:
    """Categories of N cases.

    Attributes:
        names: Names of the categories.
        numbers: [N] uint8, category of each case.
        colours: Colours of each category, on light and on dark ground.
        ordered: The categories are steps from low to high.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.uint8]
    colours: tuple[tuple[str, str], ...]
    ordered: bool = False


def colour_fields(casebook: Casebook, space: Space) -> list[str]:
    """What a map can be coloured by, the most telling first; each label as "label:NAME"."""
    fields = [MAIN_FINDING] if casebook.label_names else []
    fields += [CLUSTER] if casebook.maps.spaces[space].clusters else []
    fields += PREDICTED if predictable_labels(casebook) else ()
    fields += [name for name in ("split", "view") if _several(casebook, name)]
    fields += [name for name in casebook.profile_fields if _several(casebook, name)]
    return fields + [LABEL_PREFIX + name for name in casebook.label_names]


def shape_fields(casebook: Casebook) -> list[str]:
    """What points can be shaped by: fields of two to four values."""
    names = ["split", "view", "synthetic", *casebook.profile_fields]
    return [name for name in names if 2 <= len(casebook.distinct(name)) <= len(SHAPES)]


def colouring(casebook: Casebook, space: Space, field: str) -> Colouring:
    """The categories of a field.

    Args:
        casebook: Whose cases.
        space: The map's; clusters and predictions are of a space.
        field: One of `colour_fields`.

    Raises:
        QueryError: No such field.
    """
    if field == MAIN_FINDING:
        return _main_findings(casebook)
    if field == CLUSTER:
        return _clusters(casebook, space)
    if field in PREDICTED:
        return _predicted(casebook, space, field)
    if field.startswith(LABEL_PREFIX):
        label = field.removeprefix(LABEL_PREFIX)
        number = casebook.label_names.index(label)
        without = np.where(casebook.known_matrix[:, number], 1, -1)
        found = np.where(casebook.label_matrix[:, number], 0, without)
        return _with_absent([label.replace("_", " "), "without"], found, [CATEGORIES[1], REST], "unknown")
    column = casebook.column(field)
    if column.dtype != np.float64:
        return _by_text(column)
    if len(casebook.distinct(field)) > len(CATEGORIES):
        return _by_number(column)
    return _by_text(np.array([None if np.isnan(value) else f"{value:g}" for value in column], object))


def shapes(casebook: Casebook, field: str) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Value of each shape of `SHAPES` that is used, and the shape of each case, [N]; the most frequent is a disc."""
    found = _by_text(casebook.column(field))
    return found.names, np.minimum(found.numbers, len(SHAPES) - 1).astype(np.uint8)


def _several(casebook: Casebook, field: str) -> bool:
    return len(casebook.distinct(field)) > 1


def _main_findings(casebook: Casebook) -> Colouring:
    """Each case's label that most cases carry, a finding before "Normal"; stages in their order."""
    names, matrix = casebook.label_names, casebook.label_matrix
    if casebook.staged:
        found = np.where(matrix.any(1), matrix.argmax(1), -1)
        return _with_absent(list(names), found, _stage_colours(names, casebook), "no stage labelled", ordered=True)
    weight = matrix.sum(0) + len(matrix) * np.array([name not in _NORMAL for name in names]) + 1
    found = np.where(matrix, weight, 0).argmax(1)
    known = ~labels_unknown(casebook)
    shown = _by_text(_named(names, np.where(matrix.any(1), found, -1))[known], NO_FINDING, quiet=_NORMAL)
    if known.all():
        return shown
    numbers = np.full(len(known), len(shown.names), np.uint8)
    numbers[known] = shown.numbers
    # The colour of what is absent goes to what is unknown: beside it, no finding is something known.
    colours = tuple(REST if pair == ABSENT else pair for pair in shown.colours)
    return Colouring((*shown.names, LABELS_UNKNOWN), numbers, (*colours, ABSENT))


def _clusters(casebook: Casebook, space: Space) -> Colouring:
    """Clusters by size, each with its words; of too many, the smallest share a colour."""
    records = casebook.maps.spaces[space].clusters
    names = [
        f"{number}: {', '.join(one.words[:_CLUSTER_WORDS])}" if one.words else str(number)
        for number, one in enumerate(records, start=1)
    ]
    found = casebook.clusters(space).astype(np.int64)
    if len(names) > len(CATEGORIES):
        shown = len(CATEGORIES) - 1
        names = [*names[:shown], f"{len(names) - shown} smaller clusters"]
        found = np.minimum(found, shown)
    return _with_absent(names, found, list(CATEGORIES[: len(names)]), "in no cluster")


def _predicted(casebook: Casebook, space: Space, field: str) -> Colouring:
    found = case_predictions(casebook, space)
    if field == UNCERTAINTY:
        return _by_number(found.uncertainty)
    if field == ERROR:
        return _with_absent(
            ["right", "wrong"], found.wrong.astype(np.int64), [CATEGORIES[0], CATEGORIES[4]], "not known"
        )
    if casebook.staged:
        colours = _stage_colours(found.names, casebook)
        return _with_absent(list(found.names), found.likeliest, colours, "no prediction", ordered=True)
    return _by_text(_named(found.names, found.likeliest), "no prediction", quiet=_NORMAL)


def _stage_colours(names: Sequence[str], casebook: Casebook) -> list[tuple[str, str]]:
    """A colour for each stage by its place; of more stages than the scale has colours, neighbours share one."""
    steps = np.linspace(0, len(SEQUENCE) - 1, len(casebook.stages)).round().astype(int)
    return [SEQUENCE[steps[casebook.stages.index(name)]] for name in names]


def _named(names: Sequence[str], found: NDArray[np.integer]) -> np.ndarray:
    """Names by number as objects, None for -1."""
    return np.array([*(name.replace("_", " ") for name in names), None], object)[found]


def _with_absent(
    names: list[str], found: NDArray[np.integer], colours: list[tuple[str, str]], absent: str, *, ordered: bool = False
) -> Colouring:
    """Categories by number, -1 being absent."""
    numbers = np.where(found < 0, len(names), found).astype(np.uint8)
    if (found < 0).any():
        names, colours = [*names, absent], [*colours, ABSENT]
    return Colouring(tuple(names), numbers, tuple(colours), ordered)


def _by_text(values: np.ndarray, absent: str = "unknown", quiet: Sequence[str] = ()) -> Colouring:
    """Categories by frequency. Of too many, the rarest share one; what is `quiet` has the colour of the rest."""
    codes, found = pd.factorize(pd.Series(values).map(str, na_action="ignore"), sort=True)
    ranked = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(found)), kind="stable")
    shown = len(found) if len(found) <= len(CATEGORIES) else len(CATEGORIES) - 1
    place = np.empty(len(found) + 1, np.int64)
    place[ranked] = np.minimum(np.arange(len(found)), shown)
    place[-1] = -1
    names = [str(found[code]) for code in ranked[:shown]]
    bright = iter(CATEGORIES)
    colours = [REST if name in quiet else next(bright) for name in names]
    if shown < len(found):
        names.append(f"{len(found) - shown} others")
        colours.append(CATEGORIES[-1])
    return _with_absent(names, place[codes], colours, absent)


def _by_number(column: NDArray[np.float64]) -> Colouring:
    """Six steps of about equally many cases."""
    known = ~np.isnan(column)
    edges = np.unique(np.quantile(column[known], np.linspace(0, 1, len(SEQUENCE) + 1)))
    if len(edges) < 2:
        edges = np.array([edges[0], edges[0]])
    numbers = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, len(edges) - 2)
    names = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
    steps = np.linspace(0, len(SEQUENCE) - 1, len(names)).round().astype(int)
    return _with_absent(
        names, np.where(known, numbers, -1), [SEQUENCE[step] for step in steps], "unknown", ordered=True
    )
