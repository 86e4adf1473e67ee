"""What a frozen backbone made of films it has seen, so that it need look at each view only once."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor


class FeatureMemory:
    """Features of films by their content, in half precision, on disk.

    Read and written by offset and not mapped, so that they weigh on the page cache and not on the process. What is
    given back is always what was stored: a film has the same features the first and the tenth time.
    """

    def __init__(self, folder: Path) -> None:
        """Begin empty.

        Args:
            folder: Of its own; whatever is there from an interrupted run is removed.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._rows: dict[bytes, int] = {}
        self._files: list[int] = []
        self._shapes: list[tuple[int, ...]] = []

    def __call__(self, films: Tensor, look: Callable[[Tensor], list[Tensor]]) -> list[Tensor]:
        """Features of films [B, S, S], one tensor [B, ...] float32 per level; `look` makes those of films not yet seen.

        Gradients do not pass: for frozen backbones alone.
        """
        digests = [hashlib.blake2b(film.numpy().tobytes(), digest_size=16).digest() for film in films.cpu()]
        new = list({digest: row for row, digest in enumerate(digests) if digest not in self._rows}.values())
        if new:
            with torch.no_grad():
                self._store([digests[row] for row in new], look(films[new]))
        rows = [self._rows[digest] for digest in digests]
        return [self._read(level, rows).to(films.device) for level in range(len(self._files))]

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """A copied encoder shares the memory: its frozen backbone is the same."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            os.close(file)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _store(self, digests: list[bytes], features: list[Tensor]) -> None:
        if not self._files:
            self._shapes = [tuple(level.shape[1:]) for level in features]
            flags = os.O_RDWR | os.O_CREAT
            self._files = [os.open(self._folder / str(level), flags, 0o600) for level in range(len(features))]
        start = len(self._rows)
        for file, shape, level in zip(self._files, self._shapes, features, strict=True):
            content = memoryview(level.half().cpu().contiguous().numpy().tobytes())
            offset = 2 * int(np.prod(shape)) * start
            while content:
                written = os.pwrite(file, content, offset)
                content, offset = content[written:], offset + written
        self._rows |= {digest: start + place for place, digest in enumerate(digests)}

    def _read(self, level: int, rows: list[int]) -> Tensor:
        shape = self._shapes[level]
        size = 2 * int(np.prod(shape))
        found = np.stack([np.frombuffer(os.pread(self._files[level], size, size * row), np.float16) for row in rows])
        return torch.from_numpy(found.astype(np.float32).reshape(len(rows), *shape))
