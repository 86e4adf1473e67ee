"""Downloads of large files over HTTP that survive cut connections, restarts and a changed source."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from index_builder.errors import DownloadError
from index_builder.writing import write_whole

GZIP_MAGIC = b"\x1f\x8b"
#: Kept free on the disk whatever is downloaded or unpacked.
RESERVE_BYTES = 64 * 2**20
#: How often a download begins anew because the remote file became another one.
MAX_RESTARTS = 3
_CHUNK_BYTES = 2**20
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a long task.

    Attributes:
        task: "download", "verify" or "unpack".
        name: File at work, e.g. "NLMCXR_png.tgz".
        done: Bytes so far, of the compressed file.
        total: Bytes in all, None when the server does not say.
    """

    task: str
    name: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Retry:
    """Settings of retries: how often and how long to wait.

    Attributes:
        attempts: Tries in a row that may bring no byte before the download gives up.
        first_delay: Seconds before the second try; doubled for each further one.
        longest_delay: Upper limit of the delay in seconds, also for what a server asks for (Retry-After).
        sleep: Called with the seconds to wait.
    """

    attempts: int = 5
    first_delay: float = 1.0
    longest_delay: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def wait(self, failures: int, asked: float = 0.0) -> None:
        """Wait after the given number of failures in a row."""
        self.sleep(min(max(self.first_delay * 2 ** (failures - 1), asked), self.longest_delay))


@dataclass(frozen=True, slots=True)
class Version:
    """What tells one version of a remote file from the next; kept beside an unfinished download."""

    etag: str | None
    last_modified: str | None
    size: int | None

    @property
    def validator(self) -> str | None:
        """Value for If-Range: a strong ETag, else the date; a weak ETag does not vouch for single bytes."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


class RemoteChangedError(DownloadError):
    """The remote file is no longer the one whose first part is here, or cannot be continued."""


class _BusyError(Exception):
    """The server answers, but not with the file; trying later may help."""

    def __init__(self, reason: str, asked: float = 0.0) -> None:
        super().__init__(reason)
        self.asked = asked


class RemoteFile:
    """A gzip file behind a URL, read from any offset on, reconnecting where the connection is cut.

    Args:
        client: Follows redirects, has timeouts.
        url: http or https.
        retry: Patience.
        version: The version that bytes already here belong to, when reading does not begin at 0.
    """

    def __init__(self, client: httpx.Client, url: str, retry: Retry, version: Version | None = None) -> None:
        self.url = url
        self.version = version
        self._client = client
        self._retry = retry

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """The file's bytes from `offset` on. `version` is set before the first chunk comes.

        Raises:
            RemoteChangedError: The remote file is another one now, or the server cannot continue at `offset`.
            DownloadError: No connection, no such file, or no progress after all tries.
        """
        position, failures = offset, 0
        while True:
            begin, asked = position, 0.0
            try:
                for chunk in self._request(position):
                    position += len(chunk)
                    yield chunk
                size = None if self.version is None else self.version.size
                if size is None or position == size:
                    return
                cause = f"the connection closed after {position:,} of {size:,} bytes"
            except _BusyError as error:
                cause, asked = str(error), error.asked
            except httpx.RequestError as error:
                cause = f"{type(error).__name__}: {error}"
            failures = 1 if position > begin else failures + 1
            if failures >= self._retry.attempts:
                raise DownloadError(self._gave_up(cause, position))
            self._retry.wait(failures, asked)

    def _request(self, position: int) -> Iterator[bytes]:
        headers = {"Accept-Encoding": "identity"}  # the archive's own bytes, not a recompressed transfer
        if position:
            headers["Range"] = f"bytes={position}-"
            if self.version is not None and self.version.validator:
                headers["If-Range"] = self.version.validator
        with self._client.stream("GET", self.url, headers=headers) as response:
            self._check_status(response, position)
            checked = position > 0
            for chunk in response.iter_raw():
                if not checked and not GZIP_MAGIC.startswith(chunk[:2]):
                    kind = response.headers.get("Content-Type", "unknown content")
                    raise _BusyError(f"the answer is {kind}, not a gzip archive; perhaps a maintenance page")
                checked = True
                yield chunk

    def _check_status(self, response: httpx.Response, position: int) -> None:
        status = response.status_code
        if status in _BUSY:
            asked = response.headers.get("Retry-After", "")
            raise _BusyError(f"the server answered HTTP {status}", float(asked) if asked.isdigit() else 0.0)
        if status == 416 and position:
            raise RemoteChangedError(
                f"{self.url} has nothing beyond byte {position:,}, although more was announced. Try again later."
            )
        if status not in (200, 206):
            raise DownloadError(
                f"{self.url} answered HTTP {status} {response.reason_phrase}. Check the address, or look for the "
                "file's new place and give it as base URL."
            )
        version = _version(response, position)
        if position == 0:
            self.version = version
        elif status == 200:
            raise RemoteChangedError(f"{self.url} changed, or its server cannot continue a download.")
        elif self.version is None or version != self.version:
            raise RemoteChangedError(f"{self.url} changed since its first {position:,} bytes were loaded.")

    def _gave_up(self, cause: str, position: int) -> str:
        host = httpx.URL(self.url).host
        start = f"No connection to {host}" if position == 0 else f"Lost the connection to {host} at byte {position:,}"
        return (
            f"{start}: {cause} ({self._retry.attempts} tries). Check the network and run the command again, which "
            f"continues where it stopped; or download {self.url} by hand and pass --root."
        )


def download(
    remote_url: str,
    target: Path,
    *,
    client: httpx.Client,
    retry: Retry,
    progress: Callable[[Progress], None],
) -> Version:
    """Load a gzip file to `target` by way of `<target>.part`, continuing one that was begun.

    Returns:
        The version loaded. The content is complete but not verified.

    Raises:
        DownloadError: No connection, no such file, no space, or a source that keeps changing.
    """
    part = target.with_name(f"{target.name}.part")
    state = target.with_name(f"{target.name}.part.json")
    for _ in range(MAX_RESTARTS):
        version = _stored_version(state) if part.is_file() else None
        offset = 0 if version is None else part.stat().st_size
        if version is None or (version.size is not None and offset > version.size):
            version, offset = None, 0
        remote = RemoteFile(client, remote_url, retry, version)
        try:
            if version is None or version.size is None or offset < version.size:
                _append(remote, part, state, offset, progress)
        except RemoteChangedError:
            part.unlink(missing_ok=True)
            state.unlink(missing_ok=True)
            continue
        assert remote.version is not None, "a finished transfer knows its version"
        part.replace(target)
        state.unlink(missing_ok=True)
        return remote.version
    raise DownloadError(
        f"{remote_url} changed or ended before its announced length {MAX_RESTARTS} times while it was loaded. "
        "Try again later."
    )


def verify_gzip(path: Path, progress: Callable[[Progress], None]) -> str:
    """Read a gzip file to its end, checking every CRC, and return the SHA-256 of the compressed bytes.

    Raises:
        DownloadError: Truncated or corrupt.
    """
    total = path.stat().st_size
    with path.open("rb") as raw:
        reader = _HashingReader(raw, lambda done: progress(Progress("verify", path.name, done, total)))
        try:
            with gzip.GzipFile(fileobj=io.BufferedReader(reader, _CHUNK_BYTES)) as content:
                while content.read(_CHUNK_BYTES):
                    continue
        except (OSError, EOFError, zlib.error) as error:
            raise DownloadError(f"{path} is not a complete gzip file: {error}. Run the command again.") from error
        return reader.digest.hexdigest()


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise `DownloadError` unless `folder`'s disk takes `needed` bytes and keeps a reserve."""
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE_BYTES:
        raise DownloadError(
            f"{folder} has {free / 1e9:,.2f} GB free, but {purpose} needs {(needed + RESERVE_BYTES) / 1e9:,.2f} GB. "
            "Free some space or choose another folder; what is already there is kept."
        )


