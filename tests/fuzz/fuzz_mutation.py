"""A seeded mutator of bytes: the same random numbers give the same input, so that a find is a number."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from random import Random

#: Numbers at which lengths and sizes go wrong.
_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_FORMATS = ("B", "<H", ">H", "<I", ">I")

#: Words of one meaning, of which a mutation puts one in another's place.
Groups = Sequence[Sequence[bytes]]


def mutated(data: bytes, others: Sequence[bytes], groups: Groups, random: Random) -> bytes:
    """One to eight edits of a file.

    Args:
        data: What is edited.
        others: Files of which parts may be spliced in.
        groups: Words that may take each other's place, or be put anywhere.
        random: Decides everything.
    """
    edited = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        _edit(edited, others, groups, random)
    return bytes(edited)


def with_png_sums(data: bytes) -> bytes:
    """A PNG file whose chunks have right checksums again, as far as its chunks can be followed."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        length = struct.unpack_from(">I", out, at)[0]
        end = at + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def _edit(data: bytearray, others: Sequence[bytes], groups: Groups, random: Random) -> None:
    # Squared: headers, where damage matters most, are at the front.
    at = int(random.random() ** random.choice((1, 2, 4)) * len(data))
    kind = random.randrange(9)
    if kind == 0 and data:
        data[min(at, len(data) - 1)] ^= 1 << random.randrange(8)
    elif kind == 1:
        number = struct.pack(form := random.choice(_FORMATS), random.choice(_NUMBERS) % 256 ** struct.calcsize(form))
        data[at : at + len(number)] = number
    elif kind == 2:
        del data[at : at + random.choice((1, 2, 4, 16, 100, 1000))]
    elif kind == 3:
        span = data[at : at + random.choice((1, 4, 16, 64, 500))]
        data[at:at] = span * random.choice((1, 2, 10, 200))
    elif kind == 4:
        data[at:at] = random.randbytes(random.choice((1, 2, 4, 16, 64)))
    elif kind == 5:
        del data[at:]
    elif kind == 6:
        other = random.choice(others)
        start = int(random.random() * len(other))
        data[at : at + random.choice((0, 8, 200))] = other[start : start + random.choice((8, 64, 2000))]
    else:
        words = random.choice(groups)
        word, there = random.choice(words), [one for one in words if one in data]
        if kind == 7 and there:
            old = random.choice(there)
            where = data.find(old)
            data[where : where + len(old)] = word if random.random() < 0.3 else word.ljust(len(old))[: len(old)]
        else:
            data[at:at] = word
