"""DICOM look-up tables: modality LUT, VOI LUT, palettes (PS3.3, C.11.1, C.11.2, C.7.6.3.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

_MOST_BITS = 16


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A DICOM LUT: input `first` maps to `values[0]`, inputs outside to the nearest end.

    Attributes:
        values: uint16 [entries].
        first: Input that the first entry stands for.
        bits: Output range is 0 to 2**bits - 1.
        declared_bits: What the descriptor says; `bits` differs where the values do not fit into it.
    """

    values: np.ndarray
    first: int
    bits: int
    declared_bits: int

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """float64 of the shape of `inputs`, 0 to 2**bits - 1; inputs are rounded to integers."""
        index = np.clip(np.rint(inputs) - self.first, 0, len(self.values) - 1).astype(np.intp)
        return self.values[index].astype(np.float64)


def read_table(descriptor: bytes, content: bytes, little_endian: bool, signed_input: bool) -> LookupTable:
    """A LUT from the bytes of LUTDescriptor and LUTData.

    Entries are words, or bytes where there is just one byte for each (PS3.3, C.11.1.1.1, allows both). A depth
    of 0, above 16 or too small for the values is replaced by that of the largest value.

    Args:
        descriptor: Three 16-bit words: entries (0 for 65,536), first input, bits of an entry.
        content: The entries.
        little_endian: Byte order of both.
        signed_input: Whether inputs can be negative, and with them the first.

    Raises:
        ValueError: Descriptor or entries are cut short.
    """
    order = "<" if little_endian else ">"
    try:
        entries, first, bits = struct.unpack_from(f"{order}3H", descriptor)
    except struct.error as error:
        raise ValueError("LUT descriptor") from error
    entries = entries or 2**16
    words = np.frombuffer(content, f"{order}u2", len(content) // 2).astype("<u2")
    if len(words) == -(-entries // 2):
        # Words are swapped as a whole, so that packed bytes come out in order for either byte order.
        words = words.view(np.uint8).astype("<u2")
    values = words[:entries]
    if len(values) < entries:
        raise ValueError("LUT data")
    needed = int(values.max()).bit_length()
    depth = bits if needed <= bits <= _MOST_BITS else needed
    if signed_input and first >= 2**15:
        first -= 2**16
    return LookupTable(values, first, depth, bits)
