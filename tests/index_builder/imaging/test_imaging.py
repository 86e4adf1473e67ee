"""Decoding of films, on generated arrays, pydicom's own files and real films."""

from __future__ import annotations

import contextlib
import logging
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from imaging_samples import STEP, Written, codes, dicom, film, full_window, lut, picture, png_chunk
from jpeg_samples import dct_jpeg, lossless_jpeg
from PIL import Image
from places import ROOT
from pydicom.data import get_testdata_file
from pydicom.dataelem import DataElement
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from index_builder.datasets.check import check_dataset
from index_builder.datasets.own.manifest import Manifest
from index_builder.errors import ImagingError
from index_builder.imaging import (
    model_input,
    read_film,
)

SHARED = ROOT / "../shared/data"
NIH_FILMS = sorted((SHARED / "nih_sample/images").glob("*"))[:3]


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
    if syntax == RLELossless:
        allocated = -8 * (-bits // 8)  # pydicom's encoder refuses more than the bytes a value needs
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
            dicom(stored, bits, **full_window(bits)),
            dicom(inverse, bits, PhotometricInterpretation="MONOCHROME1", **full_window(bits)),
            dicom(stored, bits, syntax=RLELossless, allocated=8 if bits == 8 else 16, **full_window(bits)),
            dicom(stored, bits, syntax=JPEG2000Lossless, **full_window(bits)),
            picture(np.round(real * 65535).astype(np.uint16)),
        ]
        for data in variants:
            other = film(data).pixels
            assert np.abs(other - real).max() <= STEP / 2 + 1e-6
            assert np.abs(model_input(other, 224) - model_input(real, 224)).max() <= STEP
        # Without a window the film's own range is shown, which networks do not see at all.
        stretched = film(dicom(stored, bits)).pixels
        assert (stretched.min(), stretched.max()) == (0, 1)
        assert np.corrcoef(stretched.ravel(), real.ravel())[0, 1] > 0.99999
        assert np.abs(model_input(stretched, 224) - model_input(real, 224)).max() <= STEP


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
    """The reference is pydicom's own modality and VOI functions, on its own files."""
    path = get_testdata_file(file, download=False)
    assert isinstance(path, str)
    ds = pydicom.dcmread(path)
    values = apply_modality_lut(ds.pixel_array, ds).astype(np.float64)
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    if "WindowCenter" in ds:
        # pydicom windows to the range of all values that could be stored.
        lowest = -(2 ** (ds.BitsStored - 1)) if ds.PixelRepresentation else 0
        low, high = (lowest * slope + intercept, (lowest + 2**ds.BitsStored - 1) * slope + intercept)
    else:
        low, high = values.min(), values.max()
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


def test_rescale_without_window_still_maps_the_range_of_the_pixels() -> None:
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


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_files_are_read(bits: int) -> None:
    values = codes(bits)
    result = film(lossless_jpeg(values, bits))
    np.testing.assert_allclose(result.pixels, values / (2**bits - 1), atol=1e-6)
    assert (result.source_format, result.notes) == ("jpeg", (f"lossless JPEG, {bits} bits",))


@pytest.mark.parametrize("scan", [b"\0\x3f\0", b"\0\0\0"])
def test_12_bit_jpeg_files_are_read(scan: bytes) -> None:
    """The second has an odd scan header, as some scanners write it."""
    values = codes(12, 96, 72)
    result = film(dct_jpeg(values, scan=scan))
    np.testing.assert_allclose(result.pixels, values / 4095, atol=1e-3)
    assert "12-bit JPEG, 12 bits" in result.notes
    assert bool(result.ignored) == (scan == b"\0\0\0")


def test_jpeg_ls_files_are_read() -> None:
    path = get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)
    assert isinstance(path, str)
    ds = pydicom.dcmread(path)
    result = film(get_frame(ds.PixelData, 0, number_of_frames=1))
    values = ds.pixel_array.astype(np.uint16)
    np.testing.assert_allclose(result.pixels, values / 65535, atol=1e-6)
    assert result.notes == ("JPEG-LS, 16 bits",)


def test_scan_header_of_pydicoms_own_odd_film() -> None:
    """The same film as JPGExtended.dcm, whose scan header was mended by hand."""
    odd, mended = (get_testdata_file(name, download=False) for name in ("JPEG-lossy.dcm", "JPGExtended.dcm"))
    assert isinstance(odd, str)
    assert isinstance(mended, str)
    result = read_film(Path(odd))
    np.testing.assert_array_equal(result.pixels, read_film(Path(mended)).pixels)
    assert result.ignored == ("ignored: scan header, which no 12-bit JPEG can have",)


def test_palette_of_pydicoms_own_film() -> None:
    path = get_testdata_file("examples_palette.dcm", download=False)
    assert isinstance(path, str)
    ds = pydicom.dcmread(path)
    expected = apply_color_lut(ds.pixel_array, ds) @ np.array([0.299, 0.587, 0.114]) / 65535
    np.testing.assert_allclose(read_film(Path(path)).pixels, expected, atol=1e-5)


def test_a_decimal_comma_is_told_and_not_seen_in_doubles() -> None:
    values = codes(12)
    comma = film(dicom(values, 12, WindowCenter=Written("DS", b"2048,0"), WindowWidth=Written("DS", b"4096"))).notes
    assert "window has a decimal comma, read as a point" in comma
    centre = DataElement("WindowCenter", "FD", 2070.0)
    assert b"," in struct.pack("<d", 2070.0)
    double = film(dicom(values, 12, WindowCenter=centre, WindowWidth=DataElement("WindowWidth", "FD", 4096.0))).notes
    assert not any("comma" in note for note in double)


@pytest.mark.parametrize("keyword", ["NumberOfFrames", "RescaleSlope", "WindowCenter", "PixelAspectRatio"])
def test_a_blank_number_is_an_absent_one(keyword: str) -> None:
    vr = "IS" if keyword in {"NumberOfFrames", "PixelAspectRatio"} else "DS"
    blank = film(dicom(codes(12), 12, **{keyword: Written(vr, b"    ")}))
    assert blank.ignored == ()
    np.testing.assert_array_equal(blank.pixels, film(dicom(codes(12), 12)).pixels)


def test_no_library_speaks_while_films_are_read(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Over all of pydicom's films, of which many are malformed, and a PNG and JPEG with broken extras."""
    caplog.set_level(logging.WARNING)
    grey = codes(8).astype(np.uint8)
    cut_exif = picture(grey, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0")
    no_animation = picture(grey)
    no_animation = no_animation[:33] + png_chunk(b"acTL", bytes(8)) + no_animation[33:]
    films = [path.read_bytes() for path in Path(pydicom.__file__).parent.glob("data/test_files/*.dcm")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in (*films, cut_exif, no_animation):
            with contextlib.suppress(ImagingError):
                film(data)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_check_tells_what_of_a_film_was_ignored(tmp_path: Path) -> None:
    (tmp_path / "sound.dcm").write_bytes(dicom(codes(12), 12))
    (tmp_path / "odd.dcm").write_bytes(dicom(codes(12), 12, NumberOfFrames=0))
    (tmp_path / "manifest.csv").write_text("case_id,patient_id,image\na,1,sound.dcm\nb,2,odd.dcm\n", "utf-8")
    report = check_dataset(Manifest(tmp_path), decode=True)
    assert report.ok
    assert [(one.kind, one.file, one.message) for one in report.warnings] == [
        ("malformed film", "odd.dcm", "ignored: NumberOfFrames, which is no count (case 'b')")
    ]
