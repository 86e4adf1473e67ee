"""Charts show what the casebook holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from explorer import Casebook
from explorer.report.casebook import label_frequency, number_histogram


def test_label_chart_adds_up_to_the_label_counts(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    figure = label_frequency(casebook)
    totals = np.sum([trace.x for trace in figure.data], axis=0)
    expected = dict(zip(casebook.label_names, casebook.label_matrix.sum(0).tolist(), strict=True))
    assert dict(zip(figure.data[0].y, totals.tolist(), strict=True)) == expected
    assert totals.tolist() == sorted(totals.tolist())


def test_histogram_leaves_out_absent_values() -> None:
    figure = number_histogram(np.array([1.0, np.nan, 3.0]), "years")
    assert list(figure.data[0].x) == [1.0, 3.0]
