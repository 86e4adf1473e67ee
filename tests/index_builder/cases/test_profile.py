"""Patient profiles as sentences."""

import pytest

from index_builder.cases.case import ProfileValue
from index_builder.cases.profile import LEFT_OUT, profile_sentence
from index_builder.datasets.phantom.dust_cohort import OCCUPATIONS

WORKER: dict[str, ProfileValue] = {
    "age": 57,
    "sex": "M",
    "occupation": "coal miner",
    "dust_years": 22,
    "smoking": "never",
    "alcohol": "none",
    "cough": True,
    "dyspnoea": False,
    "chest_pain": False,
}
SENTENCE = (
    "57-year-old man, coal miner, 22 years of dust exposure, never smoked, no alcohol, cough, no dyspnoea, "
    "no chest pain."
)


def test_a_full_profile_reads_as_a_sentence_in_whatever_order_its_columns_stand() -> None:
    assert profile_sentence(WORKER) == SENTENCE
    assert profile_sentence(dict(reversed(WORKER.items()))) == SENTENCE
    assert profile_sentence({name.replace("_", " ").title(): value for name, value in WORKER.items()}) == SENTENCE


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        ({}, ""),
        ({"age": "", "occupation": "  ", "temperature": float("nan")}, ""),
        ({"age": 44}, "44-year-old patient."),
        ({"age": 9.0, "sex": "F"}, "9-year-old girl."),
        ({"age": 0.25}, "3-month-old patient."),
        ({"sex": "F"}, "Woman."),
        ({"dust_years": 1}, "1 year of dust exposure."),
        ({"smoking": True, "alcohol": False}, "Smoker, no alcohol."),
        ({"smoking": "20 a day"}, "Smoking: 20 a day."),
        ({"cough": "dry"}, "Cough: dry."),
        (
            {"temperature": 38.50, "intubated": False, "position": "supine"},
            "Intubated: no, position: supine, temperature: 38.5.",
        ),
    ],
)
def test_missing_fields_are_left_out_and_unknown_ones_said_by_name(
    profile: dict[str, ProfileValue], sentence: str
) -> None:
    assert profile_sentence(profile) == sentence


def test_what_names_the_diagnosis_or_the_source_is_never_said() -> None:
    telling = dict.fromkeys(LEFT_OUT, "COVID-19") | {"RT_PCR_positive": True}
    assert profile_sentence(telling) == ""
    assert profile_sentence(WORKER | telling) == SENTENCE


def test_every_field_changes_the_sentence() -> None:
    said = [profile_sentence({name: kept for name, kept in WORKER.items() if name != left}) for left in WORKER]
    assert len({*said, SENTENCE}) == len(WORKER) + 1
    trades = {profile_sentence(WORKER | {"occupation": trade}) for trade in OCCUPATIONS}
    assert len(trades) == len(OCCUPATIONS)
