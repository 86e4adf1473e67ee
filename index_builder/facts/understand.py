"""What a typed query means: its facts, and what was corrected, written out or not understood on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler

from index_builder.facts.fact import Fact
from index_builder.facts.lexicon import fold_text, singular, words_of
from index_builder.facts.parse import Parser, report_parser
from index_builder.facts.terms import Terms

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_SHORTEST = 4  # shorter words are abbreviations, or too alike to be corrected
_LONGEST = 40
_RULE_OUT = re.compile(r"(?<![\w/])(?:rule[ -]?out|r/o)(?![\w/])", re.IGNORECASE)
#: Words of a query that say nothing about the film.
_IDLE = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "with",
        "and",
        "or",
        "is",
        "are",
        "was",
        "were",
        "be",
        "by",
        "from",
        "as",
        "it",
        "its",
        "this",
        "that",
        "there",
        "any",
        "some",
        "show",
        "me",
        "find",
        "case",
        "cases",
        "patient",
        "patients",
        "film",
        "films",
        "image",
        "images",
        "report",
        "reports",
        "x",
        "ray",
        "xray",
        "radiograph",
        "chest",
        "cxr",
        "who",
        "which",
        "has",
        "have",
        "having",
        "seen",
        "sign",
        "signs",
        "evidence",
        "finding",
        "findings",
        "el",
        "la",
        "los",
        "las",
        "un",
        "una",
        "de",
        "del",
        "en",
        "con",
        "y",
        "o",
        "caso",
        "casos",
    ]
)


@dataclass(frozen=True, slots=True)
class Correction:
    """A typed word that no term and no report has, and the word that is taken for it."""

    typed: str
    meant: str


@dataclass(frozen=True, slots=True)
class Understood:
    """A typed query, read.

    Attributes:
        text: The query with its corrections; for every search that reads words.
        facts: What it asks for; a place alone is a fact with finding "".
        corrections: In the order of the text.
        expanded: Abbreviations of the query and what they stand for.
        unknown: Words that neither a term nor a report has and that nothing resembles.
        rest: Words that reports have, but no term: only a search by words can use them.
    """

    text: str
    facts: tuple[Fact, ...]
    corrections: tuple[Correction, ...] = ()
    expanded: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()

    @property
    def spelled_out(self) -> str:
        """The text with its abbreviations written out, as reports have them: "right lower lobe pneumonia"."""
        text = self.text
        for short, meaning in self.expanded:
            # Behind a number "cm" is a unit.
            pattern = rf"(?<![\w/])(?<!\d )(?<!\d){re.escape(short)}(?![\w/])"
            text = re.sub(pattern, meaning, text, flags=re.IGNORECASE)
        return text


def understand(
    text: str, known_words: Collection[str] | Callable[[str], bool], parser: Parser | None = None
) -> Understood:
    """Read a typed query.

    Args:
        text: A few words as typed: "left plueral efusion", "RLL PNA", "no cardiomegaly".
        known_words: Words of the casebook's reports in lower case, or what tells whether they have one. Such a word
            is never corrected; so leave out those that stand in hardly any report, which may be misspelt there.
        parser: Reads with another file of terms; None: with the one of the program.
    """
    parser = parser or report_parser()
    known = known_words if callable(known_words) else known_words.__contains__
    others: Iterable[str] = () if callable(known_words) else known_words
    corrected, corrections = _corrected(text, known, others, parser.terms)
    facts = parser.facts(corrected) or parser.places(corrected)
    if _RULE_OUT.search(corrected):  # a question in a report, but who searches wants it not to be there
        facts = tuple(replace(fact, status="absent") if fact.status == "uncertain" else fact for fact in facts)
    in_terms = parser.known_words(corrected)
    plain = fold_text(corrected)
    left = [
        corrected[token.start : token.end]
        for place, token in enumerate(words_of(corrected))
        if place not in in_terms and token.text.isalpha() and plain[token.start : token.end] not in _IDLE
    ]
    vocabulary = _vocabulary(parser.terms)

    def is_known(word: str) -> bool:
        return known(word.lower()) or fold_text(word) in vocabulary

    return Understood(
        corrected,
        facts,
        corrections,
        _expanded(corrected, parser.terms),
        tuple(dict.fromkeys(word for word in left if not is_known(word))),
        tuple(dict.fromkeys(word for word in left if is_known(word))),
    )


def _corrected(
    text: str, known: Callable[[str], bool], others: Iterable[str], terms: Terms
) -> tuple[str, tuple[Correction, ...]]:
    vocabulary = _vocabulary(terms)
    shouted = text.isupper()

    def is_right(word: str) -> bool:
        plain = fold_text(word)
        return plain in vocabulary or singular(plain) in vocabulary or plain in _IDLE or known(word.lower())

    matches = list(_WORD.finditer(text))
    pieces: list[str] = []
    corrections: list[Correction] = []
    done, number = 0, 0
    while number < len(matches):
        match, word = matches[number], matches[number][0]
        number += 1
        if is_right(word) or len(word) > _LONGEST:
            continue
        end = match.end()
        following = matches[number] if number < len(matches) else None
        if (
            following is not None
            and text[end : following.start()] in (" ", "-")
            and _joins(word, following[0], vocabulary)
        ):
            meant, end = fold_text(word + following[0]), following.end()
            number += 1
        else:
            previous = matches[number - 2] if number > 1 else None
            if (
                previous is not None
                and previous.start() >= done
                and text[previous.end() : match.start()] in (" ", "-")
                and _joins(previous[0], word, vocabulary)
            ):
                match, meant = previous, fold_text(previous[0] + word)
            elif len(word) < _SHORTEST or (word.isupper() and len(word) <= 5 and not shouted):
                continue
            else:
                meant = _nearest(fold_text(word), vocabulary) or _halves(fold_text(word), vocabulary, known)
                if not meant and others:
                    meant = _nearest(fold_text(word), dict.fromkeys(others, 1))
                if not meant:
                    continue
        pieces += [text[done : match.start()], meant]
        corrections.append(Correction(text[match.start() : end], meant))
        done = end
    return "".join([*pieces, text[done:]]), tuple(corrections)


@lru_cache(maxsize=8)
def _words_of_terms(words: tuple[str, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        for token in words_of(word):
            counts[token.text] = counts.get(token.text, 0) + 1
        for part in _WORD.findall(fold_text(word)):
            counts[part] = counts.get(part, 0) + 1
    return counts


def _vocabulary(terms: Terms) -> dict[str, int]:
    """Words of all terms, with the number of terms that have them."""
    return _words_of_terms(tuple(terms.all_words()))


def _joins(first: str, second: str, vocabulary: Collection[str]) -> bool:
    """Whether two typed words are one of the terms: "pneumo thorax"."""
    joined = fold_text(first + second)
    return len(joined) > 5 and (joined in vocabulary or singular(joined) in vocabulary)


def _halves(word: str, vocabulary: Collection[str], known: Callable[[str], bool]) -> str:
    """The two words that were typed without the space between them, or ""."""
    for place in range(len(word) - 3, 2, -1):
        first, second = word[:place], word[place:]
        if first in vocabulary and (second in vocabulary or singular(second) in vocabulary):
            return f"{first} {second}"
    return ""


def _nearest(word: str, vocabulary: Mapping[str, int]) -> str:
    """The word of the vocabulary that the typed one is most likely meant to be, or "".

    The fewest slips decide; among equals the word that more terms have, then the more alike.
    """
    allowed = 1 if len(word) <= 5 else 2 if len(word) <= 8 else 3
    near = process.extract(
        word,
        # who mistypes a word still begins it right, or drops or swaps its first letter
        [
            one
            for one in vocabulary
            if len(one) >= _SHORTEST and one.isalpha() and (word[0] in one[:2] or one[0] in word[:2])
        ],
        scorer=OSA.distance,
        score_cutoff=allowed,
        limit=20,
    )
    if not near:
        return ""
    return min(near, key=lambda one: (one[1], -vocabulary[one[0]], -JaroWinkler.similarity(word, one[0]), one[0]))[0]


def term_words(text: str) -> frozenset[str]:
    """Words of a text that belong to a term, folded as `fold_text` folds them."""
    words, plain = words_of(text), fold_text(text)
    return frozenset(plain[words[place].start : words[place].end] for place in report_parser().known_words(text))


def _expanded(text: str, terms: Terms) -> tuple[tuple[str, str], ...]:
    """Abbreviations that stand in a text, in its order."""
    words = [token.text for token in words_of(text)]
    found: list[tuple[str, str]] = []
    for place in range(len(words)):
        for length in (2, 1):
            short = " ".join(words[place : place + length])
            meaning = terms.short.get(short)
            if meaning is not None and (short, meaning) not in found:
                found.append((short, meaning))
                break
    return tuple(found)
