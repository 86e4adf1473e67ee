"""Dry run of a dataset: every problem at once, with counts, before hours are spent on a build."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from index_builder.cases.case import SPLITS, Case, Split
from index_builder.datasets.base import Dataset
from index_builder.datasets.reading.cases import TableDataset
from index_builder.datasets.reading.rows import Problem, ProblemKind, Severity
from index_builder.datasets.reading.values import counted
from index_builder.datasets.unreadable import reason_of
from index_builder.errors import DatasetError, ImagingError

#: Called with films done and films in all, after each.
Progress = Callable[[int, int], None]


#: Errors of a kind that are listed one by one for people.
_ERRORS_SHOWN = 20
#: Kinds of which there may be one a film; what else has no row is about the whole table, and each is told.
_OF_FILMS: tuple[ProblemKind, ...] = ("duplicate film", "text in film", "undecodable film")


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The report of a check: what a dataset holds and what is wrong with it.

    Attributes:
        dataset: Name of the dataset.
        cases: Cases without error.
        patients: Different patients among them.
        films: Films of these cases, laterals included.
        text_only: Cases without a film.
        labels: Cases of each label, in the dataset's order of labels, those without a case included.
        unlabelled: Cases without any label.
        unknown: Cases of which a label is unknown, by label; labels that are known of every case are left out.
        splits: Cases of each split.
        patients_in_several_splits: Patients whose cases are torn apart.
        missing_films: Films named and not there.
        undecodable_films: Films that do not decode; None where not tried.
        duplicate_films: Films whose file is byte by byte that of an earlier one; None where not compared.
        problems: Every problem, of the tables in order of rows, then of the films.
        notes: What the reader made of the table, a sentence each.
    """

    dataset: str
    cases: int
    patients: int
    films: int
    text_only: int
    labels: Mapping[str, int]
    unlabelled: int
    unknown: Mapping[str, int]
    splits: Mapping[Split, int]
    patients_in_several_splits: tuple[str, ...]
    missing_films: int
    undecodable_films: int | None
    duplicate_films: int | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that keep the dataset from being built."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is left out or odd, without keeping the dataset from being built."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether there is nothing but warnings."""
        return not self.errors

    def totals(self) -> dict[ProblemKind, int]:
        """Number of problems of each kind, most frequent first."""
        return dict(Counter(problem.kind for problem in self.problems).most_common())

    def lines(self) -> list[str]:
        """The report for people: what is there, what was made of it, then the problems, see `problem_lines`."""
        undecodable = "" if self.undecodable_films is None else f", {self.undecodable_films} undecodable"
        if self.undecodable_films:
            undecodable += " (build --skip-unreadable goes on without)"
        duplicates = "" if self.duplicate_films is None else f", {self.duplicate_films} duplicates"
        splits = ", ".join(f"{part} {count}" for part, count in self.splits.items())
        labels = ", ".join(f"{label} {count}" for label, count in self.labels.items() if count)
        unknown = ", ".join(f"{label} {count}" for label, count in self.unknown.items())
        return [
            f"{self.dataset}: {self.cases} cases of {self.patients} patients",
            f"films: {self.films}, {self.missing_films} missing{undecodable}{duplicates}; text only: {self.text_only}",
            f"splits: {splits}; patients in several: {len(self.patients_in_several_splits)}",
            f"labels: {labels}; none {self.unlabelled}",
            *([f"unknown: {unknown}"] if unknown else []),
            *(f"note: {note}" for note in self.notes),
            f"problems: {counted(len(self.errors), 'error')}, {counted(len(self.warnings), 'warning')}",
            *(f"  {line}" for line in problem_lines(self.problems)),
        ]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values, each problem with its line of text."""
        return {
            "dataset": self.dataset,
            "ok": self.ok,
            "cases": self.cases,
            "patients": self.patients,
            "films": self.films,
            "text_only": self.text_only,
            "labels": dict(self.labels),
            "unlabelled": self.unlabelled,
            "unknown": dict(self.unknown),
            "splits": dict(self.splits),
            "patients_in_several_splits": list(self.patients_in_several_splits),
            "missing_films": self.missing_films,
            "undecodable_films": self.undecodable_films,
            "duplicate_films": self.duplicate_films,
            "notes": list(self.notes),
            "totals": self.totals(),
            "problems": [
                {
                    "severity": problem.severity,
                    "kind": problem.kind,
                    "file": problem.file,
                    "row": problem.row,
                    "column": problem.column,
                    "message": problem.message,
                }
                for problem in self.problems
            ],
        }


def problem_lines(problems: Iterable[Problem]) -> list[str]:
    """Problems for people: one line for all of a kind in a column, with their number and the first as an example.

    A table of a hundred thousand films, of which one archive was unpacked, would give as many lines else. Errors come
    first, and the first `_ERRORS_SHOWN` of a kind are listed one by one, for each has to be mended.
    """
    groups: dict[tuple[Severity, ProblemKind, str | None, str], list[Problem]] = {}
    for problem in problems:
        alone = problem.message if problem.row is None and problem.kind not in _OF_FILMS else ""
        groups.setdefault((problem.severity, problem.kind, problem.column, alone), []).append(problem)
    lines = []
    for (severity, kind, *_), found in sorted(groups.items(), key=lambda group: group[0][0]):
        shown = _ERRORS_SHOWN if severity == "error" else 1
        if len(found) <= shown:
            lines += [f"{severity}: {problem}" for problem in found]
        elif severity == "error":
            lines += [f"{severity}: {problem}" for problem in found[:shown]]
            lines.append(f"{severity}: {kind}: {len(found) - shown:,} more; --json lists them all")
        else:
            lines.append(f"{severity}: {len(found):,} × {kind}, e.g. {found[0]}")
    return lines


