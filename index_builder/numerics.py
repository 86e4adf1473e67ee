"""Softmax and sigmoid as `scipy.special` has them, for what pages import: they do not wait for scipy."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", bound=np.floating)


def softmax(logits: NDArray[Real]) -> NDArray[Real]:
    """Shares over the last axis, of the precision of the logits [..., C]; -inf has none."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities of log-odds of any size."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))
