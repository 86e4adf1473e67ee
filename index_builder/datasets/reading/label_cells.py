"""Labels as people write them: lists in one cell, columns of 1, 0 and -1, one label in several spellings."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import combinations
from typing import Literal

from index_builder.datasets.reading.rows import Cell, Row
from index_builder.datasets.reading.values import shown

#: What one label of a case is said to be. Unknown is not absent: it is neither trained on nor scored.
State = Literal["present", "absent", "unknown"]
Mark = Literal["present", "absent", "uncertain", "blank"]

#: Alone in a label cell they say that nothing was found.
NO_FINDING = frozenset({"no finding", "no findings", "no_finding", "normal", "0", "0.0"})

#: In a label cell they say that nobody told.
_UNTOLD = frozenset({"", "-", "?", "n/a", "na", "nan", "none", "null", "unknown", "unk", "unlabeled", "unlabelled"})
_UNCERTAIN = frozenset({"-1", "-1.0", "uncertain", "possible", "equivocal", "maybe", "u"})
_PRESENT = frozenset({"1", "1.0", "true", "yes", "y", "x", "positive", "pos", "present"})
_ABSENT = frozenset({"0", "0.0", "false", "no", "n", "negative", "neg", "absent"})

#: A longer list in a cell is no list of labels.
_MAX_LIST_CHARS = 20_000
#: How alike two labels are that may be one, 0 to 1; and how many labels are compared with each other at most.
_ALIKE, _MOST_COMPARED = 0.9, 400


def parse_mark(text: str) -> Mark:
    """What a column of one label says of a case: "1", "yes", "x"; "0", "no"; "-1"; nothing. Else `ValueError`."""
    word = text.strip().casefold()
    if word in _UNTOLD:
        return "blank"
    for words, mark in ((_PRESENT, "present"), (_ABSENT, "absent"), (_UNCERTAIN, "uncertain")):
        if word in words:
            return mark  # type: ignore[return-value]  # each is one of the marks
    raise ValueError(f"{shown(text)} does not say whether the label holds. Write 1, 0 or -1, or leave it empty.")


def label_items(cell: Cell, separator: str) -> tuple[str, ...] | None:
    """Labels of a cell as they are spelled there, each once; None where it says that they are unknown.

    A cell is a list of JSONL or Parquet, a list printed into a text ("['Mass', 'Nodule']"), or labels joined by the
    separator. "-1" is no label, it says that nobody was sure; nor is "0", see `NO_FINDING`.
    """
    if isinstance(cell, tuple):
        parts: Sequence[str] = cell
    else:
        printed = _printed_list(cell)
        parts = cell.split(separator) if printed is None else printed
    if not parts:
        return ()
    names = dict.fromkeys(" ".join(part.split()) for part in parts)
    said = tuple(name for name in names if name.casefold() not in _UNTOLD | _UNCERTAIN)
    return said or None


def _printed_list(text: str) -> list[str] | None:
    """Items of a list that Python, numpy or JSON printed; None where the text is none."""
    if len(text) > _MAX_LIST_CHARS or not (text.startswith(("[", "{")) and text.endswith(("]", "}"))):
        return None
    # numpy prints no commas, and Python would read "'a' 'b'" as one text.
    with_commas = re.sub(r"""(['"])\s+(?=['"])""", r"\1, ", text)
    try:
        value = ast.literal_eval(with_commas)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = [item.strip().strip("'\"") for item in text[1:-1].split(",")]
    return [str(item) for item in value]


class Spellings:
    """One spelling for each label: the most frequent one, of equals the first.

    Attributes:
        folded: Spellings that were given up, each with the one that was kept.
    """

    def __init__(self, rows: Iterable[Row], column: str, separator: str) -> None:
        counts: Counter[str] = Counter()
        for row in rows:
            counts.update(label_items(row.cell(column), separator) or ())
        best: dict[str, str] = {}
        for name in counts:
            kept = best.setdefault(name.casefold(), name)
            if counts[name] > counts[kept]:
                best[name.casefold()] = name
        self._best = best
        self.folded = {name: best[name.casefold()] for name in counts if name != best[name.casefold()]}

    def of(self, name: str) -> str:
        """The spelling that is kept of a label."""
        return self._best.get(name.casefold(), name)


def alike_labels(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of labels that look like one: the same but for punctuation and plural, or for a letter or two."""
    pairs = []
    for first, second in combinations(names[:_MOST_COMPARED], 2):
        one, other = _letters(first), _letters(second)
        if re.findall(r"\d+", first) != re.findall(r"\d+", second) or abs(len(one) - len(other)) > 3:
            continue
        matcher = SequenceMatcher(None, one, other, autojunk=False)
        if one == other or (min(len(one), len(other)) > 5 and _reaches(matcher)):
            pairs.append((first, second))
    return pairs


def _reaches(matcher: SequenceMatcher[str]) -> bool:
    """Whether two texts are alike enough; what is quick to tell first."""
    return matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold()).removesuffix("s")
