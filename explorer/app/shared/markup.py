"""Small pieces of HTML, every text escaped; how they look is in assets/style.css."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

from explorer.cases.labelled import labelled_words, unlabelled_words
from explorer.search.closeness import NO_CLOSE_MATCH, closeness_figure, closeness_words
from explorer.search.result import Neighbour
from index_builder.cases.case import ProfileValue
from index_builder.cases.sentences import SENTENCE_ENDS, denies

_SPACE_WORDS = {"image": "film", "text": "{}", "joint": "film and {}"}

_EXCERPT = 200
#: Facts in common with a query that a card shows.
_MATCHED = 4
#: Ways that find a case, as a reader calls them.
_WAYS = {"facts": "facts", "lexical": "words", "dense": "vectors"}
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
        return f'<div class="{kind} cxr-film-none"><span>No film</span></div>'
    mark = '<span class="cxr-mark">synthetic</span>' if synthetic else ""
    return f'<div class="{kind}"><img src="{data_url(thumbnail)}" alt="{escape(alt, quote=True)}">{mark}</div>'


def data_url(image: bytes) -> str:
    """An image inside its own address."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def chips_html(
    shared: Collection[str],
    other: Collection[str],
    unknown: Collection[str],
    *,
    shared_title: str = "Shared with the query",
    denied: Mapping[str, str] | None = None,
    matched: Sequence[str] = (),
) -> str:
    """Findings, those in common with the query filled and ticked; then in words those that are unknown.

    Args:
        shared: In common with the query.
        other: The rest.
        unknown: Undecided.
        shared_title: What it means that a finding is shared.
        denied: Labels of the rest that the report denies, with the sentence that does: they are marked as coded.
        matched: What the report says of what is asked for; stands first.
    """
    denials = denied or {}
    said_so = [
        f'<span class="cxr-chip cxr-chip-said" title="The report says so">{escape(words)}</span>'
        for words in matched[:_MATCHED]
    ]
    if len(matched) > _MATCHED:
        said_so.append(f'<span class="cxr-muted">and {len(matched) - _MATCHED} more</span>')
    marked = [
        f'<span class="cxr-chip cxr-chip-shared" title="{escape(shared_title, quote=True)}">'
        f'<span aria-hidden="true">✓ </span>{label_html(label)}</span>'
        for label in shared
    ]
    plain = [_label_chip(label, denials.get(label)) for label in other]
    names = [label_words(label) for label in unknown]
    said = unlabelled_words((*shared, *other), names)
    title = f' title="{escape(", ".join(names), quote=True)}"' if names else ""
    rest = f'<span class="cxr-muted"{title}>{escape(said[0].upper() + said[1:])}</span>' if said else ""
    return f'<div class="cxr-chips">{"".join(said_so + marked + plain)}{rest}</div>'


def _label_chip(label: str, denial: str | None) -> str:
    if denial is None:
        return f'<span class="cxr-chip">{label_html(label)}</span>'
    return (
        f'<span class="cxr-chip cxr-chip-coded" title="{escape(f"The report says: {denial}", quote=True)}">'
        f'{label_html(label)} <span class="cxr-muted">as coded</span></span>'
    )


def denials_html(denied: Mapping[str, str]) -> str:
    """Labels that a report denies, with the sentences that do; empty where there are none."""
    told = "; ".join(f"{label_html(label)}: “{escape(sentence)}”" for label, sentence in denied.items())
    return f'<p class="cxr-excerpt cxr-muted cxr-small">The report denies what is coded. {told}</p>' if denied else ""


def found_html(neighbour: Neighbour) -> str:
    """Which ways found a case, its ranks in each as the tooltip; empty where it was compared by vectors alone."""
    if neighbour.relevance is None:
        return ""
    ways = [(words, neighbour.found_by[way]) for way, words in _WAYS.items() if way in neighbour.found_by]
    ranks = ", ".join(f"{words} {rank}" for words, rank in ways)
    figures = (
        f"Rank by {ranks}; relevance {neighbour.relevance:.2f} of 1. "
        "Facts: what the report says; words: its words; vectors: how near the system places it."
    )
    names = " · ".join(words for words, _ in ways)
    return f'<span class="cxr-muted cxr-found" title="{escape(figures, quote=True)}">found by {names}</span>'


def plain_markdown(text: str) -> str:
    """Text as Markdown that means just the text."""
    return "".join("\\" + sign if sign in r"\`*_{}[]()#+-!|<>$~:" else sign for sign in text)


def label_html(label: str) -> str:
    """A label as words: published spellings join them with an underscore."""
    return escape(label.replace("_", " "))


def label_words(label: str) -> str:
    """A label as plain words."""
    return label.replace("_", " ")


def case_words(labels: Iterable[str], unknown: Iterable[str]) -> str:
    """What a case is labelled with and what is unknown of it, as plain words."""
    return labelled_words([*map(label_words, labels)], [*map(label_words, unknown)])


def title_html(title: str, *, shown: bool = True) -> str:
    """The one heading of a page; kept for screen readers alone where the page speaks for itself."""
    return f'<h1 class="{"cxr-title" if shown else "cxr-unseen"}">{escape(title)}</h1>'


def facts_html(title: str, facts: Mapping[str, str]) -> str:
    """A titled list of named facts; empty where there are none."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text.strip())
    return _titled_html(title, f'<dl class="cxr-facts">{rows}</dl>') if rows else ""


def words_html(title: str, text: str) -> str:
    """A titled text; empty where there is none."""
    return _titled_html(title, f"<p>{escape(text)}</p>") if text.strip() else ""


def report_html(sections: Mapping[str, str], phrases: Sequence[str]) -> str:
    """A report by its sections, phrases marked; empty where no section says anything."""
    body = "".join(
        f"<h3>{escape(name)}</h3><p>{highlighted_html(text, phrases)}</p>"
        for name, text in sections.items()
        if text.strip()
    )
    return (
        f'<section class="cxr-report" aria-label="Report"><h2 class="cxr-unseen">Report</h2>{body}</section>'
        if body
        else ""
    )


def _titled_html(title: str, body: str) -> str:
    return f'<section class="cxr-report"><h2>{escape(title)}</h2>{body}</section>'


def closeness_html(neighbour: Neighbour, parts: Sequence[str] = ()) -> str:
    """How close a neighbour is, in words; the figures, and `parts` behind them, as their tooltip."""
    weak = " cxr-weak" if neighbour.closeness < NO_CLOSE_MATCH else ""
    figures = "; ".join((closeness_figure(neighbour.closeness, neighbour.score), *parts))
    return (
        f'<span class="cxr-closeness{weak}" title="{escape(figures, quote=True)}">'
        f"{closeness_words(neighbour.closeness)}</span>"
    )


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
