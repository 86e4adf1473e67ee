"""Patient profiles as queries: which fields a casebook knows, and how they are given as text."""

from __future__ import annotations

from collections.abc import Mapping

from explorer.casebook import Casebook
from explorer.cases.profile_fields import ProfileField
from index_builder.cases.case import ProfileValue
from index_builder.errors import QueryError

#: No field of a patient is larger.
MAX_NUMBER = 1e12
_YES, _NO = frozenset({"yes", "true", "1"}), frozenset({"no", "false", "0"})


def parse_profile(casebook: Casebook, expression: str) -> dict[str, ProfileValue]:
    """Read "age=60, occupation=coal miner, cough=yes".

    Raises:
        QueryError: Not of that form, a field that cannot be searched with, or a value of the wrong kind.
    """
    profile: dict[str, ProfileValue] = {}
    for part in filter(str.strip, expression.split(",")):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        if not (name and sign and value):
            raise QueryError(f"profile: {part.strip()!r} is not understood. Write FIELD=VALUE, FIELD=VALUE.")
        profile[name] = _value(_known_field(casebook, name), value)
    return profile


def check_profile(casebook: Casebook, profile: Mapping[str, ProfileValue]) -> None:
    """Refuse fields that would not be read, such as misspelt ones, and numbers that are none.

    Raises:
        QueryError: The casebook's system reads no profiles, or not this field, or a number is not finite or absurd.
    """
    for name, value in profile.items():
        _known_field(casebook, name)
        # A comparison, not `isfinite`: whole numbers may be too large for a float.
        if isinstance(value, int | float) and not abs(value) < MAX_NUMBER:
            raise QueryError(f"profile: the number given for {name} is not plausible. Correct it or leave it out.")


def _known_field(casebook: Casebook, name: str) -> ProfileField:
    known = {field.name: field for field in casebook.searched_fields}
    if not known:
        raise QueryError(f"the system of casebook {casebook.name!r} reads reports, not profiles. Search with a text.")
    if name not in known:
        raise QueryError(f"no profile field {name!r} in casebook {casebook.name!r}. Fields: {', '.join(known)}.")
    return known[name]


def _value(field: ProfileField, text: str) -> ProfileValue:
    if field.kind == "number":
        try:
            number = float(text)
        except ValueError:
            raise QueryError(f"profile: {field.name} = {text!r} is not a number.") from None
        if not abs(number) < MAX_NUMBER:
            raise QueryError(f"profile: {field.name} = {text!r} is not a plausible number.")
        return int(number) if number.is_integer() else number
    if field.kind == "flag":
        word = text.casefold()
        if word not in _YES | _NO:
            raise QueryError(f"profile: {field.name} = {text!r}. Give yes or no.")
        return word in _YES
    return text
