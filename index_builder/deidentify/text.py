"""Identifiers out of free text: those known of the patient, and what has the form of one.

What is not known and has no form of its own, such as the name of a village, stays; people must read the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MONTHS = "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
_MONTH = rf"(?:{_MONTHS}|nov(?:ember)?|dec(?:ember)?)\.?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"

#: In this order: an e-mail address may hold a number, a date looks like a telephone number.
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("[e-mail]", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("[address]", re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)),
    ("[date]", re.compile(r"\b(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))\b")),
    ("[date]", re.compile(rf"\b{_DAY}\.?\s+(?:of\s+)?{_MONTH}(?:,?\s+\d{{4}})?\b", re.IGNORECASE)),
    ("[date]", re.compile(rf"\b{_MONTH}\s+(?:{_DAY}(?:,?\s+\d{{4}})?|\d{{4}})\b", re.IGNORECASE)),
    ("[time]", re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?(?:\s*[ap]\.?m\b\.?)?", re.IGNORECASE)),
    ("[number]", re.compile(r"(?<![\w.])\+?\(?\d(?:[ ()/-]{0,2}\d){6,}\b")),
    ("[number]", re.compile(r"\b[A-Za-z]{0,6}[-_:#]?\d{5,}[A-Za-z0-9-]*\b")),
    ("[name]", re.compile(r"\b(?:Dr|Drs|Doctor|Prof|Professor|Mr|Mrs|Ms|Miss)\b\.?\s+(?:[A-Z][\w'’-]+\s?){1,3}")),
)
#: "94-year-old": with so few of that age, the figure itself may name somebody (45 CFR 164.514(b)(2)(i)(C)).
_OLD = re.compile(r"\b(?:9\d|1[01]\d)(?=[\s-]*(?:y(?:ears?|rs?)?\b|y/?o\b))", re.IGNORECASE)

OLDEST = 90


def without_identifiers(text: str, known: Iterable[str]) -> str:
    """A text in which known identifiers and whatever has the form of one are replaced by a word in brackets.

    Args:
        text: Any.
        known: Names and numbers of this patient, of any case, found as whole words; the longest go first.
    """
    words = sorted({one.strip() for one in known if one.strip()}, key=len, reverse=True)
    if words:
        either = "|".join(
            r"[\W_]+".join(map(re.escape, re.findall(r"[^\W_]+", word))) or re.escape(word) for word in words
        )
        text = re.sub(rf"(?<![^\W_])(?:{either})(?![^\W_])", "[removed]", text, flags=re.IGNORECASE)
    for word, form in _FORMS:
        text = form.sub(word + " " if word == "[name]" else word, text)
    return " ".join(_OLD.sub("90+", text).split())
