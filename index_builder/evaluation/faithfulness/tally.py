"""Figures of many questions, gathered one by one and summed up with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.calibration.bootstrap import interval, plain, resampled_weights


class Tally:
    """A table of questions by figures; what a question does not have is NaN and takes no part in means."""

    def __init__(self, patients: Sequence[str], seed: int) -> None:
        """Args: patient of each of N questions, who are what is resampled; seed of the draws."""
        self._count = len(patients)
        self._weights = resampled_weights(len(patients), groups=np.array(patients), seed=seed)
        self._columns: dict[tuple[str, ...], NDArray[np.float64]] = {}

    def note(self, row: int, *name: str, value: float) -> None:
        """Enter a figure of question `row`."""
        self._columns.setdefault(name, np.full(self._count, np.nan))[row] = value

    def column(self, *name: str) -> NDArray[np.float64]:
        """[N] figures; NaN where never noted."""
        return self._columns.get(name, np.full(self._count, np.nan))

    def under(self, *name: str) -> list[str]:
        """What follows `name` in the names of figures, in the order of their first entry."""
        depth = len(name)
        return list(dict.fromkeys(one[depth] for one in self._columns if one[:depth] == name and len(one) > depth))

    def mean(self, values: NDArray[np.floating]) -> dict[str, Any] | None:
        """Mean of the figures there are, its 95 % interval over patients, their number; None where there are none."""
        there = np.isfinite(values)
        if not there.any():
            return None
        weights = self._weights[:, there].astype(np.float64)
        with np.errstate(invalid="ignore"):  # a resample may hold none of them
            means = weights @ values[there] / weights.sum(1)
        return {"mean": plain(float(means[0])), "interval": interval(means), "count": int(there.sum())}
