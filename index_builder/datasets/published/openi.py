"""Open-i: the Indiana University chest X-ray collection, 3,955 reports with 7,470 films."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from index_builder.cases.case import Case, ProfileValue
from index_builder.cases.labels import OPENI_LABELS, openi_labels
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.published.openi_reports import (
    REPORTS_ARCHIVE,
    REPORTS_FOLDER,
    Report,
    normalised_text,
    read_reports,
)
from index_builder.datasets.reading.film_tree import walk
from index_builder.datasets.reading.splits import split_of
from index_builder.errors import DatasetError, ImagingError
from index_builder.resources import packaged

if TYPE_CHECKING:
    from index_builder.imaging import Film

METADATA_FILE = "nlmcxr_dicom_metadata.csv.gz"
CLUSTERED_VIEWS_FILE = "nlmcxr_tsne_pa.csv.gz"


#: Best first: DICOM has the full depth and the window of the exposure, the published PNG are 8 bit and reduced, and
#: JPEG copies have lost detail.
_FILM_SUFFIXES = (".dcm", ".png", ".jpg", ".jpeg")
_METADATA_COLUMNS = (
    "imageid",
    "View Position",
    "Patient Orientation",
    "Postprocessing Function",
    "Patient's Birth Date",
    "Study Date",
)
_FILM_NAME = re.compile(r"(?:cxr)?([0-9]{1,9})_(?:1_)?(im-[0-9-]+)", re.IGNORECASE)
_LATERAL = re.compile(r"\blat(?:eral)?s?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _FilmRecord:
    """What the packaged metadata says of one film. `frontal` is None where the sources leave it open."""

    position: str = ""
    frontal: bool | None = None
    age: int | None = None


class OpenI:
    """Reader of the Open-i chest X-ray collection (Indiana University, National Library of Medicine).

    Reports come, in this order, from `reports`, from `root` (folder `ecgen-radiology` or
    `NLMCXR_reports.tgz`), or from the copy inside the installed torchxrayvision package, so that the text
    side works with no download. Films are DICOM, PNG or JPEG files anywhere under `root`, named as in
    NLMCXR_png.tgz (`CXR1_1_IM-0001-4001.png`) or NLMCXR_dcm.tgz (`1/1_IM-0001-4001.dcm`); of a film present
    in several forms the DICOM file is used, else the PNG. Reports without a film are text-only cases.

    Primary film: the frontal one. The DICOM attribute View Position alone misleads: of the 2,174 films it
    calls PA and whose view is also known from clustering (by the authors of torchxrayvision, packaged
    there), 180 are laterals exposed under the frontal preset. So a film is lateral when any of clustering,
    position, patient orientation or post-processing says so; confirmed frontal films come first, then open
    ones, then laterals.

    Further films: of the second of two films beside a frontal one the headers mostly name no view or the frontal
    preset. Where the caption names a lateral, it is taken for that: of the 654 such films whose view the headers tell,
    652 are laterals. Other further films whose view only a preset names count as unknown.

    Patients: the collection has no patient ids; every report counts as its own patient. What could leak
    between splits is text, because many normal reports read alike: equal report texts share a split.

    Age is the span from birth to study date in the DICOM headers. De-identification shifted both dates but
    kept their distance: it equals the age in all eight reports that spell one out. Sex is not published.

    Source: https://openi.nlm.nih.gov/faq
    Citation: Demner-Fushman D. et al. Preparing a collection of radiology examinations for distribution and
    retrieval. J Am Med Inform Assoc 2016;23(2):304-310. doi:10.1093/jamia/ocv080
    """

    card = DatasetCard(
        name="openi",
        title="Open-i (Indiana University chest X-rays)",
        description="3,955 de-identified radiology reports with 7,470 frontal and lateral films of several "
        "hospital systems, coded by hand with MeSH terms. XXXX marks what de-identification removed.",
        citation="Demner-Fushman D, Kohli MD, Rosenman MB, et al. Preparing a collection of radiology "
        "examinations for distribution and retrieval. J Am Med Inform Assoc 2016;23(2):304-310. "
        "doi:10.1093/jamia/ocv080",
        licence="CC BY-NC-ND 4.0 (as stated in every report file)",
        source="https://openi.nlm.nih.gov/faq",
        label_definition="22 classes derived from the MeSH major terms, which human coders assigned from the "
        "report; see docs/reference/openi-labels.md. A report without indexing has no class.",
    )
    label_names = OPENI_LABELS

    def __init__(self, root: Path | None = None, reports: Path | None = None) -> None:
        """Locate reports and films; reads file names only.

        Args:
            root: Folder with films, and perhaps the reports. None: reports only.
            reports: Folder of report XML files, or `NLMCXR_reports.tgz`, where they are not in `root`.

        Raises:
            DatasetError: A folder or file is missing, or `root` holds neither films nor reports.
        """
        self.root = None if root is None else Path(root)
        if self.root is not None and not self.root.is_dir():
            raise DatasetError(
                f"Open-i folder {self.root} does not exist. Give the folder that holds the films, or "
                "download them with `cxr-explorer fetch openi`."
            )
        self._metadata_folder = _packaged_data()
        self._films = {} if self.root is None else _find_films(self.root)
        self.reports = self._locate_reports(reports)
        self._cases: tuple[Case, ...] | None = None
        self._automatic: dict[str, tuple[str, ...]] = {}

    def cases(self) -> Sequence[Case]:
        """One case per report in the order of report numbers; read once, then kept.

        Raises:
            DatasetError: A report or metadata file is malformed, too large or there twice; it is named.
        """
        if self._cases is None:
            metadata = _read_metadata(self._metadata_folder)
            reports = sorted(read_reports(self.reports), key=lambda report: int(report.report_id[3:]))
            for earlier, later in pairwise(reports):
                if earlier.report_id == later.report_id:
                    raise DatasetError(
                        f"{self.reports} holds report {later.report_id} twice. Remove one of the two files."
                    )
            self._automatic = {report.report_id: report.automatic for report in reports}
            self._cases = tuple(self._case(report, metadata) for report in reports)
        return self._cases

    def automatic_terms(self, case_id: str) -> tuple[str, ...]:
        """Terms that a text extractor found in a report; not used for labels, for comparison only.

        Raises:
            DatasetError: No such case.
        """
        self.cases()
        if case_id not in self._automatic:
            raise DatasetError(f"Open-i has no case {case_id!r}. Case ids look like CXR1.")
        return self._automatic[case_id]

    def load_film(self, reference: str) -> Film:
        """Decode one film, upright (`openi_turned`).

        Raises as `film_path`, and `ImagingError` for a film that cannot be decoded.
        """
        from index_builder.datasets.published.openi_turned import hung_upright
        from index_builder.imaging import read_film

        path = self.film_path(reference)
        return hung_upright(read_film(path, name=reference), film_key(path.stem.removesuffix(".dcm")))

    def film_path(self, reference: str) -> Path:
        """File of a film.

        Args:
            reference: As in `Case.image`: the path below `root`, with forward slashes.

        Raises:
            ImagingError: There is no film folder, or the film lies outside it.
        """
        if self.root is None:
            raise ImagingError(
                f"Film {reference} cannot be read: the dataset was opened without a film folder. Give the folder."
            )
        path = self.root / reference
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ImagingError(f"Film {reference} lies outside {self.root}. Rebuild the casebook from this folder.")
        return path

    def _locate_reports(self, reports: Path | None) -> Path:
        if reports is not None:
            if not Path(reports).exists():
                raise DatasetError(f"Open-i reports {reports} do not exist. Give the XML folder or {REPORTS_ARCHIVE}.")
            return Path(reports)
        if self.root is not None:
            for name in (REPORTS_FOLDER, REPORTS_ARCHIVE):
                if (self.root / name).exists():
                    return self.root / name
            if not self._films:
                raise DatasetError(
                    f"{self.root} holds neither reports nor a film named like CXR1_1_IM-0001-4001.png or "
                    "1_IM-0001-4001.dcm. Unpack NLMCXR_png.tgz or NLMCXR_dcm.tgz there, or run "
                    "`cxr-explorer fetch openi`."
                )
        return self._metadata_folder / REPORTS_ARCHIVE

    def _case(self, report: Report, metadata: Mapping[str, _FilmRecord]) -> Case:
        records = [(film, metadata.get(film_key(film), _FilmRecord())) for film in report.films]
        ages = [record.age for _, record in records if record.age is not None]
        profile: dict[str, ProfileValue] = {"age": ages[0]} if ages else {}
        present = [(self._films[key], record) for film, record in records if (key := film_key(film)) in self._films]
        present.sort(key=lambda item: _view_rank(item[1]))  # stable: published order among equals
        group = normalised_text(report.sections) or report.report_id
        return Case(
            case_id=report.report_id,
            patient_id=report.report_id,
            split=split_of(group, salt=self.card.name),
            labels=openi_labels(report.major),
            image=present[0][0] if present else None,
            other_images=tuple(path for path, _ in present[1:]),
            view=_view(present[0][1], report.caption) if present else None,
            other_views=_further_views([record for _, record in present], report.caption),
            sections=report.sections,
            profile=profile,
            codes=report.major,
        )


def films_by_report(reports: Path) -> dict[str, tuple[str, ...]]:
    """Names of the films that each report lists, by report id; of a reports folder or archive.

    Raises:
        DatasetError: A report file is malformed or too large.
    """
    return {report.report_id: report.films for report in read_reports(reports)}


def _packaged_data() -> Path:
    """Data folder of the installed torchxrayvision, which carries the reports and views of Open-i."""
    for name in (REPORTS_ARCHIVE, METADATA_FILE, CLUSTERED_VIEWS_FILE):
        packaged("torchxrayvision", "data", name)
    return packaged("torchxrayvision", "data")


def film_key(name: str) -> str:
    """Common key of one film's names in reports, metadata and both archives; "" when it is no Open-i name.

    "CXR1_1_IM-0001-4001", "CXR1_IM-0001-4001" and "1_IM-0001-4001" are the same film.
    """
    match = _FILM_NAME.fullmatch(name)
    return f"{int(match[1])}_{match[2].upper()}" if match else ""


def _find_films(root: Path) -> dict[str, str]:
    """Film key -> path below `root` (forward slashes), of every film file at any depth."""
    found: dict[str, tuple[int, str]] = {}
    for folder, folders, names in walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            suffix = path.suffix.lower()
            if suffix not in _FILM_SUFFIXES:
                continue
            key = film_key(path.stem.removesuffix(".dcm"))  # some copies are named 1_IM-0001-4001.dcm.png
            if not key:
                continue
            rank = _FILM_SUFFIXES.index(suffix)
            if key not in found or rank < found[key][0]:
                found[key] = rank, path.relative_to(root).as_posix()
    return {key: path for key, (_, path) in found.items()}


def _read_metadata(folder: Path) -> dict[str, _FilmRecord]:
    clustered = {
        film_key(row["imageid"]): row["tsne-view"]
        for row in _rows(folder / CLUSTERED_VIEWS_FILE, ("imageid", "tsne-view"))
    }
    # a few clustered films have no DICOM header in the package
    records = {key: _FilmRecord(frontal=view == "PA") for key, view in clustered.items()}
    for row in _rows(folder / METADATA_FILE, _METADATA_COLUMNS):
        key = film_key(row["imageid"])
        position = row["View Position"].strip().upper()
        records[key] = _FilmRecord(
            position if position in ("PA", "AP") else "",
            _frontal(row, position, clustered.get(key, "")),
            _age(row["Patient's Birth Date"], row["Study Date"]),
        )
    return records


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            reader = csv.reader(lines)
            header = next(reader, [])
            missing = [column for column in columns if column not in header]
            if missing:
                raise DatasetError(f"{path} lacks the column {missing[0]!r}. Reinstall torchxrayvision.")
            places = [header.index(column) for column in columns]
            for values in reader:
                yield {column: values[place] for column, place in zip(columns, places, strict=True)}
    except (OSError, EOFError, csv.Error, UnicodeDecodeError, IndexError) as error:
        raise DatasetError(f"{path} cannot be read: {error}. Reinstall torchxrayvision.") from error


def _frontal(row: Mapping[str, str], position: str, clustered: str) -> bool | None:
    """Whether a film is frontal; None where no source says.

    A patient orientation that starts with A or P has rows along the front-back axis: a lateral film.
    """
    processing = row["Postprocessing Function"].lower()
    if position in ("LL", "RL", "LATERAL", "LARGE LATERAL") or "lat" in processing or clustered == "L":
        return False
    if row["Patient Orientation"].startswith(("['A'", "['P'")):
        return False
    return True if clustered == "PA" or processing else None


def _age(birth: str, study: str) -> int | None:
    """Completed years from two DICOM dates (YYYYMMDD), or None where one is missing or impossible."""
    try:
        born, seen = (date(int(day[:4]), int(day[4:6]), int(day[6:8])) for day in (birth, study))
    except ValueError:
        return None
    years = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return years if 0 <= years <= 120 else None


def _view_rank(record: _FilmRecord) -> tuple[int, int]:
    """Known frontal, then unknown, then lateral; within these PA, AP, unnamed."""
    certainty = {True: 0, None: 1, False: 2}[record.frontal]
    return certainty, {"PA": 0, "AP": 1}.get(record.position, 2)


def _view(record: _FilmRecord, caption: str) -> str | None:
    """View of a film; where the header names none, a frontal film takes what the caption names."""
    if record.frontal is False:
        return "LATERAL"
    if record.position:
        return record.position
    named = set(re.findall(r"\b(?:PA|AP)\b", caption.upper()))
    return named.pop() if len(named) == 1 else None


def _further_views(records: Sequence[_FilmRecord], caption: str) -> tuple[str | None, ...]:
    """Views of the films beside the first of a study; unknown where a preset alone names one, see `OpenI`."""
    named = _LATERAL.search(caption) is not None
    if len(records) == 2 and named and records[0].frontal and records[1].frontal is None:
        return ("LATERAL",)
    return tuple(None if record.frontal is None else _view(record, caption) for record in records[1:])
