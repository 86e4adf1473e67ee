"""The technical part of a DICOM header as plain values. Patient elements are skipped unread.

pydicom walks the elements, but values are converted here: its warnings and errors quote the value at fault,
and in a damaged file that can be a name. Nothing from the file reaches a message except numbers and known
codes.
"""

from __future__ import annotations

import io
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from index_builder.errors import ImagingError
from index_builder.imaging.film import MIB, Limits
from index_builder.imaging.grayscale import LookupTable

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_KEYWORDS = (
    "Modality",
    "ViewPosition",
    "PatientOrientation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTFunction",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "PresentationLUTShape",
    "BurnedInAnnotation",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    *_PIXEL_KEYWORDS,
)
_TAGS: list[BaseTag | int] = [Tag(keyword) for keyword in _KEYWORDS]
_VR_CODES = frozenset(vr.value.encode() for vr in VR if len(vr.value) == 2)
_LONG_VR_CODES = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)

#: A deflated header must say the image size within this many inflated bytes.
_DEFLATED_HEADER = 4 * MIB
#: What may follow the pixel data of a deflated file.
_DEFLATED_TAIL = MIB

#: Reads of a file that parsing may take: at least one for each element, item or fragment. Real headers have up to a few
#: thousand; millions of empty ones would take minutes and gigabytes.
_MAX_READS = 100_000
#: Longest text or number element that is read. Only implicit VR files can hold longer ones at all.
_MAX_TEXT_BYTES = 2**16

_PARSE_LOCK = threading.Lock()


