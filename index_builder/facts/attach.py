"""Which side, site and degree of a sentence belong to which of its findings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from index_builder.facts.fact import Side, Status
from index_builder.facts.lexicon import Item, Token
from index_builder.facts.terms import Terms

_JOINTS = frozenset({"and", "or", ",", "with", "without", "plus", "/", "(", ")", "y", "o", "con", "e"})
_LINKS = frozenset(
    {"representing", "represent", "consistent", "compatible", "suggesting", "suggest", "suggestive", "reflecting"}
    | {"reflect", "indicating", "secondary", "due", "from"}
)
_PREPOSITIONS = frozenset(
    {
        "in",
        "at",
        "within",
        "on",
        "over",
        "overlying",
        "along",
        "of",
        "throughout",
        "involving",
        "near",
        "adjacent",
        "to",
    }
    | {"projecting", "into", "about", "en", "de", "del", "involve", "affecting", "bilaterally", "is", "are"}
)
#: Between two names of one thing.
_ALIKE = frozenset({"or", "/", "versus", "vs", "possible", "possibly", "likely", "o"})
_SHARED_USUAL = ("lung", "pleura")


class Mention(NamedTuple):
    """A finding named in a sentence by tokens `start` to before `end`.

    `status` and `degree` are set where the words that name it settle them: "heart size is normal".
    """

    finding: str
    start: int
    end: int
    status: Status | None = None
    degree: str | None = None


Attached = tuple[Mention, Side | None, tuple[str, ...], str | None]


class _Modifier(NamedTuple):
    kind: str
    name: str
    start: int
    end: int


def ends_phrase(word: str) -> bool:
    """Whether a word joins phrases, so that what stands before and behind it is not one phrase."""
    return word in _JOINTS or word in _LINKS or word in _PREPOSITIONS


def attach(
    tokens: Sequence[Token], items: Sequence[Item], mentions: Sequence[Mention], starts: Sequence[int], terms: Terms
) -> list[Attached]:
    """Each finding with its side, sites and degree; twice where it lies in two places of different sides."""
    found: list[Attached] = []
    modifiers = [
        _Modifier(kind, name, item.start, item.end)
        for item in items
        for kind, name in item.meanings
        if kind in ("site", "side", "degree")
    ]
    for low, high in zip(starts, [*starts[1:], len(tokens)], strict=True):
        inside = [mention for mention in mentions if low <= mention.start < high]
        if inside:
            own = _owned(tokens, inside, [one for one in modifiers if low <= one.start < high], low, high)
            _share(tokens, inside, own, terms)
            for mention, modifier in zip(inside, own, strict=True):
                found.extend(_with_places(mention, modifier, tokens, terms))
    return found


def _owned(
    tokens: Sequence[Token], mentions: Sequence[Mention], modifiers: Sequence[_Modifier], low: int, high: int
) -> list[list[_Modifier]]:
    """Modifiers of each finding of a clause: those before it and, led by a preposition, behind it."""
    own: list[list[_Modifier]] = [[] for _ in mentions]
    borders = [low]
    for first, second in pairwise(mentions):
        borders.append(_border(tokens, first, second, modifiers))
    borders.append(high)
    for number, mention in enumerate(mentions):
        own[number] = [
            one
            for one in modifiers
            if borders[number] <= one.start < borders[number + 1]
            or (mention.start <= one.start and one.end <= mention.end)
        ]
    return own


def _border(tokens: Sequence[Token], first: Mention, second: Mention, modifiers: Sequence[_Modifier]) -> int:
    """Token between two findings from which on modifiers belong to the second."""
    if second.start < first.end:  # two findings in the same words: "heart and aorta are enlarged"
        return second.start
    gap = range(first.end, second.start)
    joints = [place for place in gap if tokens[place].text in _JOINTS or tokens[place].text in _LINKS]
    if not joints:
        led = any(tokens[place].text in _PREPOSITIONS for place in gap)
        return second.start if led else first.end
    between = [one for one in modifiers if first.end <= one.start < second.start and one.kind != "degree"]
    led = any(tokens[place].text in _PREPOSITIONS for place in gap if place < (between[0].start if between else 0))
    return joints[-1] if led else joints[0]


def _share(tokens: Sequence[Token], mentions: Sequence[Mention], own: list[list[_Modifier]], terms: Terms) -> None:
    """Lets findings that are joined share a place: "left effusion and atelectasis", "opacity, likely scarring".

    Two names for one thing share the degree as well: "mild scarring or atelectasis", "atelectasis/infiltrate". What is
    denied behind a place is denied anywhere: "right upper lobe nodule without effusion".
    """
    denials = {word for words in terms.cues["deny"] for word in words.split()[:1]}
    pairs = list(enumerate(pairwise(mentions)))
    for number, (first, second) in pairs:
        between = {token.text for token in tokens[first.end : second.start]}
        if second.start >= first.end and _same_region(first, second, terms) and not between & denials:
            own[number + 1] = own[number + 1] + _lent(own[number], own[number + 1], alike=between <= _ALIKE)
    for number, (first, second) in reversed(pairs):
        gap = [token.text for token in tokens[first.end : second.start]]
        if second.start < first.end or (gap and gap[0] not in _JOINTS | _ALIKE):
            continue
        if not gap or _same_region(first, second, terms):
            behind = [one for one in own[number + 1] if one.start >= second.end or set(gap) <= _ALIKE]
            own[number] = own[number] + _lent(behind, own[number], alike=set(gap) <= _ALIKE)


def _lent(from_one: Sequence[_Modifier], to_other: Sequence[_Modifier], *, alike: bool) -> list[_Modifier]:
    """What a finding may take over from its neighbour: a place if it has none, a degree if both name one thing."""
    no_place = all(one.kind == "degree" for one in to_other)
    no_degree = alike and all(one.kind != "degree" for one in to_other)
    return [one for one in from_one if (no_degree if one.kind == "degree" else no_place)]


def _same_region(first: Mention, second: Mention, terms: Terms) -> bool:
    usual = [_usual(mention, terms) for mention in (first, second)]
    return usual == [None, None] or all(site in _SHARED_USUAL for site in usual)


def _usual(mention: Mention, terms: Terms) -> str | None:
    known = terms.findings.get(mention.finding)
    return "device" if known is not None and known.device else known.site if known is not None else None


def _with_places(
    mention: Mention, modifiers: Sequence[_Modifier], tokens: Sequence[Token], terms: Terms
) -> list[Attached]:
    degree = next((one.name for one in modifiers if one.kind == "degree"), None)
    pieces = _pieces([one for one in modifiers if one.kind != "degree"], tokens)
    sided = [(_side(piece, terms), [one.name for one in piece if one.kind == "site"]) for piece in pieces]
    # "left lower lobe and lingular": a piece without a side has that of its neighbour
    last: Side | None = None
    for place, (side, sites) in enumerate(sided):
        if side is None and sites:
            sided[place] = (last, sites)
        last = sided[place][0]
    sides = {side for side, _ in sided if side is not None}
    if len(sides) > 1 and all(sites for _, sites in sided):
        return [_fact(mention, side, sites, degree, terms) for side, sites in _by_side(sided)]
    side = None if not sides else sides.pop() if len(sides) == 1 else "both"
    return [_fact(mention, side, [site for _, sites in sided for site in sites], degree, terms)]


def _pieces(places: Sequence[_Modifier], tokens: Sequence[Token]) -> list[list[_Modifier]]:
    """Places in groups that name one place each: "right upper lobe | and left base"."""
    pieces: list[list[_Modifier]] = []
    for one in sorted(places, key=lambda place: place.start):
        if pieces and not any(token.text in _JOINTS for token in tokens[pieces[-1][-1].end : one.start]):
            same_side = one.kind == "side" and any(
                other.kind == "side" and other.name != one.name for other in pieces[-1]
            )
            if not same_side:
                pieces[-1].append(one)
                continue
        pieces.append([one])
    if len(pieces) > 1 and all(one.kind == "side" for one in pieces[0]):  # "right and left lower lobes"
        pieces[1] = pieces[0] + pieces[1]
        del pieces[0]
    return pieces


def _side(piece: Sequence[_Modifier], terms: Terms) -> Side | None:
    named = {one.name for one in piece if one.kind == "side"}
    if "both" in named or {"left", "right"} <= named:
        return "both"
    if named:
        return "left" if "left" in named else "right"
    fixed = {terms.sites[one.name].side for one in piece if one.kind == "site"} - {None}
    return fixed.pop() if len(fixed) == 1 else None


def _by_side(sided: Sequence[tuple[Side | None, list[str]]]) -> list[tuple[Side | None, list[str]]]:
    together: dict[Side | None, list[str]] = {}
    for side, sites in sided:
        together.setdefault(side, []).extend(sites)
    return list(together.items())


def _fact(mention: Mention, side: Side | None, sites: Sequence[str], degree: str | None, terms: Terms) -> Attached:
    every = dict.fromkeys([*sites, *(wide for site in sites for wide in terms.wider_sites[site])])
    ordered = tuple(sorted(every, key=lambda site: -len(terms.wider_sites[site])))
    finding = next(
        (terms.there[mention.finding, site] for site in ordered if (mention.finding, site) in terms.there), None
    )
    return (mention if finding is None else mention._replace(finding=finding)), side, ordered, degree
