"""Memory that was freed and not given back."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def give_back() -> None:
    """Give the system what glibc and Arrow keep of freed memory: in pieces, the next stage could not use all of it."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # other C libraries have none
        trim(0)
