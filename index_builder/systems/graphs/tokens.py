"""Texts as the numbers a text encoder reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from index_builder.errors import ModelError
from index_builder.systems.graphs.record import TextRecord

#: Where the tokenizer of a saved system lies.
TEXT_FOLDER = "text"
TOKENIZER_FILE = "tokenizer.json"

#: Of a text, what is cut into pieces at all: tokenizers cut a whole megabyte before they leave out what is too long.
MAX_CHARS = 20_000


class Tokens(Protocol):
    """Makes numbers of texts."""

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], ...]:
        """Token numbers of B texts and, where the encoder wants it, which are real (1 or 0): [B, L] each."""
        ...

    def vocabulary(self) -> Iterable[str]:
        """Every piece there is a number for."""
        ...


class StoredTokens:
    """A tokenizer from its own file. Thread-safe."""

    def __init__(self, folder: Path, record: TextRecord) -> None:
        """Open that of the system in `folder`. Raises `ModelError` where it is missing or damaged."""
        path = folder / TEXT_FOLDER / TOKENIZER_FILE
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # its library raises nothing more exact
            raise ModelError(f"{path}: unreadable ({str(error)[:200]}). Restore the file or rebuild.") from error
        self._tokenizer.enable_truncation(record.max_tokens)
        self._tokenizer.enable_padding(
            direction="left" if record.pad_left else "right",
            pad_id=record.pad_id,
            pad_token=record.pad_token,
            length=record.max_tokens if record.one_length else None,
        )
        self._masked = record.masked

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], ...]:
        found = self._tokenizer.encode_batch([text[:MAX_CHARS] for text in texts])
        numbers = np.array([one.ids for one in found], np.int64)
        if not self._masked:
            return (numbers,)
        return numbers, np.array([one.attention_mask for one in found], np.int64)

    def vocabulary(self) -> Iterable[str]:
        return self._tokenizer.get_vocab().keys()