class BoundedReader(io.BytesIO):
    """A file in memory that ends with a `ValueError` when it is read in too many pieces."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {_MAX_READS} elements, items or fragments")
        return super().read(size)


@dataclass(frozen=True, slots=True)
class Header:
    """Technical elements of one image, unvalidated: 0, "" or None where absent."""

    transfer_syntax: str
    little_endian: bool
    elements: Dataset
    modality_lut: LookupTable | None
    voi_lut: LookupTable | None
    name: str

    def short(self, keyword: str, default: int | None = None, *, signed: bool = False) -> int:
        """First value of a 16-bit element (US or SS). Raises `ImagingError` when absent without default."""
        raw = self.raw(keyword)
        if len(raw) < 2:
            if default is None:
                raise _no_image(self.name, keyword)
            return default
        return int.from_bytes(raw[:2], "little" if self.little_endian else "big", signed=signed)

    def numbers(self, keyword: str) -> list[float]:
        """Values of a DS or IS element; empty when absent. Raises `ImagingError` where one is no number."""
        parts = self.text(keyword).split("\\")
        try:
            return [float(part) for part in parts if part.strip()]
        except ValueError:
            # The value itself is not quoted: in a damaged file it can be anything.
            raise ImagingError(f"{self.name}: {keyword} is not a number. Export the film again.") from None

    def text(self, keyword: str) -> str:
        """A CS, DS or IS element as stored, padding removed. Raises `ImagingError` where it is absurdly long."""
        raw = self.raw(keyword)
        if len(raw) > _MAX_TEXT_BYTES:
            raise ImagingError(f"{self.name}: {keyword} has {len(raw):,} bytes. Export the film again.")
        return raw.decode("ascii", "replace").strip(" \0")

    def raw(self, keyword: str) -> bytes:
        """Bytes of an element, b"" when absent."""
        return _raw(self.elements, keyword)

    def has(self, keyword: str) -> bool:
        """Whether the element is there with a value."""
        return bool(self.raw(keyword))

    @property
    def pixel_vr(self) -> str:
        """Either "OB" or "OW"; in big-endian files the latter swaps the bytes of 8-bit pixels."""
        element = self.elements.get_item(Tag("PixelData"), keep_deferred=True)
        return "OB" if element is not None and element.VR == VR.OB else "OW"


def looks_like_dicom(data: bytes) -> bool:
    """Whether the bytes start as DICOM does, with the preamble or, as older exports do, without.

    Without preamble the first element must be of group 0002 or 0008, with a plausible VR and length.
    """
    if data[128:132] == b"DICM":
        return True
    if len(data) < 32 or data[:2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x08"}:
        return False
    order = ">" if data[:2] == b"\x00\x08" else "<"
    if data[4:6] in _VR_CODES:
        return data[4:6] in _LONG_VR_CODES or struct.unpack_from(f"{order}H", data, 6)[0] <= len(data)
    return order == "<" and struct.unpack_from("<I", data, 4)[0] <= len(data)


def read_header(data: bytes, name: str, limits: Limits) -> Header:
    """Parse the technical elements and the (still encoded) pixel data.

    Raises:
        ImagingError: Not parsable, or a deflated file inflates beyond the limits.
    """
    start = 132 if data[128:132] == b"DICM" else 0
    try:
        syntax, start = _file_meta(data, start)
    except struct.error:
        raise _damaged(name) from None
    if not syntax:
        syntax = _guess_syntax(data, start)
    if syntax == DeflatedExplicitVRLittleEndian:
        data, start = _inflate(data[start:], name, limits), 0
    return _parse(data, start, syntax, name)


def frame_bytes(header: Header, limits: Limits) -> int:
    """Bytes of one frame when not compressed, after checking size and frame count against the limits."""
    name, rows, columns = header.name, header.short("Rows"), header.short("Columns")
    limits.check_size(rows, columns, name)
    frames = frame_count(header)
    if frames > limits.max_frames:
        raise ImagingError(
            f"{name}: {frames} frames; a chest film is one, and at most {limits.max_frames} are accepted "
            "(the first is used). Export the film as a single image."
        )
    samples = header.short("SamplesPerPixel", 1)
    bits = header.short("BitsAllocated")
    if header.text("PhotometricInterpretation") == "YBR_FULL_422":
        samples = 2
    return rows * columns * samples * ((bits + 7) // 8)


def frame_count(header: Header) -> int:
    """NumberOfFrames, 1 when absent. Raises `ImagingError` below 1."""
    numbers = header.numbers("NumberOfFrames")
    if not numbers:
        return 1
    if not 1 <= numbers[0] < 2**31:
        raise ImagingError(f"{header.name}: NumberOfFrames is below 1 or absurd. Export the film again.")
    return int(numbers[0])


def _file_meta(data: bytes, start: int) -> tuple[str, int]:
    """Transfer syntax of the file meta group ("" when absent) and where the data set begins."""
    syntax = ""
    while data[start : start + 2] == b"\x02\x00":
        element, code = struct.unpack_from("<H2s", data, start + 2)
        if code in _LONG_VR_CODES:
            value_at, length = start + 12, struct.unpack_from("<I", data, start + 8)[0]
        elif code in _VR_CODES:
            value_at, length = start + 8, struct.unpack_from("<H", data, start + 6)[0]
        else:
            value_at, length = start + 8, struct.unpack_from("<I", data, start + 4)[0]
        if element == 0x0010:
            syntax = data[value_at : value_at + length].decode("ascii", "replace").strip(" \0")
        start = value_at + length
    return syntax, start


def _guess_syntax(data: bytes, start: int) -> str:
    if data[start : start + 2] == b"\x00\x08":
        return ExplicitVRBigEndian
    return ExplicitVRLittleEndian if data[start + 4 : start + 6] in _VR_CODES else ImplicitVRLittleEndian


def _inflate(deflated: bytes, name: str, limits: Limits) -> bytes:
    """Inflate, but never further than the header's own image size and the limits allow."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        head = inflater.decompress(deflated, _DEFLATED_HEADER)
        if inflater.eof or not inflater.unconsumed_tail:
            return head + inflater.flush()
        header = _parse(head, 0, ExplicitVRLittleEndian, name, pixels=False)
        expected = frame_bytes(header, limits) * frame_count(header)
        room = min(expected + _DEFLATED_TAIL, limits.max_inflated_bytes - len(head))
        rest = inflater.decompress(inflater.unconsumed_tail, max(room, 1))
        if inflater.unconsumed_tail and not inflater.eof:
            raise ImagingError(
                f"{name}: the deflated file inflates to more than its image size and the limit of "
                f"{limits.max_inflated_bytes:,} bytes allow. Export the film uncompressed."
            )
        return head + rest
    except zlib.error:
        raise _damaged(name) from None


