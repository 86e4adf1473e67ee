"""Decoding and preprocessing of films, on generated arrays, pydicom's own files and real films."""

from __future__ import annotations

import io
import logging
import os
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from index_builder.errors import ImagingError
from index_builder.imaging import (
    Film,
    Limits,
    decode_film,
    display_png,
    input_geometry,
    model_input,
    read_film,
    thumbnail_jpeg,
)

STEP = 1 / 255
SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
NIH_FILMS = sorted((SHARED / "nih_sample/images").glob("*"))[:3]
CR_UID = "1.2.840.10008.5.1.4.1.1.1"


def codes(bits: int, rows: int = 90, columns: int = 71) -> np.ndarray:
    """uint16 [rows, columns] with structure, noise and both ends of the range."""
    y, x = np.mgrid[0:rows, 0:columns]
    smooth = 0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 13) + 0.2 * (x / columns - 0.5)
    noisy = smooth + np.random.default_rng(bits).normal(0, 0.02, smooth.shape)
    values = np.round(np.clip(noisy, 0, 1) * (2**bits - 1)).astype(np.uint16)
    values[0, 0], values[-1, -1] = 0, 2**bits - 1
    return values


def dicom(
    stored: np.ndarray,
    bits: int,
    *,
    syntax: str = ExplicitVRLittleEndian,
    allocated: int = 16,
    meta: bool = True,
    **elements: Any,
) -> bytes:
    """A CR file of uint16 bit patterns; `elements` overrides or adds, None removes."""
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
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    if syntax in {RLELossless, JPEG2000Lossless}:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    buffer = io.BytesIO()
    if meta:
        ds.save_as(buffer, enforce_file_format=True)
    else:
        del ds.file_meta
        little = syntax != ExplicitVRBigEndian
        ds.save_as(buffer, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little)
    return buffer.getvalue()


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


# One film, many containers


@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
    ],
)
@pytest.mark.parametrize(("bits", "allocated"), [(8, 8), (8, 16), (12, 16), (16, 16)])
def test_dicom_equals_png(bits: int, allocated: int, syntax: str, polarity: str, window: bool) -> None:
    values = codes(bits)
    top = 2**bits - 1
    png = film(picture(np.round(values / top * 65535).astype(np.uint16)))
    stored = top - values if polarity == "MONOCHROME1" else values
    extra: dict[str, Any] = full_window(bits) if window else {}
    shown = film(dicom(stored, bits, syntax=syntax, allocated=allocated, PhotometricInterpretation=polarity, **extra))
    np.testing.assert_allclose(shown.pixels, png.pixels, atol=2e-5)
    assert (shown.source_format, png.source_format) == ("dicom", "png")
    if bits == 8:
        np.testing.assert_allclose(film(picture(values.astype(np.uint8))).pixels, png.pixels, atol=2e-5)


@pytest.mark.skipif(not NIH_FILMS, reason="the real films of shared/data are not here")
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_real_film_is_the_same_in_every_container(bits: int) -> None:
    for path in NIH_FILMS:
        real = read_film(path).pixels
        stored = np.round(real * (2**bits - 1)).astype(np.uint16)
        inverse = (2**bits - 1) - stored
        variants = [
            dicom(stored, bits),
            dicom(inverse, bits, PhotometricInterpretation="MONOCHROME1", **full_window(bits)),
            dicom(stored, bits, syntax=RLELossless),
            dicom(stored, bits, syntax=JPEG2000Lossless, **full_window(bits)),
            picture(np.round(real * 65535).astype(np.uint16)),
        ]
        for data in variants:
            other = film(data).pixels
            assert np.abs(other - real).max() <= STEP / 2 + 1e-6
            assert np.abs(model_input(other, 224) - model_input(real, 224)).max() <= STEP


