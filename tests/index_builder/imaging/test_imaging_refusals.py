"""Damaged, hostile and oversized files; privacy of messages; threads."""

from __future__ import annotations

import logging
import os
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from imaging_samples import Written, codes, dicom, film, full_window, lut, picture, png_chunk, png_header
from jpeg_samples import dct_jpeg, lossless_jpeg
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from index_builder.errors import ImagingError
from index_builder.imaging import (
    Limits,
    decode_film,
    read_film,
)


def renamed_jpeg(marker: int) -> bytes:
    """A grey JPEG that calls itself another process."""
    return picture(codes(8).astype(np.uint8), "JPEG").replace(b"\xff\xc0", bytes([0xFF, marker]), 1)


VALID = dicom(codes(12), 12)
OFFENDERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "text": (b"PatientName: DOE^JOHN\n" * 20, "neither DICOM, PNG nor JPEG"),
    "cut DICOM": (VALID[:-500], "cut short"),
    "cut PNG": (picture(codes(8).astype(np.uint8))[:-60], "cut short"),
    "cut JPEG": (picture(codes(8).astype(np.uint8), "JPEG")[:-400], "cut short"),
    "no pixel data": (dicom(codes(12), 12, PixelData=None), "PixelData is missing"),
    "no rows": (dicom(codes(12), 12, Rows=None), "Rows is missing"),
    "zero rows": (dicom(codes(12), 12, Rows=0), "71 x 0 pixels"),
    "zero PNG": (png_header(0, 5), "0 x 5 pixels"),
    "32 bits": (dicom(codes(12), 12, BitsAllocated=32), "a pixel of 32 bits"),
    "float pixels": (dicom(codes(12), 12, PixelData=None, FloatPixelData=bytes(4 * 90 * 71)), "floating point pixels"),
    "double pixels": (
        dicom(codes(12), 12, PixelData=None, DoubleFloatPixelData=bytes(8 * 90 * 71)),
        "floating point pixels",
    ),
    "arithmetic-coded JPEG": (
        dicom(codes(8), 8, allocated=8, syntax=JPEGBaseline8Bit, stream=renamed_jpeg(0xC9)),
        "arithmetic-coded JPEG",
    ),
    "palette": (dicom(codes(8), 8, PhotometricInterpretation="PALETTE COLOR"), "photometric"),
    "one bit": (dicom(codes(8), 1, BitsAllocated=1), "a pixel of 1 bits"),
    "bits": (dicom(codes(8), 8, BitsStored=17, HighBit=16), "17 bits stored"),
    "many frames": (dicom(codes(12), 12, NumberOfFrames=300), "300 frames"),
    "unknown syntax": (
        VALID.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.9.9\0"),
        "transfer syntax",
    ),
}


@pytest.mark.parametrize("case", OFFENDERS)
def test_refusals_name_the_file_and_a_remedy(case: str) -> None:
    data, reason = OFFENDERS[case]
    with pytest.raises(ImagingError) as caught:
        decode_film(data, name="ward.bin")
    message = str(caught.value)
    assert message.startswith("ward.bin: ")
    assert reason in message
    assert any(remedy in message for remedy in ("Export", "Choose"))
    assert "DOE" not in message


@pytest.mark.parametrize(
    ("marker", "kind"),
    [(0xC9, "arithmetic-coded JPEG"), (0xCA, "arithmetic-coded JPEG"), (0xC5, "hierarchical JPEG")],
)
def test_a_jpeg_that_cannot_be_read_is_named_not_called_damaged(marker: int, kind: str) -> None:
    with pytest.raises(ImagingError, match=f"^ward.jpg: {kind} is not supported. Save the film as PNG"):
        decode_film(renamed_jpeg(marker), name="ward.jpg")


def test_a_lossless_jpeg_in_colour_is_named_not_called_damaged() -> None:
    colour = picture(np.dstack([codes(8).astype(np.uint8)] * 3), "JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1)
    with pytest.raises(ImagingError, match="lossless JPEG in colour is not supported"):
        decode_film(colour, name="ward.jpg")


def test_unreadable_path_and_byte_limit(tmp_path: Path) -> None:
    with pytest.raises(ImagingError, match="cannot be read"):
        read_film(tmp_path / "absent.png")
    big = tmp_path / "sparse.png"
    with big.open("wb") as file:
        os.truncate(file.fileno(), 2**40)
    with pytest.raises(ImagingError, match="more than the limit"):
        read_film(big)


def bomb_files() -> dict[str, bytes]:
    deflated = dicom(codes(12), 12, syntax=DeflatedExplicitVRLittleEndian)
    meta_end = 132 + 12 + struct.unpack_from("<I", deflated, 140)[0]
    body = zlib.decompress(deflated[meta_end:], -15)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    swollen = deflate.compress(body) + deflate.compress(bytes(2**29)) + deflate.flush()
    j2k = dicom(codes(12), 12, syntax=JPEG2000Lossless)
    siz = j2k.index(b"\xff\x4f\xff\x51") + 8
    return {
        "PNG 60000 x 60000": png_header(60000, 60000) + png_chunk(b"IDAT", bytes(99)),
        "JPEG 65000 x 65000": b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 65000, 65000, 1) + b"\1\x11\0",
        "JPEG of many scans": picture(codes(8).astype(np.uint8), "JPEG") + b"\xff\xda" * 10_000,
        "DICOM 65535 x 65535": dicom(codes(12), 12, Rows=65535, Columns=65535),
        "deflated DICOM": deflated[:meta_end] + swollen,
        "lossless JPEG 65000 x 65000": b"\xff\xd8\xff\xc3"
        + struct.pack(">HBHHB", 11, 12, 65000, 65000, 1)
        + b"\1\x11\0",
        "JPEG-LS 65000 x 65000": b"\xff\xd8\xff\xf7" + struct.pack(">HBHHB", 11, 12, 65000, 65000, 1) + b"\1\x11\0",
        "JPEG 2000 with a larger codestream": j2k[:siz] + struct.pack(">2I", 60000, 60000) + j2k[siz + 8 :],
    }