def _parse(data: bytes, start: int, syntax: str, name: str, *, pixels: bool = True) -> Header:
    little_endian = syntax != ExplicitVRBigEndian
    stop_when: Callable[[BaseTag, str | None, int], bool] | None = None
    if not pixels:
        pixel_tags = {Tag(keyword) for keyword in _PIXEL_KEYWORDS}

        def stop_when(tag: BaseTag, vr: str | None, length: int) -> bool:
            return tag in pixel_tags

    source = BoundedReader(data)
    source.seek(start)
    try:
        with pydicom_silenced():
            elements = read_dataset(
                source,
                syntax == ImplicitVRLittleEndian,
                little_endian,
                stop_when=stop_when,
                specific_tags=_TAGS,
            )
            modality_lut = _lookup_table(elements, "ModalityLUTSequence", little_endian)
            voi_lut = _lookup_table(elements, "VOILUTSequence", little_endian)
    except Exception:
        # Not chained: pydicom's message may quote a value of the file.
        raise _damaged(name) from None
    return Header(syntax, little_endian, elements, modality_lut, voi_lut, name)


def _lookup_table(elements: Dataset, keyword: str, little_endian: bool) -> LookupTable | None:
    """First item of a LUT sequence; None when absent or empty. Raises on a malformed one."""
    if keyword not in elements or not elements[keyword].value:
        return None
    item = elements[keyword].value[0]
    order = "<" if little_endian else ">"
    entries, first, bits = struct.unpack_from(f"{order}3H", _raw(item, "LUTDescriptor"))
    entries = entries or 2**16
    # The first input is signed where stored values are; a table that starts so high is one of those.
    signed = int.from_bytes(_raw(elements, "PixelRepresentation")[:2], "little" if little_endian else "big") == 1
    rescaled_below_zero = _raw(elements, "RescaleIntercept").strip().startswith(b"-")
    if first >= 2**15 and (signed or (rescaled_below_zero and keyword == "VOILUTSequence")):
        first -= 2**16
    content = _raw(item, "LUTData")
    width = 1 if len(content) < 2 * entries else 2
    values = np.frombuffer(content, dtype=f"{order}u{width}", count=entries)
    if not 1 <= bits <= 16:
        raise ValueError("LUT bits")
    return LookupTable(values.astype(np.uint16), first, bits)


def _raw(elements: Dataset, keyword: str) -> bytes:
    # keep_deferred: otherwise pydicom converts empty values, and with them unknown VRs, here.
    element = elements.get_item(Tag(keyword), keep_deferred=True)
    return element.value if element is not None and isinstance(element.value, bytes) else b""


@contextmanager
def pydicom_silenced() -> Iterator[None]:
    """Keep pydicom's remarks about values out of logs and terminal while elements are parsed.

    Faults are not hidden: every value used is checked by this module. `catch_warnings` is process-wide, hence
    the lock; parsing takes about a millisecond.
    """
    me = threading.get_ident()
    logger = logging.getLogger("pydicom")

    def from_other_threads(record: logging.LogRecord) -> bool:
        return record.thread != me

    with _PARSE_LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        logger.addFilter(from_other_threads)
        try:
            yield
        finally:
            logger.removeFilter(from_other_threads)


def _no_image(name: str, keyword: str) -> ImagingError:
    return ImagingError(f"{name}: no film in this DICOM file ({keyword} is missing). Choose an image object.")


def _damaged(name: str) -> ImagingError:
    return ImagingError(f"{name}: the DICOM data is damaged or cut short. Export or copy the file again.")
