"""Facts of a text: which findings it states, denies or suspects, where, on which side, to which degree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from index_builder.facts.attach import Mention, attach, ends_phrase
from index_builder.facts.fact import Fact, Status
from index_builder.facts.lexicon import Item, Lexicon, Token, words_of
from index_builder.facts.status import clause_starts, status_of
from index_builder.facts.terms import Terms, report_terms

#: Words that may stand between a judgement and the organ it is about.
_FAR = 3
#: Words that may stand between two names of one finding.
_NEAR = 6
#: The finding of a text that finds nothing.
NORMAL = "normal"

_ENDS = frozenset(".;!?")

#: Reports repeat their sentences; a sentence that was read is kept.
_KEPT_SENTENCES = 50_000


class Parser:
    """Reads texts with one file of terms. `read_facts` has the one of the program."""

    def __init__(self, terms: Terms) -> None:
        self._lexicon = Lexicon(terms)
        self._sentence = lru_cache(maxsize=_KEPT_SENTENCES)(self._read_sentence)

    @property
    def terms(self) -> Terms:
        """The terms it reads with."""
        return self._lexicon.terms

    def facts(self, text: str) -> tuple[Fact, ...]:
        """Facts of a text in its order; what is said twice counts once.

        A text that states a finding is not normal, even if it goes on: "otherwise no acute abnormality".
        """
        found: dict[tuple[object, ...], Fact] = {}
        for sentence in _sentences(words_of(text)):
            for first, last, fact in self._sentence(tuple((token.text, token.typed) for token in sentence)):
                whole = Fact(
                    fact.finding,
                    fact.status,
                    fact.side,
                    fact.sites,
                    fact.degree,
                    sentence[first].start,
                    sentence[last - 1].end,
                )
                found.setdefault((whole.finding, whole.status, whole.side, whole.sites, whole.degree), whole)
        stated = any(fact.status == "present" and fact.finding != NORMAL for fact in found.values())
        return tuple(fact for fact in found.values() if not stated or fact.finding != NORMAL)

    def places(self, text: str) -> tuple[Fact, ...]:
        """What a text without a finding names: side, sites and degree as a fact of no finding; () if nothing."""
        tokens = words_of(text)
        items = self._lexicon.find(tokens)
        if not items:
            return ()
        tokens.append(Token("", len(text), len(text)))  # stands for the finding that is not named
        attached = attach(tokens, items, [Mention("", len(tokens) - 1, len(tokens))], [0], self._lexicon.terms)
        return tuple(
            Fact("", "present", side, sites, degree, tokens[items[0].start].start, tokens[items[-1].end - 1].end)
            for _, side, sites, degree in attached
            if side or sites or degree
        )

    def known_words(self, text: str) -> frozenset[int]:
        """Which words of `words_of(text)` belong to a term, by number."""
        return frozenset(place for item in self._lexicon.find(words_of(text)) for place in range(item.start, item.end))

    def _read_sentence(self, words: tuple[tuple[str, str], ...]) -> tuple[tuple[int, int, Fact], ...]:
        tokens = [Token(word, 0, 0, typed) for word, typed in words]
        items = self._lexicon.find(tokens)
        starts = clause_starts(tokens, items)
        mentions = _mentions(tokens, items, starts, self._lexicon)
        if not mentions:
            return ()
        return tuple(
            (
                mention.start,
                mention.end,
                Fact(
                    mention.finding,
                    mention.status or self._status(mention, tokens, items, starts),
                    side,
                    sites,
                    degree or mention.degree,
                ),
            )
            for mention, side, sites, degree in attach(tokens, items, mentions, starts, self._lexicon.terms)
        )

    def _status(
        self, mention: Mention, tokens: Sequence[Token], items: Sequence[Item], starts: Sequence[int]
    ) -> Status:
        known = self.terms.findings[mention.finding]
        return status_of(mention.start, mention.end, tokens, items, starts, lasting=known.device)


def read_facts(text: str, parser: Parser | None = None) -> tuple[Fact, ...]:
    """Facts of a report or a query, in its order; the same fact only once.

    Args:
        text: Sentences in English, or in Spanish as PadChest reports have them.
        parser: Reads with another file of terms; None: with the one of the program.
    """
    return (parser or report_parser()).facts(text)


@lru_cache(maxsize=1)
def report_parser() -> Parser:
    """The parser with the terms of the program. Raises `InstallationError` where their file is wrong."""
    return Parser(report_terms())


def _sentences(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    sentences, start = [], 0
    for place, token in enumerate(tokens):
        if token.text in _ENDS or token.text[0] == "\n":
            if place > start:
                sentences.append(tokens[start:place])
            start = place + 1
    if len(tokens) > start:
        sentences.append(tokens[start:])
    return sentences


def _mentions(tokens: Sequence[Token], items: Sequence[Item], starts: Sequence[int], lexicon: Lexicon) -> list[Mention]:
    """Findings named outright, and those that an organ's state means; in the order of the sentence."""
    mentions = [
        Mention(name, item.start, item.end)
        for item in items
        for kind, name in item.meanings
        # "normal" and "negative" judge something else, unless they stand alone
        if kind == "finding" and (len(items) == 1 or all(other != "cue" for other, _ in item.meanings))
    ]
    named = {(mention.start, mention.end) for mention in mentions}
    others = [item for item in items if _may_judge(item) or (item.start, item.end) not in named]
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        clause = [item for item in others if start <= item.start < end]
        told = _without_wider(_states(clause, tokens, lexicon), mentions, lexicon.terms)
        mentions = [one for one in mentions if not _judged_normal(one, told)] + told
    return _merged(sorted(dict.fromkeys(mentions), key=lambda one: (one.start, one.end)), tokens, lexicon.terms)


