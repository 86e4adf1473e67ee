"""Vectors of a casebook under way, by space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from index_builder.casebook.files import read_embeddings
from index_builder.cases.space import SPACES, Space


class Embeddings(Mapping[Space, np.ndarray]):
    """Vectors of a casebook by space, as `read_embeddings`: mapped for whoever asks, and gone with the last who did."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder, self._rows = folder, rows

    def __getitem__(self, space: Space) -> np.ndarray:
        return read_embeddings(self._folder, space, self._rows)

    def __iter__(self) -> Iterator[Space]:
        return iter(SPACES)

    def __len__(self) -> int:
        return len(SPACES)
