"""What frozen encoders made of films and texts they have seen, so that they need look at each only once."""

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
from torch.nn.utils.rnn import pad_sequence

from index_builder.systems.encoding import Encoding


class TextMemory:
    """Encodings of texts by a text side of which nothing is trained, tokens in half precision, in memory.

    Tokens of one text are the same whatever it is padded to, but for the last bits.
    """

    def __init__(self, encode: Callable[[list[str]], Encoding]) -> None:
        self._encode = encode
        self._known: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, texts: list[str]) -> Encoding:
        """Encode texts as the text side does. Gradients do not pass."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            with torch.no_grad():
                found = self._encode(new)
            for text, tokens, mask, vector in zip(new, found.tokens, found.mask, found.vector, strict=True):
                self._known[text] = tokens[mask].half(), vector
        known = [self._known[text] for text in texts]
        lengths = torch.tensor([len(tokens) for tokens, _ in known])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        tokens = pad_sequence([tokens.float() for tokens, _ in known], batch_first=True)
        return Encoding(tokens, mask.to(tokens.device), torch.stack([vector for _, vector in known]))


class FeatureMemory:
    """Features of films by their content, in half precision, on disk.

    Read and written by offset and not mapped, so that they weigh on the page cache and not on the process. What is
    given back is always what was stored: a film has the same features the first and the tenth time.
    """

    def __init__(self, folder: Path) -> None:
        """Begin empty.

        Args:
            folder: Folder of its own; whatever is there from an interrupted run is removed.
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
