"""What other programs show of a DICOM film: pydicom's LUT functions, and dcmtk's dcm2pnm where it is installed."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

#: The first has no decoder of JPEG, the second has.
_DCM2PNM, _DCMJ2PNM = shutil.which("dcm2pnm"), shutil.which("dcmj2pnm")
NO_DCMTK = "" if _DCM2PNM and _DCMJ2PNM else "dcm2pnm is not installed (Debian: apt-get install dcmtk)"


def by_pydicom(data: bytes) -> np.ndarray:
    """Float [H, W]: first frame through pydicom's modality and VOI functions, bright where it has to be bright.

    Raises whatever pydicom raises of a file that it does not take.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(data), force=True)
        if "TransferSyntaxUID" not in ds.file_meta:
            ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        pixels = ds.pixel_array
        if ds.get("NumberOfFrames", 1) not in (None, 1):
            pixels = pixels[0]
        if ds.PhotometricInterpretation == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, ds)
        if pixels.ndim == 3:
            return pixels @ np.array([0.299, 0.587, 0.114])
        values = np.asarray(apply_voi_lut(apply_modality_lut(pixels, ds), ds), np.float64)
    inverse = ds.PhotometricInterpretation == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE"
    return -values if inverse else values


def by_dcmtk(data: bytes, notes: tuple[str, ...]) -> np.ndarray | None:
    """First frame as dcm2pnm writes it, float [H, W]; None where it refuses the file.

    dcm2pnm has to be told whether to apply a VOI LUT, a window or the range of the pixels; `notes`, those of our
    film, say which is to be compared.
    """
    if "VOI LUT applied" in notes:
        voi = ["+Wl", "1"]
    else:
        voi = ["+Wi", "1"] if any(note.startswith("window applied") for note in notes) else ["+Wm"]
    is_jpeg = b"\xff\xd8\xff" in data
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "film.dcm", Path(folder) / "film.png"
        source.write_bytes(data)
        # Depths of tables from their values, as we read them.
        options = ["+on2", "--ignore-mlut-depth", "--ignore-vlut-depth", "--ignore-aspect", "--no-overlays", *voi]
        command = [str(_DCMJ2PNM if is_jpeg else _DCM2PNM), *options, source, target]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0 or not target.exists():
            return None
        with Image.open(target) as image:
            pixels = np.asarray(image).astype(np.float64)
    return pixels @ np.array([0.299, 0.587, 0.114]) if pixels.ndim == 3 else pixels


def agreement(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Pearson's correlation of two pictures of one film; 0 where one of them is blank, no number or of another size."""
    if one.shape != other.shape:
        return 0.0
    first, second = one[where].astype(np.float64), other[where].astype(np.float64)
    if not np.isfinite(second).all() or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
