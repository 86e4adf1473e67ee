"""Reports of Open-i, from their archive or its unpacked folder."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as DefusedElementTree

from index_builder.datasets.reading.film_tree import walk
from index_builder.errors import DatasetError

REPORTS_ARCHIVE = "NLMCXR_reports.tgz"
REPORTS_FOLDER = "ecgen-radiology"
REPORT_ID = re.compile(r"CXR[0-9]{1,9}")

#: The published reports have up to 9 KB each, 21 MB together; far beyond that a file is damaged or hostile.
MAX_REPORT_BYTES = 1_000_000
MAX_REPORTS = 100_000
MAX_ARCHIVE_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Report:
    """A report as its XML file has it: sections, codes of a reader and of a program, and its films."""

    report_id: str
    sections: Mapping[str, str]
    major: tuple[str, ...]
    automatic: tuple[str, ...]
    films: tuple[str, ...]
    caption: str


def read_reports(source: Path) -> Iterator[Report]:
    """Reports of the archive or its unpacked folder. Raises `DatasetError` where one is damaged or there is none."""
    count = 0
    for name, content in _folder_files(source) if source.is_dir() else _archive_files(source):
        count += 1
        if count > MAX_REPORTS:
            raise DatasetError(
                f"{source} holds over {MAX_REPORTS:,} reports; Open-i has 3,955. Is it the right source?"
            )
        yield _parse_report(name, content)
    if count == 0:
        raise DatasetError(f"{source} holds no report XML file. Give the folder {REPORTS_FOLDER} or {REPORTS_ARCHIVE}.")


def _folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    # A folder named like a report is told, not passed over.
    every = (Path(below, name) for below, folders, names in walk(folder) for name in (*folders, *names))
    for path in sorted(path for path in every if path.suffix == ".xml"):
        try:
            _check_size(str(path), path.stat().st_size)
            content = path.read_bytes()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise DatasetError(f"{path} cannot be read ({reason}). Check that it is a readable file.") from error
        yield str(path), content


def _archive_files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Members are read into memory and never written, so their names cannot lead anywhere."""
    try:
        # Unpacked here and not by tarfile, which believes a member's header on how much to read.
        with gzip.open(archive) as stream:
            content = stream.read(MAX_ARCHIVE_BYTES + 1)
        if len(content) > MAX_ARCHIVE_BYTES:
            raise DatasetError(
                f"{archive} unpacks to over {MAX_ARCHIVE_BYTES:,} bytes; the reports have 21 MB. Download it again."
            )
        with tarfile.open(fileobj=io.BytesIO(content)) as members:
            for member in members:
                if not member.isfile() or not member.name.endswith(".xml"):
                    continue
                name = f"{archive}:{member.name}"
                _check_size(name, member.size)
                report = members.extractfile(member)
                if report is not None:
                    yield name, report.read()
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise DatasetError(
            f"{archive} is not a readable .tgz archive: {error}. Download {REPORTS_ARCHIVE} again."
        ) from error


def _check_size(name: str, size: int) -> None:
    if size > MAX_REPORT_BYTES:
        raise DatasetError(f"{name} has {size:,} bytes; a report has at most {MAX_REPORT_BYTES:,}. Remove it.")


def _parse_report(name: str, content: bytes) -> Report:
    try:
        root: Element = DefusedElementTree.fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise DatasetError(
            f"{name} is not a valid report XML file: {error}. Restore it from {REPORTS_ARCHIVE}."
        ) from error
    identifier = root.find("uId")
    report_id = "" if identifier is None else identifier.get("id", "")
    if not REPORT_ID.fullmatch(report_id):
        raise DatasetError(
            f'{name} has the report id {report_id!r} where <uId id="CXR…"/> is expected. Remove the file.'
        )
    sections: dict[str, str] = {}
    for text in root.iterfind("MedlineCitation/Article/Abstract/AbstractText"):
        label, content_text = text.get("Label", "").strip().lower(), _tidy("".join(text.itertext()))
        if label and content_text:
            sections[label] = f"{sections[label]} {content_text}" if label in sections else content_text
    images = root.findall("parentImage")
    return Report(
        report_id,
        sections,
        tuple(_texts(root, "MeSH/major")),
        tuple(_texts(root, "MeSH/automatic")),
        tuple(image.get("id", "") for image in images),
        " ".join(_texts(root, "parentImage/caption")),
    )


def _texts(root: Element, path: str) -> Iterator[str]:
    return (text for node in root.findall(path) if (text := _tidy(node.text or "")))


def _tidy(text: str) -> str:
    return " ".join(text.split())


def normalised_text(sections: Mapping[str, str]) -> str:
    """Findings and impression in lower case, without de-identification marks and punctuation."""
    text = " ".join(sections.get(name, "") for name in ("findings", "impression")).lower()
    return _tidy(re.sub(r"[^a-z0-9]+", " ", re.sub(r"x{3,}", " ", text)))
