"""A patient profile as an English sentence, so that a text encoder reads any set of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from index_builder.cases.case import Case, ProfileValue

#: Fields that name the diagnosis, judge the film or say where it was published. A sentence with them would tell what
#: is to be found, or let films be recognised by their source.
LEFT_OUT = frozenset(
    """finding findings label labels diagnosis stage report impression notes other_notes clinical_notes
    rt_pcr_positive geographic_mean opacity_mean date location license licence doi url""".split()  # noqa: SIM905
)

_SYMPTOMS = """cough sputum haemoptysis hemoptysis dyspnoea dyspnea wheeze chest_pain chest_tightness fever night_sweats
fatigue weight_loss""".split()  # noqa: SIM905  a list of quoted words is harder to read
_SMOKING = {"never": "never smoked", "former": "former smoker", "current": "current smoker"}
_ALCOHOL = {"none": "no alcohol", "never": "no alcohol"} | {
    often: f"{often} alcohol" for often in ("occasional", "moderate", "regular", "heavy", "former")
}


def profile_sentence(profile: Mapping[str, ProfileValue]) -> str:
    """Say a profile in one sentence.

    "57-year-old man, welder, 22 years of dust exposure, never smoked, cough, no chest pain, position: supine."
    Person, work, habits and symptoms come first; all other fields follow by name as "name: value". The order of columns
    does not matter. Labels and reports are never part of it, not even where a table repeats them (`LEFT_OUT`).

    Args:
        profile: Fields of a `Case`; missing ones are absent or blank.

    Returns:
        One sentence; "" where nothing is known.
    """
    fields = {_key(name): value for name, value in profile.items() if str(value).strip() not in ("", "nan")}
    fields = {name: value for name, value in fields.items() if name not in LEFT_OUT}
    parts = [_person(fields.pop("age", None), fields.pop("sex", None))]
    for name in ("occupation", "dust_years", "smoking", "alcohol", *_SYMPTOMS):
        if name in fields:
            parts.append(_known(name, fields.pop(name)))
    parts += [_plain(name, fields[name]) for name in sorted(fields)]
    said = ", ".join(part for part in parts if part)
    return said[0].upper() + said[1:] + "." if said else ""


def text_read(case: Case, reads: Literal["report", "profile"]) -> str:
    """The text of a case for a system that reads reports, or profiles; empty when it has none."""
    return profile_sentence(case.profile) if reads == "profile" else case.report


def _key(name: str) -> str:
    return "_".join(name.lower().replace("_", " ").replace("-", " ").split())


def _person(age: ProfileValue | None, sex: ProfileValue | None) -> str:
    """What is known of age and sex: "57-year-old man", "woman", "9-year-old patient"."""
    years = float(age) if isinstance(age, int | float) else None
    child = years is not None and years < 18
    noun = {"F": "girl" if child else "woman", "M": "boy" if child else "man"}.get(str(sex))
    if years is not None:
        # A baby of 0.25 years would be a number whose pieces mean nothing to the encoder.
        length = f"{years:.0f}-year" if years >= 2 else f"{years * 12:.0f}-month"
        person = f"{length}-old {noun or 'patient'}"
    else:
        person = noun or ""
    unusual = {"age": None if years is not None else age, "sex": None if noun else sex}
    said = [person, *(_plain(name, value) for name, value in unusual.items() if value is not None)]
    return ", ".join(part for part in said if part)


def _known(name: str, value: ProfileValue) -> str:
    """A field that people say without its name; `_plain` where its value is none we expect."""
    word = str(value).strip().lower()
    if name in _SYMPTOMS and isinstance(value, bool):
        return f"{'' if value else 'no '}{name.replace('_', ' ')}"
    if name == "occupation" and isinstance(value, str):
        return value.strip()
    if name == "dust_years" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g} {'year' if value == 1 else 'years'} of dust exposure"
    if name == "smoking":
        habits = {**_SMOKING, "true": "smoker", "false": "non-smoker"}
        return habits.get(word) or _plain(name, value)
    if name == "alcohol":
        habits = {**_ALCOHOL, "true": "drinks alcohol", "false": "no alcohol"}
        return habits.get(word) or _plain(name, value)
    return _plain(name, value)


def _plain(name: str, value: ProfileValue) -> str:
    if isinstance(value, bool):
        said = "yes" if value else "no"
    else:
        said = f"{value:g}" if isinstance(value, float) else str(value).strip().rstrip(".")
    return f"{name.replace('_', ' ')}: {said}"
