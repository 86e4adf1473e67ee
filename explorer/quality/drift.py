"""Whether validation and test parts are drawn from what the training part is drawn from.

Labels, views and other categories: Pearson's χ², Fisher's exact test where cells are too small for it; a label is
compared among the cases of which it is known. Numbers: Kolmogorov and Smirnov. Vectors: a classifier is asked to tell
the parts apart (classifier two-sample test, Lopez-Paz and Oquab, ICLR 2017); an AUROC of 0.5 means it cannot. P values
of one part are adjusted together (Benjamini and Hochberg, 1995). Cases of one patient are not independent, so with many
cases a patient the p values are too small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.quality.balance import parts_of
from explorer.quality.label_errors import LEAST, out_of_sample
from index_builder.calibration.bootstrap import interval, resampled_weights
from index_builder.calibration.ranks import auroc_and_ap
from index_builder.cases.space import Space

#: Adjusted p below which a difference is called one.
LEVEL = 0.05
#: Cases that are named for a comparison.
SHOWN = 24
_MOST = 5_000


@dataclass(frozen=True, slots=True)
class Drift:
    """One comparison of a part with the training part.

    Attributes:
        part: "val" or "test".
        what: Label, field or space compared.
        test: Name of the test.
        effect: What differs and by how much, in words.
        p: p value of the test, adjusted for all of the part's tests; None for vectors, which have an interval instead.
        differs: Whether the parts differ beyond chance.
        rows: Up to `SHOWN` cases of the part that show it, the plainest first.
    """

    part: str
    what: str
    test: str
    effect: str
    p: float | None
    differs: bool
    rows: tuple[int, ...]


def drifts(casebook: Casebook, space: Space | None) -> list[Drift]:
    """Compare every other part with the training part; empty where there is none.

    Args:
        casebook: Whose parts.
        space: Whose vectors are compared; None: none are.
    """
    from scipy.stats import false_discovery_control

    parts = parts_of(casebook)
    found: list[Drift] = []
    if "train" not in parts:
        return found
    for part in [name for name in parts if name != "train"]:
        tests = list(_tests(casebook, parts["train"], parts[part]))
        adjusted = false_discovery_control([one.p for one in tests]) if tests else []
        found += [
            replace(one, part=part, p=float(p), differs=bool(p < LEVEL)) for one, p in zip(tests, adjusted, strict=True)
        ]
        if space is not None and (one := _vectors(casebook, space, part, parts)) is not None:
            found.append(one)
    return found


def _tests(casebook: Casebook, train: NDArray[np.bool_], other: NDArray[np.bool_]) -> Iterator[Drift]:
    """Every field that both parts have, compared; p not yet adjusted."""
    from scipy.stats import ks_2samp

    def compared(what: str, tested: tuple[str, str, float], shown: NDArray[np.integer]) -> Drift:
        test, effect, p = tested
        return Drift("", what, test, effect, p, False, tuple(shown[:SHOWN].tolist()))

    for number, name in enumerate(casebook.label_names):
        held, known = casebook.label_matrix[:, number], casebook.known_matrix[:, number]
        if (train & known).any() and (other & known).any():
            yield compared(name, _shares(held[train & known], held[other & known]), np.flatnonzero(held & other))
    for field in ("view", *casebook.profile_fields):
        column = casebook.column(field)
        if column.dtype == np.float64:
            left, right = column[train & ~np.isnan(column)], column[other & ~np.isnan(column)]
            if len(left) and len(right):
                medians = float(np.median(left)), float(np.median(right))
                effect = f"median {medians[0]:g} in train, {medians[1]:g} here"
                far = np.where(other, (column - medians[0]) * np.sign(medians[1] - medians[0]), np.nan)
                shown = np.argsort(-far, kind="stable")[: int((~np.isnan(far)).sum())]
                yield compared(field, ("Kolmogorov–Smirnov", effect, float(ks_2samp(left, right).pvalue)), shown)
            continue
        values = np.array(["unknown" if value is None else str(value) for value in column], object)
        if len(np.unique(values[train | other])) > 1:
            most, tested = _categories(values[train], values[other])
            yield compared(field, tested, np.flatnonzero((values == most) & other))


def _shares(train: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[str, str, float]:
    """Whether something is as frequent in both parts: test, effect, p."""
    from scipy.stats import chi2_contingency, fisher_exact
    from scipy.stats.contingency import expected_freq

    table = np.array([[train.sum(), (~train).sum()], [other.sum(), (~other).sum()]])
    effect = f"{train.mean():.1%} in train, {other.mean():.1%} here".replace("%", " %")
    if (table.sum(axis=0) == 0).any():
        return "χ²", effect, 1.0
    if expected_freq(table).min() < 5:
        return "Fisher", effect, float(fisher_exact(table).pvalue)
    return "χ²", effect, float(chi2_contingency(table, correction=False).pvalue)


def _categories(train: NDArray, other: NDArray) -> tuple[str, tuple[str, str, float]]:
    """Whether categories are spread alike: the one that differs most, then test, effect and p. Rare ones are joined."""
    from scipy.stats import chi2_contingency

    names, counts = np.unique(np.concatenate([train, other]), return_counts=True)
    shares = {name: (float((train == name).mean()), float((other == name).mean())) for name in names}
    most = max(names, key=lambda name: shares[name][1] - shares[name][0])
    if len(names) == 2:
        test, effect, p = _shares(train == most, other == most)
        return most, (test, f"{most}: {effect}", p)
    effect = f"{most}: {shares[most][0]:.1%} in train, {shares[most][1]:.1%} here".replace("%", " %")
    smaller = min(len(train), len(other)) / (len(train) + len(other))
    often = names[counts * smaller >= 5]
    table = np.array([[(values == name).sum() for name in often] for values in (train, other)])
    rest = np.array([[len(train)], [len(other)]]) - table.sum(axis=1, keepdims=True)
    table = np.hstack([table, rest]) if rest.sum() else table
    return most, ("χ²", effect, float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0)


def _vectors(casebook: Casebook, space: Space, part: str, parts: dict[str, NDArray[np.bool_]]) -> Drift | None:
    random = np.random.default_rng(0)
    held = casebook.has_vector(space)
    sides = [np.flatnonzero(parts[name] & held) for name in ("train", part)]
    sides = [side if len(side) <= _MOST else random.choice(side, _MOST, replace=False) for side in sides]
    patients = casebook.column("patient_id").astype(str)
    rows = np.concatenate(sides)
    groups = np.unique(patients[rows], return_inverse=True)[1]
    # The rarer side must reach into every fold.
    if min(len(np.unique(patients[side])) for side in sides) < LEAST:
        return None
    other = np.repeat([0, 1], [len(side) for side in sides])
    vectors = casebook.vectors(space)[rows].astype(np.float32)
    scores = out_of_sample(vectors * vectors.shape[1] ** 0.5, other, groups)[:, 1]
    weights = resampled_weights(len(rows), groups=groups)
    auroc = auroc_and_ap(scores, other.astype(bool), weights)[0]
    span = interval(auroc) or [0.0, 1.0]
    effect = f"AUROC {auroc[0]:.3f} [{span[0]:.3f}, {span[1]:.3f}] of telling it from train"
    plainest = rows[np.argsort(np.where(other == 1, -scores, np.inf), kind="stable")][: min(SHOWN, len(sides[1]))]
    return Drift(
        part, f"{space} vectors", "classifier two-sample", effect, None, span[0] > 0.5, tuple(plainest.tolist())
    )
