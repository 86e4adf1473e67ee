"""The de-identified copy of a source: `manifest.jsonl`, `columns.json`, `films/`, as the manifest reader takes them."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from PIL import Image

from index_builder.cases.case import Case, CaseFilm, ProfileValue
from index_builder.datasets.base import Dataset
from index_builder.datasets.own.column_map import CardFields, ColumnMap
from index_builder.datasets.unreadable import reason_of, with_remedy
from index_builder.deidentify.dicom_profile import deidentified_dicom, known_identifiers, read_dicom, text_burned_in
from index_builder.deidentify.pseudonyms import Pseudonyms
from index_builder.deidentify.text import OLDEST, without_identifiers
from index_builder.errors import DatasetError, ImagingError
from index_builder.imaging.burned_in import find_text
from index_builder.imaging.decode import decode_film, read_bytes
from index_builder.imaging.dicom_header import looks_like_dicom
from index_builder.imaging.film import Limits
from index_builder.progress import Progress

#: A value of the profile, other than age and sex, stays where this many patients share it: a name is shared by none.
SHARED_BY = 5
#: A number below this is taken for a measurement and stays; above, for a number of somebody or a year.
_MEASUREMENT = 1000
#: A word in the texts of this many patients is part of the language, not of somebody's file name.
_COMMON_WORD = 3
_LIMITS = Limits()

COLUMNS = "columns.json"


class _FilmFiles(Protocol):
    """A reader whose films are files."""

    def film_path(self, reference: str) -> Path:
        """File of a film."""
        ...


@dataclass(slots=True)
class CopyReport:
    """The report of a copy: what was copied and what was left out.

    Attributes:
        out: The copy's folder.
        cases: Cases in it.
        films: Films in it.
        left_out: Films that their header says name the patient in the picture, by the case's pseudonym.
        unreadable: Films left out since they cannot be read, each with the reason, by their paths in the source.
        with_text: Films in the copy in which text seems to be burned in, by the case's pseudonym: to be looked at.
    """

    out: Path
    cases: int = 0
    films: int = 0
    left_out: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    with_text: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report as lines for people."""
        found = [f"{self.out}: {self.cases} cases, {self.films} films, de-identified"]
        if self.left_out:
            found.append(f"  left out, since their header says that text is burned in: {_named(self.left_out)}")
        if self.unreadable:
            found.append(f"  left out, since they cannot be read: {len(self.unreadable):,} films")
            found += [f"    {one}" for one in self.unreadable]
        if self.with_text:
            found.append(f"  look at these, text seems to be burned in: {_named(self.with_text)}")
        found.append("  Names that no header and no column gives may still be in reports: read them before you share.")
        return found


def write_deidentified(
    dataset: Dataset,
    cases: Sequence[Case],
    out: Path,
    pseudonyms: Pseudonyms,
    progress: Progress,
    *,
    replace: bool = False,
    skip_unreadable: bool = False,
) -> CopyReport:
    """Write a copy of a source's cases that names nobody.

    Case, patient and film get pseudonyms; DICOM films go through the basic profile of PS3.15, other films are written
    again from their pixels as PNG; reports, codes and profiles lose known identifiers and what has the form of one.

    Args:
        dataset: A source with films as files.
        cases: Which of its cases, in order.
        out: Folder of the copy; takes its place when complete.
        pseudonyms: Pseudonyms of one key.
        progress: Told of films.
        replace: Whether an earlier copy at `out` may be replaced.
        skip_unreadable: Leave out films that cannot be read, and cases of which nothing else is left.

    Raises:
        DatasetError: A phantom, something lies at `out` that may not be replaced, or no case is left.
        ImagingError: A film cannot be read.
    """
    if dataset.card.synthetic or not hasattr(dataset, "film_path"):
        raise DatasetError(f"{dataset.card.name} is drawn, not read: it names nobody. Leave out --deidentify.")
    if out.exists() and not (replace and (out / COLUMNS).is_file()):
        raise DatasetError(
            f"{out}: exists. Build from it (--dataset manifest --root {out}), add --replace, or choose another --out."
        )
    folder = out.with_name(f".{out.name}.writing")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "films").mkdir(parents=True)
    copier = _Copier(dataset, folder, pseudonyms, CopyReport(out), cases, skip_unreadable)
    total = sum(len(case.films) for case in cases)
    by_patient: dict[str, list[Case]] = {}
    for case in cases:
        by_patient.setdefault(case.patient_id, []).append(case)
    rows: dict[str, dict[str, Any]] = {}
    for own in by_patient.values():
        for case, row in zip(own, copier.patient(own), strict=True):
            if row is not None:
                rows[case.case_id] = row
        progress("De-identifying films", copier.seen, total)
    ordered = [rows[case.case_id] for case in cases if case.case_id in rows]
    if not ordered:
        found = [*copier.report.unreadable, f"{len(copier.report.left_out):,} films with text burned in"]
        raise DatasetError(f"{dataset.card.name}: no case is left to copy. Left out: {found[0]}")
    _write_table(folder, dataset, ordered)
    copier.report.cases = len(ordered)
    if out.exists():
        shutil.rmtree(out)
    folder.rename(out)
    return copier.report


