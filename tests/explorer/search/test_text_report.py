"""What is told of a query's text, against casebooks whose words are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer import Casebook, Query
from explorer.cases.chest_findings import chest_findings, is_labelled, named_findings, without_label
from explorer.cases.vocabulary import read_vocabulary, words_of
from explorer.search.reading.text_report import examine_text
from explorer.search.search import search_cases
from index_builder.cases.labels import NIH_LABELS, OPENI_LABELS


@pytest.fixture
def casebook(small_casebook: Path) -> Casebook:
    return Casebook.open(small_casebook)


@pytest.mark.parametrize(
    ("text", "kinds", "unknown", "readable", "fragment"),
    [
        ("small left pleural effusion", [], (), True, True),
        ("effusions, heart-size: normal", [], (), True, True),
        (" ".join(["normal heart size"] * 4), [], (), True, False),
        ("asdf qwer zxcv", ["unknown"], ("asdf", "qwer", "zxcv"), False, True),
        ("heart zxcv", ["some unknown"], ("zxcv",), True, True),
        ("Herz normal groß und weit", ["unknown"], ("herz", "groß", "und", "weit"), False, True),
        ("Сердце", ["script"], ("сердце",), False, True),
        ("القلب", ["script"], ("القلب",), False, True),
        ("心臓", ["script"], ("心", "臓"), False, True),
        ("123 - !", ["no words"], (), False, True),
        ("a of the", ["no words"], (), False, True),
        ("left pneumothorax", ["no label"], (), True, True),
        ("no left pneumothorax", [], (), True, True),
        ("tension pneumothorax", ["no label"], (), True, True),
    ],
)
def test_words_that_no_report_has(
    casebook: Casebook, text: str, kinds: list[str], unknown: tuple[str, ...], readable: bool, fragment: bool
) -> None:
    found = examine_text(casebook, text)
    assert [flag.kind for flag in found.flags] == kinds
    assert (found.unknown, found.readable, found.fragment) == (unknown, readable, fragment)


def test_many_unknown_words_are_counted_not_listed(casebook: Casebook) -> None:
    (flag,) = examine_text(casebook, "zxa zxb zxc zxd zxe zxf zxg zxh").flags
    assert "“zxf” and 2 more." in flag.words
    assert "zxg" not in flag.words


def test_the_words_are_those_of_the_reports(casebook: Casebook) -> None:
    texts = [text for text in casebook.column("report") if text]
    known = casebook.vocabulary
    assert set(words_of(" ".join(texts))) <= known.words
    assert {"nodule", "cardiomegaly"} <= known.words
    assert (known.texts, known.whole, known.shortest) == (len(texts), True, 12)
    assert casebook.vocabulary is known


def test_of_many_reports_evenly_spread_ones_are_read(casebook: Casebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.cases.vocabulary.TEXTS", 100)
    monkeypatch.setattr("explorer.cases.vocabulary._RUN", 20)
    known = read_vocabulary(casebook)
    assert not known.whole
    assert 0 < known.texts <= 100
    vars(casebook)["vocabulary"] = known
    assert (
        f"None of {known.texts} reports looked at has the word" in examine_text(casebook, "heart zxcv").flags[0].words
    )


def test_without_reports_the_words_are_those_of_the_system(casebook: Casebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Casebook, "report_sections", ())
    known = read_vocabulary(casebook)
    assert (known.texts, known.shortest) == (0, 0)
    assert {"calcified", "granuloma"} <= known.words
    vars(casebook)["vocabulary"] = known
    found = examine_text(casebook, "calcified zxcv qwer")
    assert (found.readable, found.fragment) == (False, False)
    assert found.flags[0].words.startswith("The system does not know the words “zxcv”, “qwer”.")


def test_words_of_a_profile_are_known(profile_casebook: Path) -> None:
    casebook = Casebook.open(profile_casebook)
    assert examine_text(casebook, "60-year-old patient, coal miner, cough, no dyspnoea.").flags == ()


def test_findings_are_named_once_and_longest_first() -> None:
    words = [word.lower() for one in chest_findings() for word in one.words]
    assert len(words) == len(set(words))
    text = "Subcutaneous emphysema. Pericardial  effusion and tb; no fracture. Emphysema, emphysema"
    assert [one.name for one in named_findings(text)] == [
        "subcutaneous emphysema",
        "pericardial effusion",
        "tuberculosis",
        "emphysema",
    ]


@pytest.mark.parametrize(
    ("labels", "with_label", "without"),
    [
        (OPENI_LABELS, ["pleural effusion", "pneumonia", "nodule", "scoliosis", "pacemaker"], ["pneumothorax"]),
        (NIH_LABELS, ["pneumothorax", "pleural thickening", "infiltrate", "emphysema"], ["fracture", "COVID-19"]),
        (("COVID-19", "Pleural_Thickening"), ["COVID-19", "pleural thickening"], ["pneumothorax"]),
    ],
)
def test_labels_that_mean_a_finding(labels: tuple[str, ...], with_label: list[str], without: list[str]) -> None:
    named = {one.name: is_labelled(one, labels) for one in chest_findings()}
    assert all(named[name] for name in with_label)
    assert not any(named[name] for name in without)


def test_every_label_of_the_published_sets_is_meant_by_a_finding() -> None:
    """A collection's own label is never told to be missing: each leads back to a name, but for what is no finding."""
    meant = set().union(*(one.labels for one in chest_findings()))
    groups = {"Normal", "Opacity", "Degenerative Bone Disease"}
    assert {one for one in (*OPENI_LABELS, *NIH_LABELS) if one.lower().replace("_", " ") not in meant} == groups


def test_what_a_casebook_has_no_label_for(casebook: Casebook) -> None:
    names = [one.name for one in without_label(casebook)]
    assert names[0] == "pneumothorax"
    assert not {"cardiomegaly", "pleural effusion", "nodule"} & set(names)


@pytest.mark.parametrize("text", ["PTX", "RLL PNA", "bilat effusions w/o edema", "derrame pleural izquierdo"])
def test_abbreviations_and_spanish_words_of_findings_are_understood(report_casebook: Path, text: str) -> None:
    casebook = Casebook.open(report_casebook)
    found = search_cases(casebook, Query(text=text), k=1)
    assert found.text is not None
    assert found.text.readable
    assert found.text.unknown == ()
    assert not [flag for flag in found.text.flags if flag.kind in ("unknown", "some unknown")]
