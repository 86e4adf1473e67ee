"""The words of a casebook's texts, and how long these are: what a typed text is compared with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index_builder.cases.profile import profile_sentence
from index_builder.cases.table import CaseRows

if TYPE_CHECKING:
    from explorer.casebook import Casebook

#: Texts that are read. A casebook of more is read in evenly spread runs of rows: about a second, whatever its size.
TEXTS = 10_000
_RUN = 250
#: A word is usual where one of so many texts has it.
_USUAL = 1_000
#: A text with fewer words than this share of the casebook's texts is a fragment: what whole texts cost in false alarms.
_SHORTEST = 0.01
#: Words of any script. Where words are not set apart by spaces, each sign counts as one.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The vocabulary of a casebook's texts.

    Attributes:
        words: In lower case, those of labels among them; of the system's own vocabulary where there is no text.
        usual: Words that at least one text in a thousand has: rarer ones may be misspelt there.
        texts: How many were read.
        whole: Whether these are all there are.
        shortest: Words; a text with fewer is shorter than 99 % of the casebook's. 0 without texts.
    """

    words: frozenset[str]
    usual: frozenset[str]
    texts: int
    whole: bool
    shortest: int

    def knows(self, word: str) -> bool:
        """Whether a word, or every part of a compound, is known, be it in another number."""
        return self._has(word) or ("-" in word and all(self._has(part) for part in word.split("-")))

    def _has(self, word: str) -> bool:
        return word in self.words or word + "s" in self.words or (word.endswith("s") and word[:-1] in self.words)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case and in order."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def read_vocabulary(casebook: Casebook) -> Vocabulary:
    """Read the casebook's texts, see `TEXTS`; call `Casebook.vocabulary`, which does so once."""
    counts: Counter[str] = Counter()
    lengths = []
    for text in _texts(casebook):
        words = words_of(text)
        counts.update(set(words))
        lengths.append(len(words))
    known = set(counts)
    usual = frozenset(word for word, count in counts.items() if count * _USUAL >= len(lengths))
    if not lengths:
        known.update(_tokens(casebook))
    if casebook.manifest.system.reads == "profile":
        # Words that the sentence of a profile brings with it, whoever the patient is.
        people = [{"age": age, "sex": sex} for age in (0.5, 9, 60) for sex in ("F", "M", "")]
        known.update(word for person in people for word in words_of(profile_sentence(person)))
    for label in casebook.label_names:
        known.update(words_of(label.replace("_", " ")))
    known.update(part for word in tuple(known) for part in word.split("-"))
    return Vocabulary(
        words=frozenset(known),
        usual=usual,
        texts=len(lengths),
        whole=len(casebook) <= TEXTS,
        shortest=int(np.quantile(lengths, _SHORTEST)) if lengths else 0,
    )


def _texts(casebook: Casebook) -> Iterator[str]:
    starts: Iterable[int] = range(0, len(casebook), _RUN)
    if len(casebook) > TEXTS:
        starts = np.linspace(0, len(casebook) - _RUN, TEXTS // _RUN).astype(int).tolist()
    for start in starts:
        yield from (text for text in _run(casebook, start) if text.strip())


def _run(casebook: Casebook, start: int) -> Iterator[str]:
    if casebook.manifest.system.reads == "profile":
        cases = CaseRows(casebook.table.slice(start, _RUN))
        return (profile_sentence(case.profile) for case in cases)
    # Of a report only its sections are read: all of a case takes ten times as long.
    sections = [section.slice(start, _RUN).to_pylist() for section in casebook.report_sections]
    return (" ".join(filter(None, parts)) for parts in zip(*sections, strict=True))


def _tokens(casebook: Casebook) -> Iterator[str]:
    """Whole words that the system's text encoder has a token for."""
    known = casebook.encoder.tokens
    tokens: Iterable[str] = () if known is None else known.vocabulary()
    # Word pieces that begin a word carry no mark in some tokenizers and one of these in the others.
    return (word for token in tokens if (word := token.lower().lstrip("▁Ġġ")).isalpha())
