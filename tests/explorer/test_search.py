"""Search against brute force, and the options that change what comes back."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from explorer import Casebook, Query, SearchOptions, parse_filter
from explorer.filters import matching_rows
from explorer.search import VOTE_TEMPERATURE, VOTERS
from index_builder.casebook import Space
from index_builder.errors import QueryError
from index_builder.imaging import model_input


@pytest.fixture(scope="module")
def casebook(small_casebook: Path) -> Casebook:
    return Casebook.open(small_casebook)


def film(casebook: Casebook, case_id: str) -> np.ndarray:
    reference = casebook.case(case_id).image
    assert reference is not None
    return casebook.film(reference).pixels


def nearest(casebook: Casebook, space: Space, vector: np.ndarray, rows: np.ndarray) -> list[str]:
    """Case ids by falling cosine, among rows."""
    scores = casebook.vectors(space)[rows].astype(np.float32) @ vector
    return [casebook.case_ids[row] for row in rows[np.argsort(-scores, kind="stable")]]


@torch.inference_mode()
def vectors_of(casebook: Casebook, pixels: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray]:
    system = casebook.system
    image = system.encode_images(torch.from_numpy(model_input(pixels, 64))[None]).vector[0].numpy()
    return image, system.encode_texts([text]).vector[0].numpy()


FILTERS = [(), ("label=Nodule",), ("split=test", "age>=30"), ("label!=Effusion", "sex=F", "view=PA")]


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("space", ["image", "text", "joint"])
@pytest.mark.parametrize("given", ["film", "text", "both"])
def test_neighbours_are_those_of_brute_force(
    casebook: Casebook, given: str, space: Space, filters: tuple[str, ...]
) -> None:
    pixels, text, weight = film(casebook, "case-010"), "mild cardiomegaly and small left effusion", 0.3
    image_vector, text_vector = vectors_of(casebook, pixels, text)
    mixed = weight * image_vector + (1 - weight) * text_vector
    vector = {"film": image_vector, "text": text_vector, "both": mixed / np.linalg.norm(mixed)}[given]
    query = Query(
        pixels=None if given == "text" else pixels, text=None if given == "film" else text, image_weight=weight
    )
    parsed = tuple(parse_filter(one) for one in filters)
    result = casebook.search(query, SearchOptions(k=7, space=space, filters=parsed))
    held = casebook.vectors(space).any(axis=1)
    rows = np.flatnonzero(matching_rows(casebook, parsed) & held)
    assert [one.case_id for one in result.neighbours] == nearest(casebook, space, vector, rows)[:7]
    assert result.searched == len(rows)
    assert [one.rank for one in result.neighbours] == list(range(1, len(result.neighbours) + 1))


def test_default_space_follows_the_query(casebook: Casebook) -> None:
    pixels = film(casebook, "case-000")
    assert casebook.search(Query(pixels=pixels)).space == "image"
    assert casebook.search(Query(text="effusion")).space == "text"
    assert casebook.search(Query(pixels=pixels, text="effusion")).space == "joint"
    assert casebook.search(Query(case_id="case-000")).space == "joint"


def test_an_indexed_film_finds_itself_first_with_cosine_one(casebook: Casebook) -> None:
    best = casebook.search(Query(pixels=film(casebook, "case-010")), k=1).neighbours[0]
    assert best.case_id == "case-010"
    assert best.score == pytest.approx(1, abs=2e-3)
    assert best.closeness > 0.98
    assert best.similarity["image"] == pytest.approx(best.score, abs=1e-6)


@pytest.mark.parametrize("space", ["image", "text", "joint"])
def test_more_like_this_leaves_out_the_case_itself(casebook: Casebook, space: Space) -> None:
    result = casebook.search(Query(case_id="case-010"), SearchOptions(k=10, space=space))
    vector = casebook.vectors(space)[10].astype(np.float32)
    rows = np.flatnonzero(casebook.vectors(space).any(axis=1) & (np.arange(300) != 10))
    assert [one.case_id for one in result.neighbours] == nearest(
        casebook, space, vector / np.linalg.norm(vector), rows
    )[:10]
    assert result.findings_from == "labels"
    assert set(result.findings) == set(casebook.case("case-010").labels)


def test_k_cases_come_back_wherever_k_meet_the_filter(casebook: Casebook) -> None:
    rare = parse_filter("age=33")
    count = int(matching_rows(casebook, [rare]).sum())
    result = casebook.search(Query(text="effusion"), SearchOptions(k=50, space="joint", filters=(rare,)))
    assert 0 < len(result.neighbours) == count == result.searched
    nothing = casebook.search(Query(text="effusion"), SearchOptions(filters=(parse_filter("age>200"),)))
    assert nothing.neighbours == ()


def test_one_per_patient(casebook: Casebook) -> None:
    options = SearchOptions(k=60, one_per_patient=True)
    result = casebook.search(Query(case_id="case-010"), options)
    patients = [casebook.case(one.case_id).patient_id for one in result.neighbours]
    assert len(set(patients)) == len(patients) == 60
    assert casebook.case("case-010").patient_id not in patients
    plain = [one.case_id for one in casebook.search(Query(case_id="case-010"), k=200).neighbours]
    kept = [one.case_id for one in result.neighbours]
    assert kept == [case_id for case_id in plain if case_id in kept]


def test_copies_of_a_film_are_hidden(casebook: Casebook) -> None:
    pixels = film(casebook, "case-000")
    shown = [one.case_id for one in casebook.search(Query(pixels=pixels), k=3).neighbours]
    assert {"case-000", "case-001"} <= set(shown)
    hidden = [
        one.case_id
        for one in casebook.search(Query(pixels=pixels), SearchOptions(k=20, hide_duplicates=True)).neighbours
    ]
    assert len({"case-000", "case-001"} & set(hidden)) == 1
    like = [
        one.case_id
        for one in casebook.search(Query(case_id="case-000"), SearchOptions(k=20, hide_duplicates=True)).neighbours
    ]
    assert "case-001" not in like


def test_full_rerank_orders_by_overlap_of_findings(casebook: Casebook) -> None:
    own = set(casebook.case("case-005").labels)
    result = casebook.search(Query(case_id="case-005"), SearchOptions(k=10, rerank=1))
    overlaps = [len(own & set(one.labels)) / len(own | set(one.labels)) for one in result.neighbours]
    assert overlaps == sorted(overlaps, reverse=True)
    assert overlaps[0] == 1
    assert all(set(one.shared_labels) == own & set(one.labels) for one in result.neighbours)
    assert all(set(one.other_labels) == set(one.labels) - own for one in result.neighbours)


def test_findings_of_an_upload_are_the_weighted_vote_of_unfiltered_neighbours(casebook: Casebook) -> None:
    options = SearchOptions(k=VOTERS)
    result = casebook.search(Query(text="nodule"), options)
    weights = np.exp(
        (np.array([one.score for one in result.neighbours]) - result.neighbours[0].score) / VOTE_TEMPERATURE
    )
    weights /= weights.sum()
    expected = {
        name: sum(w for w, one in zip(weights, result.neighbours, strict=True) if name in one.labels)
        for name in casebook.label_names
    }
    assert dict(result.findings) == pytest.approx({name: share for name, share in expected.items() if share}, abs=1e-5)
    filtered = casebook.search(Query(text="nodule"), SearchOptions(filters=(parse_filter("label=Nodule"),)))
    assert dict(filtered.findings) == pytest.approx(dict(result.findings))


def test_results_are_ready_for_json(casebook: Casebook) -> None:
    content = json.loads(json.dumps(casebook.search(Query(text="small effusion")).as_dict()))
    first = content["neighbours"][0]
    assert {"rank", "case_id", "score", "labels", "split", "report"} <= set(first)
    assert {"embed", "search", "match", "total"} == set(content["timings_ms"])


def test_shared_phrases_come_from_both_texts(casebook: Casebook) -> None:
    target = casebook.case("case-003")
    result = casebook.search(Query(text=target.report), k=1)
    assert result.neighbours[0].shared_phrases
    assert all(phrase in target.report.lower() for phrase in result.neighbours[0].shared_phrases)


@pytest.mark.parametrize(
    ("query", "options", "said"),
    [
        (Query(), SearchOptions(), "nothing to search with"),
        (Query(text="  "), SearchOptions(), "nothing to search with"),
        (Query(text="a", case_id="case-001"), SearchOptions(), "not both"),
        (Query(case_id="nobody"), SearchOptions(), "no case 'nobody'"),
        (Query(case_id="case-004"), SearchOptions(space="image"), "has no image vector"),
        (Query(text="a"), SearchOptions(k=0), "k = 0"),
        (Query(text="a"), SearchOptions(k=201), "k = 201"),
        (Query(text="a"), SearchOptions(rerank=2), "rerank = 2"),
        (Query(text="a", image_weight=-1), SearchOptions(), "image weight"),
        (Query(text="a", image_weight=float("nan")), SearchOptions(), "image weight"),
    ],
)
def test_bad_queries_are_explained(casebook: Casebook, query: Query, options: SearchOptions, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        casebook.search(query, options)


def test_threads_share_one_casebook(small_casebook: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    shared = Casebook.open(small_casebook)
    texts = ["effusion", "nodule", "mild cardiomegaly", "clear lung"] * 5
    alone = [Casebook.open(small_casebook).search(Query(text=text)).as_dict()["neighbours"] for text in texts[:4]]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: shared.search(Query(text=text)).as_dict()["neighbours"], texts))
    assert together == alone * 5
