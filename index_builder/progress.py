"""How far a long task is."""

from __future__ import annotations

from collections.abc import Callable

#: (stage, done, in all)
Progress = Callable[[str, int, int], None]