class _Copier:
    """Copies patient by patient: what one film's header names is looked for in all reports of that patient."""

    def __init__(
        self,
        dataset: Dataset,
        folder: Path,
        pseudonyms: Pseudonyms,
        report: CopyReport,
        cases: Sequence[Case],
        skip_unreadable: bool,
    ) -> None:
        self.report = report
        self.seen = 0
        self._files: _FilmFiles = dataset  # type: ignore[assignment]  # looked at by `write_deidentified`
        self._folder = folder
        self._skip_unreadable = skip_unreadable
        self._pseudonyms = pseudonyms
        self._shared = _shared_values(cases)
        self._language = _language(cases)
        #: Numbers of all patients and cases, which may stand in anybody's report.
        self._numbers = {
            one for case in cases for one in (case.case_id, case.patient_id) if len(one) > 3 and _has_digit(one)
        }

    def patient(self, cases: Sequence[Case]) -> list[dict[str, Any] | None]:
        """Rows of one patient's cases; None where nothing of a case is left."""
        patient = self._pseudonyms.name("patient", cases[0].patient_id)
        known = {word for case in cases for word in self._words_of_ids(case)}
        films: list[list[CaseFilm]] = []
        for case in cases:
            films.append([])
            for film in case.films:
                written, identifiers = self._film(film.reference, patient, self._pseudonyms.name("case", case.case_id))
                known |= identifiers
                films[-1] += [] if written is None else [CaseFilm(written, film.view)]
        return [self._row(case, patient, own, known) for case, own in zip(cases, films, strict=True)]

    def _words_of_ids(self, case: Case) -> set[str]:
        """Ids whole, and those of their words, and of the words of file names, that are no common language."""
        ids = [case.case_id, case.patient_id, *(PurePosixPath(one.reference).stem for one in case.films)]
        words = {word for one in ids for word in re.findall(r"[^\W\d_]{3,}", one)}
        return {one for one in ids if len(one) > 3} | {word for word in words if word.casefold() not in self._language}

    def _film(self, reference: str, patient: str, case: str) -> tuple[str | None, frozenset[str]]:
        """Copy a film; gives its new reference, None where it is left out, and what its header names."""
        self.seen += 1
        name, identifiers = self._pseudonyms.name("film", reference), frozenset[str]()
        try:
            data = read_bytes(self._files.film_path(reference), reference, _LIMITS)
            header = read_dicom(data, reference) if looks_like_dicom(data) else None
            if header is not None:
                identifiers = known_identifiers(header)
            pixels = decode_film(data, name=reference, limits=_LIMITS).pixels
            if header is None:
                new = f"films/{name}.png"
                _write_png(pixels, self._folder / new)
            elif text_burned_in(header):
                self.report.left_out.append(case)
                return None, identifiers
            else:
                new = f"films/{name}.dcm"
                (self._folder / new).write_bytes(deidentified_dicom(header, reference, patient, self._pseudonyms))
        except ImagingError as error:
            if not self._skip_unreadable:
                raise with_remedy(error) from error
            self.report.unreadable.append(f"{reference}: {reason_of(error, reference)}")
            return None, identifiers
        if find_text(pixels):
            self.report.with_text.append(case)
        self.report.films += 1
        return new, identifiers

    def _row(self, case: Case, patient: str, films: list[CaseFilm], known: set[str]) -> dict[str, Any] | None:
        sections = {name: self._clean(text, known) for name, text in case.sections.items()}
        sections = {name: text for name, text in sections.items() if text}
        if not films and not sections:
            return None
        row: dict[str, Any] = {
            "_case": self._pseudonyms.name("case", case.case_id),
            "_patient": patient,
            "_split": case.split,
            "_view": (films[0].view if films else None) or "",
            "_image": films[0].reference if films else "",
            "_other_images": [film.reference for film in films[1:]],
            "_other_views": [film.view or "unknown" for film in films[1:]],
            "_codes": [self._clean(code, known) for code in case.codes],
            "_synthetic": int(case.synthetic),
        }
        row |= {f"_section {name}": text for name, text in sections.items()}
        row |= dict.fromkeys(case.labels, 1) | dict.fromkeys(case.unknown)
        for name, value in case.profile.items():
            if (kept := self._profile_value(name, value, known)) is not None:
                row[f"_profile {name}"] = kept
        return row

    def _clean(self, text: str, known: set[str]) -> str:
        foreign = {word for word in re.findall(r"[\w.^-]+", text) if word.strip(".") in self._numbers}
        return without_identifiers(text, known | foreign)

    def _profile_value(self, name: str, value: ProfileValue, known: set[str]) -> ProfileValue | None:
        if name == "age" and isinstance(value, int | float):
            return min(value, OLDEST)
        if name == "sex" or isinstance(value, bool):
            return value
        if (isinstance(value, str) or abs(value) >= _MEASUREMENT) and (name, value) not in self._shared:
            return None
        return self._clean(value, known) if isinstance(value, str) else value


