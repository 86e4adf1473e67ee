"""Profiles as queries: what a casebook's system reads, how a profile is given, and what it finds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from explorer import Casebook, Query, SearchOptions
from explorer.app.search.examples import example_profiles, example_texts
from explorer.cases.profile_fields import ProfileField
from explorer.search.profiles import parse_profile
from explorer.search.search import search_cases
from index_builder.build.build import BuildRequest, build
from index_builder.cases.profile import profile_sentence
from index_builder.errors import QueryError


@pytest.fixture(scope="module")
def casebook(profile_casebook: Path) -> Casebook:
    return Casebook.open(profile_casebook)


def test_fields_are_those_of_the_cases_with_their_kinds(casebook: Casebook) -> None:
    fields = {field.name: field for field in casebook.searched_fields}
    assert {name for name, field in fields.items() if field.kind == "number"} == {"age", "dust_years"}
    assert {name for name, field in fields.items() if field.kind == "flag"} == {"cough", "dyspnoea", "chest_pain"}
    assert fields["sex"] == ProfileField("sex", "choice", values=("F", "M"))
    assert fields["age"].whole
    seen = {str(casebook.case(one).profile["occupation"]) for one in casebook.case_ids}
    assert fields["occupation"].values == tuple(sorted(seen))


def test_a_casebook_whose_system_reads_reports_takes_no_profile(small_casebook: Path) -> None:
    casebook = Casebook.open(small_casebook)
    assert casebook.searched_fields == ()
    with pytest.raises(QueryError, match="reads reports, not profiles"):
        parse_profile(casebook, "age=60")
    assert search_cases(casebook, Query(text="effusion"), k=1).neighbours[0].profile == ""


def test_fields_that_tell_the_diagnosis_or_are_rarely_alike_are_not_chosen_from(
    tmp_path: Path, tiny_siclip: Path
) -> None:
    root = tmp_path / "workers"
    root.mkdir()
    lines = ["case_id,report,age,weight,diagnosis,remark,smoker"]
    for number in range(70):
        lines.append(f"c{number},normal heart,{number + 20},{number}.5,silicosis,remark {number},{number % 2 == 0}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    (root / "columns.yaml").write_text(
        "case_id: case_id\nreport: report\nprofile: [age, weight, diagnosis, remark, smoker]\n"
    )
    out = tmp_path / "casebook"
    build(BuildRequest("manifest", root, out, tiny_siclip), lambda stage, done, total: None)
    fields = {field.name: field for field in Casebook.open(out).searched_fields}
    assert {name: field.kind for name, field in fields.items()} == {
        "age": "number",
        "weight": "number",
        "remark": "words",
        "smoker": "flag",
    }
    assert (fields["age"].whole, fields["weight"].whole) == (True, False)


def test_a_profile_is_read_from_text(casebook: Casebook) -> None:
    assert parse_profile(casebook, "age=60, occupation = coal miner ,cough=yes,chest_pain=No,dust_years=12.5,") == {
        "age": 60,
        "occupation": "coal miner",
        "cough": True,
        "chest_pain": False,
        "dust_years": 12.5,
    }


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("shoe=43", "no profile field 'shoe'.*Fields: .*age"),
        ("age=old", "age = 'old' is not a number"),
        ("age=nan", "not a plausible number"),
        ("cough=maybe", "Give yes or no"),
        ("age", "FIELD=VALUE"),
        ("age=", "FIELD=VALUE"),
        ("=4", "FIELD=VALUE"),
    ],
)
def test_a_profile_that_cannot_be_read_is_explained(casebook: Casebook, expression: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        parse_profile(casebook, expression)


@torch.inference_mode()
def test_a_profile_finds_what_its_sentence_finds(casebook: Casebook) -> None:
    profile = casebook.case(casebook.case_ids[3]).profile
    result = search_cases(casebook, Query(profile=profile), k=40)
    assert result.space == "text"
    sentence = profile_sentence(profile)
    vector = casebook.system.encode_texts([sentence]).vector[0].numpy()
    np.testing.assert_allclose(result.vector, vector, atol=1e-6)
    alone = search_cases(casebook, Query(text=sentence), k=40)
    assert [one.case_id for one in alone.neighbours] == [one.case_id for one in result.neighbours]
    assert casebook.case_ids[3] in [one.case_id for one in result.neighbours if one.score > 0.999]
    assert result.classified is None
    assert result.voters == 5


def test_film_and_profile_are_joined(casebook: Casebook) -> None:
    case = casebook.case(casebook.case_ids[3])
    assert case.image is not None
    pixels = casebook.film(case.image).pixels
    result = search_cases(casebook, Query(pixels=pixels, profile=case.profile), k=1)
    assert result.space == "joint"
    assert result.neighbours[0].case_id == case.case_id
    film_alone = search_cases(casebook, Query(pixels=pixels, profile=case.profile, image_weight=1), SearchOptions(k=1))
    assert set(film_alone.neighbours[0].similarity) == {"image", "text", "joint"}


def test_a_neighbour_says_its_profile_and_what_of_it_is_shared(casebook: Casebook) -> None:
    profile = {"occupation": "coal miner", "smoking": "never", "cough": False}
    for one in search_cases(casebook, Query(profile=profile), k=40).neighbours:
        own = casebook.case(one.case_id).profile
        assert one.profile == profile_sentence(own)
        assert ("coal miner" in one.shared_phrases) == (own["occupation"] == "coal miner")
        assert ("never smoked" in one.shared_phrases) == (own["smoking"] == "never")
        assert ("no cough" in one.shared_phrases) == (own["cough"] is False)


def test_unknown_fields_and_empty_sentences_are_refused(casebook: Casebook) -> None:
    with pytest.raises(QueryError, match="'stage'"):
        search_cases(casebook, Query(profile={"stage": 3}))
    with pytest.raises(QueryError, match="no value"):
        search_cases(casebook, Query(profile={"occupation": " "}))


def test_examples_are_profiles_of_cases(casebook: Casebook, small_casebook: Path) -> None:
    examples = example_profiles(casebook)
    assert 1 <= len(examples) <= 3
    known = {field.name for field in casebook.searched_fields}
    for profile in examples:
        assert 1 <= len(profile) <= 5
        assert set(profile) <= known
        assert search_cases(casebook, Query(profile=profile), k=1).neighbours
    assert example_profiles(Casebook.open(small_casebook)) == []
    assert example_texts(Casebook.open(small_casebook))
