"""Forms of one drawn film that follow the standard: containers, padding, tables, windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from drawn_film import BORDER, CORNERS, NOWHERE, ROWS, TOP, GreyFilms, Variant, X, bent_curve, drawn_film
from imaging_samples import dicom, full_window, lut
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

_NO_12_BITS = "pydicom reads modality LUTs of 8 and 16 bits only"
_NO_J2K = "dcmtk reads no JPEG 2000"


def add_all(make: GreyFilms) -> None:
    """Add all of them."""
    for add in (containers, signed_with_tables, ranges_and_padding, tables, windows_and_rescaling, rest):
        add(make)


def containers(make: GreyFilms) -> None:
    codes = make.codes
    for name, syntax in {
        "explicit": ExplicitVRLittleEndian,
        "implicit": ImplicitVRLittleEndian,
        "big endian": ExplicitVRBigEndian,
        "deflated": DeflatedExplicitVRLittleEndian,
        "RLE": RLELossless,
        "JPEG 2000": JPEG2000Lossless,
    }.items():
        dcmtk = _NO_J2K if syntax == JPEG2000Lossless else ""
        make.add(name, codes, syntax=syntax, dcmtk=dcmtk)
        make.add(f"{name}, window", codes, syntax=syntax, dcmtk=dcmtk, **full_window(12))
    make.add("no preamble", codes, meta=False)
    make.add("8 bits", codes >> 4, 8, allocated=8, tolerance=5e-3)
    make.add("8 bits of 16", codes >> 4, 8, tolerance=5e-3)
    make.add("16 bits", codes * 16, 16)
    make.add("high-aligned", codes << 4, HighBit=15, pydicom="pydicom does not shift")
    make.add("overlay in the high bits", codes | np.where(BORDER, 0x8000, 0).astype(np.uint16))


def signed_with_tables(make: GreyFilms) -> None:
    """A sequence beside signed pixels, of whatever content."""
    bent = bent_curve()
    sequences: dict[str, dict[str, Any]] = {
        "no sequence": {},
        "empty VOI LUT sequence": {"VOILUTSequence": Sequence()},
        "empty modality LUT sequence": {"ModalityLUTSequence": Sequence()},
    }
    for encoding, syntax in {"explicit": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian}.items():
        for what, sequence in sequences.items():
            make.add(f"signed, {what}, {encoding}", make.signed, PixelRepresentation=1, syntax=syntax, **sequence)
            window = {"WindowCenter": 0, "WindowWidth": 4096, **sequence}
            make.add(f"signed, {what}, {encoding}, window", make.signed, PixelRepresentation=1, syntax=syntax, **window)
        make.add(
            f"signed, VOI LUT, {encoding}",
            make.signed,
            tone=lambda codes: bent[codes.astype(int)] / TOP,
            syntax=syntax,
            PixelRepresentation=1,
            VOILUTSequence=lut(bent, -2048, 12),
            pydicom="pydicom wraps negative inputs of a US descriptor" if syntax == ExplicitVRLittleEndian else "",
        )
        make.add(
            f"signed, modality LUT, {encoding}",
            make.signed,
            tone=lambda codes: (bent[codes.astype(int)] - bent[0]) / (bent[TOP] - float(bent[0])),
            syntax=syntax,
            PixelRepresentation=1,
            ModalityLUTSequence=lut(bent, -2048, 12),
            pydicom=_NO_12_BITS,
        )


def ranges_and_padding(make: GreyFilms) -> None:
    codes, signed = make.codes, make.signed
    make.add("12 bits used of 16", codes, 16)
    make.add("12 bits used of 16, signed", signed, 16, PixelRepresentation=1)
    for where, area in {"border": BORDER, "corners": CORNERS}.items():
        common: dict[str, Any] = {"padding": area}
        pad = np.uint16(-20000 & 0xFFFF)
        make.add(
            f"{where} declared padding, signed",
            np.where(area, pad, signed),
            16,
            PixelRepresentation=1,
            PixelPaddingValue=DataElement("PixelPaddingValue", "SS", -20000),
            **common,
        )
        make.add(
            f"{where} declared padding by a range",
            np.where(area, 60000 + X, codes).astype(np.uint16),
            16,
            PixelPaddingValue=DataElement("PixelPaddingValue", "US", 60000),
            PixelPaddingRangeLimit=DataElement("PixelPaddingRangeLimit", "US", 61000),
            **common,
        )
        make.add(
            f"{where} declared padding, a word that 12 bits cannot hold",
            np.where(area, 0xFFFF, codes).astype(np.uint16),
            PixelPaddingValue=DataElement("PixelPaddingValue", "US", 0xFFFF),
            **common,
        )
        make.add(f"{where} at 65535", np.where(area, 65535, codes).astype(np.uint16), 16, **common)
        make.add(f"{where} at 0", np.where(area, 0, codes + 1000).astype(np.uint16), 16, **common)
        make.add(f"{where} at -32768", np.where(area, 32768, signed), 16, PixelRepresentation=1, **common)
        make.add(
            f"{where} at 65535, the padding declared is another",
            np.where(area, 65535, codes).astype(np.uint16),
            16,
            PixelPaddingValue=DataElement("PixelPaddingValue", "US", 50000),
            **common,
        )
    both = np.where(BORDER, 0, np.where(CORNERS, 65535, codes + 3000)).astype(np.uint16)
    make.add("border at 0 and corners at 65535", both, 16, padding=BORDER | CORNERS)
    # A window makes the padding's place in the range a matter of the header alone.
    make.add("corners at 4095, window", np.where(CORNERS, TOP, codes), padding=CORNERS, black=False, **full_window(12))
    everything = {
        "PixelPaddingValue": DataElement("PixelPaddingValue", "US", 0),
        "PixelPaddingRangeLimit": DataElement("PixelPaddingRangeLimit", "US", 65535),
    }
    make.add("padding of all values", codes, ignored="pixel padding", **everything)


def tables(make: GreyFilms) -> None:
    codes, bent = make.codes, bent_curve()
    bent_tone = {"tone": lambda codes: bent[codes.astype(int)] / TOP}
    make.add("VOI LUT", codes, VOILUTSequence=lut(bent, 0, 12), **bent_tone)
    make.add("modality LUT", codes, ModalityLUTSequence=lut(bent, 0, 12), pydicom=_NO_12_BITS, **bent_tone)
    make.add("modality LUT of 16 bits", codes, ModalityLUTSequence=lut(bent * 16, 0, 16), **bent_tone)
    make.add(
        "VOI LUT before a window",
        codes,
        VOILUTSequence=lut(bent, 0, 12),
        WindowCenter=9,
        WindowWidth=2,
        **bent_tone,
    )
    make.add(
        "VOI LUT, big endian",
        codes,
        syntax=ExplicitVRBigEndian,
        VOILUTSequence=lut(bent, 0, 12, order=">"),
        **bent_tone,
    )
    make.add(
        "VOI LUT, deflated",
        codes,
        syntax=DeflatedExplicitVRLittleEndian,
        VOILUTSequence=lut(bent, 0, 12),
        **bent_tone,
    )
    long = np.round((np.arange(65536) / 65535) ** 1.5 * 65535).astype(np.uint16)
    make.add(
        "VOI LUT of 65,536 entries",
        codes * 16,
        16,
        tone=lambda codes: long[(codes * 16).astype(int)] / 65535,
        VOILUTSequence=lut(long, 0, 16),
    )
    undefined = lut(bent, 0, 12)
    undefined.is_undefined_length = True
    undefined[0].is_undefined_length_sequence_item = True
    make.add("VOI LUT, undefined length", codes, VOILUTSequence=undefined, **bent_tone)
    make.add(
        "VOI LUT below zero after rescaling",
        codes,
        RescaleSlope=1,
        RescaleIntercept=-1024,
        VOILUTSequence=lut(bent, -1024, 12),
        pydicom="pydicom wraps negative inputs of a US descriptor",
        **bent_tone,
    )
    packed = np.round(np.linspace(0, 255, TOP + 1)).astype(np.uint8)
    for name, syntax, content in (
        ("little endian", ExplicitVRLittleEndian, packed),
        ("big endian", ExplicitVRBigEndian, packed.view("<u2").astype(">u2")),
    ):
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [TOP + 1, 0, 8])
        item.add_new("LUTData", "OW", content.tobytes())
        make.add(
            f"VOI LUT of bytes, {name}",
            codes,
            syntax=syntax,
            VOILUTSequence=Sequence([item]),
            tolerance=3e-3,
            pydicom="pydicom reads words only",
        )
    shallow = {"ignored": "depth of the", "pydicom": "pydicom wraps the values"}
    for bits in (8, 0, 99):
        make.add(
            f"VOI LUT of 12 bits that says {bits}", codes, VOILUTSequence=lut(bent, 0, bits), **bent_tone, **shallow
        )
    make.add("modality LUT of 12 bits that says 8", codes, ModalityLUTSequence=lut(bent, 0, 8), **bent_tone, **shallow)


def windows_and_rescaling(make: GreyFilms) -> None:
    codes = make.codes

    def linear(centre: float, width: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda codes: (codes - centre + 0.5) / (width - 1) + 0.5

    make.add("narrow window", codes, tone=linear(2000, 1500), WindowCenter=2000, WindowWidth=1500)
    make.add("first of two windows", codes, tone=linear(2000, 1500), WindowCenter=[2000, 9], WindowWidth=[1500, 9])
    make.add(
        "sigmoid",
        codes,
        tone=lambda c: 1 / (1 + np.exp(-4 * (c - 2000) / 1500)),
        WindowCenter=2000,
        WindowWidth=1500,
        VOILUTFunction="SIGMOID",
    )
    make.add(
        "linear exact",
        codes,
        tone=lambda c: (c - 2000) / 1500 + 0.5,
        WindowCenter=2000,
        WindowWidth=1500,
        VOILUTFunction="LINEAR_EXACT",
    )
    make.add(
        "unknown VOI function",
        codes,
        tone=linear(2000, 1500),
        ignored="VOI LUT function",
        WindowCenter=2000,
        WindowWidth=1500,
        VOILUTFunction="CUBIC",
        pydicom="pydicom stops at it",
    )
    make.add(
        "window of rescaled values",
        codes,
        tone=linear(2000, 1500),
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=2999.5,
        WindowWidth=2999,
    )
    make.add("rescaled, no window", codes, RescaleSlope="0.25", RescaleIntercept="-7")
    make.add("falling slope", codes, tone=lambda c: 1 - c / TOP, RescaleSlope="-1", RescaleIntercept="4095")


def rest(make: GreyFilms) -> None:
    codes = make.codes
    if not make.inverse:
        negative = TOP - codes
        make.add("shape INVERSE", negative, PresentationLUTShape="INVERSE")
        window = {"WindowCenter": 2095, "WindowWidth": 1500, "PresentationLUTShape": "INVERSE"}
        make.add("shape INVERSE, window", negative, tone=lambda c: 1 - ((TOP - c - 2094.5) / 1499 + 0.5), **window)
    else:
        make.add("shape INVERSE", codes, PresentationLUTShape="INVERSE")
    frames = np.concatenate([codes, codes[::-1]])
    make.add("first of two frames", frames, Rows=ROWS, NumberOfFrames=2)
    make.add("oblong pixels", codes, PixelAspectRatio=[2, 1])
    whole = make.codes
    make.codes = whole[:-1, :-1]
    make.add("odd sides", make.codes)
    make.add("odd sides, 8 bits", make.codes >> 4, 8, allocated=8, tolerance=5e-3)
    make.add(
        "odd sides, 8 bits, big endian", make.codes >> 4, 8, allocated=8, syntax=ExplicitVRBigEndian, tolerance=5e-3
    )
    make.codes = whole


def colour() -> list[Variant]:
    """Secondary captures: the film as colour, and through a palette."""
    grey = (drawn_film() >> 4).astype(np.uint8)
    shown = grey / 255
    rgb = np.dstack([grey] * 3)
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)).reshape(rgb.shape)
    ybr = np.dstack([grey, np.full_like(grey, 128), np.full_like(grey, 128)])
    palette = np.random.default_rng(1).permutation(256).astype(np.uint16)
    places = np.argsort(palette).astype(np.uint16)
    entries = palette * 257
    tables = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", entries.astype("<u2").tobytes()))
    }
    files = {
        "RGB": dicom(rgb, 8, allocated=8),
        "RGB, by planes": dicom(planes, 8, allocated=8, PlanarConfiguration=1),
        "RGB, RLE": dicom(rgb, 8, allocated=8, syntax=RLELossless),
        "RGB, big endian": dicom(rgb, 8, allocated=8, syntax=ExplicitVRBigEndian),
        "YBR_FULL": dicom(ybr, 8, allocated=8, PhotometricInterpretation="YBR_FULL"),
        "palette": dicom(places[grey], 8, allocated=8, PhotometricInterpretation="PALETTE COLOR", **tables),
    }
    everywhere = ~NOWHERE
    return [Variant(f"colour, {name}", data, shown, everywhere, True, "", 5e-3, "", "") for name, data in files.items()]
