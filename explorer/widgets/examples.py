"""Example queries that suit a casebook: texts made of its findings, films of its test split."""

from __future__ import annotations

import numpy as np

from explorer.casebook import Casebook
from explorer.widgets.markup import label_words

_NORMAL = ("Normal", "No Finding", "Stage 0")
_TEXTS = 5
_FILMS = 3


def example_texts(casebook: Casebook) -> list[str]:
    """Three to six short texts, the likeliest pair of findings first, then single ones, common and rare."""
    names, held = casebook.label_names, casebook.label_matrix
    counts = held.sum(0)
    findings = [number for number in np.argsort(-counts, kind="stable") if names[number] not in _NORMAL]
    texts = []
    pairs = held.T.astype(np.int64) @ held
    candidates = [(a, b) for place, a in enumerate(findings) for b in findings[place + 1 :] if pairs[a, b] > 0]
    if candidates:
        first, second = max(candidates, key=lambda pair: pairs[pair])
        texts.append(f"{_words(names[first])} and {_words(names[second])}")
    texts += [_words(names[number]) for number in [*findings[:2], *findings[-2:]]]
    if any(name in names for name in _NORMAL):
        texts.append("no abnormality, lungs clear")
    return list(dict.fromkeys(texts))[: _TEXTS + 1]


def example_films(casebook: Casebook) -> list[str]:
    """Ids of up to three cases of the test split with a film, of different findings where there are."""
    splits = casebook.column("split")
    has_film = casebook.table.column("image").is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(has_film & (splits == "test"))
    if len(rows) == 0:
        rows = np.flatnonzero(has_film)
    chosen: list[str] = []
    seen: set[str] = set()
    # Cases with findings first, so that an example shows something to look for.
    for row in sorted(rows.tolist(), key=lambda row: not set(casebook.labels[row]).difference(_NORMAL)):
        labels = set(casebook.labels[row])
        if chosen and (not labels or labels & seen):
            continue
        seen |= labels
        chosen.append(casebook.case_ids[row])
        if len(chosen) == _FILMS:
            break
    return chosen


def _words(label: str) -> str:
    words = label_words(label)
    return words if words.startswith("Stage") else words.lower()
