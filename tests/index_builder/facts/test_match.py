"""How well a held fact answers a wanted one, and under which index terms it is found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from index_builder.facts.fact import Fact
from index_builder.facts.match import fact_terms, similarity, wanted_terms
from index_builder.facts.parse import read_facts
from index_builder.facts.terms import report_terms

TERMS = report_terms()
SITES = st.lists(st.sampled_from(sorted(TERMS.sites)), max_size=2, unique=True).map(tuple)
FACTS = st.builds(
    Fact,
    st.sampled_from(sorted(TERMS.findings)),
    st.sampled_from(["present", "absent", "uncertain"]),
    st.sampled_from([None, "left", "right", "both"]),
    SITES,
    st.sampled_from([None, *sorted(TERMS.degrees)]),
)


def of(text: str) -> Fact:
    return read_facts(text)[0]


@given(FACTS)
def test_a_fact_answers_itself_in_full(fact: Fact) -> None:
    assert similarity(fact, fact) == 1


@given(FACTS, FACTS)
def test_similarity_is_a_share(wanted: Fact, held: Fact) -> None:
    assert 0 <= similarity(wanted, held) <= 1


@given(FACTS)
def test_what_is_wanted_is_looked_up_where_it_is_held(fact: Fact) -> None:
    assert set(wanted_terms(fact)) & set(fact_terms(fact))


@given(FACTS)
def test_terms_go_from_narrow_to_wide(fact: Fact) -> None:
    parts = [term.count("@") + term.count("#") for term in fact_terms(fact)]
    assert parts == sorted(parts, reverse=True)


def test_terms_of_a_fact() -> None:
    terms = fact_terms(of("Small nodule in the right upper lobe."))
    assert terms[0] == "+nodule@right@upper lobe#small"
    assert {"+nodule", "+nodule@right", "+nodule@upper lobe", "+nodule#small", "+@right@upper lobe"} <= set(terms)
    assert "-pleural effusion" in fact_terms(of("No effusion."))
    assert "?pneumonia" in fact_terms(of("Possible pneumonia."))
    assert {"+pleural effusion@left", "+pleural effusion@right"} <= set(fact_terms(of("Bilateral effusions.")))
    assert "+opacity" in fact_terms(of("Pneumonia."))


def test_what_costs_and_what_does_not() -> None:
    nodule = of("Nodule in the right upper lobe.")
    assert similarity(of("nodule"), nodule) == 1
    assert similarity(of("right nodule"), nodule) == 1
    assert similarity(of("left nodule"), nodule) < 0.2
    assert similarity(of("right apical nodule"), nodule) > similarity(of("right basal nodule"), nodule)
    assert similarity(nodule, of("Nodule.")) < similarity(nodule, of("Right lung nodule.")) < 1
    assert similarity(of("no nodule"), nodule) == 0
    assert 0 < similarity(of("nodule"), of("Possible nodule.")) < 1


def test_wider_narrower_and_unrelated_findings() -> None:
    assert (
        1 > similarity(of("airspace disease"), of("Pneumonia.")) > similarity(of("pneumonia"), of("Airspace disease."))
    )
    assert similarity(of("pneumonia"), of("Infiltrate.")) > 0
    assert similarity(of("pneumonia"), of("Cardiomegaly.")) == 0


def test_degrees() -> None:
    mild, small = of("mild effusion"), of("small effusion")
    assert 1 > similarity(mild, small) > similarity(mild, of("large effusion")) > 0
    assert similarity(of("effusion"), mild) == 1


def test_a_place_alone_is_answered_by_any_finding_there() -> None:
    place = Fact("", "present", "left", ("lower lobe", "lung"))
    assert similarity(place, of("Left lower lobe mass.")) == 1
    assert similarity(place, of("No left lower lobe mass.")) == 0
    assert "+@left@lower lobe" in set(wanted_terms(place)) & set(fact_terms(of("Left lower lobe mass.")))
