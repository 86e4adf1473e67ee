"""Forms of one drawn film that break the standard, and streams that are not what the file calls them."""

from __future__ import annotations

from typing import Any

import numpy as np
from drawn_film import GreyFilms, bent_curve
from imaging_samples import Written, full_window, lut, picture
from jpeg_samples import dct_jpeg, lossless_jpeg
from openjpeg.utils import encode_array
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

_NO_J2K = "dcmtk reads no JPEG 2000"
_NATIVE_UID = ExplicitVRLittleEndian
_PYDICOM = "pydicom stops at the fault or shows another film"
_DCMTK = "dcmtk stops at the fault or shows another film"


def add_all(make: GreyFilms) -> None:
    """Add all of them."""
    for add in (streams, malformed_tables, malformed_numbers):
        add(make)


def streams(make: GreyFilms) -> None:
    codes, signed = make.codes, make.signed
    numbers = signed.view(np.int16)
    j2k = {"syntax": JPEG2000Lossless, "dcmtk": _NO_J2K}
    signed_j2k = encode_array(numbers, bits_stored=12)
    coarse_j2k = encode_array((numbers >> 4).astype(np.int8), bits_stored=8)
    unsigned_j2k = encode_array(codes, bits_stored=12)
    make.add("JPEG 2000, signed 12 of 16", signed, 16, stream=signed_j2k, PixelRepresentation=1, **j2k)
    make.add(
        "JPEG 2000, signed 12 of 16, window",
        signed,
        16,
        stream=signed_j2k,
        PixelRepresentation=1,
        WindowCenter=0,
        WindowWidth=4096,
        **j2k,
    )
    make.add(
        "JPEG 2000, signed 8 of 16",
        signed,
        16,
        stream=coarse_j2k,
        PixelRepresentation=1,
        tolerance=5e-3,
        **j2k,
    )
    make.add("JPEG 2000, unsigned 12 of 16", codes, 16, stream=unsigned_j2k, **j2k)
    coarse = {"tolerance": 5e-3, **j2k}
    make.add("JPEG 2000, unsigned 8 of 16", codes, 16, stream=encode_array(codes >> 4, bits_stored=8), **coarse)
    make.add("JPEG 2000, unsigned 8 of 12", codes, stream=encode_array(codes >> 4, bits_stored=8), **coarse)
    make.add(
        "JPEG of 8 bits, 12 stored",
        codes,
        stream=picture((codes >> 4).astype(np.uint8), "JPEG", quality=100),
        syntax=JPEGExtended12Bit,
        tolerance=1.5e-2,
        pydicom=_PYDICOM,
    )
    pattern = encode_array(signed & np.uint16(0xFFF), bits_stored=12)
    make.add("JPEG 2000, signed pixels in an unsigned stream", signed, stream=pattern, PixelRepresentation=1, **j2k)
    lossless = lossless_jpeg(codes, 12)
    make.add("lossless JPEG", codes, stream=lossless, syntax=JPEGLosslessSV1)
    make.add("lossless JPEG, process 14", codes, stream=lossless, syntax=JPEGLossless)
    make.add(
        "lossless JPEG, signed",
        signed,
        stream=lossless_jpeg(signed & np.uint16(0xFFF), 12),
        syntax=JPEGLosslessSV1,
        PixelRepresentation=1,
    )
    make.add("lossless JPEG of 16 bits, 12 stored", codes, stream=lossless_jpeg(codes, 16), syntax=JPEGLosslessSV1)
    other = {"ignored": "transfer syntax", "dcmtk": _DCMTK}
    for name, syntax in {"baseline": JPEGBaseline8Bit, "JPEG-LS": JPEGLSLossless}.items():
        make.add(f"lossless JPEG under the UID of {name}", codes, stream=lossless, syntax=syntax, **other)
    for name, stream, syntax in (
        ("lossless JPEG under the UID of JPEG 2000", lossless, JPEG2000Lossless),
        ("JPEG 2000 under the UID of baseline", unsigned_j2k, JPEGBaseline8Bit),
    ):
        make.add(name, codes, stream=stream, syntax=syntax, pydicom=_PYDICOM, **other)
    make.add(
        "lossless JPEG under the UID of RLE", codes, stream=lossless, syntax=RLELossless, pydicom=_PYDICOM, **other
    )
    claims = {
        "RLE under a native UID": (RLELossless, _NATIVE_UID),
        "native pixels under the UID of RLE": (_NATIVE_UID, RLELossless),
    }
    for name, (syntax, claim) in claims.items():
        make.add(name, codes, syntax=syntax, claim=claim, pydicom=_PYDICOM, **other)
    make.add("12-bit JPEG", codes, stream=dct_jpeg(codes), syntax=JPEGExtended12Bit)
    make.add("12-bit JPEG under the UID of baseline", codes, stream=dct_jpeg(codes), syntax=JPEGBaseline8Bit, **other)
    make.add(
        "12-bit JPEG, odd scan header",
        codes,
        stream=dct_jpeg(codes, scan=b"\0\0\0"),
        syntax=JPEGExtended12Bit,
        ignored="scan header",
        pydicom=_PYDICOM,
    )
    make.add(
        "lossless JPEG of 12 bits, 8 stored",
        codes,
        8,
        stream=lossless,
        syntax=JPEGLosslessSV1,
        ignored="BitsStored",
        pydicom=_PYDICOM,
        dcmtk=_DCMTK,
    )


