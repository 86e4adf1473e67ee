"""Small pieces of HTML, every text escaped; how they look is in assets/style.css."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from index_builder.datasets.base import ProfileValue
from index_builder.sentences import SENTENCE_ENDS, denies

_SPACE_WORDS = {"image": "film", "text": "{}", "joint": "film and {}"}
#: Below this closeness a neighbour is a neighbour only because nothing nearer is there.
NO_CLOSE_MATCH = 0.05

_EXCERPT = 320
_SEX = {"F": "female", "M": "male"}


def space_words(space: str, reads: str) -> str:
    """A space as a reader knows it, e.g. "film and report", where the system `reads` reports."""
    return _SPACE_WORDS[space].format(reads)


def space_title(space: str, reads: str) -> str:
    """A space as the name of a choice."""
    return {"image": "Films", "text": f"{reads.capitalize()}s", "joint": "Both"}[space]


def film_html(thumbnail: bytes | None, alt: str, *, synthetic: bool = False, large: bool = False) -> str:
    """A film with its mark, or the place where it would be; never stretched."""
    kind = "cxr-film cxr-film-large" if large else "cxr-film"
    if thumbnail is None:
        return f'<div class="{kind} cxr-film-none"><span>No film,<br>report only</span></div>'
    mark = '<span class="cxr-mark">synthetic</span>' if synthetic else ""
    return f'<div class="{kind}"><img src="{data_url(thumbnail)}" alt="{escape(alt, quote=True)}">{mark}</div>'


def data_url(image: bytes) -> str:
    """An image inside its own address."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def chips_html(shared: Iterable[str], other: Iterable[str], *, shared_title: str = "Shared with the query") -> str:
    """Findings, those in common with the query filled and ticked."""
    marked = [
        f'<span class="cxr-chip cxr-chip-shared" title="{escape(shared_title, quote=True)}">'
        f'<span aria-hidden="true">✓ </span>{label_html(label)}</span>'
        for label in shared
    ]
    plain = [f'<span class="cxr-chip">{label_html(label)}</span>' for label in other]
    if not marked and not plain:
        return '<div class="cxr-chips"><span class="cxr-muted">No finding labelled</span></div>'
    return f'<div class="cxr-chips">{"".join(marked + plain)}</div>'


def plain_markdown(text: str) -> str:
    """Text as Markdown that means just the text."""
    return "".join("\\" + sign if sign in r"\`*_{}[]()#+-!|<>$~:" else sign for sign in text)


def label_html(label: str) -> str:
    """A label as words: published spellings join them with an underscore."""
    return escape(label.replace("_", " "))


def label_words(label: str) -> str:
    """A label as plain words."""
    return label.replace("_", " ")


def facts_html(title: str, facts: Mapping[str, str]) -> str:
    """A titled list of facts; one without a name takes the whole width."""
    if not facts:
        return ""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" if name else f'<dd class="cxr-wide">{escape(text)}</dd>'
        for name, text in facts.items()
    )
    return f'<section class="cxr-report"><h4>{escape(title)}</h4><dl class="cxr-facts">{rows}</dl></section>'


def closeness_words(closeness: float) -> str:
    """How close a neighbour is, as closeness goes in its casebook."""
    if closeness < NO_CLOSE_MATCH:
        return "no close match"
    if closeness >= 0.995:
        return "closer than nearly all cases are to their own nearest neighbour"
    return f"closer than {closeness:.0%} of cases are to their own nearest neighbour".replace("%", " %")


def person_words(profile: Mapping[str, ProfileValue]) -> str:
    """Age and sex, e.g. "63 y, female"; empty when neither is known."""
    parts = []
    if isinstance(age := profile.get("age"), int | float):
        parts.append(f"{age:.0f} y")
    if sex := profile.get("sex"):
        parts.append(_SEX.get(str(sex), str(sex)))
    return ", ".join(parts)


def highlighted_html(text: str, phrases: Sequence[str]) -> str:
    """A text with phrases marked, whatever stands between their words and however they are written."""
    spans = _spans(text, phrases)
    parts, position = [], 0
    for start, stop in spans:
        parts.append(escape(text[position:start]))
        parts.append(f"<mark>{escape(text[start:stop])}</mark>")
        position = stop
    parts.append(escape(text[position:]))
    return "".join(parts)


def excerpt_html(report: str, phrases: Sequence[str]) -> str:
    """The part of a report where the first shared phrase stands, phrases marked."""
    report = " ".join(report.split())
    spans = _spans(report, phrases)
    start = 0
    if spans and spans[0][1] > _EXCERPT:
        start = report.rfind(". ", 0, spans[0][0])
        start = spans[0][0] if start < 0 or spans[0][0] - start > _EXCERPT // 2 else start + 2
    stop = min(len(report), start + _EXCERPT)
    if stop < len(report):
        stop = report.rfind(" ", start, stop)
    before = "… " if start else ""
    after = " …" if stop < len(report) else ""
    return before + highlighted_html(report[start:stop], phrases) + after


def _sentence_around(text: str, position: int) -> str:
    start = max(text.rfind(sign, 0, position) for sign in SENTENCE_ENDS) + 1
    stops = [stop for sign in SENTENCE_ENDS if (stop := text.find(sign, position)) >= 0]
    return text[start : min(stops, default=len(text))]


def _spans(text: str, phrases: Sequence[str]) -> list[tuple[int, int]]:
    """Where phrases stand in a text, in order, overlapping ones joined."""
    found = []
    for phrase in phrases:
        pattern = r"[^\w.;:!?]+".join(re.escape(word) for word in phrase.split())
        if not pattern:
            continue
        matches = list(re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE))
        # Where a report both states and denies something, what it states is what a phrase stands for.
        stated = [match for match in matches if not denies(_sentence_around(text, match.start()))]
        found += [match.span() for match in stated or matches]
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(found):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined
