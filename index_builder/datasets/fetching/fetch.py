"""Fetching the Open-i collection: reports and films from the National Library of Medicine, resumable and verified."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from index_builder.datasets.fetching.transfer import (
    Progress,
    RemoteFile,
    Retry,
    Version,
    download,
    require_space,
    verify_gzip,
    write_json,
)
from index_builder.datasets.fetching.unpack import ChunkReader, unpack_films
from index_builder.datasets.published.openi import film_key, films_by_report
from index_builder.datasets.published.openi_reports import REPORTS_ARCHIVE
from index_builder.errors import DownloadError

Films = Literal["png", "dicom"]

#: Public collection of the National Library of Medicine, no account needed.
OPENI_COLLECTION = "https://openi.nlm.nih.gov/imgs/collections/"
CHECKSUMS_FILE = "checksums.json"


@dataclass(frozen=True, slots=True)
class _FilmArchive:
    file: str
    suffix: str
    #: Unpacked size over packed size. PNG do not shrink further; uncompressed DICOM do, by about a third.
    expansion: float


_ARCHIVES: Mapping[str, _FilmArchive] = {
    "png": _FilmArchive("NLMCXR_png.tgz", ".png", 1.1),
    "dicom": _FilmArchive("NLMCXR_dcm.tgz", ".dcm", 1.5),
}


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The result of a fetch: what is in place after it.

    Attributes:
        destination: Folder to give to `OpenI(root)`.
        reports: Reports in the archive.
        films: Film files of the fetched form, whenever they came.
        complete_reports: Reports of which every listed film is there.
        sha256: Checksums of the archives loaded in full, by file name.
    """

    destination: Path
    reports: int
    films: int
    complete_reports: int
    sha256: Mapping[str, str]


def fetch_openi(
    destination: Path,
    films: Films | None = None,
    sample: int | None = None,
    *,
    base_url: str = OPENI_COLLECTION,
    expected_sha256: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    retry: Retry | None = None,
) -> FetchResult:
    """Load the Open-i reports, and the films as PNG (1.4 GB) or DICOM (81 GB) where asked for.

    The reports stay packed as `NLMCXR_reports.tgz` (1.1 MB), as `OpenI` reads them; films are unpacked to
    `<destination>/png` or `<destination>/dicom` and their archive is then deleted. Cut connections are continued,
    within a run and by the next run. An archive put into `destination` by hand is used as if it had been loaded.

    Each archive is read to its end against its CRC; its SHA-256 is noted in `checksums.json` and must be the same
    whenever that archive is loaded again. The publisher gives no checksums to compare with; `expected_sha256` takes
    what you trust.

    With `sample`, the film archive is unpacked while it is loaded, nothing of it is stored, and loading
    stops as soon as that many reports have all the films they list: about `sample / 3955` of the archive. An archive
    read in part has no checksum; a cut connection is continued, but each run reads it from its beginning.

    Args:
        destination: Folder to fill, created when missing.
        films: "png" (8 bit, reduced), "dicom" (as exposed), or None for reports only.
        sample: Films of so many reports only; None: all.
        base_url: Where the archives are, ending in "/" or not.
        expected_sha256: SHA-256 in hexadecimal by archive name, e.g. {"NLMCXR_png.tgz": "…"}.
        progress: Called after every piece with bytes done and in all.
        retry: Patience with a poor connection.

    Raises:
        DownloadError: No connection, an archive that is missing, corrupt, hostile or not as expected, no space, or
            arguments that contradict each other.
        DatasetError: The reports archive holds an unreadable report.
    """
    if films is not None and films not in _ARCHIVES:
        raise DownloadError(f"Films {films!r} are unknown. Choose png or dicom.")
    if sample is not None and (films is None or sample < 1):
        raise DownloadError(
            f"A sample of {sample} needs a form of films and at least one report. Give --films png --sample 100, say."
        )
    base = _checked_base(base_url)
    try:
        destination.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"{destination} cannot be created: {error.strerror}. Choose another folder.") from error
    with httpx.Client(follow_redirects=True, timeout=httpx.Timeout(60.0, connect=20.0)) as client:
        fetch = _Fetch(destination, client, base, expected_sha256 or {}, progress or _silent, retry or Retry())
        fetch.archive(REPORTS_ARCHIVE)
        wanted = films_by_report(destination / REPORTS_ARCHIVE)
        present: set[str] = set()
        if films is not None:
            form = _ARCHIVES[films]
            folder = destination / films
            if sample is None:
                fetch.films(form, folder)
            else:
                fetch.film_sample(form, folder, wanted, sample)
            present = _films_in(folder, form.suffix)
    return FetchResult(destination, len(wanted), len(present), len(_complete(wanted, present)), fetch.checksums())