def malformed_tables(make: GreyFilms) -> None:
    """A table that is none, beside a sound window and alone."""
    codes, bent = make.codes, bent_curve()
    without_data, without_descriptor, cut, flat = (lut(bent, 0, 12) for _ in range(4))
    del without_data[0].LUTData
    del without_descriptor[0].LUTDescriptor
    cut[0].LUTData = bent[:100].tobytes()
    flat[0].LUTData = np.full_like(bent, 77).tobytes()
    short = lut(bent, 0, 12)
    short[0]["LUTDescriptor"] = DataElement("LUTDescriptor", "US", [4096, 0])
    strict, refused = {"pydicom": _PYDICOM}, {"pydicom": _PYDICOM, "dcmtk": _DCMTK}
    empty = Sequence([Dataset()])
    items: dict[str, tuple[Sequence, dict[str, str]]] = {
        "empty item": (empty, {}),
        "no data": (without_data, {}),
        "no descriptor": (without_descriptor, {}),
        "descriptor of two": (short, strict),
        "data cut short": (cut, strict),
        "one value": (flat, strict),
    }
    for name, (item, differs) in items.items():
        common: dict[str, Any] = {"VOILUTSequence": item, "ignored": "VOI LUT", **differs}
        make.add(f"VOI LUT, {name}", codes, **common)
        make.add(f"VOI LUT, {name}, window", codes, **common, **full_window(12))
    window = {**full_window(12), "ignored": "modality LUT"}
    make.add("modality LUT, empty item, window", codes, ModalityLUTSequence=empty, **window, **strict)
    make.add("modality LUT, data cut short, window", codes, ModalityLUTSequence=cut, **window, **refused)
    make.add(
        "signed, VOI LUT, empty item, window",
        make.signed,
        PixelRepresentation=1,
        VOILUTSequence=empty,
        WindowCenter=0,
        WindowWidth=4096,
        ignored="VOI LUT",
    )
    rubbish = Written("SQ", b"\xfe\xff\x00\xe0\x10\0\0\0rubbish!")
    make.add(
        "VOI LUT, rubbish, window", codes, VOILUTSequence=rubbish, ignored="VOI LUT", dcmtk=_DCMTK, **full_window(12)
    )


def malformed_numbers(make: GreyFilms) -> None:
    codes = make.codes
    tone = {"tone": lambda codes: (codes - 1999.5) / 1499 + 0.5}
    numbers = (("Center", 2000), ("Width", 1500))
    text_only = {"dcmtk": "dcmtk reads text and doubles only"}
    strict, refused = {"pydicom": _PYDICOM}, {"pydicom": _PYDICOM, "dcmtk": _DCMTK}
    for vr, number, differs in (
        ("FD", float, {}),
        ("FL", float, text_only),
        ("US", int, text_only),
        ("SL", int, text_only),
    ):
        centre, width = (DataElement(f"Window{what}", vr, number(value)) for what, value in numbers)
        make.add(f"window of VR {vr}", codes, WindowCenter=centre, WindowWidth=width, **differs, **tone)
    centre, width = (DataElement(f"Window{what}", "FD", float(value)) for what, value in numbers)
    make.add(
        "window of VR FD, big endian", codes, syntax=ExplicitVRBigEndian, WindowCenter=centre, WindowWidth=width, **tone
    )
    commas = {"WindowCenter": Written("DS", b"2000,0"), "WindowWidth": Written("DS", b"1500,0")}
    make.add("window with decimal comma", codes, **commas, **tone, **strict)
    bad: dict[str, tuple[bytes, bytes, dict[str, str]]] = {
        "no width": (b"2000", b"", {}),
        "no centre": (b"", b"1500", {}),
        "no number": (b"abc", b"1500", strict),
        "width 0": (b"2000", b"0", strict),
        "negative width": (b"2000", b"-1500", strict),
        "NaN": (b"NaN", b"NaN", strict),
        "infinite": (b"2000", b"1e999", strict),
    }
    for name, (low, high, differs) in bad.items():
        window = {"WindowCenter": Written("DS", low), "WindowWidth": Written("DS", high)}
        make.add(f"window, {name}", codes, ignored="window", **window, **differs)
    nan = {key: DataElement(key, "FD", float("nan")) for key in ("WindowCenter", "WindowWidth")}
    make.add("window, NaN of VR FD", codes, ignored="window", **nan, **strict)
    second = {"WindowCenter": Written("DS", b"x\\2000"), "WindowWidth": Written("DS", b"9\\1500")}
    make.add("second window sound", codes, ignored="window", **second, **tone, **refused)
    for value, differs in ((b"0", strict), (b"abc", strict), (b"NaN", refused), (b"1e308", refused), (b"inf", refused)):
        rescale = {"RescaleSlope": Written("DS", value), "RescaleIntercept": Written("DS", b"0"), **differs}
        make.add(f"slope {value.decode()}", codes, ignored="rescale", **rescale)
        make.add(f"slope {value.decode()}, window", codes, ignored="rescale", **rescale, **full_window(12))
    doubles = {
        key: DataElement(key, "FD", value) for key, value in (("RescaleSlope", 2.0), ("RescaleIntercept", -1000.0))
    }
    make.add("slope of VR FD", codes, WindowCenter=2999.5, WindowWidth=2999, **doubles, **tone)
    for value in (b"0", b"-1", b"1A", b"NaN"):
        frames = Written("IS", value)
        make.add(f"{value.decode()} frames", codes, ignored="NumberOfFrames", NumberOfFrames=frames, **strict)
    make.add("no number of frames", codes, NumberOfFrames=Written("IS", b""))
    make.add("odd HighBit", codes, HighBit=3, ignored="HighBit", dcmtk=_DCMTK)
