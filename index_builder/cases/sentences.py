"""Reports as sentences and words, and which sentences deny."""

from __future__ import annotations

import re

#: Signs that end a sentence of a report.
SENTENCE_ENDS = ".;:!?\n"
SENTENCE = re.compile(f"[{SENTENCE_ENDS}]+")
WORD = re.compile(r"[a-z][a-z'\-]*")
_DENIALS = frozenset({"no", "not", "without", "negative", "absent", "resolved", "nor", "neither"})


def denies(sentence: str) -> bool:
    """Whether a sentence says that something is not there."""
    return not _DENIALS.isdisjoint(WORD.findall(sentence.lower()))
