"""What is wrong with a query's text, in words: said before its results are shown."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from explorer.cases.chest_findings import is_labelled, named_findings, silence_words
from explorer.cases.vocabulary import Vocabulary, words_of
from explorer.search.phrases import FILLER
from index_builder.facts.lexicon import fold_text
from index_builder.facts.parse import read_facts
from index_builder.facts.understand import Correction, term_words

if TYPE_CHECKING:
    from explorer.casebook import Casebook

Kind = Literal["no words", "script", "unknown", "some unknown", "corrected", "no label", "not indexed"]
#: A text of which more than this share of words is unknown says nothing that the system could read.
_UNREADABLE = 0.5
#: Unknown words that are named.
_NAMED = 6
_UNDERSTOOD = "The text was not understood. The results are only the nearest to it and may be unrelated."
_NOT_INDEXED = (
    "This casebook was built before reports were indexed by their words: the text was compared by vectors alone. "
    "Rebuild the casebook to search words and findings too."
)
_SCRIPTS = {"CJK": "Chinese characters", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}


@dataclass(frozen=True, slots=True)
class TextFlag:
    """One thing that a reader must know of a text: what kind, and a sentence."""

    kind: Kind
    words: str


@dataclass(frozen=True, slots=True)
class TextReport:
    """What was found.

    Attributes:
        flags: Most serious first; empty: nothing.
        unknown: Words that no text of the casebook has, in their order.
        readable: Whether enough is known for the text to mean anything to the system.
        fragment: Whether it is shorter than 99 % of the texts that predictions were calibrated on.
    """

    flags: tuple[TextFlag, ...]
    unknown: tuple[str, ...]
    readable: bool
    fragment: bool

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def examine_text(casebook: Casebook, text: str, corrections: Sequence[Correction] = ()) -> TextReport:
    """Compare a text with those of the casebook.

    Args:
        casebook: Casebook that is searched.
        text: As it is searched for.
        corrections: Words of the typed text with what they were taken for.
    """
    known, words = casebook.vocabulary, words_of(text)
    asked = [word for word in dict.fromkeys(words) if word not in FILLER and (len(word) > 1 or not word.isascii())]
    placed = _placed(known, text) if casebook.manifest.system.reads == "report" else frozenset[str]()
    unknown = tuple(word for word in asked if not known.knows(word) and fold_text(word) not in placed)
    readable = bool(asked) and len(unknown) <= _UNREADABLE * len(asked)
    flags = [] if readable and not unknown else [_unknown_flag(casebook, known, text, unknown, readable)]
    if corrections:
        flags.append(TextFlag("corrected", _corrected_words(corrections)))
    if casebook.manifest.reports and casebook.manifest.system.reads == "report" and casebook.manifest.lexical is None:
        flags.append(TextFlag("not indexed", _NOT_INDEXED))
    flags += [
        TextFlag("no label", silence_words(casebook, one))
        for one in named_findings(text)
        if not is_labelled(one, casebook.label_names)
    ]
    return TextReport(tuple(flags), unknown, readable, fragment=len(words) < known.shortest)


def _placed(known: Vocabulary, text: str) -> frozenset[str]:
    """Words of findings and places that reports have in other words; none where a finding is in no report at all."""
    names = (word for fact in read_facts(text) for word in words_of(fact.finding))
    return term_words(text) if all(map(known.knows, names)) else frozenset()


def _corrected_words(corrections: Sequence[Correction]) -> str:
    pairs = [f"“{one.meant}” instead of “{one.typed}”" for one in dict.fromkeys(corrections)]
    more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    return f"Searched for {', '.join(pairs[:_NAMED])}{more}."


def _unknown_flag(
    casebook: Casebook, known: Vocabulary, text: str, unknown: tuple[str, ...], readable: bool
) -> TextFlag:
    if not unknown:
        return TextFlag("no words", "This text contains no word to search for.")
    nowhere = f"{_nobody(casebook, known)} the word{'s' if len(unknown) > 1 else ''} {_named(unknown)}."
    if readable:
        return TextFlag("some unknown", f"{nowhere} The rest was searched for.")
    if (script := _script(text)) is not None:
        return TextFlag("script", f"This text is written in {script}. {nowhere} {_UNDERSTOOD}")
    return TextFlag("unknown", f"{nowhere} {_UNDERSTOOD}")


def _nobody(casebook: Casebook, known: Vocabulary) -> str:
    reads = casebook.manifest.system.reads
    if not known.texts:
        return "The system does not know"
    return f"No {reads} of this casebook has" if known.whole else f"None of {known.texts:,} {reads}s looked at has"


def _named(words: tuple[str, ...]) -> str:
    quoted = ", ".join(f"“{word}”" for word in words[:_NAMED])
    return quoted if len(words) <= _NAMED else f"{quoted} and {len(words) - _NAMED} more"


def _script(text: str) -> str | None:
    """The script most letters are of, where it is not the Latin one."""
    letters = [sign for sign in text if sign.isalpha()]
    counts = Counter(unicodedata.name(sign, "unknown").split()[0] for sign in letters)
    name, count = counts.most_common(1)[0] if counts else ("LATIN", 0)
    if name == "LATIN" or 2 * count <= len(letters):
        return None
    return _SCRIPTS.get(name, f"{name.capitalize()} script")