def write_json(path: Path, content: object) -> None:
    """Replace a small JSON file in one step."""
    write_whole(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def _append(remote: RemoteFile, part: Path, state: Path, offset: int, progress: Callable[[Progress], None]) -> None:
    done = offset
    try:
        with part.open("r+b" if offset else "wb") as out:
            out.seek(offset)
            for chunk in remote.chunks(offset):
                if done == offset and remote.version is not None:
                    size = remote.version.size
                    require_space(part.parent, (size or len(chunk)) - offset, f"the rest of {part.stem}")
                    write_json(state, asdict(remote.version))
                out.write(chunk)
                done += len(chunk)
                progress(Progress("download", part.stem, done, remote.version.size if remote.version else None))
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise DownloadError(
            f"{part} cannot be written: {error.strerror or error}. Free some space or choose another folder, "
            "then run the command again, which continues where it stopped."
        ) from error


def _version(response: httpx.Response, position: int) -> Version:
    """Version from the headers of a 200, or of a 206 that begins where it was asked to."""
    size: int | None = None
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) != position:
            raise RemoteChangedError(f"{response.url} does not continue at byte {position:,}.")
        size = None if match[2] == "*" else int(match[2])
    elif response.headers.get("Content-Length", "").isdigit():
        size = int(response.headers["Content-Length"])
    return Version(response.headers.get("ETag"), response.headers.get("Last-Modified"), size)


def _stored_version(state: Path) -> Version | None:
    """Version that an unfinished download belongs to; None (start again) where nothing vouches for it."""
    with suppress(OSError, ValueError, TypeError):
        version = Version(**json.loads(state.read_text(encoding="utf-8")))
        if version.validator or version.size is not None:
            return version
    return None


class _HashingReader(io.RawIOBase):
    """Passes bytes on and hashes them on the way."""

    def __init__(self, source: BinaryIO, report: Callable[[int], None]) -> None:
        self.digest = hashlib.sha256()
        self._source = source
        self._report = report
        self._done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        self.digest.update(data)
        self._done += len(data)
        self._report(self._done)
        return len(data)
