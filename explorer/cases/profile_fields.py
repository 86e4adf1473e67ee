"""Fields of patient profiles that a casebook knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from index_builder.cases.case import ProfileValue
from index_builder.cases.profile import profile_sentence

if TYPE_CHECKING:
    from explorer.casebook import Casebook

#: A text field of more different values than this is typed, not chosen.
_CHOICES = 60


@dataclass(frozen=True, slots=True)
class ProfileField:
    """A field of a casebook's patient profiles that its system reads.

    Attributes:
        name: As in `Case.profile`.
        kind: "flag" is true or false, "choice" one of a few words seen, "words" any text.
        whole: Whether a number has no fraction.
        values: Words seen, sorted; empty unless the kind is "choice".
    """

    name: str
    kind: Literal["number", "flag", "choice", "words"]
    whole: bool = False
    values: tuple[str, ...] = ()


def profile_fields(casebook: Casebook) -> tuple[ProfileField, ...]:
    """Fields a system that reads profiles can read: not those that name the diagnosis or the source."""
    found = []
    for name in casebook.profile_fields:
        if casebook.is_number(name):
            column = casebook.column(name)
            numbers = column[~np.isnan(column)]
            field = ProfileField(name, "number", whole=bool((numbers == np.round(numbers)).all()))
            example: ProfileValue = 1
        else:
            words = tuple(map(str, casebook.distinct(name)))
            if pa.types.is_boolean(casebook.field(name).type):
                field, example = ProfileField(name, "flag"), True
            else:
                few = len(words) <= _CHOICES
                field, example = ProfileField(name, "choice" if few else "words", values=words if few else ()), "x"
        if profile_sentence({name: example}):
            found.append(field)
    return tuple(found)
