"""Stored DICOM grey values to 0..1: modality and VOI transform, polarity (PS3.3 C.7.6.3, C.11.1, C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from index_builder.imaging.film import IGNORED
from index_builder.imaging.lookup_table import LookupTable
from index_builder.imaging.stored_values import StoredValues, exposed_range

VOI_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
#: Grey values and windows are measurements or plain counts; what is larger is damage, and would overflow.
_LARGEST = 1e30


@dataclass(frozen=True, slots=True)
class GreyScale:
    """Everything of a DICOM header that decides how a stored grey value is shown.

    Attributes:
        signed: Whether stored values are two's complement.
        inverted: MONOCHROME1: the lowest value is white.
        slope: Rescale slope; with `intercept` the modality transform unless `modality_lut` is given.
        intercept: Rescale intercept.
        modality_lut: Replaces slope and intercept.
        voi_lut: Preferred to `window`.
        window: Centre and width in units after the modality transform; a sound pair.
        voi_function: "LINEAR", "LINEAR_EXACT" or "SIGMOID"; shape of the window.
        padding: Lowest and highest stored value that mark pixels outside the exposed field.
        presentation_inverse: PresentationLUTShape INVERSE; says the same as MONOCHROME1, not its opposite.
    """

    signed: bool = False
    inverted: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: LookupTable | None = None
    voi_lut: LookupTable | None = None
    window: tuple[float, float] | None = None
    voi_function: str = "LINEAR"
    padding: tuple[int, int] | None = None
    presentation_inverse: bool = False


def usable_window(centre: float, width: float, function: str) -> bool:
    """Whether a window is of numbers and has a width (PS3.3 C.11.2.1.2: at least 1 for LINEAR, else above 0)."""
    wide = width >= 1 or (width > 0 and function != "LINEAR")
    return abs(centre) < _LARGEST and width < _LARGEST and wide


def tone_curve(scale: GreyScale, pixels: np.ndarray, bits: int, notes: list[str]) -> np.ndarray:
    """The whole grey-scale pipeline as one table.

    Indexing it with stored values, cut to `bits`, applies modality and VOI transform, polarity and
    padding exactly, at the cost of one look-up per pixel. Without VOI LUT and window the values of the exposed
    field, see `exposed_range`, map linearly to 0..1.

    Args:
        scale: The header's part.
        pixels: uint8 or uint16 [H, W], bit patterns below 2**bits; looked at only where the header leaves questions.
        bits: Bits of a stored value, 1 to 16.
        notes: Receives what was applied and what was ignored.

    Returns:
        float32 [2**bits], 0..1; the index is the bit pattern: negative values lie in the upper half.
    """
    stored = np.arange(2**bits)
    if scale.signed:
        half = len(stored) // 2
        stored = (stored + half) % (2 * half) - half
    shows_range = scale.voi_lut is None and scale.window is None
    film = StoredValues.of(pixels, bits) if shows_range or scale.padding is not None else None
    padded = _padded(scale, stored, film, notes)
    values = _modality(scale, stored.astype(np.float64), notes)
    if scale.voi_lut is not None:
        notes.append("VOI LUT applied")
        shown = scale.voi_lut(values) / (2.0**scale.voi_lut.bits - 1)
    elif scale.window is not None:
        notes.append(f"window applied ({scale.voi_function})")
        with np.errstate(over="ignore"):  # a window far narrower than a grey value has only black and white
            shown = windowed(values, *scale.window, scale.voi_function)
    else:
        assert film is not None
        low, high, fill = exposed_range(values, film.present & ~padded, film.corners)
        notes.append("no window: range of the pixels shown")
        shown = (values - low) / ((high - low) or 1.0)
        if fill.any():
            notes.append("flat corners or borders beyond the range of the film taken for padding")
            padded |= fill
    if scale.inverted or scale.presentation_inverse:
        shown = 1.0 - shown
        notes.append("inverted (MONOCHROME1)" if scale.inverted else "inverted (PresentationLUTShape INVERSE)")
    curve = np.clip(shown, 0.0, 1.0).astype(np.float32)
    if padded.any():
        curve[padded] = 0.0
        notes.append("pixel padding shown black")
    return curve


def _padded(scale: GreyScale, stored: np.ndarray, film: StoredValues | None, notes: list[str]) -> np.ndarray:
    """Which values the header declares padding, bool of the shape of `stored`."""
    if scale.padding is None or film is None:
        return np.zeros(len(stored), np.bool_)
    lowest, highest = scale.padding
    padded = (stored >= lowest) & (stored <= highest)
    if padded[film.present].all():
        notes.append(f"{IGNORED}pixel padding, which would leave nothing of the film")
        padded[:] = False
    return padded


def _modality(scale: GreyScale, stored: np.ndarray, notes: list[str]) -> np.ndarray:
    if scale.modality_lut is not None:
        notes.append("modality LUT applied")
        return scale.modality_lut(stored)
    reach = scale.slope * float(np.abs(stored).max())
    # A comparison with NaN is false, so that this holds back values that are no numbers too.
    if scale.slope == 0 or not (abs(reach) < _LARGEST and abs(scale.intercept) < _LARGEST):
        notes.append(f"{IGNORED}rescale slope and intercept, which are no usable numbers")
        return stored
    return stored * scale.slope + scale.intercept


def windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Window to 0..1 by the formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Args:
        values: float64, any shape.
        centre: Window centre in units of `values`.
        width: Window width, at least 1 for LINEAR, above 0 for the others.
        function: One of `VOI_FUNCTIONS`.
    """
    if function == "SIGMOID":
        # The exponent is bounded so that values far outside the window do not overflow.
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