@pytest.mark.parametrize(
    "file",
    [
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "JPEG2000.dcm",
        "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm",
        "JPGExtended.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "examples_overlay.dcm",
        "image_dfl.dcm",
    ],
)
def test_agrees_with_pydicom(file: str) -> None:
    """pydicom's own modality and VOI functions are the reference for its own files."""
    path = get_testdata_file(file, download=False)
    assert isinstance(path, str)
    ds = pydicom.dcmread(path)
    values = apply_modality_lut(ds.pixel_array, ds).astype(np.float64)
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    lowest = -(2 ** (ds.BitsStored - 1)) if ds.PixelRepresentation else 0
    low, high = (lowest * slope + intercept, (lowest + 2**ds.BitsStored - 1) * slope + intercept)
    expected = (apply_voi_lut(values, ds) - low) / (high - low)
    np.testing.assert_allclose(read_film(Path(path)).pixels, expected, atol=1e-5)


@pytest.mark.parametrize(
    "file",
    [
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_rle_16bit_2frame.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_small_odd_big_endian.dcm",
        "examples_jpeg2k.dcm",
    ],
)
def test_colour_becomes_luminance(file: str) -> None:
    path = get_testdata_file(file, download=False)
    assert isinstance(path, str)
    ds = pydicom.dcmread(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rgb = ds.pixel_array
    rgb = rgb[0] if rgb.ndim == 4 else rgb
    result = read_film(Path(path))
    expected = rgb @ [0.299, 0.587, 0.114] / (2**ds.BitsStored - 1)
    np.testing.assert_allclose(result.pixels, expected, atol=STEP)
    assert "colour converted to luminance (ITU-R BT.601)" in result.notes


# DICOM grey scale


def test_window_functions_follow_the_standard() -> None:
    values = codes(12)
    v = values.astype(np.float64)
    centre, width = 2000.0, 600.0
    expected = {
        "LINEAR": np.clip((v - (centre - 0.5)) / (width - 1) + 0.5, 0, 1),
        "LINEAR_EXACT": np.clip((v - centre) / width + 0.5, 0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (v - centre) / width)),
    }
    for function, curve in expected.items():
        data = dicom(values, 12, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function)
        np.testing.assert_allclose(film(data).pixels, curve, atol=1e-6)


def test_window_is_in_rescaled_units_and_the_first_of_several_counts() -> None:
    values = codes(12)
    data = dicom(values, 12, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=[3096, 10], WindowWidth=[8192, 1])
    result = film(data)
    np.testing.assert_allclose(result.pixels, (values * 2.0 - 1000 - 3095.5) / 8191 + 0.5, atol=1e-6)
    assert "first of 2 windows" in result.notes


def test_rescale_without_window_still_maps_the_stored_range() -> None:
    values = codes(10)
    plain = film(dicom(values, 10)).pixels
    np.testing.assert_allclose(
        film(dicom(values, 10, RescaleSlope="0.25", RescaleIntercept="-7")).pixels, plain, atol=1e-6
    )
    falling = film(dicom(values, 10, RescaleSlope="-1", RescaleIntercept="1023")).pixels
    np.testing.assert_allclose(falling, 1 - plain, atol=1e-6)


def test_signed_values_and_garbage_above_bits_stored() -> None:
    values = codes(12)
    garbage = values | np.uint16(0xA000)
    np.testing.assert_array_equal(film(dicom(garbage, 12)).pixels, film(dicom(values, 12)).pixels)
    signed = ((values.astype(np.int32) - 2048) & 0x0FFF) | 0x5000
    data = dicom(signed.astype(np.uint16), 12, PixelRepresentation=1)
    np.testing.assert_array_equal(film(data).pixels, film(dicom(values, 12)).pixels)
    high_aligned = dicom(values << 4, 12, HighBit=15)
    np.testing.assert_array_equal(film(high_aligned).pixels, film(dicom(values, 12)).pixels)


def lut(entries: np.ndarray, first: int, bits: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 65536, first % 65536, bits])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return Sequence([item])


def test_lookup_tables() -> None:
    values = codes(10)
    curve = np.round(np.linspace(0, 1, 1024) ** 2 * 4095).astype(np.uint16)
    expected = curve[values] / 4095
    np.testing.assert_allclose(film(dicom(values, 10, VOILUTSequence=lut(curve, 0, 12))).pixels, expected, atol=1e-6)
    np.testing.assert_allclose(
        film(dicom(values, 10, ModalityLUTSequence=lut(curve, 0, 12))).pixels, expected, atol=1e-6
    )
    # A negative first input, as with a rescale intercept below zero, and inputs outside of the table.
    shifted = dicom(values, 10, RescaleIntercept=-512, RescaleSlope=1, VOILUTSequence=lut(curve[:512], -256, 12))
    index = np.clip(values.astype(int) - 256, 0, 511)
    np.testing.assert_allclose(film(shifted).pixels, curve[index] / 4095, atol=1e-6)


