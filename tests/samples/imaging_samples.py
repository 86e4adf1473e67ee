"""Small films in every container, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from index_builder.imaging import (
    Film,
    decode_film,
)

STEP = 1 / 255
CR_UID = "1.2.840.10008.5.1.4.1.1.1"


def codes(bits: int, rows: int = 90, columns: int = 71) -> np.ndarray:
    """uint16 [rows, columns] with structure, noise and both ends of the range."""
    y, x = np.mgrid[0:rows, 0:columns]
    smooth = 0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 13) + 0.2 * (x / columns - 0.5)
    noisy = smooth + np.random.default_rng(bits).normal(0, 0.02, smooth.shape)
    values = np.round(np.clip(noisy, 0, 1) * (2**bits - 1)).astype(np.uint16)
    values[0, 0], values[-1, -1] = 0, 2**bits - 1
    return values


@dataclass(frozen=True)
class Written:
    """Bytes of an element of an explicit VR file, whether or not they are legal; pydicom would refuse to write them."""

    vr: str
    content: bytes

    @property
    def stand_in(self) -> str:
        """A VR of the same layout that takes any text."""
        return "OB" if self.vr in {"SQ", "UN", "OB"} else "LO"

    def marker(self) -> bytes | str:
        """What stands in for the content until the file is written."""
        text = f"~{zlib.crc32(self.content):x}"[: len(self.padded)].ljust(len(self.padded), "~")
        return text.encode() if self.stand_in == "OB" else text

    @property
    def padded(self) -> bytes:
        """The content, of even length."""
        return self.content + b" " * (len(self.content) % 2)

    def put_into(self, data: bytes) -> bytes:
        """The file with the content instead of the marker."""
        marker = self.marker()
        length = struct.pack("<2xI" if self.stand_in == "OB" else "<H", len(self.padded))
        old = self.stand_in.encode() + length + (marker if isinstance(marker, bytes) else marker.encode())
        assert old in data
        return data.replace(old, self.vr.encode() + length + self.padded, 1)


def dicom(
    stored: np.ndarray,
    bits: int,
    *,
    syntax: str = ExplicitVRLittleEndian,
    allocated: int = 16,
    meta: bool = True,
    stream: bytes | None = None,
    claim: str = "",
    **elements: Any,
) -> bytes:
    """A CR file of uint16 bit patterns; `elements` overrides or adds, None removes.

    `stream` takes the pixels' place as the one compressed frame of `syntax`; an element is written as it is. The file
    calls its transfer syntax `claim`, of the same length, where that is given.
    """
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CR_UID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3.4.5"
    ds.Modality, ds.PatientName, ds.PatientID = "CR", "DOE^JOHN", "SECRET-4711"
    ds.SamplesPerPixel = 3 if stored.ndim == 3 else 1
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = allocated, bits, bits - 1, 0
    if stored.ndim == 3:
        ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    content = stored.astype(np.uint8 if allocated == 8 else f"{order}u2").tobytes()
    ds.add_new("PixelData", "OB" if allocated == 8 else "OW", content + b"\0" * (len(content) % 2))
    if stream is not None:
        ds.PixelData = encapsulate([stream])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        elif isinstance(value, Written):
            ds.add_new(keyword, value.stand_in, value.marker())
        elif isinstance(value, DataElement):
            ds[value.tag] = value
        else:
            setattr(ds, keyword, value)
    if stream is None and syntax in {RLELossless, JPEG2000Lossless}:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    buffer = io.BytesIO()
    if meta:
        ds.save_as(buffer, enforce_file_format=True)
    else:
        del ds.file_meta
        little = syntax != ExplicitVRBigEndian
        ds.save_as(buffer, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little)
    data = buffer.getvalue()
    for value in elements.values():
        if isinstance(value, Written):
            data = value.put_into(data)
    return data.replace(syntax.encode(), claim.encode(), 1) if claim else data


def picture(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(columns: int, rows: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0))


def film(data: bytes) -> Film:
    result = decode_film(data, name="film")
    assert result.pixels.dtype == np.float32
    assert result.pixels.min() >= 0
    assert result.pixels.max() <= 1
    return result


def full_window(bits: int) -> dict[str, float]:
    """The LINEAR window that shows 0 to 2**bits - 1 exactly."""
    return {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}


def lut(entries: np.ndarray, first: int, bits: int, order: str = "<") -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 65536, first % 65536, bits])
    item.add_new("LUTData", "OW", entries.astype(f"{order}u2").tobytes())
    return Sequence([item])
