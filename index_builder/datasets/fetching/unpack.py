"""Unpacking of film archives (.tgz) as a stream: safe against hostile members, resumable, never half a file."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import BinaryIO

from index_builder.datasets.fetching.transfer import require_space
from index_builder.datasets.published.openi import film_key
from index_builder.errors import DownloadError
from index_builder.writing import whole

#: The largest Open-i DICOM file has 35 MB; what is beyond this is no film.
MAX_FILM_BYTES = 256 * 2**20
#: The archives hold 7,470 films.
MAX_MEMBERS = 100_000


class ChunkReader(io.RawIOBase):
    """A file over an iterable of byte chunks, so that an archive can be unpacked while it is loaded."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def unpack_films(stream: BinaryIO | io.RawIOBase, name: str, folder: Path, suffix: str) -> Generator[Path]:
    """Unpack the films of a gzip-compressed tar stream in archive order, yielding each once it is in place.

    A film already there in full size is left alone, so an interrupted run resumes. Each file is
    written beside its place and moved there when complete. Members other than films (folders, a README) are
    passed over. The caller may stop early by closing the iterator.

    Args:
        stream: The archive's compressed bytes, read once from front to back.
        name: What messages call the archive.
        folder: Where the members' paths begin; created when missing.
        suffix: Ending of a film's name, ".png" or ".dcm".

    Raises:
        DownloadError: Corrupt archive, a member that is a link or device or leads out of the folder, a member over
            the size limit, too many members, or no space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.GzipFile(fileobj=stream) as content:
            with tarfile.open(fileobj=content, mode="r|") as members:
                for count, member in enumerate(members, start=1):
                    if count > MAX_MEMBERS:
                        raise DownloadError(f"{name} has over {MAX_MEMBERS:,} members; it is not the Open-i archive.")
                    safe = _checked(member, name, folder)
                    if not safe.isfile() or not _is_film(safe.name, suffix):
                        continue
                    yield _write(members, safe, folder)
            while content.read(2**20):  # the CRC stands at the end of the gzip stream, behind the last member
                continue
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise DownloadError(f"{name} is corrupt: {error}. Delete it and run the command again.") from error
    except OSError as error:
        raise DownloadError(
            f"{error.filename or folder} cannot be written while unpacking {name}: {error.strerror or error}. Free "
            "some space or choose another folder, then run the command again; films already there are kept."
        ) from error


def _checked(member: tarfile.TarInfo, name: str, folder: Path) -> tarfile.TarInfo:
    if not (member.isfile() or member.isdir()):
        raise DownloadError(f"{name} holds {member.name!r}, a link or device. It is not the Open-i archive.")
    if member.name.startswith(("/", "\\")) or ".." in Path(member.name).parts:
        raise DownloadError(f"{name} holds {member.name!r}, which leads out of {folder}. It is not the Open-i archive.")
    if member.size > MAX_FILM_BYTES:
        raise DownloadError(
            f"{name} holds {member.name!r} of {member.size:,} bytes; a film has at most {MAX_FILM_BYTES:,}. "
            "It is not the Open-i archive."
        )
    try:
        return tarfile.data_filter(member, str(folder))
    except tarfile.FilterError as error:
        raise DownloadError(f"{name} holds an unsafe member: {error}. It is not the Open-i archive.") from error


def _is_film(name: str, suffix: str) -> bool:
    path = Path(name)
    return path.suffix.lower() == suffix and bool(film_key(path.stem))


def _write(members: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> Path:
    target = folder / member.name
    if target.is_file() and target.stat().st_size == member.size:
        return target
    source = members.extractfile(member)
    if source is None:
        raise DownloadError(f"{member.name!r} has no content. Delete the archive and run the command again.")
    require_space(folder, member.size, f"unpacking {member.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as part:
        with part.open("wb") as out:
            shutil.copyfileobj(source, out, 2**20)
        if part.stat().st_size != member.size:
            raise DownloadError(f"{member.name!r} is cut short. Delete the archive and run the command again.")
    return target