def test_a_table_of_millions_of_items_costs_nothing() -> None:
    """All parsed, they would take minutes and gigabytes."""
    items = Written("SQ", b"\xfe\xff\x00\xe0\0\0\0\0" * 2**21)
    data = dicom(codes(12), 12, VOILUTSequence=items, **full_window(12))
    tracemalloc.start()
    try:
        assert film(data).ignored == ("ignored: VOI LUT, which has no sound table",)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bomb", bomb_files().items(), ids=lambda item: item[0])
def test_bombs_are_refused_with_little_memory(bomb: tuple[str, bytes]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ImagingError):
            decode_film(bomb[1], name="bomb")
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_own_limits_are_kept() -> None:
    small = Limits(max_pixels=1000, max_bytes=10**6)
    for data in (VALID, picture(codes(8).astype(np.uint8)), picture(codes(8).astype(np.uint8), "JPEG")):
        with pytest.raises(ImagingError, match="71 x 90 pixels, more than the limit of 1,000"):
            decode_film(data, name="film", limits=small)
    with pytest.raises(ImagingError, match="bytes, more than the limit of 100"):
        decode_film(VALID, name="film", limits=Limits(max_bytes=100))


def test_no_patient_data_leaks(caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    """Names in the right elements, and in wrong ones, as in a damaged file."""
    caplog.set_level(logging.DEBUG)
    outcome = [repr(film(VALID).notes)]
    named = dicom(codes(12), 12, WindowCenter="11111111", WindowWidth="1", ViewPosition="XXXXXXXX")
    for keyword in (b"11111111", b"XXXXXXXX", b"MONOCHROME2 ", b"1.2.840.10008.1.2.1\0"):
        assert keyword in named
        damaged = named.replace(keyword, b"DOE^JOHN".ljust(len(keyword)))
        damaged = damaged.replace(b"CS\x02\0CR", b"CS\x02\0DO")
        try:
            outcome.append(repr(film(damaged).notes))
        except ImagingError as error:
            outcome.append(f"{error} {error.__cause__!r} {error.__context__ if error.__cause__ else ''}")
    outcome.append(caplog.text)
    outcome.extend(str(warning.message) for warning in recwarn)
    for secret in ("DOE", "JOHN", "4711", "1.2.3.4.5"):
        assert secret not in " ".join(outcome)


VALID_FILES = [
    VALID,
    dicom(codes(12), 12, syntax=RLELossless, VOILUTSequence=lut(np.arange(4096), 0, 12)),
    dicom(codes(12), 12, syntax=JPEG2000Lossless),
    dicom(codes(8), 8, syntax=DeflatedExplicitVRLittleEndian, allocated=8),
    picture(codes(16)),
    picture(codes(8).astype(np.uint8), "JPEG", progressive=True),
    lossless_jpeg(codes(12, 16, 16), 12),
    dct_jpeg(codes(12, 16, 16)),
    *(
        Path(str(get_testdata_file(name, download=False))).read_bytes()
        for name in ("MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm")
    ),
]
IN_TIME = timedelta(seconds=5)


def decodes_or_refuses(data: bytes) -> None:
    """Passes a film on, swallows a refusal that names the file; anything else fails the test."""
    try:
        result = decode_film(data, name="fuzz")
    except ImagingError as error:
        if not str(error).startswith("fuzz: "):
            raise
    else:
        assert np.isfinite(result.pixels).all()


@settings(max_examples=200, deadline=IN_TIME)
@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x08\0\x05\0", bytes(128) + b"DICM"]),
    st.binary(max_size=400),
)
def test_random_bytes_raise_only_imaging_errors(magic: bytes, rest: bytes) -> None:
    decodes_or_refuses(magic + rest)


@settings(max_examples=400, deadline=IN_TIME)
@given(
    st.sampled_from(range(len(VALID_FILES))),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 6)), min_size=1, max_size=6),
    st.floats(0, 1),
)
@example(0, [(0.5, b"", 0)], 0.0)
def test_mutated_films_raise_only_imaging_errors(which: int, edits: list[tuple[float, bytes, int]], cut: float) -> None:
    data = VALID_FILES[which]
    for position, inserted, removed in edits:
        # Squared: the header, where damage matters most, is at the front.
        at = int(position**2 * len(data))
        data = data[:at] + inserted + data[at + removed :]
    decodes_or_refuses(data[: len(data) - int(cut**4 * len(data))])


def test_threads_give_the_same_pixels() -> None:
    alone = [film(data).pixels for data in VALID_FILES]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: film(data).pixels, VALID_FILES * 8))
    for index, pixels in enumerate(together):
        np.testing.assert_array_equal(pixels, alone[index % len(VALID_FILES)])
