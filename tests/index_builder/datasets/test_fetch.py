"""The downloader against a real HTTP server on the loopback interface that misbehaves as told."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import socket
import tarfile
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from openi_samples import dicom_film, png_film, report_xml, tgz

from index_builder.casebook.manifest import read_manifest
from index_builder.datasets.fetching import unpack
from index_builder.datasets.fetching.fetch import CHECKSUMS_FILE, fetch_openi
from index_builder.datasets.fetching.transfer import MAX_RESTARTS, Progress, Retry, download
from index_builder.datasets.published.openi import OpenI, film_key
from index_builder.errors import CxrError, DownloadError

REPORTS, PNG, DICOM = "NLMCXR_reports.tgz", "NLMCXR_png.tgz", "NLMCXR_dcm.tgz"
NUMBERS = (1, 10, 100, 1000, 1001, 1002)


@dataclass
class Site:
    """What the server serves and how it misbehaves."""

    files: dict[str, bytes]
    base: str = ""
    etags: dict[str, str | None] = field(default_factory=dict)
    ranges: bool = True
    #: Per request of a file, in order: after how many bytes of the body the connection is cut; None: not at all.
    cuts: dict[str, list[int | None]] = field(default_factory=dict)
    #: Per request of a file, in order: an HTTP status to answer with instead; 0: serve.
    statuses: dict[str, list[int]] = field(default_factory=dict)
    #: Content-Length to announce for the whole file instead of the true one.
    announced: dict[str, int] = field(default_factory=dict)
    #: Called before each request with the file's name and the request's number for that file.
    before: Callable[[str, int], None] | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)

    def count(self, name: str) -> int:
        return sum(asked == name for asked, _ in self.requests)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        site, name = self.site, self.path.rsplit("/", 1)[-1]
        number = site.count(name)
        site.requests.append((name, self.headers.get("Range")))
        if site.before:
            site.before(name, number)
        status = (site.statuses.get(name, []) + [0] * (number + 1))[number]
        if status or name not in site.files:
            self.send_response(status or 404)
            self.send_header("Content-Length", "0")
            self.send_header("Retry-After", "7")
            self.end_headers()
            return
        body = site.files[name]
        etag = site.etags.get(name, f'"{hashlib.md5(body).hexdigest()}"')
        total = site.announced.get(name, len(body))
        start = self._start(etag, total)
        if start is not None and start >= len(body):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(total - (start or 0)))
        self.end_headers()
        content = body[start or 0 : total]
        cut = (site.cuts.get(name, []) + [None] * (number + 1))[number]
        sent = 0
        while sent < len(content) and (cut is None or sent < cut):
            piece = content[sent : sent + min(4096, (cut or 10**9) - sent)]
            try:
                self.wfile.write(piece)
            except OSError:  # the client has what it wants
                break
            sent += len(piece)
            site.sent[name] = site.sent.get(name, 0) + len(piece)
        if cut is not None or total > len(body):
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def _start(self, etag: str | None, total: int) -> int | None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not self.site.ranges or match is None or (condition is not None and condition != etag):
            return None
        return int(match[1])


@pytest.fixture(scope="module")
def archives() -> dict[str, bytes]:
    """The three archives in their published layout, films of random pixels so that they do not compress."""
    reports = tgz(report_xml(*NUMBERS))
    pngs, dicoms = {}, {}
    for seed, name in enumerate(sorted(_films(reports))):
        pngs[f"{name}.png"] = png_film(seed, 120)
        number = film_key(name).split("_")[0]
        dicoms[f"{number}/{film_key(name)}.dcm"] = dicom_film(seed, 80)
    return {REPORTS: reports, PNG: tgz(pngs), DICOM: tgz(dicoms)}


def _films(reports: bytes) -> list[str]:
    names = []
    with tarfile.open(fileobj=io.BytesIO(reports)) as archive:
        for member in archive.getmembers():
            if member.isfile():
                stream = archive.extractfile(member)
                assert stream is not None
                names += re.findall(r'parentImage id="([^"]+)"', stream.read().decode())
    return names


@pytest.fixture
def site(archives) -> Iterator[Site]:
    state = Site(dict(archives))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": state}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.base = f"http://127.0.0.1:{server.server_port}/imgs/collections/"
    yield state
    server.shutdown()
    server.server_close()


class Waits(list[float]):
    """Records delays instead of waiting."""

    def retry(self, attempts: int = 4) -> Retry:
        return Retry(attempts=attempts, sleep=self.append)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def fetch(site, waits, tmp_path):
    def run(films=None, sample=None, **options):
        return fetch_openi(tmp_path / "openi", films, sample, base_url=site.base, **{"retry": waits.retry(), **options})

    return run


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_reports_only(fetch, site, archives, tmp_path):
    result = fetch()
    assert (result.reports, result.films, result.complete_reports) == (6, 0, 0)
    assert files(tmp_path / "openi") == {REPORTS, CHECKSUMS_FILE}
    assert result.sha256 == {REPORTS: hashlib.sha256(archives[REPORTS]).hexdigest()}
    assert len(OpenI(result.destination).cases()) == 6
    assert [name for name, _ in site.requests] == [REPORTS]


@pytest.mark.parametrize(("films", "archive"), [("png", PNG), ("dicom", DICOM)])
def test_films_are_unpacked_and_read_back(fetch, site, archives, films, archive):
    result = fetch(films)
    listed = {film_key(name) for name in _films(archives[REPORTS])}
    assert (result.reports, result.films, result.complete_reports) == (6, len(listed), 6)
    dataset = OpenI(result.destination)
    shown = [reference for case in dataset.cases() for reference in (case.image, *case.other_images) if reference]
    assert len(shown) == len(listed)
    assert dataset.load_film(shown[0]).source_format == films
    assert not (result.destination / archive).exists()
    assert result.sha256[archive] == hashlib.sha256(archives[archive]).hexdigest()
    assert not [name for name in files(result.destination) if "part" in name or name.endswith(".tmp")]


def test_second_run_loads_nothing(fetch, site):
    first = fetch("png")
    before = len(site.requests)
    assert fetch("png") == first
    assert len(site.requests) == before


def test_lost_films_are_loaded_again(fetch, site):
    result = fetch("png")
    lost = next(iter((result.destination / "png").glob("*.png")))
    lost.unlink()
    assert fetch("png").films == result.films
    assert lost.exists()
    assert site.count(PNG) == 2


def test_progress_counts_to_the_end(fetch, archives):
    seen: list[Progress] = []
    fetch("png", progress=seen.append)
    for task in ("download", "verify", "unpack"):
        done = [step.done for step in seen if (step.task, step.name) == (task, PNG)]
        assert done == sorted(done)
        assert done[-1] == len(archives[PNG])
    assert {step.total for step in seen if step.name == PNG} == {len(archives[PNG])}


def test_cut_connection_continues_where_it_stopped(fetch, site, archives, waits):
    size = len(archives[PNG])
    site.cuts[PNG] = [size // 3, size // 3, None]
    result = fetch("png")
    assert result.sha256[PNG] == hashlib.sha256(archives[PNG]).hexdigest()
    offsets = [asked for name, asked in site.requests if name == PNG]
    assert offsets[0] is None
    assert all(offset and offset != "bytes=0-" for offset in offsets[1:])
    assert site.sent[PNG] < size * 1.5
    assert waits == [1.0, 1.0]  # every try brought bytes


def test_next_run_continues_a_part_file(fetch, site, archives, tmp_path, waits):
    site.cuts[PNG] = [20_000] + [0] * 4
    with pytest.raises(
        DownloadError, match=r"Lost the connection to 127\.0\.0\.1 at byte .*continues where it stopped"
    ):
        fetch("png")
    assert waits == [1.0, 2.0, 4.0]
    part = tmp_path / "openi" / f"{PNG}.part"
    begun = part.stat().st_size
    assert 0 < begun <= 20_000
    site.cuts[PNG] = []
    assert fetch("png").complete_reports == 6
    assert site.requests[-1] == (PNG, f"bytes={begun}-")
    assert not part.exists()


@pytest.mark.parametrize("etag", ['"new"', None, 'W/"weak"'], ids=["changed", "gone", "weak"])
def test_changed_source_starts_anew(fetch, site, archives, tmp_path, etag):
    site.cuts[PNG] = [20_000] + [0] * 3
    with pytest.raises(DownloadError):
        fetch("png")
    members = {f"CXR1_1_IM-0001-{number}.png": png_film(number, 150) for number in (3001, 4001)}
    site.files[PNG], site.etags[PNG], site.cuts[PNG] = tgz(members), etag, []
    result = fetch("png")
    assert result.sha256[PNG] == hashlib.sha256(site.files[PNG]).hexdigest()
    assert (result.destination / "png" / "CXR1_1_IM-0001-4001.png").read_bytes() == members["CXR1_1_IM-0001-4001.png"]


def test_source_that_changes_during_the_download(fetch, site):
    site.cuts[PNG] = [20_000, None]
    fresh = tgz({"CXR1_1_IM-0001-3001.png": png_film(99, 200)})

    def change(name: str, number: int) -> None:
        if name == PNG and number == 1:
            site.files[PNG] = fresh

    site.before = change
    assert fetch("png").sha256[PNG] == hashlib.sha256(fresh).hexdigest()


def test_weak_etag_resumes_by_comparing_the_answer(fetch, site, archives):
    site.etags[PNG] = 'W/"same"'
    site.cuts[PNG] = [20_000, None]
    assert fetch("png").sha256[PNG] == hashlib.sha256(archives[PNG]).hexdigest()
    assert site.sent[PNG] < len(archives[PNG]) * 1.2


def test_server_without_ranges_restarts_a_bounded_number_of_times(fetch, site):
    site.ranges = False
    site.cuts[PNG] = [20_000, None]
    assert fetch("png").complete_reports == 6
    site.cuts[DICOM] = [5_000] * 50
    with pytest.raises(DownloadError, match=f"{MAX_RESTARTS} times"):
        fetch("dicom")


@pytest.mark.parametrize("status", [404, 403, 410])
def test_missing_archive_is_named_at_once(fetch, site, waits, status):
    site.statuses[PNG] = [status]
    with pytest.raises(DownloadError, match=rf"{PNG} answered HTTP {status}"):
        fetch("png")
    assert waits == []


def test_busy_server_is_tried_again_as_it_asks(fetch, site, waits):
    site.statuses[REPORTS] = [503, 429, 500]
    assert fetch().reports == 6
    assert waits == [7.0, 7.0, 7.0]


def test_maintenance_page_is_not_taken_for_the_archive(fetch, site, archives, waits, tmp_path):
    site.files[REPORTS] = b"<html>Down for maintenance</html>" * 50
    with pytest.raises(DownloadError, match="not a gzip archive; perhaps a maintenance page"):
        fetch()
    assert not (tmp_path / "openi" / REPORTS).exists()
    site.files[REPORTS] = archives[REPORTS]
    assert fetch().reports == 6


def test_offline_names_host_and_remedy(tmp_path, waits):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(DownloadError, match=r"No connection to 127\.0\.0\.1.*by hand and pass --root"):
        fetch_openi(tmp_path, base_url=f"http://127.0.0.1:{port}/", retry=waits.retry(3))
    assert waits == [1.0, 2.0]


def test_announced_length_too_long(fetch, site, archives):
    site.announced[REPORTS] = len(archives[REPORTS]) + 500
    with pytest.raises(DownloadError, match="ended before its announced length"):
        fetch()


def test_announced_length_too_short(fetch, site, archives, tmp_path):
    site.announced[REPORTS] = len(archives[REPORTS]) - 500
    with pytest.raises(DownloadError, match=rf"{re.escape(REPORTS)} is not a complete gzip file"):
        fetch()
    assert REPORTS not in files(tmp_path / "openi")  # not in the way of the next try


def test_corrupt_gzip(fetch, site, archives, tmp_path):
    middle = len(archives[PNG]) // 2
    site.files[PNG] = archives[PNG][:middle] + bytes(64) + archives[PNG][middle + 64 :]
    with pytest.raises(DownloadError, match=rf"{re.escape(PNG)} is not a complete gzip file"):
        fetch("png")
    assert not (tmp_path / "openi" / "png").exists()
    site.files[PNG] = archives[PNG]
    assert fetch("png").complete_reports == 6


def test_expected_checksum(fetch, site, archives, tmp_path):
    good = hashlib.sha256(archives[REPORTS]).hexdigest()
    with pytest.raises(DownloadError, match=f"{good}, not the expected checksum"):
        fetch(expected_sha256={REPORTS: "ab" * 32})
    assert REPORTS not in files(tmp_path / "openi")
    assert fetch(expected_sha256={REPORTS: good.upper()}).reports == 6


def test_archive_that_differs_from_the_noted_checksum(fetch, site, tmp_path):
    fetch()
    (tmp_path / "openi" / REPORTS).unlink()
    site.files[REPORTS] = tgz(report_xml(1, 2))
    with pytest.raises(DownloadError, match=rf"noted in .*{CHECKSUMS_FILE}"):
        fetch()


def test_damaged_file_by_hand_is_kept_and_named(fetch, site, archives, tmp_path):
    target = tmp_path / "openi" / REPORTS
    target.parent.mkdir()
    target.write_bytes(archives[REPORTS][:-9])
    with pytest.raises(DownloadError, match=str(target)):
        fetch()
    assert target.exists()
    target.write_bytes(archives[REPORTS])
    assert fetch().reports == 6
    assert site.requests == []


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', '{"a": {}}', '{"a": {"sha256": 5}}'])
def test_damaged_record_is_named(fetch, tmp_path, content):
    (tmp_path / "openi").mkdir()
    (tmp_path / "openi" / CHECKSUMS_FILE).write_text(content)
    with pytest.raises(DownloadError, match=rf"{CHECKSUMS_FILE}.*Repair or delete"):
        fetch()


@pytest.mark.parametrize("state", ["{", "[]", '{"etag": "x"}', "null"])
def test_damaged_state_of_a_part_file_starts_anew(fetch, site, archives, tmp_path, state):
    folder = tmp_path / "openi"
    folder.mkdir()
    (folder / f"{REPORTS}.part").write_bytes(b"\x1f\x8bnonsense")
    (folder / f"{REPORTS}.part.json").write_text(state)
    assert fetch().reports == 6
    assert site.requests[0] == (REPORTS, None)


def test_sample_stops_reading_early(fetch, site, archives):
    big = {}
    for seed, name in enumerate(sorted(_films(archives[REPORTS]))):
        big[f"{name}.png"] = png_film(seed, 1200)
    site.files[PNG] = tgz(big)
    result = fetch("png", 2)
    assert result.complete_reports == 2
    assert 2 <= result.films < len(big)
    assert site.sent[PNG] < 0.8 * len(site.files[PNG])
    assert PNG not in result.sha256
    assert files(result.destination / "png") < set(big)
    before = len(site.requests)
    assert fetch("png", 2).films == result.films
    assert len(site.requests) == before
    assert fetch("png", 3).complete_reports == 3


def test_sample_survives_a_cut_and_reports_a_change(fetch, site, archives):
    site.cuts[PNG] = [len(archives[PNG]) // 2, None]
    assert fetch("png", 6).complete_reports == 6
    site.cuts[DICOM] = [len(archives[DICOM]) // 2, None]
    site.before = lambda name, number: site.etags.update({DICOM: f'"{number}"'})
    with pytest.raises(DownloadError, match="changed"):
        fetch("dicom", 6)


def test_sample_from_an_archive_put_there_by_hand(fetch, site, archives, tmp_path):
    folder = tmp_path / "openi"
    folder.mkdir()
    (folder / PNG).write_bytes(archives[PNG])
    assert fetch("png", 1).complete_reports == 1
    assert site.count(PNG) == 0
    assert (folder / PNG).exists()


def test_sample_larger_than_the_collection_takes_all(fetch):
    assert fetch("png", 99).complete_reports == 6


@pytest.mark.parametrize(("films", "sample"), [(None, 5), ("png", 0), ("png", -1), ("jpeg", None)])
def test_contradicting_arguments(fetch, site, films, sample):
    with pytest.raises(DownloadError):
        fetch(films, sample)
    assert site.requests == []


@pytest.mark.parametrize("address", ["ftp://example.org/", "example.org/x", "", "http://", "http://[::1"])
def test_addresses_that_are_none(tmp_path, address):
    with pytest.raises(DownloadError, match="not a web address"):
        fetch_openi(tmp_path, base_url=address)


def test_interrupted_unpacking_goes_on(fetch, site, monkeypatch, tmp_path):
    write, written = unpack._write, []

    def stop_after_three(members, member, folder):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(write(members, member, folder))
        return written[-1]

    monkeypatch.setattr(unpack, "_write", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        fetch("png")
    assert len(files(tmp_path / "openi" / "png")) == 3
    times = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(unpack, "_write", write)
    assert fetch("png").complete_reports == 6
    assert site.count(PNG) == 1  # the archive was kept
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def hostile(change: Callable[[tarfile.TarInfo], None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in ("CXR1_1_IM-0001-3001.png", "CXR1_1_IM-0001-4001.png"):
            entry = tarfile.TarInfo(name)
            entry.size = 5
            if "4001" in name:
                change(entry)
            archive.addfile(entry, io.BytesIO(b"12345"))
    return out.getvalue()


def _named(name: str) -> Callable[[tarfile.TarInfo], None]:
    def change(entry: tarfile.TarInfo) -> None:
        entry.name = name

    return change


def _typed(kind: bytes, link: str = "") -> Callable[[tarfile.TarInfo], None]:
    def change(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname, entry.size = kind, link, 0

    return change


@pytest.mark.parametrize(
    "change",
    [
        _named("../CXR2_IM-0652-1001.png"),
        _named("a/../../CXR2_IM-0652-1001.png"),
        _named("/tmp/CXR2_IM-0652-1001.png"),
        _typed(tarfile.SYMTYPE, "/etc/passwd"),
        _typed(tarfile.LNKTYPE, "../../outside"),
        _typed(tarfile.CHRTYPE),
        _typed(tarfile.FIFOTYPE),
    ],
    ids=["parent", "hidden parent", "absolute", "symlink", "hard link", "device", "fifo"],
)
@pytest.mark.parametrize("sample", [None, 5])
def test_hostile_members_are_refused(fetch, site, tmp_path, change, sample):
    site.files[PNG] = hostile(change)
    with pytest.raises(DownloadError, match="not the Open-i archive"):
        fetch("png", sample)
    assert {path.name for path in tmp_path.rglob("*.png")} <= {"CXR1_1_IM-0001-3001.png"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_member_limits(fetch, site, archives, monkeypatch):
    monkeypatch.setattr(unpack, "MAX_FILM_BYTES", 1000)
    with pytest.raises(DownloadError, match="at most 1,000"):
        fetch("png")
    monkeypatch.setattr(unpack, "MAX_FILM_BYTES", 10**6)
    monkeypatch.setattr(unpack, "MAX_MEMBERS", 2)
    with pytest.raises(DownloadError, match="over 2 members"):
        fetch("png")


def test_archive_without_films(fetch, site):
    site.files[PNG] = tgz({"README.txt": b"moved", "logo.png": png_film(1)})
    with pytest.raises(DownloadError, match=r"holds no film \(\.png\)"):
        fetch("png")


Usage = namedtuple("Usage", "total used free")


def test_full_disk_before_the_download(fetch, site, archives, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 1000))
    with pytest.raises(DownloadError, match=rf"free, but the rest of {REPORTS} needs .*Free some"):
        fetch()
    assert REPORTS not in files(tmp_path / "openi")


def test_full_disk_before_and_during_unpacking(fetch, site, archives, monkeypatch, tmp_path):
    fetch()
    room = [2**26 + len(archives[PNG]) + 100]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, room[0]))
    with pytest.raises(DownloadError, match=f"unpacking {PNG} needs"):
        fetch("png")
    calls = iter([2**40, *[2**26 + 10**6] * 2])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, next(calls, 2**26)))
    with pytest.raises(DownloadError, match=r"unpacking CXR.*what is already there is kept"):
        fetch("png")
    assert len(files(tmp_path / "openi" / "png")) == 2
    assert (tmp_path / "openi" / PNG).exists()
    monkeypatch.undo()
    assert fetch_openi(tmp_path / "openi", "png", base_url=site.base).complete_reports == 6
    assert site.count(PNG) == 1


def test_destination_that_cannot_be(tmp_path, site):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DownloadError, match="file cannot be created"):
        fetch_openi(tmp_path / "file", base_url=site.base)


def test_every_error_is_the_projects_own(fetch, site):
    site.files[REPORTS] = tgz({"ecgen-radiology/1.xml": b"<broken"})
    with pytest.raises(CxrError, match=r"1\.xml"):
        fetch()


def test_retry_doubles_up_to_a_limit():
    waits: list[float] = []
    retry = Retry(first_delay=2, longest_delay=10, sleep=waits.append)
    for failures in (1, 2, 3, 4):
        retry.wait(failures)
    retry.wait(1, asked=5)
    retry.wait(1, asked=500)
    assert waits == [2, 4, 8, 10, 5, 10]


def test_download_notes_version_for_the_next_run(site, tmp_path, waits):
    site.cuts[REPORTS] = [100] + [0] * 3
    target = tmp_path / REPORTS
    with httpx.Client() as client, pytest.raises(DownloadError):
        download(site.base + REPORTS, target, client=client, retry=waits.retry(), progress=lambda _: None)
    state = json.loads((tmp_path / f"{REPORTS}.part.json").read_text())
    assert state["size"] == len(site.files[REPORTS])
    assert state["etag"].startswith('"')


def test_demo_of_real_films_fetches_a_sample_and_goes_on_where_it_stopped(site, archives, tmp_path, capsys):
    from explorer.cli.commands import app

    command = ["demo", "--real", "--no-serve", "--sample", "2", "--base-url", site.base, "--out", str(tmp_path)]
    del site.files[PNG]
    with pytest.raises(DownloadError, match=r"real films could not be fetched.*need no connection: cxr-explorer demo"):
        app(command, standalone_mode=False)
    assert "about 1 MB into" in capsys.readouterr().out  # told before anything is fetched
    site.files[PNG] = archives[PNG]
    app(command, standalone_mode=False)
    assert site.count(REPORTS) == 1
    manifest = read_manifest(tmp_path / "openi")
    assert not manifest.dataset.synthetic
    assert manifest.cases == 6
    assert manifest.films >= 2
    app(command, standalone_mode=False)
    assert "already built" in capsys.readouterr().out
    assert site.count(PNG) == 2  # one was refused
    with pytest.raises(CxrError, match="are for demo --real"):
        app(["demo", "--sample", "2"], standalone_mode=False)
