"""A typed query with one of its facts taken out or changed, as words again."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, cast

from index_builder.facts.fact import Fact
from index_builder.facts.lexicon import words_of
from index_builder.facts.terms import report_terms
from index_builder.facts.understand import Understood, understand
from index_builder.facts.words import own_sites, same_statement, words_of_fact

#: What of a fact can be chosen anew.
Part = Literal["status", "side", "site", "degree"]

_ENDS = frozenset(".;!?")


@lru_cache(maxsize=512)
def rewritten(understood: Understood, old: Fact, new: Fact | None) -> str | None:
    """The text of a query in which a fact is replaced or, with None, left out; None where no words say that.

    Only the sentence of the fact is worded again, or all of the text where that does not do, as where it is said twice.
    The words given are read before they are given: they mean the other facts as before, and the new one.
    """
    wanted = [new if fact == old else fact for fact in understood.facts]
    facts = [fact for fact in wanted if fact is not None]
    for start, end in _spans(understood.text, old):
        sentence = understood.text[start:end]
        there = [new if one == old else one for one in understood.facts if start <= one.start < end]
        said = _said((one for one in there if one is not None), _other_words(sentence))
        if said is None:
            continue
        text = _joined(understood.text[:start], said, understood.text[end:])
        if _same(_facts(text), facts):
            return text
    return None


def with_part(fact: Fact, part: Part, value: str | None) -> Fact | None:
    """A fact with another status, side, site or degree, or none; None where no words say it, or no body has it."""
    changes: dict[str, Any] = {part: value}
    if part == "site":
        changes = {"sites": () if value is None else (value, *report_terms().wider_sites[value])}
    changed = replace(fact, **changes)
    sides = {report_terms().sites[site].side for site in own_sites(changed) if site in report_terms().sites} - {None}
    if sides and changed.side not in sides:  # the lingula is left
        return None
    return None if words_of_fact(changed) is None else changed


def part_of(fact: Fact, part: Part) -> str | None:
    """A fact's status, side, first site or degree."""
    if part == "site":
        return next(iter(own_sites(fact)), None)
    return cast("str | None", getattr(fact, part))


def _spans(text: str, fact: Fact) -> list[tuple[int, int]]:
    """Where the sentence of a fact stands, and all of the text."""
    breaks = [token for token in words_of(text) if token.text in _ENDS or token.text[0] == "\n"]
    start = max((token.end for token in breaks if token.start < fact.start), default=0)
    end = min((token.start for token in breaks if token.start >= fact.end), default=len(text))
    return list(dict.fromkeys([(start, end), (0, len(text))]))


def _other_words(sentence: str) -> list[str]:
    """Words of a sentence that are no fact's, each with the number before it."""
    left = understand(sentence, _any_word).rest
    found = [re.search(rf"(?:\d[\d.]*[ ]?)?(?<!\w){re.escape(word)}(?!\w)", sentence) for word in dict.fromkeys(left)]
    return [match[0] for match in found if match is not None]


def _said(facts: Iterable[Fact], others: Sequence[str]) -> str | None:
    """Facts in words, each a sentence of its own, and other words behind them; None where one has no words."""
    words = [words_of_fact(fact) for fact in facts]
    if None in words:
        return None
    return "; ".join(filter(None, (*words, " ".join(others))))


def _joined(before: str, said: str, after: str) -> str:
    if said:
        gap = " " if before and not before[-1].isspace() else ""
        return f"{before}{gap}{said}{after}".strip()
    # Neither does the mark behind an empty sentence stay, nor a text of marks and numbers alone.
    text = (before.rstrip() + re.sub(r"^[.;!?]", "", after)).strip().removesuffix(";")
    return text if any(map(str.isalpha, text)) else ""


def _facts(text: str) -> tuple[Fact, ...]:
    return understand(text, _any_word).facts


def _any_word(_word: str) -> bool:
    """No word is to be corrected: that was done before."""
    return True


def _same(some: Collection[Fact], others: Collection[Fact]) -> bool:
    """Whether two sets of facts say the same."""
    return all(any(same_statement(one, other) for other in others) for one in some) and all(
        any(same_statement(one, other) for one in some) for other in others
    )