def _shared_values(cases: Iterable[Case]) -> set[tuple[str, ProfileValue]]:
    """Profile values that at least `SHARED_BY` patients have."""
    patients: defaultdict[tuple[str, ProfileValue], set[str]] = defaultdict(set)
    for case in cases:
        for item in case.profile.items():
            patients[item].add(case.patient_id)
    return {item for item, whose in patients.items() if len(whose) >= SHARED_BY}


def _language(cases: Iterable[Case]) -> set[str]:
    """Words that the labels have, or the texts of at least `_COMMON_WORD` patients."""
    of_patient: defaultdict[str, set[str]] = defaultdict(set)
    labels: set[str] = set()
    for case in cases:
        text = " ".join(case.sections.values()).casefold()
        of_patient[case.patient_id].update(re.findall(r"[^\W\d_]{3,}", text))
        labels.update(word.casefold() for label in case.labels for word in re.findall(r"[^\W\d_]{3,}", label))
    counts = Counter(word for words in of_patient.values() for word in words)
    return labels | {word for word, count in counts.items() if count >= _COMMON_WORD}


def _write_png(pixels: np.ndarray, path: Path) -> None:
    """Grey PNG with no metadata, of 8 bits where that holds every value, else 16."""
    eight = np.rint(pixels * 255)
    if np.abs(eight / 255 - pixels).max() < 1e-5:
        Image.fromarray(eight.astype(np.uint8)).save(path, "PNG")
    else:
        Image.fromarray(np.rint(pixels * 65535).astype(np.uint16)).save(path, "PNG")


def _write_table(folder: Path, dataset: Dataset, rows: Sequence[Mapping[str, Any]]) -> None:
    """The manifest and its column map; labels have columns of their own, so that each keeps its name and place."""
    labels = list(dataset.label_names)
    present = {name for row in rows for name in row}
    card = dataset.card
    columns = ColumnMap(
        case_id="_case",
        patient_id="_patient",
        image="_image",
        other_images=["_other_images"],
        other_views=["_other_views"],
        split="_split",
        view="_view",
        codes="_codes",
        synthetic="_synthetic",
        sections=_fields("_section ", present),
        label_columns=labels,
        label_kind=card.label_kind,
        profile=_fields("_profile ", present),
        card=CardFields(
            name=card.name,
            title=card.title,
            description=f"{card.description} De-identified before indexing.".strip(),
            citation=card.citation,
            licence=card.licence,
            source=card.source,
            label_definition=card.label_definition,
        ),
    )
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps({**dict.fromkeys(labels, 0), **row}, ensure_ascii=False) + "\n")
    (folder / COLUMNS).write_text(columns.model_dump_json(indent=2, exclude_defaults=True) + "\n", "utf-8")


def _fields(prefix: str, present: Iterable[str]) -> dict[str, str]:
    return {name.removeprefix(prefix): name for name in sorted(present) if name.startswith(prefix)}


def _named(cases: Sequence[str], most: int = 20) -> str:
    more = f" and {len(cases) - most} more" if len(cases) > most else ""
    return ", ".join(cases[:most]) + more


def _has_digit(text: str) -> bool:
    return any(sign.isdigit() for sign in text)
