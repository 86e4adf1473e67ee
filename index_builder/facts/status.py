"""Whether a sentence states, denies or suspects a finding: ConText-like cues, each with its reach.

A cue before a finding reaches forward to the end of its clause, one behind it back to the start; a doubt reaches to
the next comma only. Words that look like a denial but are none ("no change", "not only") are cues of their own kind,
longer than the denial inside them. The cues are data: part `cues` of the terms file.
"""

from __future__ import annotations

from collections.abc import Sequence

from index_builder.facts.fact import Status
from index_builder.facts.lexicon import Item, Token

_VERBS = frozenset(
    {"is", "are", "was", "were", "has", "have", "remain", "appear", "show", "demonstrate", "es", "son", "esta", "estan"}
)
_SEEN = frozenset(
    {"seen", "identified", "noted", "present", "evident", "demonstrated", "visualized", "appreciated", "detected"}
)


def clause_starts(tokens: Sequence[Token], items: Sequence[Item]) -> list[int]:
    """Where clauses begin: at words like "but" and "there is", and behind a comma or "and" before a new verb."""
    starts = {0}
    inside = {place for item in items for place in range(item.start, item.end)}
    for item in items:
        if ("cue", "end") in item.meanings:
            starts.add(item.start)
    joints = [
        place for place, token in enumerate(tokens) if place not in inside and token.text in (",", "and", ":", "y")
    ]
    denied = min((item.start for item in items if ("cue", "deny") in item.meanings), default=len(tokens))
    verbs = [place for place, token in enumerate(tokens) if token.text in _VERBS]
    judged = [item.end - 1 for item in items if any(kind in ("cue", "state") for kind, _ in item.meanings)]
    named = [item.end - 1 for item in items if any(kind == "finding" for kind, _ in item.meanings)]
    for place, nearby in zip(joints, [*joints[1:], len(tokens)], strict=False):
        words = [token.text for token in tokens[place + 1 : nearby]]
        if not words or words[0] in ("or", "nor", "and"):
            continue
        verb = next((number for number, word in enumerate(words) if word in _VERBS), None)
        if verb is None or verb == 0:
            continue
        since = max(start for start in starts if start <= place)
        # "heart, aorta and mediastinum are normal", "effusion and edema are not seen": one subject, no new clause
        told = [*verbs, *judged, *(named if tokens[place].text == "," else ())]
        if not any(since <= one < place for one in told):
            continue
        if place > denied and not _SEEN.isdisjoint(words[verb + 1 : verb + 3]):
            continue
        starts.add(place)
    return sorted(starts)


def status_of(
    start: int,
    end: int,
    tokens: Sequence[Token],
    items: Sequence[Item],
    starts: Sequence[int],
    *,
    lasting: bool = False,
) -> Status:
    """Status of the finding that tokens `start` to before `end` name.

    `lasting`: a trace of the past can still be seen, so "status post" and "history of" state it.
    """
    low = max(place for place in starts if place <= start)
    high = min((place for place in starts if place > start), default=len(tokens))
    status: Status = "present"
    for item in items:
        cues = {name for kind, name in item.meanings if kind == "cue"}
        if not cues or item.start < low or item.start >= high:
            continue
        if item.end <= start:
            if "deny" in cues and ("deny_after" not in cues or start - item.end <= 3):
                status = "absent"
                continue
            doubts = "doubt" in cues and (status != "absent" or _opens(item, tokens))
            if doubts or ("past" in cues and status == "present" and not lasting):
                status = "uncertain" if _reaches(item, start, high, tokens) else status
        elif item.start < end:
            status = "uncertain" if "doubt" in cues and status == "present" else status
        elif "deny_after" in cues and not _names_next(item, items, tokens):
            return "absent"
        elif "doubt_after" in cues and status == "present" and not _names_next(item, items, tokens):
            status = "uncertain" if "," not in _words(tokens, end, item.start) else status
    return status


def _words(tokens: Sequence[Token], start: int, end: int) -> list[str]:
    return [token.text for token in tokens[start:end]]


def _opens(item: Item, tokens: Sequence[Token]) -> bool:
    """Whether a cue begins a new thought: "no consolidation, possible effusion"."""
    return item.start > 0 and tokens[item.start - 1].text in (",", "(")


def _reaches(item: Item, start: int, high: int, tokens: Sequence[Token]) -> bool:
    """Whether a doubt reaches a finding: not past a comma, unless a list is in doubt ("possibly scar, cyst or ...")."""
    if "," not in _words(tokens, item.end, start):
        return True
    cue = _words(tokens, item.start, item.end)
    return "differential" in cue or not {"or", "versus", "vs"}.isdisjoint(_words(tokens, item.end, high))


def _names_next(item: Item, items: Sequence[Item], tokens: Sequence[Token]) -> bool:
    """Whether a cue speaks of the finding behind it, not of one before: "effusion, resolved pneumothorax"."""
    if not any(meaning in (("cue", "deny"), ("cue", "doubt")) for meaning in item.meanings):
        return False
    following = next((other for other in items if other.start >= item.end and other.meanings[0][0] == "finding"), None)
    return following is not None and not {",", "and"} & set(_words(tokens, item.end, following.start))
