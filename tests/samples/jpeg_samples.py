"""The JPEGs that only medicine uses, written plainly: lossless (T.81, process 14) and 12-bit DCT (process 4).

Every symbol gets a code of nine bits, which keeps the Huffman tables trivial.
"""

from __future__ import annotations

import struct

import numpy as np

_CODE_BITS = 9


class _Bits:
    def __init__(self) -> None:
        self._parts: list[str] = []

    def symbol(self, value: int) -> None:
        self._parts.append(f"{value:0{_CODE_BITS}b}")

    def amount(self, value: int, bits: int) -> None:
        """The bits that follow a category (T.81, F.1.2.1): negative numbers are one's complement."""
        if bits:
            self._parts.append(f"{value if value >= 0 else value + 2**bits - 1:0{bits}b}")

    def stuffed(self) -> bytes:
        text = "".join(self._parts)
        text += "1" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _table(kind: int, symbols: int) -> bytes:
    counts = bytes(symbols if length == _CODE_BITS else 0 for length in range(1, 17))
    return _segment(0xC4, bytes([kind << 4]) + counts + bytes(range(symbols)))


def _stream(marker: int, precision: int, shape: tuple[int, int], tables: bytes, scan: bytes, bits: _Bits) -> bytes:
    frame = _segment(marker, struct.pack(">BHHB", precision, *shape, 1) + b"\x01\x11\x00")
    start = _segment(0xDA, b"\x01\x01\x00" + scan)
    return b"\xff\xd8" + tables + frame + start + bits.stuffed() + b"\xff\xd9"


def lossless_jpeg(values: np.ndarray, precision: int) -> bytes:
    """Unsigned [H, W] below 2**precision, predicted from the left neighbour."""
    bits = _Bits()
    codes = values.astype(int)
    for row, line in enumerate(codes):
        for column, value in enumerate(line):
            predicted = line[column - 1] if column else codes[row - 1][0] if row else 2 ** (precision - 1)
            # Modulo 2**16; the largest difference needs no further bits (T.81, H.1.2.2).
            difference = (int(value - predicted) + 2**15 - 1) % 2**16 - 2**15 + 1
            category = abs(difference).bit_length()
            bits.symbol(category)
            bits.amount(difference, category if category < 16 else 0)
    return _stream(0xC3, precision, values.shape, _table(0, 17), b"\x01\x00\x00", bits)


def dct_jpeg(values: np.ndarray, *, scan: bytes = b"\x00\x3f\x00") -> bytes:
    """12-bit [H, W] with sides of multiples of eight, quantised by one, which loses next to nothing.

    `scan` are the last bytes of the scan header: spectral selection and approximation.
    """
    k, n = np.mgrid[0:8, 0:8]
    basis = np.cos((2 * n + 1) * k * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    order = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
    bits, last = _Bits(), 0
    for top in range(0, values.shape[0], 8):
        for left in range(0, values.shape[1], 8):
            block = values[top : top + 8, left : left + 8].astype(float) - 2048
            zigzag = np.rint(basis @ block @ basis.T).astype(int).ravel()[order]
            category = abs(int(zigzag[0]) - last).bit_length()
            bits.symbol(category)
            bits.amount(int(zigzag[0]) - last, category)
            last, zeros = int(zigzag[0]), 0
            for value in map(int, zigzag[1:]):
                if value == 0:
                    zeros += 1
                    continue
                while zeros > 15:
                    bits.symbol(0xF0)
                    zeros -= 16
                bits.symbol(zeros << 4 | abs(value).bit_length())
                bits.amount(value, abs(value).bit_length())
                zeros = 0
            if zeros:
                bits.symbol(0)
    tables = _segment(0xDB, b"\0" + b"\1" * 64) + _table(0, 17) + _table(1, 255)
    return _stream(0xC1, 12, values.shape, tables, scan, bits)
