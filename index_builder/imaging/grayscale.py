"""Stored DICOM grey values to 0..1: modality and VOI transform, polarity (PS3.3 C.7.6.3, C.11.1, C.11.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from index_builder.errors import ImagingError

VOI_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A DICOM LUT: input `first` maps to `values[0]`, inputs outside to the nearest end.

    Attributes:
        values: uint16 [entries].
        first: Input that the first entry stands for.
        bits: Output range is 0 to 2**bits - 1.
    """

    values: np.ndarray
    first: int
    bits: int

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """float64 of the shape of `inputs`, 0 to 2**bits - 1; inputs are rounded to integers."""
        index = np.clip(np.rint(inputs) - self.first, 0, len(self.values) - 1).astype(np.intp)
        return self.values[index].astype(np.float64)


@dataclass(frozen=True, slots=True)
class GreyScale:
    """Everything of a DICOM header that decides how a stored grey value is shown.

    Attributes:
        bits_stored: Bits of one stored value, 1 to 16.
        signed: Whether stored values are two's complement.
        inverted: MONOCHROME1: the lowest value is white.
        slope: Rescale slope; with `intercept` the modality transform unless `modality_lut` is given.
        intercept: Rescale intercept.
        modality_lut: Replaces slope and intercept.
        voi_lut: Preferred to `window`.
        window: Centre and width in units after the modality transform.
        voi_function: "LINEAR", "LINEAR_EXACT" or "SIGMOID"; shape of the window.
        padding: Lowest and highest stored value that mark pixels outside the exposed field.
        presentation_inverse: PresentationLUTShape INVERSE; says the same as MONOCHROME1, not its opposite.
    """

    bits_stored: int
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


def tone_curve(scale: GreyScale, name: str, notes: list[str]) -> np.ndarray:
    """The whole grey-scale pipeline as one table.

    Indexing it with stored values, cut to `bits_stored` bits, applies modality and VOI transform, polarity
    and padding exactly, at the cost of one look-up per pixel. Without VOI LUT and window the full stored
    range maps linearly to 0..1, so that the film equals its PNG export.

    Args:
        scale: The header's part.
        name: File, for messages.
        notes: Receives what was applied.

    Returns:
        float32 [2**bits_stored], 0..1; the index is the bit pattern: negative values lie in the upper half.

    Raises:
        ImagingError: A parameter is not finite, or the rescale slope is 0.
    """
    parameters = (scale.slope, scale.intercept, *(scale.window or ()))
    if not all(math.isfinite(value) for value in parameters):
        raise ImagingError(f"{name}: rescale or window values are not finite. Export the film again.")
    if scale.slope == 0 and scale.modality_lut is None:
        raise ImagingError(f"{name}: RescaleSlope is 0, so every pixel is equal. Export the film again.")

    stored = np.arange(2**scale.bits_stored)
    if scale.signed:
        half = 2 ** (scale.bits_stored - 1)
        stored = (stored + half) % (2 * half) - half

    values, low, high = _modality(scale, stored.astype(np.float64), notes)
    shown = _voi(scale, values, low, high, notes)
    if scale.inverted or scale.presentation_inverse:
        shown = 1.0 - shown
        notes.append("inverted (MONOCHROME1)" if scale.inverted else "inverted (PresentationLUTShape INVERSE)")
    curve = np.clip(shown, 0.0, 1.0).astype(np.float32)
    if scale.padding is not None:
        lowest, highest = scale.padding
        curve[(stored >= lowest) & (stored <= highest)] = 0.0
        notes.append("pixel padding shown black")
    return curve


def _modality(scale: GreyScale, stored: np.ndarray, notes: list[str]) -> tuple[np.ndarray, float, float]:
    """Values after the modality transform, and the lowest and highest it can give."""
    if scale.modality_lut is not None:
        notes.append("modality LUT applied")
        return scale.modality_lut(stored), 0.0, 2.0**scale.modality_lut.bits - 1
    values = stored * scale.slope + scale.intercept
    return values, float(values.min()), float(values.max())


def _voi(scale: GreyScale, values: np.ndarray, low: float, high: float, notes: list[str]) -> np.ndarray:
    if scale.voi_lut is not None:
        notes.append("VOI LUT applied")
        return scale.voi_lut(values) / (2.0**scale.voi_lut.bits - 1)
    if scale.window is not None:
        centre, width = scale.window
        if width >= 1 or (width > 0 and scale.voi_function != "LINEAR"):
            notes.append(f"window applied ({scale.voi_function})")
            return windowed(values, centre, width, scale.voi_function)
        notes.append("window of no width ignored")
    notes.append("no window: full stored range shown")
    return (values - low) / (high - low)


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
