"""Facts of reports: what holds for every text, and what sentences of more than one finding say."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.facts.fact import Fact
from index_builder.facts.parse import read_facts
from index_builder.facts.terms import report_terms

WORDS = sorted({word for phrase in report_terms().all_words() for word in phrase.split()})
PHRASES = st.lists(
    st.sampled_from([*WORDS, ",", ".", ";", "and", "or", "with", "is", "the", "7th", "2.3"]), max_size=25
)


def bare(facts: tuple[Fact, ...]) -> list[tuple[object, ...]]:
    return [(fact.finding, fact.status, fact.side, fact.sites, fact.degree) for fact in facts]


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    for fact in read_facts(text):
        assert 0 <= fact.start < fact.end <= len(text)


@given(PHRASES)
def test_spans_lie_inside_the_text(words: list[str]) -> None:
    text = " ".join(words)
    for fact in read_facts(text):
        assert 0 <= fact.start < fact.end <= len(text)
        assert text[fact.start : fact.end].strip()
        assert fact.finding in report_terms().findings


@given(PHRASES, st.sampled_from(["  ", "\n", "\t ", " \r\n"]))
def test_white_space_and_case_say_nothing(words: list[str], space: str) -> None:
    text = " ".join(words)
    assert bare(read_facts(space.join(words))) == bare(read_facts(text))
    assert bare(read_facts(text.upper())) == bare(read_facts(text))


@given(PHRASES)
def test_sites_come_most_specific_first(words: list[str]) -> None:
    wider = report_terms().wider_sites
    for fact in read_facts(" ".join(words)):
        for place, site in enumerate(fact.sites):
            assert not set(wider[site]) & set(fact.sites[:place])


def test_a_blank_line_ends_a_sentence() -> None:
    text = "No effusion\n\nCardiomegaly"
    assert [(fact.finding, fact.status) for fact in read_facts(text)] == [
        ("pleural effusion", "absent"),
        ("cardiomegaly", "present"),
    ]


def test_a_span_names_the_finding() -> None:
    text = "Heart size is normal. Small effusion, left."
    effusion = read_facts(text)[-1]
    assert text[effusion.start : effusion.end] == "effusion"
    assert (effusion.side, effusion.degree) == ("left", "small")


def test_a_number_makes_an_abbreviation_a_unit() -> None:
    assert [fact.finding for fact in read_facts("A 2 cm nodule.")] == ["nodule"]
    assert [fact.finding for fact in read_facts("CM, stable.")] == ["cardiomegaly"]


def test_accents_do_not_shift_spans() -> None:
    text = "Radiografía: neumotórax apical derecho."
    (fact,) = read_facts(text)
    assert text[fact.start : fact.end] == "neumotórax"
    assert (fact.side, fact.sites[0]) == ("right", "apex")


def test_the_same_fact_counts_once() -> None:
    assert len(read_facts("Small left effusion. Again: small left effusion.")) == 1


def test_what_states_a_finding_is_not_normal() -> None:
    assert [fact.finding for fact in read_facts("No acute findings.")] == ["normal"]
    assert [fact.finding for fact in read_facts("Calcified granuloma. No acute findings.")] == ["calcified granuloma"]
    assert [fact.finding for fact in read_facts("Negative.")] == ["normal"]


def test_reports_are_read_fast() -> None:
    """A million reports in under an hour need 300 a second; these share no sentence, so none is remembered."""
    sides, sites = ("left", "right"), ("upper lobe", "lower lobe", "base", "apex", "hilum")
    reports = [
        f"Heart size is normal, film {number}. There is a {number} mm nodule in the {sides[number % 2]} "
        f"{sites[number % 5]}, unchanged. No effusion or pneumothorax, exam {number}. Stable sternotomy wires {number}."
        for number in range(400)
    ]
    read_facts(reports[0])
    began = time.perf_counter()
    for report in reports:
        read_facts(report)
    assert time.perf_counter() - began < 400 / 300


def test_every_name_is_read_as_its_finding() -> None:
    """No synonym is shadowed by a longer term or an other meaning of its words."""
    lost = [
        (name, word)
        for name, term in report_terms().findings.items()
        for word in term.words
        if name not in {fact.finding for fact in read_facts(re.sub(r"[()]", "", word))}
    ]
    assert not lost


@pytest.mark.parametrize("words", ["without", "w/o", "no", "negative for"])
def test_what_is_denied_behind_a_place_is_denied_anywhere(words: str) -> None:
    nodule, effusion = read_facts(f"right upper lobe nodule {words} effusion")
    assert (nodule.finding, nodule.side, nodule.sites[0]) == ("nodule", "right", "upper lobe")
    assert (effusion.finding, effusion.status, effusion.side) == ("pleural effusion", "absent", None)