def test_padding_is_black_in_both_polarities() -> None:
    values = codes(12)
    values[:5] = 4095
    data = dicom(values, 12, PhotometricInterpretation="MONOCHROME2", PixelPaddingValue=4095)
    assert film(data).pixels[:5].max() == 0
    inverse = dicom(4095 - values, 12, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    np.testing.assert_allclose(film(inverse).pixels, film(data).pixels, atol=1e-6)


def test_presentation_lut_shape_does_not_invert_twice() -> None:
    values = codes(12)
    upright = film(dicom(4095 - values, 12, PhotometricInterpretation="MONOCHROME1")).pixels
    for polarity in ("MONOCHROME1", "MONOCHROME2"):
        data = dicom(4095 - values, 12, PhotometricInterpretation=polarity, PresentationLUTShape="INVERSE")
        np.testing.assert_array_equal(film(data).pixels, upright)


def test_view_modality_and_orientation_are_read() -> None:
    assert film(dicom(codes(8), 8, ViewPosition="PA")).view == "PA"
    assert film(dicom(codes(8), 8, ViewPosition="LL")).view == "LATERAL"
    assert film(dicom(codes(8), 8)).view is None
    notes = film(dicom(codes(8), 8, Modality="CT", ViewPosition="AP", PatientOrientation=["R", "F"])).notes
    assert "modality is CT, not a plain radiograph (CR, DX)" in notes
    assert any("mirrored" in note for note in notes)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_preamble_may_be_missing(syntax: str) -> None:
    data = dicom(codes(12), 12, syntax=syntax, meta=False)
    assert data[128:132] != b"DICM"
    np.testing.assert_array_equal(film(data).pixels, film(dicom(codes(12), 12)).pixels)


def test_first_of_a_few_frames_and_planar_colour() -> None:
    frames = np.concatenate([codes(12), codes(12)[::-1]])
    data = dicom(frames, 12, Rows=90, NumberOfFrames=2)
    assert "first of 2 frames" in film(data).notes
    np.testing.assert_array_equal(film(data).pixels, film(dicom(codes(12), 12)).pixels)
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    planar = np.ascontiguousarray(rgb.transpose(2, 0, 1)).reshape(20, 30, 3)
    np.testing.assert_array_equal(
        film(dicom(planar, 8, allocated=8, PlanarConfiguration=1)).pixels,
        film(dicom(rgb, 8, allocated=8)).pixels,
    )


# PNG and JPEG


def test_png_modes() -> None:
    grey = codes(8).astype(np.uint8)
    base = Image.fromarray(grey)
    expected = grey / np.float32(255)
    palette = base.convert("P")
    for image in (base, base.convert("LA"), base.convert("RGB"), base.convert("RGBA"), palette):
        result = film(picture(image))
        np.testing.assert_allclose(result.pixels, expected, atol=1e-6)
        assert result.notes == ()
    np.testing.assert_array_equal(film(picture(base.convert("1"))).pixels, np.asarray(base.convert("1")))
    for bits in (2, 4):
        rows = np.arange(2**bits, dtype=np.uint8).reshape(1, -1).repeat(3, 0)
        packed = np.packbits((rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1, axis=None).reshape(3, -1)
        body = zlib.compress(b"".join(b"\0" + line.tobytes() for line in packed))
        header = struct.pack(">IIBBBBB", 2**bits, 3, bits, 0, 0, 0, 0)
        chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
        np.testing.assert_allclose(film(b"\x89PNG\r\n\x1a\n" + chunks).pixels, rows / (2**bits - 1), atol=1e-6)


def test_colour_and_transparency_leave_a_note() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    result = film(picture(rgb))
    np.testing.assert_allclose(result.pixels, rgb @ [0.299, 0.587, 0.114] / 255, atol=STEP)
    assert result.notes == ("colour converted to luminance (ITU-R BT.601)",)
    alpha = np.dstack([codes(8), np.full((90, 71), 255)]).astype(np.uint8)
    alpha[:10, :, 1] = 0
    result = film(picture(Image.fromarray(alpha, "LA")))
    assert result.pixels[:10].max() == 0
    np.testing.assert_allclose(result.pixels[10:], codes(8)[10:] / 255, atol=1e-6)
    assert result.notes == ("transparent parts laid on black",)


def test_jpeg_modes_and_exif_orientation() -> None:
    smooth = Image.fromarray((np.mgrid[0:64, 0:48].sum(0) * 2).astype(np.uint8))
    expected = np.asarray(smooth) / 255
    for mode in ("L", "RGB", "CMYK"):
        result = film(picture(smooth.convert(mode), "JPEG", quality=98, subsampling=0))
        np.testing.assert_allclose(result.pixels, expected, atol=4 * STEP)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = film(picture(smooth, "JPEG", quality=98, exif=exif))
    np.testing.assert_allclose(turned.pixels, np.rot90(expected, -1), atol=4 * STEP)
    assert turned.notes == ("turned upright by EXIF orientation 6",)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.dcm"
    path.write_bytes(picture(codes(8).astype(np.uint8)))
    assert read_film(path).source_format == "png"


# Refusals

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
    try:
        result = decode_film(data, name="fuzz")
    except ImagingError as error:
        assert str(error).startswith("fuzz: ")
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


# Preprocessing and display

CHEST = film(picture(codes(16, 300, 240))).pixels


def test_model_input_keeps_aspect_and_range() -> None:
    result = model_input(CHEST, 64)
    assert result.shape == (64, 64)
    assert result.dtype == np.float32
    assert (result.min(), result.max()) == (0, 1)
    geometry = input_geometry(CHEST, 64)
    assert geometry.crop == (0, 0, 300, 240)
    assert geometry.paste == (0, 6, 64, 57)
    assert result[:, :6].max() == result[:, 57:].max() == 0
    np.testing.assert_array_equal(result, model_input(CHEST.copy(), 64))


def test_model_input_ignores_exposure_letterbox_and_resolution() -> None:
    reference = model_input(CHEST, 64)
    np.testing.assert_allclose(model_input(CHEST * 0.2 + 0.3, 64), reference, atol=1e-4)
    for border in (0.0, 1.0):
        boxed = np.full((340, 400), border, dtype=np.float32)
        boxed[20:320, 80:320] = CHEST
        assert input_geometry(boxed, 64).crop == (20, 80, 320, 320)
        np.testing.assert_array_equal(model_input(boxed, 64), reference)
    doubled = np.kron(CHEST, np.ones((2, 2), dtype=np.float32))
    assert np.abs(model_input(doubled, 64) - reference).mean() < STEP


def test_model_input_of_constant_tiny_and_wrong_arrays() -> None:
    assert model_input(np.full((50, 40), 0.7, dtype=np.float32), 32).max() == 0
    assert model_input(np.full((1, 1), 0.7, dtype=np.float32), 32).shape == (32, 32)
    assert model_input(np.eye(2, 500, dtype=np.float32), 32).shape == (32, 32)
    for wrong in (np.zeros((0, 4)), np.zeros((3, 3, 3)), np.full((5, 5), np.nan, dtype=np.float32)):
        with pytest.raises(ImagingError):
            model_input(wrong, 32)


def test_thumbnail_and_display_image() -> None:
    thumbnail = thumbnail_jpeg(CHEST)
    assert thumbnail == thumbnail_jpeg(CHEST.copy())
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "L", (205, 256))
    with Image.open(io.BytesIO(display_png(CHEST, None))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (240, 300))
        np.testing.assert_allclose(np.asarray(image) / 255, CHEST, atol=STEP)
    with Image.open(io.BytesIO(display_png(CHEST, 100))) as image:
        assert image.size == (80, 100)
    with Image.open(io.BytesIO(display_png(CHEST * 0.05, None))) as image:
        assert np.asarray(image).max() == 255
