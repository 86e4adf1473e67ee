"""Why a neighbour matched: shared phrases, near-duplicates."""

from __future__ import annotations

import io
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from explorer.search.labels import sides_agree
from index_builder.cases.sentences import SENTENCE, WORD, denies
from index_builder.facts.fact import Fact

#: Films correlate this closely only when one is a copy of the other; see tests/benchmarks/near_duplicates.py.
DUPLICATE_CORRELATION = 0.99
_DUPLICATE_SIDE = 32

_LONGEST_PHRASE = 8
#: Of each text, what phrases are looked for in. Its runs of words are held at once, and a report may have a megabyte.
_COMPARED_CHARS = 20_000
#: Words that alone say nothing about a film. A phrase needs one word besides these.
FILLER = frozenset(
    """
    a an and are as at be been by for from has have in is it its of on or that the there this to was
    were which with within without no not than x-ray xray chest seen noted identified unchanged again
    also may xxxx
    """.split()  # noqa: SIM905  a list of fifty quoted words is harder to read
)


def shared_phrases(
    query: str, report: str, limit: int = 3, asked: Sequence[Fact] = (), held: Sequence[Fact] = ()
) -> tuple[str, ...]:
    """Longest word runs that two texts share within sentences, e.g. ("left pleural effusion",).

    Words that name a finding are shared only where both texts state it, or both deny it, and not on opposite sides:
    "no pneumothorax" does not match "pneumothorax", nor "left effusion" "right effusion". Other words are shared where
    both sentences deny something or neither does.

    Args:
        query: What was searched with.
        report: The neighbour's report.
        limit: How many phrases at most, most words first.
        asked: Facts of the query.
        held: Facts of the report.
    """
    return shared_runs(word_runs(query, asked), report, held, limit)


def word_runs(text: str, facts: Sequence[Fact] = ()) -> WordRuns:
    """The word runs of a text, to be compared with several others."""
    found: dict[tuple[str, ...], set[_Said]] = {}
    for words, said in _statements(text, facts):
        found.setdefault(words, set()).add(said)
    return found


def shared_runs(own: WordRuns, report: str, held: Sequence[Fact] = (), limit: int = 3) -> tuple[str, ...]:
    """Find shared phrases as `shared_phrases` does, given the word runs of the query."""
    found = {words for words, said in _statements(report, held, own) if any(_agree(one, said) for one in own[words])}
    phrases: list[tuple[str, ...]] = []
    for gram in sorted(found, key=lambda words: (-len(words), words)):
        if not any(_contains(longer, gram) for longer in phrases):
            phrases.append(gram)
        if len(phrases) == limit:
            break
    return tuple(" ".join(words) for words in phrases)


def stated_phrases(report: str) -> frozenset[str]:
    """Word runs of what a report states, as `shared_phrases` compares them; what it denies is left out."""
    return frozenset(" ".join(words) for words, said in _statements(report) if not said.denied)


def thumbnail_signature(jpeg: bytes) -> np.ndarray:
    """A film reduced to 32 x 32 and standardised, [1024] float32: the inner product of two is their correlation."""
    with Image.open(io.BytesIO(jpeg)) as image:
        small = image.convert("L").resize((_DUPLICATE_SIDE, _DUPLICATE_SIDE), Image.Resampling.BOX)
    values = np.asarray(small, np.float32).ravel()
    values = values - values.mean()
    return values / (np.linalg.norm(values) or 1.0)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a run of words stands for: the facts whose findings it names, else whether its sentence denies."""

    facts: frozenset[Fact]
    denied: bool


#: Word runs of a text, each with all that it stands for there.
WordRuns = Mapping[tuple[str, ...], set[_Said]]


def _statements(
    text: str, facts: Sequence[Fact] = (), among: Container[tuple[str, ...]] | None = None
) -> Iterator[tuple[tuple[str, ...], _Said]]:
    """Word runs of a text, or those `among` others, each with what it stands for."""
    kinds = [(fact.start, fact.end, Fact(fact.finding, fact.status, fact.side)) for fact in facts]
    text, start = text[:_COMPARED_CHARS].lower(), 0
    for end in (*(match.end() for match in SENTENCE.finditer(text)), len(text)):
        sentence = text[start:end]
        denied = denies(sentence)
        own = [(low - start, high - start, kind) for low, high, kind in kinds if start <= low < end]
        for words, first, last in _grams(sentence):
            if among is None or words in among:
                named = frozenset(kind for low, high, kind in own if low < last and first < high)
                yield words, _Said(named, denied and not named)
        start = end


def _agree(one: _Said, other: _Said) -> bool:
    """Whether two equal word runs say the same; where a fact was read in one of them only, it speaks for itself."""
    if not one.facts or not other.facts:
        return _denies(one) == _denies(other)
    pairs = [(mine, theirs) for mine in one.facts for theirs in other.facts if mine.finding == theirs.finding]
    return any(mine.status == theirs.status and sides_agree(mine, theirs) for mine, theirs in pairs)


def _denies(said: _Said) -> bool:
    return said.denied or (bool(said.facts) and all(fact.status == "absent" for fact in said.facts))


def _grams(sentence: str) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Runs of one to eight words that neither begin nor end with filler, with their first and last character."""
    matches = list(WORD.finditer(sentence))
    words = [match[0] for match in matches]
    for start, first in enumerate(words):
        if first in FILLER and first != "no":
            continue
        for stop in range(start + 1, min(len(words), start + _LONGEST_PHRASE) + 1):
            run = words[start:stop]
            if run[-1] not in FILLER and (len(run) > 1 or len(run[0]) > 4):
                yield tuple(run), matches[start].start(), matches[stop - 1].end()


def _contains(longer: tuple[str, ...], shorter: tuple[str, ...]) -> bool:
    return any(longer[start : start + len(shorter)] == shorter for start in range(len(longer) - len(shorter) + 1))
