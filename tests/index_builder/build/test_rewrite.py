"""Facts said in words that are read as them again, and texts with one of their facts taken out or changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from index_builder.facts.fact import Fact
from index_builder.facts.rewrite import part_of, rewritten, with_part
from index_builder.facts.terms import report_terms
from index_builder.facts.understand import Understood, understand
from index_builder.facts.words import own_sites, read_query, same_statement, words_of_fact

_TERMS = report_terms()
#: A vertebra has no side, an embolus has always a place: with all that may be said of a lung, each is read again.
_ANYWHERE = ("nodule", "pleural effusion", "pneumonia", "atelectasis", "consolidation", "granuloma", "pneumothorax")


def _read(text: str) -> Understood:
    return understand(text, lambda word: True)


@given(
    finding=some.sampled_from(_ANYWHERE),
    status=some.sampled_from(["present", "absent", "uncertain"]),
    side=some.sampled_from([None, "left", "right", "both"]),
    site=some.sampled_from([None, "upper lobe", "lower lobe", "base", "apex", "hilum", "lung"]),
    degree=some.sampled_from([None, *_TERMS.degrees]),
)
def test_words_of_a_fact_are_read_as_it(
    finding: str, status: str, side: str | None, site: str | None, degree: str | None
) -> None:
    sites = () if site is None else (site, *_TERMS.wider_sites[site])
    fact = Fact(finding, status, side, sites, degree)  # type: ignore[arg-type]  # sampled from what they may be
    words = words_of_fact(fact)
    assert words is not None
    (read,) = read_query(words)
    assert same_statement(read, fact)


def test_every_finding_has_words_but_those_that_are_never_read_without_a_place() -> None:
    silent = {name for name in _TERMS.findings if words_of_fact(Fact(name)) is None}
    assert silent <= {"pulmonary embolism", "pulmonary hypertension"}


def test_what_no_words_say_is_not_said_otherwise() -> None:
    lingula = ("lingula", *_TERMS.wider_sites["lingula"])
    assert words_of_fact(Fact("nodule", side="left", sites=lingula)) is not None
    assert words_of_fact(Fact("nodule", sites=lingula)) is None
    assert words_of_fact(Fact("")) is None


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("right upper lobe nodule", 0, ""),
        ("possible pneumonia, no cardiomegaly", 0, "no cardiomegaly"),
        ("possible pneumonia, no cardiomegaly", 1, "possible pneumonia"),
        ("large left effusion and atelectasis", 0, "left atelectasis"),
        ("5 mm spiculated nodule. Heart size is normal. No effusion.", 1, "5 mm spiculated nodule. No effusion."),
        ("5 mm spiculated nodule. No effusion.", 0, "5 mm spiculated. No effusion."),
        ("A nodule. There is a nodule. No effusion.", 0, "no pleural effusion"),
        ("2. cardiomegaly", 0, ""),
    ],
)
def test_a_fact_is_taken_out(text: str, place: int, expected: str) -> None:
    understood = _read(text)
    assert rewritten(understood, understood.facts[place], None) == expected


def test_a_part_of_a_fact_is_changed_and_the_rest_stays() -> None:
    understood = _read("right upper lobe nodule; no effusion")
    nodule = understood.facts[0]
    assert [part_of(nodule, part) for part in ("status", "side", "site", "degree")] == [
        "present",
        "right",
        "upper lobe",
        None,
    ]
    for part, value, expected in (
        ("side", None, "upper lobe nodule; no effusion"),
        ("side", "left", "left upper lobe nodule; no effusion"),
        ("site", None, "right nodule; no effusion"),
        ("site", "lower lobe", "right lower lobe nodule; no effusion"),
        ("degree", "small", "small right upper lobe nodule; no effusion"),
        ("status", "absent", "no right upper lobe nodule; no effusion"),
        ("status", "uncertain", "possible right upper lobe nodule; no effusion"),
    ):
        changed = with_part(nodule, part, value)  # type: ignore[arg-type]  # the parts are written out above
        assert changed is not None
        assert rewritten(understood, nodule, changed) == expected
    assert with_part(nodule, "site", "middle lobe") is not None
    assert with_part(nodule, "site", "lingula") is None  # it is left


@given(some.lists(some.tuples(some.sampled_from(_ANYWHERE), some.sampled_from(["", "no ", "possible "])), max_size=4))
def test_the_other_facts_of_any_text_stay(named: list[tuple[str, str]]) -> None:
    understood = _read(". ".join(status + finding for finding, status in named))
    for fact in understood.facts:
        text = rewritten(understood, fact, None)
        assert text is not None
        left = [one for one in understood.facts if one != fact]
        assert [(one.finding, one.status) for one in _read(text).facts] == [(one.finding, one.status) for one in left]


def test_sites_that_contain_others_are_no_sites_of_their_own() -> None:
    (fact,) = read_query("nodule in the right upper lobe and apex")
    assert set(own_sites(fact)) == {"upper lobe", "apex"}
