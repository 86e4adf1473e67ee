"""Why a neighbour matched: shared phrases, near-duplicates."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from index_builder.sentences import SENTENCE, WORD, denies

#: Films correlate this closely only when one is a copy of the other; see tests/benchmarks/near_duplicates.py.
DUPLICATE_CORRELATION = 0.99
_DUPLICATE_SIDE = 32

_LONGEST_PHRASE = 8
#: Of each text, what phrases are looked for in. Its runs of words are held at once, and a report may have a megabyte.
_COMPARED_CHARS = 20_000
#: Words that alone say nothing about a film. A phrase needs one word besides these.
_FILLER = frozenset(
    """
    a an and are as at be been by for from has have in is it its of on or that the there this to was
    were which with within without no not than x-ray xray chest seen noted identified unchanged again
    also may xxxx
    """.split()  # noqa: SIM905  a list of fifty quoted words is harder to read
)


def shared_phrases(query: str, report: str, limit: int = 3) -> tuple[str, ...]:
    """Longest word runs that two texts share within sentences, e.g. ("left pleural effusion",).

    A sentence that denies something shares nothing with one that does not: "no pleural effusion" does not match
    "left pleural effusion".

    Args:
        query: What was searched with.
        report: The neighbour's report.
        limit: How many phrases at most, most words first.
    """
    found = _statements(query) & _statements(report)
    phrases: list[tuple[str, ...]] = []
    for gram in sorted({words for words, _ in found}, key=lambda words: (-len(words), words)):
        if not any(_contains(longer, gram) for longer in phrases):
            phrases.append(gram)
        if len(phrases) == limit:
            break
    return tuple(" ".join(words) for words in phrases)


def stated_phrases(report: str) -> frozenset[str]:
    """Word runs of what a report states, as `shared_phrases` compares them; what it denies is left out."""
    return frozenset(" ".join(words) for words, denied in _statements(report) if not denied)


def thumbnail_signature(jpeg: bytes) -> np.ndarray:
    """A film reduced to 32 x 32 and standardised, [1024] float32: the inner product of two is their correlation."""
    with Image.open(io.BytesIO(jpeg)) as image:
        small = image.convert("L").resize((_DUPLICATE_SIDE, _DUPLICATE_SIDE), Image.Resampling.BOX)
    values = np.asarray(small, np.float32).ravel()
    values = values - values.mean()
    return values / (np.linalg.norm(values) or 1.0)


def _statements(text: str) -> set[tuple[tuple[str, ...], bool]]:
    """Word runs of a text, each with whether its sentence denies."""
    return {
        (gram, denies(sentence))
        for sentence in SENTENCE.split(text[:_COMPARED_CHARS].lower())
        for gram in _grams(WORD.findall(sentence))
    }


def _grams(words: list[str]) -> Iterable[tuple[str, ...]]:
    """Runs of one to eight words that neither begin nor end with filler."""
    for start, first in enumerate(words):
        if first in _FILLER and first != "no":
            continue
        for stop in range(start + 1, min(len(words), start + _LONGEST_PHRASE) + 1):
            run = words[start:stop]
            if run[-1] not in _FILLER and (len(run) > 1 or len(run[0]) > 4):
                yield tuple(run)


def _contains(longer: tuple[str, ...], shorter: tuple[str, ...]) -> bool:
    return any(longer[start : start + len(shorter)] == shorter for start in range(len(longer) - len(shorter) + 1))