def _may_judge(item: Item) -> bool:
    """Whether a term that names a finding may also be an organ or its judgement: "interstitial markings are normal"."""
    return any(meaning == ("cue", "normal") or meaning[0] == "organ" for meaning in item.meanings)


def _judged_normal(named: Mention, told: Sequence[Mention]) -> bool:
    return any(
        one.status == "absent" and one.finding == named.finding and one.start <= named.start and named.end <= one.end
        for one in told
    )


def _without_wider(told: Sequence[Mention], named: Sequence[Mention], terms: Terms) -> list[Mention]:
    """Leaves out what a narrower finding of the sentence says better: "PICC with tip in the SVC" is one catheter."""
    better = {wide for mention in named for wide in terms.wider_findings[mention.finding]}
    return [mention for mention in told if mention.status is not None or mention.finding not in better]


def _states(clause: Sequence[Item], tokens: Sequence[Token], lexicon: Lexicon) -> list[Mention]:
    """What a clause says of organs: "heart and aorta are enlarged", "clear lungs"."""
    found: list[Mention] = []
    pending: list[tuple[str, Item]] = []
    judged = False
    for number, item in enumerate(clause):
        organs = [name for kind, name in item.meanings if kind == "organ"]
        if organs:
            if judged:
                pending, judged = [], False
            pending.extend((name, item) for name in organs)
            continue
        judgement = _judgement(item)
        if judgement is None:
            continue
        state, normal = judgement
        after = _organs_after(clause, number)
        adjacent = bool(after) and after[0][1].start - item.end <= 1 and not _verb_before(pending, item, tokens)
        for group in (after, pending) if adjacent else (pending, after):
            told = [
                mention
                for organ, place in group
                for mention in _told(organ, place, item, state, normal, tokens, lexicon)
            ]
            if told:
                found.extend(told)
                judged = True
                break
    return found


def _verb_before(pending: Sequence[tuple[str, Item]], item: Item, tokens: Sequence[Token]) -> bool:
    return bool(pending) and any(
        token.text in ("is", "are", "appear", "appears", "remain", "remains")
        for token in tokens[pending[-1][1].end : item.start]
    )


def _judgement(item: Item) -> tuple[str | None, bool] | None:
    state = next((name for kind, name in item.meanings if kind == "state"), None)
    normal = any(meaning == ("cue", "normal") for meaning in item.meanings)
    return (state, normal) if state is not None or normal else None


def _organs_after(clause: Sequence[Item], number: int) -> list[tuple[str, Item]]:
    """Organs that follow a word at once, before the next judgement: "normal heart size and mediastinal contours"."""
    organs: list[tuple[str, Item]] = []
    last = clause[number].end
    for item in clause[number + 1 :]:
        names = [name for kind, name in item.meanings if kind == "organ"]
        if names:
            if item.start - last > _FAR:
                break
            organs.extend((name, item) for name in names)
        elif _judgement(item) is not None or item.start - last > _FAR:
            break
        last = item.end
    return organs


def _told(
    organ: str, place: Item, item: Item, state: str | None, normal: bool, tokens: Sequence[Token], lexicon: Lexicon
) -> list[Mention]:
    start, end = min(place.start, item.start), max(place.end, item.end)
    finding = lexicon.states[state].get(organ) if state is not None else None
    if finding is not None:
        degree = next((name for kind, name in item.meanings if kind == "degree"), None)
        return [Mention(finding, start, end, None, degree)]
    if not normal or _is_rest(place, item, tokens):
        return []
    absent: Status = "absent"
    return [Mention(name, start, end, absent) for name in lexicon.terms.organs[organ].normal]


def _is_rest(place: Item, item: Item, tokens: Sequence[Token]) -> bool:
    """Whether only the rest of an organ is called normal: "the lungs are otherwise clear"."""
    around = tokens[max(0, min(place.start, item.start) - 4) : max(place.end, item.end)]
    return any(token.text in ("otherwise", "remainder", "remaining", "rest") for token in around)


def _merged(mentions: list[Mention], tokens: Sequence[Token], terms: Terms) -> list[Mention]:
    """Joins two findings that name one: in "calcified left lower lobe granuloma" only places stand between."""
    merged: list[Mention] = []
    for mention in mentions:
        last = merged[-1] if merged else None
        joined = None if last is None else terms.together.get((last.finding, mention.finding))
        if (
            last is not None
            and (last.finding, last.status) == (mention.finding, mention.status)
            and mention.start < last.end
        ):  # "borderline enlarged": one judgement in two words
            merged[-1] = last._replace(end=max(last.end, mention.end), degree=last.degree or mention.degree)
        elif (
            joined is not None
            and last is not None
            and last.status is None
            and mention.status is None
            and mention.start >= last.end
            and _only_places(last.end, mention.start, tokens)
        ):
            merged[-1] = Mention(joined, last.start, mention.end)
        else:
            merged.append(mention)
    return merged


def _only_places(start: int, end: int, tokens: Sequence[Token]) -> bool:
    """Whether only adjectives and places stand between two findings: "calcified 5 mm left basal granuloma"."""
    return end - start <= _NEAR and not any(ends_phrase(token.text) for token in tokens[start:end])
