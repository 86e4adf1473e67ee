"""One drawn film in 300 forms of DICOM: as drawn, as pydicom shows it, as dcmtk shows it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_variants import variants
from drawn_film import Variant, drawn_film
from film_references import NO_DCMTK, agreement, by_dcmtk, by_pydicom
from imaging_samples import film

from index_builder.errors import ImagingError

ALIKE = 0.999
PYDICOM = Path(pydicom.__file__).parent / "data" / "test_files"


def cases(reference: str = "") -> list[object]:
    """All forms, or those that another program can say something about."""
    return [
        pytest.param(variant, id=variant.name)
        for variant in variants()
        if not reference or not getattr(variant, reference)
    ]


def test_there_are_forms_enough() -> None:
    names = [variant.name for variant in variants()]
    assert len(set(names)) == len(names) >= 60
    # Most are compared with both other programs; what they cannot say, they say why.
    for reference in ("pydicom", "dcmtk"):
        assert len(cases(reference)) > 2 / 3 * len(names)


@pytest.mark.parametrize("variant", cases())
def test_every_form_shows_the_drawn_film(variant: Variant, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = film(variant.data)
    assert np.abs(shown.pixels - variant.shown)[variant.exposed].max() <= variant.tolerance
    if variant.black:
        assert not shown.pixels[~variant.exposed].any()
    assert bool(shown.ignored) == bool(variant.ignored)
    assert any(variant.ignored in note for note in shown.ignored) or not variant.ignored
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("variant", cases("pydicom"))
def test_every_form_agrees_with_pydicom(variant: Variant) -> None:
    assert agreement(film(variant.data).pixels, by_pydicom(variant.data), variant.exposed) > ALIKE


@pytest.mark.skipif(bool(NO_DCMTK), reason=NO_DCMTK)
@pytest.mark.parametrize("variant", cases("dcmtk"))
def test_every_form_agrees_with_dcmtk(variant: Variant) -> None:
    shown = film(variant.data)
    theirs = by_dcmtk(variant.data, shown.notes)
    assert theirs is not None
    assert agreement(shown.pixels, theirs, variant.exposed) > ALIKE


#: Pictures among pydicom's test files that are refused, by the reason; the other refused ones have no picture.
REFUSED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "the pixel data is damaged",
    "MR_truncated.dcm": "8,130 bytes of pixel data where 8,192 are needed",
    "badVR.dcm": "a pixel of 32 bits",
    "examples_ybr_color.dcm": "30 frames",
    "liver_1frame.dcm": "a pixel of 1 bits",
    "liver_expb_1frame.dcm": "a pixel of 1 bits",
    "no_meta.dcm": "neither DICOM",
    **dict.fromkeys(("SC_rgb_rle_32bit.dcm", "SC_rgb_rle_32bit_2frame.dcm"), "a pixel of 32 bits"),
    **{
        f"rtdose{kind}.dcm": "a pixel of 32 bits"
        for kind in ("", "_1frame", "_expb", "_expb_1frame", "_rle", "_rle_1frame")
    },
}


@pytest.mark.filterwarnings("ignore:Expected explicit VR:UserWarning")
@pytest.mark.parametrize("path", sorted(PYDICOM.glob("*.dcm")), ids=lambda path: path.name)
def test_pydicoms_own_files_are_shown_as_pydicom_shows_them_or_refused(path: Path) -> None:
    data = path.read_bytes()
    picture = {"PixelData", "Rows"} <= set(pydicom.dcmread(path, force=True).dir())
    refused = REFUSED.get(path.name, "" if picture else "no film in this DICOM file")
    if refused:
        with pytest.raises(ImagingError, match=refused):
            film(data)
        return
    shown = film(data)
    if path.name == "JPEG-lossy.dcm":  # pydicom stops at its scan header
        return
    assert agreement(shown.pixels, by_pydicom(data), np.ones(shown.pixels.shape, np.bool_)) > ALIKE


def test_the_drawn_film_is_one() -> None:
    """A film of one value, or without both ends of its range, would let many a fault pass."""
    drawn = drawn_film()
    assert (drawn.min(), drawn.max()) == (0, 4095)
    assert len(np.unique(drawn)) > 1000