def reader_lines(dataset: Dataset) -> list[str]:
    """What a reader made of its table and what it left out, for whoever builds from it; nothing of other readers."""
    if not isinstance(dataset, TableDataset):
        return []
    warnings = [problem for problem in dataset.problems() if problem.severity == "warning"]
    return [*(f"note: {note}" for note in dataset.notes()), *problem_lines(warnings)]


def check_dataset(
    dataset: Dataset,
    *,
    decode: bool = False,
    duplicates: bool = False,
    text: bool = False,
    progress: Progress | None = None,
) -> CheckReport:
    """Read a dataset as a build would and report every problem.

    A table reader keeps all problems of its one pass; of any other reader the error that `cases` raises is the problem.

    Args:
        dataset: Any reader.
        decode: Also decode every film (some 500 a second at 512 px, fewer at full size).
        duplicates: Also compare the film files by SHA-256. Needs a reader with film files of its own.
        text: Also decode every film and look for text burned into it (some seven a second).
        progress: Told of every film that was decoded or compared.

    Raises:
        DatasetError: `duplicates` for a reader whose films are not files.
    """
    cases, problems = _read(dataset)
    torn = patients_in_several_splits(cases)
    if not isinstance(dataset, TableDataset):
        problems += [
            Problem(
                "patient in two splits", f"patient {patient!r} has cases in more than one split.", dataset.card.name
            )
            for patient in torn
        ]
    films = [(case, film.reference) for case in cases for film in case.films]
    steps = _Steps(len(films) * ((decode or text) + duplicates), progress)
    undecodable = _decoded(dataset, films, steps, text) if decode or text else None
    repeated = _duplicates(dataset, films, steps) if duplicates else None
    problems += (undecodable or []) + (repeated or [])
    label_counts = Counter(label for case in cases for label in case.labels)
    unknown_counts = Counter(label for case in cases for label in case.unknown)
    split_counts = Counter(case.split for case in cases)
    return CheckReport(
        dataset=dataset.card.name,
        cases=len(cases),
        patients=len({case.patient_id for case in cases}),
        films=len(films),
        text_only=sum(case.image is None and not case.other_images for case in cases),
        labels={label: label_counts[label] for label in dataset.label_names},
        unlabelled=sum(not case.labels for case in cases),
        unknown={label: unknown_counts[label] for label in dataset.label_names if unknown_counts[label]},
        splits={split: split_counts[split] for split in SPLITS},
        patients_in_several_splits=torn,
        missing_films=sum(problem.kind == "missing film" for problem in problems),
        undecodable_films=None if undecodable is None else sum(one.severity == "error" for one in undecodable),
        duplicate_films=None if repeated is None else len(repeated),
        problems=tuple(problems),
        notes=dataset.notes() if isinstance(dataset, TableDataset) else (),
    )


def patients_in_several_splits(cases: Iterable[Case]) -> tuple[str, ...]:
    """Patients with cases in more than one split, sorted."""
    splits: defaultdict[str, set[Split]] = defaultdict(set)
    for case in cases:
        splits[case.patient_id].add(case.split)
    return tuple(sorted(patient for patient, found in splits.items() if len(found) > 1))


def _read(dataset: Dataset) -> tuple[Sequence[Case], list[Problem]]:
    """Sound cases and all problems of a dataset."""
    if isinstance(dataset, TableDataset):
        return dataset.reading.cases, list(dataset.problems())
    try:
        return dataset.cases(), []
    except DatasetError as error:
        return (), [Problem("source", str(error), dataset.card.name)]


class _Steps:
    """Counts films over decoding and comparing for one progress bar."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _decoded(dataset: Dataset, films: Sequence[tuple[Case, str]], steps: _Steps, text: bool) -> list[Problem]:
    """Films that do not decode, as errors; malformed ones and, where asked for, those with text, as warnings."""
    from index_builder.imaging.burned_in import find_text

    problems = []
    for case, film in films:
        try:
            decoded = dataset.load_film(film)
            for note in decoded.ignored:
                problems.append(Problem("malformed film", f"{note} (case {case.case_id!r})", film, severity="warning"))
            if text and find_text(decoded.pixels):
                message = f"text seems to be burned in (case {case.case_id!r}). Look whether it names the patient."
                problems.append(Problem("text in film", message, film, severity="warning"))
        except ImagingError as error:
            problems.append(Problem("undecodable film", f"{reason_of(error, film)} (case {case.case_id!r})", film))
        steps.step()
    return problems


def _duplicates(dataset: Dataset, films: Sequence[tuple[Case, str]], steps: _Steps) -> list[Problem]:
    if not isinstance(dataset, TableDataset):
        raise DatasetError(
            f"dataset {dataset.card.name}: its films cannot be compared as files. Check without duplicates."
        )
    first_of: dict[str, Case] = {}
    problems = []
    for case, film in films:
        try:
            with dataset.film_path(film).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ImagingError) as error:
            problems.append(Problem("undecodable film", f"cannot be read ({error}). Check the file.", film))
            steps.step()
            continue
        first = first_of.setdefault(digest, case)
        if first is not case:
            remedy = "Keep one." if case.patient_id == first.patient_id else "Keep one, or give both one patient_id."
            if case.split != first.split:
                remedy = f"One is in {first.split!r}, the other in {case.split!r}: the test would be known. {remedy}"
            message = f"the same film as of case {first.case_id!r} (here case {case.case_id!r}). {remedy}"
            problems.append(Problem("duplicate film", message, film, severity="warning"))
        steps.step()
    return problems
