"""How well two outlines agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dice(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Dice's coefficient of two masks of one shape: twice what they share over what both cover; 1 where both are empty.

    Dice, "Measures of the Amount of Ecologic Association Between Species", Ecology 26 (1945).
    """
    covered = int(found.sum()) + int(true.sum())
    return 2 * int((found & true).sum()) / covered if covered else 1.0
