"""Small archives in the exact layout of the Open-i collection: real reports, films made here."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid


def packaged_reports() -> Path:
    spec = importlib.util.find_spec("torchxrayvision")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "data" / "NLMCXR_reports.tgz"


def report_xml(*numbers: int) -> dict[str, bytes]:
    """Published XML of some reports, by member name."""
    wanted = {f"ecgen-radiology/{number}.xml" for number in numbers}
    found: dict[str, bytes] = {}
    with tarfile.open(packaged_reports()) as archive:
        for member in archive:
            if member.name in wanted:
                stream = archive.extractfile(member)
                assert stream is not None
                found[member.name] = stream.read()
    assert len(found) == len(numbers)
    return found


def png_film(seed: int, size: int = 48) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def dicom_film(seed: int, size: int = 48) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    film.SOPClassUID, film.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    film.Modality = "CR"
    film.Rows = film.Columns = size
    film.SamplesPerPixel, film.BitsAllocated, film.BitsStored, film.HighBit = 1, 16, 12, 11
    film.PixelRepresentation, film.PhotometricInterpretation = 0, "MONOCHROME2"
    film.PixelData = np.random.default_rng(seed).integers(0, 4096, (size, size), dtype=np.uint16).tobytes()
    out = io.BytesIO()
    pydicom.dcmwrite(out, film, enforce_file_format=True)
    return out.getvalue()


def tgz(members: dict[str, bytes]) -> bytes:
    """Archive with its folders as members of their own, as published."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for folder in sorted({str(Path(name).parent) for name in members} - {"."}):
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
