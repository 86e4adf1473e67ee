"""Typed queries: corrections, abbreviations, denials, places, and what is not understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.facts.understand import Correction, term_words, understand

KNOWN = frozenset(["opacity", "effusion", "patient", "stable", "compared", "prior", "zygoma"])


def facts(query: str) -> list[tuple[object, ...]]:
    read = understand(query, KNOWN).facts
    return [(fact.finding, fact.status, fact.side, fact.sites[:1], fact.degree) for fact in read]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("cardiomegly", "cardiomegaly"),
        ("plueral efusion", "pleural effusion"),
        ("pnuemothorax", "pneumothorax"),
        ("left atelactasis", "left atelectasis"),
        ("pleuraleffusion", "pleural effusion"),
        ("pneumo thorax", "pneumothorax"),
        ("rihgt lower lobe opacity", "right lower lobe opacity"),
        ("scolosis", "scoliosis"),
        ("emphysma", "emphysema"),
        ("calcifed granluoma", "calcified granuloma"),
        ("CARDIOMEGLY", "cardiomegaly"),
    ],
)
def test_misspelt_words_are_corrected(typed: str, meant: str) -> None:
    understood = understand(typed, KNOWN)
    assert understood.text == meant
    assert understood.corrections
    assert understood.facts == understand(meant, KNOWN).facts
    assert understood.unknown == ()


@pytest.mark.parametrize(
    "typed", ["PTX", "RLL PNA", "CHF", "opacity", "zygoma", "the left one", "TB", "ICD", "Effusions"]
)
def test_right_words_and_abbreviations_stay(typed: str) -> None:
    understood = understand(typed, KNOWN)
    assert (understood.text, understood.corrections) == (typed, ())


def test_a_correction_tells_both_words() -> None:
    assert understand("mild cardiomegly", KNOWN).corrections == (Correction("cardiomegly", "cardiomegaly"),)


def test_known_words_may_be_told_by_a_function() -> None:
    assert understand("cardiomegly", lambda word: word == "cardiomegly").corrections == ()


def test_words_of_reports_are_offered_too() -> None:
    assert understand("pateint", KNOWN).text == "patient"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("left pleural effusion", ("pleural effusion", "present", "left", (), None)),
        ("right upper lobe nodule", ("nodule", "present", "right", ("upper lobe",), None)),
        ("nodules right upper lobe", ("nodule", "present", "right", ("upper lobe",), None)),
        ("mild cardiomegaly", ("cardiomegaly", "present", None, (), "mild")),
        ("PTX", ("pneumothorax", "present", None, (), None)),
        ("rll pna", ("pneumonia", "present", "right", ("lower lobe",), None)),
        ("CHF", ("heart failure", "present", None, (), None)),
        ("no cardiomegaly", ("cardiomegaly", "absent", None, (), None)),
        ("without effusion", ("pleural effusion", "absent", None, (), None)),
        ("rule out fracture", ("fracture", "absent", None, (), None)),
        ("r/o TB", ("tuberculosis", "absent", None, (), None)),
        ("normal heart size", ("cardiomegaly", "absent", None, (), None)),
        ("enlarged heart", ("cardiomegaly", "present", None, (), None)),
        ("left lower lobe", ("", "present", "left", ("lower lobe",), None)),
        ("LUL", ("", "present", "left", ("upper lobe",), None)),
        ("bibasilar", ("", "present", "both", ("base",), None)),
        ("normal", ("normal", "present", None, (), None)),
        ("No acute findings", ("normal", "present", None, (), None)),
        ("unremarkable", ("normal", "present", None, (), None)),
        ("right-sided pneumothorax", ("pneumothorax", "present", "right", (), None)),
        ("sin derrame", ("pleural effusion", "absent", None, (), None)),
    ],
)
def test_what_queries_ask_for(query: str, wanted: tuple[object, ...]) -> None:
    assert wanted in facts(query)


def test_clear_lungs_deny_what_lungs_may_have() -> None:
    understood = understand("clear lungs", KNOWN)
    assert understood.facts
    assert all(fact.status == "absent" for fact in understood.facts)
    assert {"opacity", "consolidation"} <= {fact.finding for fact in understood.facts}


def test_abbreviations_are_written_out() -> None:
    assert understand("RLL PNA", KNOWN).expanded == (("rll", "right lower lobe"), ("pna", "pneumonia"))


def test_what_is_not_understood() -> None:
    understood = understand("qwrtzpx effusion and zygoma", KNOWN)
    assert understood.unknown == ("qwrtzpx",)
    assert understood.rest == ("zygoma",)


def test_nothing_is_understood_of_nothing() -> None:
    assert understand("", KNOWN).facts == ()
    assert understand("?!", KNOWN).unknown == ()


@given(st.text(max_size=60))
def test_any_query_is_read(query: str) -> None:
    understood = understand(query, KNOWN)
    for fact in understood.facts:
        assert 0 <= fact.start <= fact.end <= len(understood.text)
    assert understand(understood.text, KNOWN).text == understood.text or understood.corrections


@given(
    st.sampled_from(["cardiomegaly", "pneumothorax", "atelectasis", "emphysema", "scoliosis", "consolidation"]),
    st.data(),
)
def test_one_slip_in_a_long_word_is_mended(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(word) - 3))
    slips = (word[:place] + word[place + 1 :], word[:place] + word[place + 1] + word[place] + word[place + 2 :])
    assert understand(data.draw(st.sampled_from(slips)), KNOWN).text == word


def test_abbreviations_are_spelled_out_but_units_are_not() -> None:
    found = {
        text: understand(text, lambda word: True).spelled_out for text in ("RLL PNA", "2 cm nodule, CM", "w/o PTX")
    }
    assert found == {
        "RLL PNA": "right lower lobe pneumonia",
        "2 cm nodule, CM": "2 cm nodule, cardiomegaly",
        "w/o PTX": "without pneumothorax",
    }
    assert term_words("Bilateral effusions, asdf") == {"bilateral", "effusions"}
