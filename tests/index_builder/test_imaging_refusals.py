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
from imaging_samples import codes, dicom, film, lut, picture, png_chunk, png_header
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from index_builder.errors import ImagingError
from index_builder.imaging import (
    Limits,
    decode_film,
    read_film,
)

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
    "NaN slope": (dicom(codes(12), 12, RescaleSlope=float("nan"), RescaleIntercept=0), "not finite"),
    "zero slope": (dicom(codes(12), 12, RescaleSlope=0, RescaleIntercept=0), "RescaleSlope is 0"),
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
        "JPEG 2000 with a larger codestream": j2k[:siz] + struct.pack(">2I", 60000, 60000) + j2k[siz + 8 :],
    }


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
