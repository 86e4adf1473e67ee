"""Words of a text, and the terms that they make: the longest term wins at every place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import tantivy

from index_builder.facts.terms import Terms

Kind = Literal["finding", "site", "side", "degree", "organ", "state", "cue"]

#: What a term means: its kind and its name in the terms file; of a state, the word as folded.
Meaning = tuple[Kind, str]

# "w/o" and "r/o" are words; a point inside a number ("1.5 cm") is no full stop.
_TOKEN = re.compile(r"[a-z]/[a-z](?![a-z0-9])|[0-9]+\.[0-9]+|[a-z0-9]+(?:'s)?|\n[ \t\r]*\n|[.,;:!?()/>]")


_ARTICLES = frozenset({"de", "del", "el", "la", "los", "las"})


class Token(NamedTuple):
    """A word or sign of a text: in the singular, as it stands there (small, without accents), and where."""

    text: str
    start: int
    end: int
    typed: str = ""


class Item(NamedTuple):
    """A term found in a sentence: what it may mean, and its tokens (`start` to before `end`)."""

    meanings: tuple[Meaning, ...]
    start: int
    end: int


@dataclass(slots=True)
class _Node:
    """A place in the tree of terms: the words that may follow, and what a term that ends here means."""

    next: dict[str, _Node] = field(default_factory=dict)
    # Several groups only where an abbreviation stands for several terms: "rll" is a side and a site.
    groups: list[tuple[Meaning, ...]] = field(default_factory=list)
    short: bool = False


def fold_text(text: str) -> str:
    """The text in lower case and without accents, of the same length."""
    return text.lower() if text.isascii() else "".join(map(_plain_letter, text))


@lru_cache(maxsize=4096)
def _plain_letter(letter: str) -> str:
    plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part)).lower()
    if len(plain) == 1:
        return plain
    return (
        "-" if letter in "‐‑‒–—" else "'" if letter in "’‘" else letter if len(letter.lower()) > 1 else letter.lower()
    )


@lru_cache(maxsize=65536)
def singular(word: str) -> str:
    """A word without the ending of an English plural; the same folding of terms and texts lets them meet."""
    if word.endswith("'s"):
        return word[:-2]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1]


def words_of(text: str) -> list[Token]:
    """Words and signs of a text."""
    return [
        Token(singular(match[0]), match.start(), match.end(), match[0]) for match in _TOKEN.finditer(fold_text(text))
    ]


class Lexicon:
    """All terms as a tree of words."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        #: State word -> organ -> finding that it states there.
        self.states: dict[str, dict[str, str]] = {}
        self._root = _Node()
        for meaning, word in _meanings(terms):
            self._add(word, meaning)
        for organ in terms.organs.values():
            for finding, words in organ.states.items():
                for word in words:
                    state = _folded(word)
                    self.states.setdefault(state, {})[organ.name] = finding
                    self._add(word, ("state", state))
        self._add_inner_sites()
        for short, meaning_words in terms.short.items():  # last: what they stand for is looked up in the tree
            items = self.find(words_of(meaning_words))
            node = self._node(short, exact=True)  # "bases" are both bases, "base" is one
            node.groups, node.short = [item.meanings for item in items], True

    def find(self, tokens: Sequence[Token]) -> list[Item]:
        """Terms of a sentence from left to right, without overlap, the longest at every place."""
        items: list[Item] = []
        place, count, root = 0, len(tokens), self._root.next
        while place < count:
            node = _step(root, tokens[place])
            if node is None:
                place += 1
                continue
            best, end, ahead = (node, place + 1, place + 1) if node.groups else (None, place + 1, place + 1)
            while ahead < count and (node := _step(node.next, tokens[ahead])) is not None:
                ahead += 1
                if node.groups:
                    best, end = node, ahead
            if best is not None and not (best.short and place > 0 and _is_number(tokens[place - 1].text)):
                items.extend(Item(group, place, end) for group in best.groups)
            place = end
        return items

    def _add_inner_sites(self) -> None:
        """Names that contain a place keep it: "rib fracture" is a fracture of the ribs."""
        for finding in self.terms.findings.values():
            if finding.site is not None or finding.device:
                continue
            for word in finding.words:
                tokens = words_of(word)
                inner = [*self.find(tokens[:-1]), *self.find(tokens[1:])] if len(tokens) > 1 else []
                sites = {meaning: None for item in inner for meaning in item.meanings if meaning[0] == "site"}
                self._node(word).groups.extend((site,) for site in sites)

    def _add(self, word: str, meaning: Meaning) -> None:
        self._put(word, meaning)
        if word in self.terms.spanish:
            self._put(_stems(word), meaning)

    def _put(self, word: str, meaning: Meaning) -> None:
        node = self._node(word)
        if not node.groups:
            node.groups = [(meaning,)]
        elif meaning not in node.groups[0]:
            node.groups = [(*node.groups[0], meaning)]

    def _node(self, word: str, *, exact: bool = False) -> _Node:
        node = self._root
        for token in words_of(word):
            node = node.next.setdefault(token.typed if exact else token.text, _Node())
        return node


def _is_number(word: str) -> bool:
    """Whether an abbreviation behind this word is a unit: "2 cm"; "xxxx" is a removed word of Open-i."""
    return word[0].isdigit() or word == "xxxx"


def _step(following: dict[str, _Node], token: Token) -> _Node | None:
    return following.get(token.typed) or following.get(token.text)


@cache
def _stemmer() -> tantivy.TextAnalyzer:
    plain = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    return plain.filter(tantivy.Filter.stemmer("spanish")).build()


def _stems(words: str) -> str:
    """Spanish words as PadChest publishes them: cut to their stems (Snowball), without "de" and articles."""
    return " ".join(_stemmer().analyze(" ".join(word for word in words.split() if word not in _ARTICLES)))


def _folded(word: str) -> str:
    return " ".join(token.text for token in words_of(word))


def _meanings(terms: Terms) -> Iterator[tuple[Meaning, str]]:
    for finding in terms.findings.values():
        yield from ((("finding", finding.name), word) for word in finding.words)
    for site in terms.sites.values():
        yield from ((("site", site.name), word) for word in site.words)
    for side, words in terms.sides.items():
        yield from ((("side", side), word) for word in words)
    for degree in terms.degrees.values():
        yield from ((("degree", degree.name), word) for word in degree.words)
    for organ in terms.organs.values():
        yield from ((("organ", organ.name), word) for word in organ.words)
    for cue, words in terms.cues.items():
        yield from ((("cue", cue), word) for word in words)
