"""All checks of a casebook's data, each finding with the cases it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from explorer.casebook import Casebook
from explorer.cases.labelled import LABELS_UNKNOWN
from explorer.charts.cases_behind import CaseList, JudgedCase
from explorer.charts.chart import words
from explorer.charts.measured import reading_words
from explorer.quality.balance import (
    NO_LABEL,
    cases_of_part,
    label_balance,
    lacks,
    missing_fields,
    parts_of,
    view_balance,
)
from explorer.quality.copies import Pair, film_copies, report_copies, shared_patients
from explorer.quality.drift import Drift, drifts
from explorer.quality.label_errors import suspects
from index_builder.cases.space import Space
from index_builder.disclaimer import DISCLAIMER
from index_builder.progress import Progress

#: "problem": figures on these data mislead; "look": worth a look; "fine": nothing was found.
Level = Literal["problem", "look", "fine"]

#: A part with fewer cases of a label says little of it.
FEW = 10
#: A field that is missing more often than this in one part than in another is told.
_GAP = 0.1


@dataclass(frozen=True, slots=True)
class Finding:
    """Outcome of one check.

    Attributes:
        key: Short name of the check.
        level: How bad it is.
        title: In a few words, with the number of cases.
        text: What was looked at and how, and what to make of it.
        cases: What it is about; empty where it is about no single case.
    """

    key: str
    level: Level
    title: str
    text: str
    cases: CaseList


@dataclass(frozen=True, slots=True)
class Quality:
    """Everything the checks found.

    Attributes:
        casebook: Its name.
        synthetic: Whether its films are.
        findings: One per check.
        labels: Cases of each label by part, see `balance.label_balance`.
        views: The same of views.
        missing: The same of what cases lack.
        drifts: Every comparison with the training part.
    """

    casebook: str
    synthetic: bool
    findings: list[Finding]
    labels: pd.DataFrame
    views: pd.DataFrame
    missing: pd.DataFrame
    drifts: list[Drift]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "casebook": self.casebook,
            "synthetic": self.synthetic,
            "findings": [asdict(one) for one in self.findings],
            # JSON has no NaN: where a label is known of no case of a part, there is no share.
            "labels": self.labels.astype(object).where(self.labels.notna(), None).to_dict("records"),
            "views": self.views.to_dict("records"),
            "missing": self.missing.to_dict("records"),
            "drifts": [asdict(one) for one in self.drifts],
            "disclaimer": DISCLAIMER,
        }


def check_quality(casebook: Casebook, progress: Progress) -> Quality:
    """Run all checks; seconds for a thousand cases, minutes for a hundred thousand.

    Args:
        casebook: Read, not changed.
        progress: Called with the check, what is done and what there is to do.
    """
    labels, views, missing = label_balance(casebook), view_balance(casebook), missing_fields(casebook)
    copies = film_copies(casebook, lambda done, of: progress("Comparing films", done, of))
    progress("Comparing parts", 0, 1)
    found = drifts(casebook, _space(casebook, ("image", "joint", "text")))
    findings = [
        _label_errors(casebook, lambda done, of: progress("Looking for label errors", done, of)),
        _pairs(
            casebook, "film copies", copies, "problem",
            ("No film of one part is copied in another", "films of one part are copies of another's"),
            "These thumbnails correlate above 0.99. A test film that was trained on makes every figure too good.",
        ),
        _pairs(
            casebook, "patients", shared_patients(casebook), "problem",
            ("No patient has cases in two parts", "patients have cases in two parts"),
            "Compared by patient id. What the system learnt about a patient helps it with the patient's test film.",
        ),
        _pairs(
            casebook, "report copies", report_copies(casebook), "look",
            ("No report occurs in two parts", "reports occur in two parts"),
            "These reports have eight words or more and differ only in case and punctuation. Standard phrases may be "
            "copied "
            "without harm; long reports of one patient may not.",
        ),
        _few(casebook, labels),
        _gaps(casebook, missing),
        _drifted(casebook, found),
    ]  # fmt: skip
    manifest = casebook.manifest
    return Quality(casebook.name, manifest.dataset.synthetic, findings, labels, views, missing, found)


def _label_errors(casebook: Casebook, progress: Callable[[int, int], None]) -> Finding:
    both = {"image", "text"} <= set(casebook.spaces)
    space = _space(casebook, ("joint",) if both else ("text", "image"))
    if space is None or not casebook.label_names:
        return Finding("label errors", "look", "Label errors not looked for", "There are no labels.", CaseList("", []))
    rows = np.flatnonzero(casebook.has_vector(space))
    found, not_judged = suspects(
        casebook.vectors(space)[rows].astype(np.float32),
        casebook.label_matrix[rows],
        casebook.label_names,
        casebook.column("patient_id")[rows],
        progress,
        casebook.known_matrix[rows],
    )
    reads = casebook.manifest.system.reads
    doubts: dict[str, list[str]] = {}
    for one in found:
        said = f"{words(one.label)} {'given' if one.given else 'not given'}, probability {one.probability:.2f}"
        doubts.setdefault(casebook.case_ids[rows[one.row]], []).append(said)
    cases = [JudgedCase(case_id, "; ".join(said), True) for case_id, said in doubts.items()]
    text = (
        f"Confident learning (Northcutt et al., 2021) on the vectors of {reading_words(space, reads)}: logistic "
        "regressions that saw no case of the patient contradict the label. These are suspects, not errors: a rare but "
        "true finding is suspected too, and vectors of a system trained on these very labels hide errors it learnt."
    )
    if not_judged:
        text += f" Not judged: {', '.join(f'{words(label)} ({reason})' for label, reason in not_judged.items())}."
    title = f"{_count(len(cases), 'case')} with a doubtful label" if cases else "No doubtful labels"
    return Finding("label errors", "look" if cases else "fine", title, text, CaseList("Doubtful labels", cases))


def _pairs(
    casebook: Casebook, key: str, pairs: Sequence[Pair], level: Level, titles: tuple[str, str], text: str
) -> Finding:
    """A finding about pairs; its titles for none and for some."""
    none, some = titles
    if len(parts_of(casebook)) < 2:
        return Finding(key, "fine", none, "There is only one part.", CaseList("", []))
    splits, cases = casebook.column("split"), []
    for pair in pairs:
        first, second = casebook.case_ids[pair.first], casebook.case_ids[pair.second]
        alike = "" if pair.likeness is None else f", correlation {pair.likeness:.4f}"
        cases += [
            JudgedCase(second, f"{splits[pair.second]}; the same as {first}{alike}", True),
            JudgedCase(first, f"{splits[pair.first]}; the same as {second}{alike}", True),
        ]
    title = f"{len(pairs):,} {some}" if pairs else none
    return Finding(key, level if pairs else "fine", title, text, CaseList(title, cases))


def _few(casebook: Casebook, labels: pd.DataFrame) -> Finding:
    few = labels[
        ~labels["label"].isin((NO_LABEL, LABELS_UNKNOWN)) & (labels["cases"] < FEW) & (labels["part"] != "train")
    ]
    text = f"A part with fewer than {FEW} cases of a label says little about it."
    if not len(few):
        return Finding("class balance", "fine", "Every part has cases of every label", text, CaseList("", []))
    told, cases = [], []
    for part, rows in few.groupby("part", sort=False):
        counts = list(zip(rows["label"], rows["cases"], strict=True))
        told.append(f"In {part}: " + ", ".join(f"{words(label)} {count}" for label, count in counts))
        for label, count in counts:
            rare = cases_of_part(casebook, ["part", label, str(part)]).cases
            cases += [JudgedCase(one.case_id, f"{words(label)}: one of {count} in {part}", False) for one in rare]
    title = f"{_count(few['label'].nunique(), 'label')} with few cases in a part"
    return Finding("class balance", "look", title, f"{text} {'. '.join(told)}.", CaseList("Rare in their part", cases))


def _gaps(casebook: Casebook, missing: pd.DataFrame) -> Finding:
    uneven: list[str] = []
    even: list[str] = []
    for field, rows in missing.groupby("field", sort=False):
        if rows["cases"].sum():
            shares = ", ".join(f"{row.share:.1%} of {row.part}".replace("%", " %") for row in rows.itertuples())
            differs = rows["share"].max() - rows["share"].min() > _GAP
            (uneven if differs else even).append(f"{str(field).replace('_', ' ')}: {shares}")
    lacking = {field.replace("_", " "): held for field, held in lacks(casebook).items()}
    cases = [
        JudgedCase(case_id, "no " + ", no ".join(absent), False)
        for row, case_id in enumerate(casebook.case_ids)
        if (absent := [field for field, held in lacking.items() if held[row]])
    ]
    text = "If parts differ by more than a tenth, a figure may reflect the gap and not the film."
    text += f" They do in {'; '.join(uneven)}." if uneven else ""
    text += f" Missing about as often in each part: {'; '.join(even)}." if even else ""
    fields = _count(len(uneven) + len(even), "field")
    spread = f"{len(uneven)} of them unevenly spread" if uneven else "evenly spread"
    has = "has" if len(uneven) + len(even) == 1 else "have"
    title = f"{fields} {has} gaps, {spread}" if uneven or even else "No field is missing anywhere"
    return Finding("missing fields", "look" if uneven else "fine", title, text, CaseList("Something is missing", cases))


def _drifted(casebook: Casebook, found: Sequence[Drift]) -> Finding:
    differing = [one for one in found if one.differs]
    text = (
        "Labels, views, profile fields and vectors of validation and test parts against the training part; p values "
        "adjusted for the number of tests. Vectors of a system trained on the training part may differ for that "
        "reason alone."
    )
    told = "; ".join(f"{one.part}, {words(one.what)}: {one.effect}" for one in differing)
    if not found:
        text = "There is no training part beside others."
        return Finding("drift", "fine", "No parts to compare", text, CaseList("", []))
    cases = [
        JudgedCase(casebook.case_ids[row], f"{one.part}, {words(one.what)}", False)
        for one in differing
        for row in one.rows
    ]
    title = f"{len(differing)} of {len(found)} comparisons differ" if differing else "No drift between parts was found"
    return Finding(
        "drift", "look" if differing else "fine", title, f"{text} {told}".strip(), CaseList("Show the drift", cases)
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _space(casebook: Casebook, preferred: Sequence[Space]) -> Space | None:
    return next((space for space in preferred if space in casebook.spaces), None)
