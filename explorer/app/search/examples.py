"""Example queries that suit a casebook: texts made of its findings, profiles and films of its test split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from explorer.app.shared.markup import label_words
from explorer.casebook import Casebook
from explorer.search.filters.expression import Filter, matching_rows
from index_builder.cases.case import ProfileValue
from index_builder.cases.table import PROFILE_PREFIX

_NORMAL = ("Normal", "No Finding", "Stage 0")
_TEXTS = 4
_ENOUGH = 3
#: How a report would say it, by label of Open-i, NIH and the dust cohort; most telling first.
_PHRASES = {
    "Cardiomegaly": "enlarged heart",
    "Pleural Effusion": "pleural effusion",
    "Effusion": "pleural effusion",
    "Pneumothorax": "pneumothorax",
    "Nodule or Mass": "lung nodule",
    "Mass": "lung mass",
    "Hyperinflation or Emphysema": "hyperinflated lungs, flat diaphragm",
    "Emphysema": "hyperinflated lungs, flat diaphragm",
    "Airspace Disease": "focal airspace disease",
    "Consolidation": "lobar consolidation",
    "Stage 3": "profuse small rounded opacities",
    "Stage 1": "few small rounded opacities",
}
_FILMS = 3
#: Fields of an example profile: more would not fit a button.
_FIELDS = 5


def example_texts(casebook: Casebook) -> list[str]:
    """Three to six short texts of findings that several cases carry; the first joins two that go together."""
    counts = dict(zip(casebook.label_names, casebook.label_matrix.sum(0).tolist(), strict=True))
    frequent = sorted((label for label in counts if label not in _NORMAL), key=lambda label: -counts[label])
    # Findings with a phrase of their own first, in its order; a casebook of other labels is searched by their names.
    known = [label for label in _PHRASES if counts.get(label, 0) >= _ENOUGH]
    chosen = list(dict.fromkeys([*known, *frequent]))[:_TEXTS]
    phrases = [_PHRASES.get(label, label_words(label).lower()) for label in chosen]
    texts = phrases
    if len(chosen) > 1:
        first, second = (casebook.label_matrix[:, casebook.label_names.index(label)] for label in chosen[:2])
        if (first & second).any():
            texts = [f"{phrases[0]} and {phrases[1]}", *phrases[1:]]
    if any(label in counts for label in _NORMAL):
        texts = [*texts, "heart size normal, lungs clear"]
    return texts


def example_profiles(casebook: Casebook) -> list[dict[str, ProfileValue]]:
    """The most telling fields of up to three cases of the test split, of different findings where there are."""
    names = [field.name for field in casebook.searched_fields]
    usable = np.zeros(len(casebook), bool)
    for name in names:
        usable |= casebook.table.column(PROFILE_PREFIX + name).is_valid().to_numpy(zero_copy_only=False)
    found = []
    for case_id in _different(casebook, usable):
        profile = casebook.case(case_id).profile
        # What a patient has tells more than what he has not.
        known = sorted((name for name in names if name in profile), key=lambda name: profile[name] is False)
        found.append({name: profile[name] for name in known[:_FIELDS]})
    return found


def example_films(casebook: Casebook) -> list[str]:
    """Ids of up to three cases of the test split with a film, of different findings where there are."""
    return _different(casebook, casebook.table.column("image").is_valid().to_numpy(zero_copy_only=False))


def _different(casebook: Casebook, usable: NDArray[np.bool_]) -> list[str]:
    rows = np.flatnonzero(usable & (matching_rows(casebook, [Filter("split", "any", ("test",))])))
    if len(rows) == 0:
        rows = np.flatnonzero(usable)
    chosen: list[str] = []
    seen: set[str] = set()
    # Cases with findings first, so that an example shows something to look for.
    findings = [number for number, name in enumerate(casebook.label_names) if name not in _NORMAL]
    found = np.asarray(casebook.label_matrix[:, findings].any(axis=1), bool)
    for row in rows[np.argsort(~found[rows], kind="stable")]:
        labels = set(casebook.labels[row])
        if chosen and (not labels or labels & seen):
            continue
        seen |= labels
        chosen.append(casebook.case_ids[row])
        if len(chosen) == _FILMS:
            break
    return chosen
