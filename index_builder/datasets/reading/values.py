"""Text of a table cell to age, sex, view, yes/no and number. One definition for every reader of tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from index_builder.cases.case import ProfileValue

#: Nobody on a film is older; greater numbers are typing errors (ChestX-ray14 was published with ages up to 414).
MAX_AGE_YEARS = 120

#: What people write in a field of a patient profile when they do not know. Not applied to report texts.
_UNKNOWN = frozenset({"", "-", "?", "n/a", "na", "none", "null", "unknown", "unk"})

#: An age with the signs that people set around one: "~65", ">89", "90+". The number stands for the person.
_AGE = re.compile(
    r"[<>~≤≥]?=?\s*(\d{1,5}(?:[.,]\d{1,6})?)\s*([ymwd]?)(?:ears?|rs?|onths?|eeks?|ays?|o)?\s*\+?", re.IGNORECASE
)
_YEARS_PER_UNIT = {"": 1.0, "y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}

_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}

#: Directions of the beam by their words, letters alone.
_VIEWS = {
    "pa": "PA",
    "posteroanterior": "PA",
    "posterioranterior": "PA",
    "posterior anterior": "PA",
    "postero anterior": "PA",
    "p a": "PA",
    "ap": "AP",
    "aps": "AP",
    "anteroposterior": "AP",
    "anteriorposterior": "AP",
    "anterior posterior": "AP",
    "antero posterior": "AP",
    "a p": "AP",
    "l": "LATERAL",
    "ll": "LATERAL",
    "rl": "LATERAL",
    "llat": "LATERAL",
    "rlat": "LATERAL",
    "lat": "LATERAL",
    "lateral": "LATERAL",
}
#: What is said beside the direction: position of the patient, kind of exposure, side that a lateral film is taken from.
_BESIDE_VIEW = frozenset(
    {"view", "projection", "position", "chest", "thorax", "frontal", "supine", "prone", "erect", "upright", "standing"}
    | {"sitting", "seated", "semi", "semierect", "horizontal", "vertical", "portable", "mobile", "bedside", "axial"}
    | {"lld", "rld", "xtable", "cross", "table", "left", "right"}
)
#: A film seen from the front or from behind, nobody says which.
_FRONTAL = frozenset({"frontal", "front"})

_TRUE = frozenset({"1", "1.0", "true", "yes", "y"})
_FALSE = frozenset({"0", "0.0", "false", "no", "n"})

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,14})", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)


def is_unknown(text: str) -> bool:
    """Whether a profile field says that nothing is known: empty, "N/A", "unknown", "?" and the like."""
    return text.strip().casefold() in _UNKNOWN


def parse_age(text: str) -> float | int | None:
    """Age in years from "65", "65,5", "90+", ">89", "060Y" or DICOM's "018M", "003W", "010D"; None where unknown.

    Whole years are an int; months, weeks and days give years to two decimals. Of "90+" and ">89" the number is kept.

    Raises:
        ValueError: Not an age, or not within 0 to 120 years.
    """
    if is_unknown(text):
        return None
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{shown(text)} is not an age. Give years as a number, or DICOM's 060Y, 018M, 010D.")
    unit = match[2].lower()
    years = round(float(match[1].replace(",", ".")) * _YEARS_PER_UNIT[unit], 2)
    if years > MAX_AGE_YEARS:
        raise ValueError(
            f"an age of {shown(text)} is not plausible. Give 0 to {MAX_AGE_YEARS} years or leave it empty."
        )
    return int(years) if years.is_integer() and unit in ("", "y") else years


def parse_sex(text: str) -> str | None:
    """Sex "F" or "M" from F, female, M, male in any case; None where unknown. Raises `ValueError` otherwise."""
    if is_unknown(text):
        return None
    sex = _SEXES.get(text.strip().casefold())
    if sex is None:
        raise ValueError(f"{shown(text)} is neither F nor M. Write F or M, or leave it empty.")
    return sex


def parse_view(text: str) -> str | None:
    """View "PA", "AP" or "LATERAL" from the usual spellings ("AP Supine", "PA Erect", "Lateral Left"); None: unknown.

    "Frontal" alone is either PA or AP, so it is unknown too.

    Raises:
        ValueError: Not one of them.
    """
    words = re.split(r"[^a-z]+", text.strip().casefold())
    if is_unknown(text) or set(words) <= _FRONTAL:
        return None
    # A lateral film may say its side only ("Left"); of the others the words beside the direction do not count.
    direction = " ".join(word for word in words if word and word not in _BESIDE_VIEW)
    view = _VIEWS.get(direction)
    if view is None:
        raise ValueError(f"{shown(text)} is not a view of the chest. Write PA, AP or LATERAL, or leave it empty.")
    return view


def parse_yes_no(text: str) -> bool | None:
    """True for 1, 1.0, true, yes, y; False for 0, 0.0, false, no, n; None where unknown. Else `ValueError`."""
    if is_unknown(text):
        return None
    lowered = text.strip().casefold()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(f"{shown(text)} is neither yes nor no. Write 1 or 0, or leave it empty.")


def parse_number(text: str) -> float | None:
    """Finite number; None where unknown. Raises `ValueError` otherwise."""
    if is_unknown(text):
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is not a number. Correct it or leave it empty.")
    return number


def value_type(texts: Iterable[str]) -> type[ProfileValue]:
    """Type that a whole column of free text can take without losing a character of meaning.

    bool where every known value is true or false; int or float where every one is a number in its usual spelling;
    else str. One value such as "007" or "12-3" keeps the whole column text.
    """
    kinds: set[type[ProfileValue]] = set()
    for text in texts:
        if not text:
            continue
        if text.casefold() in ("true", "false"):
            kinds.add(bool)
        elif _INTEGER.fullmatch(text):
            kinds.add(int)
        elif _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
            kinds.add(float)
        else:
            return str
    if kinds == {int, float}:
        return float
    return kinds.pop() if len(kinds) == 1 else str


def convert(text: str, kind: type[ProfileValue]) -> ProfileValue:
    """Convert a text to a type found by `value_type` for its column."""
    return text.casefold() == "true" if kind is bool else kind(text)


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 row", "2,300 rows"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def shown(text: str, limit: int = 40) -> str:
    """Quote a value for a message, shortened to `limit` characters."""
    return repr(text if len(text) <= limit else f"{text[: limit - 3]}...")
