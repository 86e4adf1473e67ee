"""The technical part of a DICOM header as plain values. Patient elements are skipped unread.

pydicom walks the elements, but values are converted here: its warnings and errors quote the value at fault,
and in a damaged file that can be a name. Nothing from the file reaches a message except numbers and known
codes.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_sequence_item
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from index_builder.errors import ImagingError
from index_builder.imaging.film import IGNORED, MIB, Limits
from index_builder.imaging.lookup_table import LookupTable, read_table
from index_builder.imaging.quiet import third_parties_silenced

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
PALETTE = ("Red", "Green", "Blue")
_SEQUENCES = ("ModalityLUTSequence", "VOILUTSequence")
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
    *_SEQUENCES,
    "PresentationLUTShape",
    "PixelAspectRatio",
    *(f"{colour}PaletteColorLookupTable{part}" for colour in PALETTE for part in ("Descriptor", "Data")),
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

#: How fragments begin. As pixels it would be two of 65,534 and 57,344, of a film that is damaged at its first one.
_ITEM_TAG = b"\xfe\xff\x00\xe0"
#: Value representations that hold numbers as such; all others hold them as text.
_BINARY_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


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
    """Technical elements of one image, unvalidated.

    Attributes:
        transfer_syntax: UID of the file meta group, or a guess where there is none.
        little_endian: Byte order of all values.
        values: Bytes of an element by keyword, as they stand in the file. pydicom converts an element in place
            when another one needs it, so that all are taken before anything is looked up.
        vrs: Value representation by keyword; "" in implicit VR.
        encapsulated: Whether the pixel data is in fragments, as compressed frames are, whatever the transfer syntax.
        modality_lut: First item of its sequence, where sound.
        voi_lut: First item of its sequence, where sound.
        remarks: What was ignored, as notes of the film.
        name: File, for messages.
    """

    transfer_syntax: str
    little_endian: bool
    values: Mapping[str, bytes]
    vrs: Mapping[str, str]
    encapsulated: bool
    modality_lut: LookupTable | None
    voi_lut: LookupTable | None
    remarks: tuple[str, ...]
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
        """Values of an element of numbers, in text or binary; NaN for each that is none, empty when absent.

        A decimal comma is read as a point. Raises `ImagingError` where the element is absurdly long.
        """
        code = _BINARY_NUMBERS.get(self.vrs.get(keyword, ""))
        if code is None:
            text = self.text(keyword)
            return [_number(part) for part in text.split("\\")] if text else []
        raw = self._short_raw(keyword)
        count = len(raw) // struct.calcsize(code)
        return [float(value) for value in struct.unpack_from(f"{'<' if self.little_endian else '>'}{count}{code}", raw)]

    def number(self, keyword: str, default: float) -> float:
        """First value of an element of numbers; `default` when absent or blank, NaN when it is no number."""
        return next(iter(self.numbers(keyword)), default)

    def has_decimal_comma(self, keyword: str) -> bool:
        """Whether an element of numbers in text has a comma in it."""
        return self.vrs.get(keyword, "") not in _BINARY_NUMBERS and "," in self.text(keyword)

    def text(self, keyword: str) -> str:
        """A CS, DS or IS element as stored, padding removed. Raises `ImagingError` where it is absurdly long."""
        return self._short_raw(keyword).decode("ascii", "replace").strip(" \0")

    def raw(self, keyword: str) -> bytes:
        """Bytes of an element, b"" when absent."""
        return self.values.get(keyword, b"")

    def has(self, keyword: str) -> bool:
        """Whether the element is there with a value."""
        return bool(self.raw(keyword))

    @property
    def pixel_vr(self) -> str:
        """Either "OB" or "OW"; in big-endian files the latter swaps the bytes of 8-bit pixels."""
        return "OB" if self.vrs.get("PixelData") == VR.OB else "OW"

    def _short_raw(self, keyword: str) -> bytes:
        raw = self.raw(keyword)
        if len(raw) > _MAX_TEXT_BYTES:
            raise ImagingError(f"{self.name}: {keyword} has {len(raw):,} bytes. Export the film again.")
        return raw


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
    """NumberOfFrames; 1 when absent, below 1 or no number, since a file with pixels has a frame."""
    first = header.number("NumberOfFrames", 1)
    return int(min(first, 2**31)) if first >= 1 else 1


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
        with third_parties_silenced():
            elements = read_dataset(
                source,
                syntax == ImplicitVRLittleEndian,
                little_endian,
                stop_when=stop_when,
                specific_tags=_TAGS,
            )
            found = {keyword: elements.get_item(Tag(keyword), keep_deferred=True) for keyword in _KEYWORDS}
            tables = {keyword: _first_item(found[keyword]) for keyword in _SEQUENCES}
    except Exception:
        # Not chained: pydicom's message may quote a value of the file.
        raise _damaged(name) from None
    present = {keyword: element for keyword, element in found.items() if element is not None}
    values = {keyword: element.value for keyword, element in present.items() if isinstance(element.value, bytes)}
    vrs = {keyword: str(element.VR or "") for keyword, element in present.items()}
    encapsulated = values.get("PixelData", b"").startswith(_ITEM_TAG)
    header = Header(syntax, little_endian, values, vrs, encapsulated, None, None, (), name)
    return _with_tables(header, tables)


def _with_tables(header: Header, items: Mapping[str, Dataset | None]) -> Header:
    """The header with its look-up tables; one that is not sound leaves a remark instead."""
    signed = header.short("PixelRepresentation", 0) == 1
    below_zero = signed or header.number("RescaleSlope", 1) < 0 or header.number("RescaleIntercept", 0) < 0
    remarks: list[str] = []

    def table(keyword: str, title: str, signed_input: bool) -> LookupTable | None:
        item = items[keyword]
        if item is None:
            return None
        descriptor, content = (item.get_item(Tag(part), keep_deferred=True) for part in ("LUTDescriptor", "LUTData"))
        signed_input = signed_input or (descriptor is not None and descriptor.VR == VR.SS)
        try:
            read = read_table(_bytes(descriptor), _bytes(content), header.little_endian, signed_input)
        except ValueError:
            read = None
        if read is None or read.values.min() == read.values.max():
            remarks.append(f"{IGNORED}{title}, which has no sound table")
            return None
        if read.declared_bits != read.bits:
            remarks.append(f"{IGNORED}depth of the {title}, which does not fit its values")
        return read

    modality = table("ModalityLUTSequence", "modality LUT", signed)
    # What a modality LUT puts out is unsigned (PS3.3, C.11.1.1).
    voi = table("VOILUTSequence", "VOI LUT", below_zero and modality is None)
    return replace(header, modality_lut=modality, voi_lut=voi, remarks=tuple(remarks))


def _first_item(element: DataElement | RawDataElement | None) -> Dataset | None:
    """First item of a sequence, its elements unconverted: None where there is none, empty where it is malformed.

    pydicom would parse all items, and there can be millions.
    """
    if element is None or not element.value:
        return None
    if not isinstance(element, RawDataElement):
        return next(iter(element.value), None)
    # An unknown VR hides implicit VR, little endian (PS3.5, 6.2.2, note 2).
    implicit, little = (True, True) if element.VR == VR.UN else (element.is_implicit_VR, element.is_little_endian)
    try:
        return read_sequence_item(BoundedReader(element.value), implicit, little, "iso8859")
    except Exception:  # pydicom raises of every kind here; the table that is missing leaves a remark
        return Dataset()


def _bytes(element: DataElement | RawDataElement | None) -> bytes:
    return element.value if element is not None and isinstance(element.value, bytes) else b""


def _number(text: str) -> float:
    """The number that a text holds, NaN where it holds none."""
    try:
        # Python's own grouping of digits is none of DICOM's.
        value = float(text.replace(",", ".").replace("_", "?"))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _no_image(name: str, keyword: str) -> ImagingError:
    return ImagingError(f"{name}: no film in this DICOM file ({keyword} is missing). Choose an image object.")


def _damaged(name: str) -> ImagingError:
    return ImagingError(f"{name}: the DICOM data is damaged or cut short. Export or copy the file again.")