class _Fetch:
    """One run's connection, folder and settings."""

    def __init__(
        self,
        destination: Path,
        client: httpx.Client,
        base: str,
        expected: Mapping[str, str],
        progress: Callable[[Progress], None],
        retry: Retry,
    ) -> None:
        self._destination = destination
        self._client = client
        self._base = base
        self._expected = expected
        self._progress = progress
        self._retry = retry
        self._record_file = destination / CHECKSUMS_FILE
        self._record = _read_record(self._record_file)

    def checksums(self) -> dict[str, str]:
        return {name: str(entry["sha256"]) for name, entry in self._record.items()}

    def archive(self, name: str) -> Path:
        """Have one archive in full and verified."""
        target = self._destination / name
        version = None
        if not target.is_file():
            version = download(
                self._base + name, target, client=self._client, retry=self._retry, progress=self._progress
            )
        self._verify(target, version)
        return target

    def films(self, form: _FilmArchive, folder: Path) -> None:
        """Have all films unpacked; a recorded unpacking whose files are still there is not repeated."""
        unpacked = self._record.get(form.file, {}).get("films")
        if unpacked is not None and len(_films_in(folder, form.suffix)) >= unpacked:
            return
        archive = self.archive(form.file)
        size = archive.stat().st_size
        there = sum(path.stat().st_size for path in folder.rglob(f"*{form.suffix}")) if folder.is_dir() else 0
        require_space(self._destination, max(int(size * form.expansion) - there, 0), f"unpacking {form.file}")
        count = 0
        with archive.open("rb") as stream:
            for _ in unpack_films(stream, form.file, folder, form.suffix):
                count += 1
                self._progress(Progress("unpack", form.file, stream.tell(), size))
        if count == 0:
            raise DownloadError(f"{archive} holds no film ({form.suffix}). Delete it and check the address.")
        self._record[form.file]["films"] = count
        write_json(self._record_file, self._record)
        archive.unlink()

    def film_sample(self, form: _FilmArchive, folder: Path, wanted: Mapping[str, tuple[str, ...]], sample: int) -> None:
        """Unpack from the running download until `sample` reports have all their films."""
        present = _films_in(folder, form.suffix)
        if len(_complete(wanted, present)) >= sample:
            return
        owner = {film_key(film): report for report, names in wanted.items() for film in names}
        missing = {report: {film_key(film) for film in names} for report, names in wanted.items() if names}
        complete = 0
        with closing(self._pieces(form.file)) as chunks:
            stream = io.BufferedReader(ChunkReader(chunks), 2**16)
            with closing(unpack_films(stream, form.file, folder, form.suffix)) as unpacked:
                for path in unpacked:
                    key = film_key(path.stem)
                    report = owner.get(key, "")
                    if key in missing.get(report, ()):
                        missing[report].discard(key)
                        complete += not missing[report]
                    if complete >= sample:
                        return

    def _pieces(self, name: str) -> Generator[bytes]:
        """An archive's bytes from its beginning: of the file put here by hand, else as they are loaded."""
        archive = self._destination / name
        done = 0
        if archive.is_file():
            with archive.open("rb") as stream:
                while piece := stream.read(2**16):
                    done += len(piece)
                    self._progress(Progress("unpack", name, done, archive.stat().st_size))
                    yield piece
            return
        remote = RemoteFile(self._client, self._base + name, self._retry)
        for piece in remote.chunks():
            done += len(piece)
            self._progress(Progress("download", name, done, remote.version.size if remote.version else None))
            yield piece

    def _verify(self, archive: Path, version: Version | None) -> None:
        name = archive.name
        try:
            digest = verify_gzip(archive, self._progress)
        except DownloadError:
            if version is not None:  # just loaded: a damaged file would only be in the way of the next try
                archive.unlink()
            raise
        known = {
            "the expected checksum": self._expected.get(name),
            f"the one noted in {self._record_file}": self._record.get(name, {}).get("sha256"),
        }
        for source, checksum in known.items():
            if checksum is not None and checksum.lower() != digest:
                if version is not None:
                    archive.unlink()
                raise DownloadError(
                    f"{archive} has the SHA-256 {digest}, not {source} ({checksum.lower()}). Run the command "
                    f"again; if the publisher replaced the file, remove its entry from {CHECKSUMS_FILE} first."
                )
        entry = {**self._record.get(name, {}), "sha256": digest, "bytes": archive.stat().st_size}
        if version is not None:
            entry |= {"url": self._base + name, "etag": version.etag, "last_modified": version.last_modified}
        self._record[name] = entry
        write_json(self._record_file, self._record)


def _checked_base(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise DownloadError(
            f"{base_url!r} is not a web address: {error}. Give one such as {OPENI_COLLECTION}"
        ) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise DownloadError(f"{base_url!r} is not a web address. Give one such as {OPENI_COLLECTION}")
    return base_url if base_url.endswith("/") else f"{base_url}/"


def _read_record(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(entry["sha256"], str) for entry in record.values()):
            return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(f"{path} cannot be read: {error}. Repair or delete it.") from error
    raise DownloadError(f"{path} holds a checksum that is not text. Repair or delete it.")


def _films_in(folder: Path, suffix: str) -> set[str]:
    """Keys of the films below a folder."""
    keys = {film_key(path.stem) for path in folder.rglob(f"*{suffix}")} if folder.is_dir() else set()
    return keys - {""}


def _complete(wanted: Mapping[str, Iterable[str]], present: set[str]) -> list[str]:
    """Reports that list films, all of which are present."""
    return [
        report for report, names in wanted.items() if (keys := {film_key(name) for name in names}) and keys <= present
    ]


def _silent(_: Progress) -> None:
    """No progress wanted."""
