"""Search against brute force, and the options that change what comes back."""

import itertools
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from explorer import Casebook, Query, SearchOptions, parse_filter
from explorer.search.filters.expression import matching_rows
from explorer.search.query import Mode
from explorer.search.search import search_cases
from index_builder.casebook.manifest import read_manifest, write_manifest
from index_builder.cases.space import SPACES, Space
from index_builder.errors import ModelError, QueryError
from index_builder.imaging import model_input
from index_builder.reranking.case_vectors import ClassVectors
from index_builder.reranking.ranking import LABEL_OVERLAP, Ranking
from index_builder.reranking.rerank import RerankWeights
from index_builder.systems.graphs.encoder import Encoder
from index_builder.systems.running import opening


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
def vectors_of(casebook: Casebook, pixels: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Film, text, and both joined."""
    system = casebook.system
    image = system.encode_images(torch.from_numpy(model_input(pixels, 64))[None])
    words = system.encode_texts([text])
    return image.vector[0].numpy(), words.vector[0].numpy(), system.join(image, words)[0].numpy()


@torch.inference_mode()
def joined_alone(casebook: Casebook, pixels: np.ndarray, text: str, given: str) -> np.ndarray:
    """Joint vector of one modality."""
    system = casebook.system
    image = system.encode_images(torch.from_numpy(model_input(pixels, 64))[None])
    words = system.encode_texts([text])
    return system.join(image if given == "film" else None, words if given == "text" else None)[0].numpy()


FILTERS = [(), ("label=Nodule",), ("split=test", "age>=30"), ("label!=Effusion", "sex=F", "view=PA")]


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("space", ["image", "text", "joint"])
@pytest.mark.parametrize("given", ["film", "text", "both"])
def test_neighbours_are_those_of_brute_force(
    casebook: Casebook, given: str, space: Space, filters: tuple[str, ...]
) -> None:
    pixels, text, weight = film(casebook, "case-010"), "mild cardiomegaly and small left effusion", 0.3
    image_vector, text_vector, joint_vector = vectors_of(casebook, pixels, text)
    # Between the joint vector, at a half, and the text's own, at 0.
    mixed = 2 * weight * joint_vector + (1 - 2 * weight) * text_vector
    vector = {"film": image_vector, "text": text_vector, "both": mixed / np.linalg.norm(mixed)}[given]
    if space == "joint" and given != "both":
        vector = joined_alone(casebook, pixels, text, given)
    query = Query(
        pixels=None if given == "text" else pixels, text=None if given == "film" else text, image_weight=weight
    )
    parsed = tuple(parse_filter(one) for one in filters)
    # A film is compared by vectors in every mode.
    mode: Mode = "hybrid" if given == "film" else "dense"
    result = search_cases(casebook, query, SearchOptions(k=7, space=space, filters=parsed, mode=mode))
    held = casebook.vectors(space).any(axis=1)
    rows = np.flatnonzero(matching_rows(casebook, parsed) & held)
    assert [one.case_id for one in result.neighbours] == nearest(casebook, space, vector, rows)[:7]
    assert result.searched == len(rows)
    assert [one.rank for one in result.neighbours] == list(range(1, len(result.neighbours) + 1))


def test_default_space_follows_the_query(casebook: Casebook) -> None:
    pixels = film(casebook, "case-000")
    assert search_cases(casebook, Query(pixels=pixels)).space == "image"
    assert search_cases(casebook, Query(text="effusion")).space == "text"
    assert search_cases(casebook, Query(pixels=pixels, text="effusion")).space == "joint"
    assert search_cases(casebook, Query(case_id="case-000")).space == "joint"


def test_an_indexed_film_finds_itself_first_with_cosine_one(casebook: Casebook) -> None:
    best = search_cases(casebook, Query(pixels=film(casebook, "case-010")), k=1).neighbours[0]
    assert best.case_id == "case-010"
    assert best.score == pytest.approx(1, abs=2e-3)
    assert best.closeness > 0.98
    assert best.similarity["image"] == pytest.approx(best.score, abs=1e-6)


@pytest.mark.parametrize("space", ["image", "text", "joint"])
def test_more_like_this_leaves_out_the_case_itself(casebook: Casebook, space: Space) -> None:
    result = search_cases(casebook, Query(case_id="case-010"), SearchOptions(k=10, space=space))
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
    result = search_cases(casebook, Query(text="effusion"), SearchOptions(k=50, space="joint", filters=(rare,)))
    assert 0 < len(result.neighbours) == count == result.searched
    nothing = search_cases(casebook, Query(text="effusion"), SearchOptions(filters=(parse_filter("age>200"),)))
    assert nothing.neighbours == ()


def test_one_per_patient(casebook: Casebook) -> None:
    options = SearchOptions(k=60, one_per_patient=True)
    result = search_cases(casebook, Query(case_id="case-010"), options)
    patients = [casebook.case(one.case_id).patient_id for one in result.neighbours]
    assert len(set(patients)) == len(patients) == 60
    assert casebook.case("case-010").patient_id not in patients
    plain = [one.case_id for one in search_cases(casebook, Query(case_id="case-010"), k=200).neighbours]
    kept = [one.case_id for one in result.neighbours]
    assert kept == [case_id for case_id in plain if case_id in kept]


def test_copies_of_a_film_are_hidden(casebook: Casebook) -> None:
    pixels = film(casebook, "case-000")
    shown = [one.case_id for one in search_cases(casebook, Query(pixels=pixels), k=3).neighbours]
    assert {"case-000", "case-001"} <= set(shown)
    hidden = [
        one.case_id
        for one in search_cases(casebook, Query(pixels=pixels), SearchOptions(k=20, hide_duplicates=True)).neighbours
    ]
    assert len({"case-000", "case-001"} & set(hidden)) == 1
    like = [
        one.case_id
        for one in search_cases(
            casebook, Query(case_id="case-000"), SearchOptions(k=20, hide_duplicates=True)
        ).neighbours
    ]
    assert "case-001" not in like


def test_full_rerank_orders_by_overlap_of_findings_where_the_system_has_no_way_of_its_own(casebook: Casebook) -> None:
    assert casebook.ranking is LABEL_OVERLAP
    own = set(casebook.case("case-005").labels)
    result = search_cases(casebook, Query(case_id="case-005"), SearchOptions(k=10, rerank=1))
    overlaps = [len(own & set(one.labels)) / len(own | set(one.labels)) for one in result.neighbours]
    assert overlaps == sorted(overlaps, reverse=True)
    assert overlaps[0] == 1
    assert all(set(one.shared_labels) == own & set(one.labels) for one in result.neighbours)
    assert all(set(one.other_labels) == set(one.labels) - own for one in result.neighbours)


@pytest.fixture(scope="module")
def ranked_casebook(tmp_path_factory: pytest.TempPathFactory, small_casebook: Path) -> Casebook:
    """The same casebook, of a system with a findings graph."""
    folder = shutil.copytree(small_casebook, tmp_path_factory.mktemp("ranked") / "ranked")
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float16)
    classes = ClassVectors(("Cardiomegaly", "Effusion", "Nodule"), vectors)
    Ranking("transe", classes, RerankWeights(cosine=0.2, jaccard=0.3, graph=0.5)).save(folder / "system")
    return Casebook.open(folder)


@pytest.mark.parametrize("weight", [0.4, 1.0])
def test_rerank_mixes_similarity_with_the_system_s_own_score(ranked_casebook: Casebook, weight: float) -> None:
    options = SearchOptions(k=20, rerank=weight, filters=(parse_filter("split=test"),), mode="dense")
    result = search_cases(ranked_casebook, Query(text="nodule with effusion"), options)
    rows = np.flatnonzero((ranked_casebook.column("split") == "test") & ranked_casebook.has_vector("text"))
    cosine = ranked_casebook.vectors("text")[rows].astype(np.float32) @ result.vector
    assert result.classified is not None
    likely = dict(result.findings) | dict(result.classified)
    names = ranked_casebook.label_names
    wanted = np.array([[likely.get(name, 0) for name in names]])
    held = ranked_casebook.label_matrix[rows].astype(float)
    own = ranked_casebook.ranking.scores(cosine[None], wanted, held, names)[0]
    expected = rows[np.argsort(-((1 - weight) * cosine + weight * own), kind="stable")][:20]
    assert [one.case_id for one in result.neighbours] == [ranked_casebook.case_ids[row] for row in expected]
    plain = search_cases(ranked_casebook, Query(text="nodule with effusion"), replace(options, rerank=0))
    assert [one.case_id for one in plain.neighbours] != [one.case_id for one in result.neighbours]
    assert {one.case_id: one.score for one in result.neighbours}[result.neighbours[0].case_id] == pytest.approx(
        float(cosine[list(rows).index(expected[0])]), abs=1e-6
    )


def test_a_damaged_findings_graph_is_told(tmp_path: Path, small_casebook: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "damaged")
    (folder / "system" / "graph.json").write_text("{}")
    with pytest.raises(ModelError, match=r"graph\.json: damaged"):
        search_cases(Casebook.open(folder), Query(case_id="case-005"), SearchOptions(rerank=0.5))


def test_a_vote_has_the_temperature_of_the_modality_that_was_given(tmp_path: Path, small_casebook: Path) -> None:
    folder = shutil.copytree(small_casebook, tmp_path / "tempered")
    manifest = read_manifest(folder)
    wide, sharp = 1e6, 1e-6
    record = manifest.system.model_copy(update={"vote_temperatures": {"text": wide}, "vote_temperature": sharp})
    write_manifest(folder, manifest.model_copy(update={"system": record}))
    casebook = Casebook.open(folder)
    told = search_cases(casebook, Query(text="nodule"))
    assert dict(told.findings) == pytest.approx({name: n / 7 for name, n in told.votes.items() if n}, abs=1e-5)
    # Whichever space is searched, the vote is that of cases of the query's own modality.
    for space in SPACES:
        assert search_cases(casebook, Query(text="nodule"), SearchOptions(space=space)).findings == told.findings
    result = search_cases(casebook, Query(pixels=film(casebook, "case-005")), SearchOptions())
    decided = {name for name, share in result.findings.items() if share > 0.5}
    assert decided == set(result.neighbours[0].labels)
    assert dict(result.findings) == pytest.approx({name: float(name in decided) for name in result.findings}, abs=1e-5)


def test_findings_of_an_upload_are_the_weighted_vote_of_unfiltered_neighbours(casebook: Casebook) -> None:
    record = casebook.manifest.system
    assert (record.vote_neighbours, record.vote_temperature) == (7, 0.05)
    result = search_cases(casebook, Query(text="nodule"), SearchOptions(k=7, mode="dense"))
    scores = np.array([one.score for one in result.neighbours])
    weights = np.exp((scores - scores[0]) / 0.05)
    weights /= weights.sum()
    expected = {
        name: sum(w for w, one in zip(weights, result.neighbours, strict=True) if name in one.labels)
        for name in casebook.label_names
    }
    assert dict(result.findings) == pytest.approx({name: share for name, share in expected.items() if share}, abs=1e-5)
    assert list(result.findings.values()) == sorted(result.findings.values(), reverse=True)
    assert result.voters == 7
    assert dict(result.votes) == {
        name: sum(name in one.labels for one in result.neighbours) for name in result.findings
    }
    filtered = search_cases(casebook, Query(text="nodule"), SearchOptions(filters=(parse_filter("label=Nodule"),)))
    assert dict(filtered.findings) == pytest.approx(dict(result.findings))


@torch.inference_mode()
def test_the_classifier_tells_of_labels_it_knows_and_says_nothing_of_a_case(casebook: Casebook) -> None:
    result = search_cases(casebook, Query(text="nodule"))
    assert result.classified is not None
    logits = casebook.system.label_logits(torch.from_numpy(result.vector)[None])
    assert logits is not None
    # The system knows Cardiomegaly and Normal; no case of the casebook carries the latter.
    assert dict(result.classified) == pytest.approx({"Cardiomegaly": float(logits.sigmoid()[0, 0])}, abs=1e-6)
    like = search_cases(casebook, Query(case_id="case-005"))
    assert (like.classified, like.votes, like.voters) == (None, {}, 0)


def test_stages_are_classified_as_one_of_several(stage_casebook: Path) -> None:
    staged = Casebook.open(stage_casebook)
    record = staged.manifest.system
    assert (record.name, record.reads, record.predicts_by, record.theta) == ("mskpt", "report", "classifier", 0.4)
    result = search_cases(staged, Query(pixels=film(staged, staged.case_ids[0])))
    assert result.classified is not None
    assert set(result.classified) == set(staged.label_names)
    assert sum(result.classified.values()) == pytest.approx(1, abs=1e-5)
    assert list(result.classified.values()) == sorted(result.classified.values(), reverse=True)


def test_diversity_is_the_mean_difference_of_pairs(casebook: Casebook) -> None:
    result = search_cases(casebook, Query(text="small effusion"), k=6)
    rows = [casebook.row(one.case_id) for one in result.neighbours]
    vectors = casebook.vectors("text")[rows].astype(float)
    pairs = list(itertools.combinations(range(6), 2))
    labels = [set(one.labels) for one in result.neighbours]
    apart = [
        1 - len(labels[i] & labels[j]) / len(labels[i] | labels[j]) if labels[i] | labels[j] else 0 for i, j in pairs
    ]
    assert result.diversity is not None
    assert result.diversity["vectors"] == pytest.approx(
        np.mean([1 - vectors[i] @ vectors[j] for i, j in pairs]), abs=1e-6
    )
    assert result.diversity["labels"] == pytest.approx(np.mean(apart))
    assert search_cases(casebook, Query(text="small effusion"), k=1).diversity is None


def test_results_are_ready_for_json(casebook: Casebook) -> None:
    report = next(case.report for case in map(casebook.case, casebook.case_ids) if case.report)
    content = json.loads(json.dumps(search_cases(casebook, Query(text=report)).as_dict()))
    first = content["neighbours"][0]
    assert {"rank", "case_id", "score", "labels", "split", "report"} <= set(first)
    assert {"embed", "search", "match", "total"} == set(content["timings_ms"])
    assert {"vectors", "labels"} == set(content["diversity"])
    assert set(content["classified"]) == {"Cardiomegaly"}
    assert content["voters"] == 7


def test_loading_the_system_is_not_what_a_search_takes(small_casebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = opening.open_encoder

    def slowly(folder: Path) -> Encoder:
        time.sleep(2)
        return load(folder)

    monkeypatch.setattr(opening, "open_encoder", slowly)
    began = time.perf_counter()
    found = search_cases(Casebook.open(small_casebook), Query(text="small effusion"))
    assert found.timings_ms["total"] < 1000 * (time.perf_counter() - began) - 2000


def test_shared_phrases_come_from_both_texts(casebook: Casebook) -> None:
    target = casebook.case("case-003")
    result = search_cases(casebook, Query(text=target.report), k=1)
    assert result.neighbours[0].shared_phrases
    assert all(phrase in target.report.lower() for phrase in result.neighbours[0].shared_phrases)


@pytest.mark.parametrize(
    ("query", "options", "said"),
    [
        (Query(), SearchOptions(), "nothing to search with"),
        (Query(text="  "), SearchOptions(), "nothing to search with"),
        (Query(text="a", case_id="case-001"), SearchOptions(), "not both"),
        (Query(profile={"age": 60}, case_id="case-001"), SearchOptions(), "not both"),
        (Query(profile={"age": 60}, text="a"), SearchOptions(), "not both"),
        (Query(profile={}), SearchOptions(), "nothing to search with"),
        (Query(profile={"age": 60}), SearchOptions(), "reads reports, not profiles"),
        (Query(case_id="nobody"), SearchOptions(), "no case 'nobody'"),
        (Query(case_id="case-004"), SearchOptions(space="image"), "has no image vector"),
        (Query(text="a"), SearchOptions(k=0), "k = 0"),
        (Query(text="a"), SearchOptions(k=201), "k = 201"),
        (Query(text="a"), SearchOptions(rerank=2), "rerank = 2"),
        (Query(text="a"), SearchOptions(mode="words"), "mode 'words': give one of hybrid"),
        (Query(text="a", image_weight=-1), SearchOptions(), "image weight"),
        (Query(text="a", image_weight=float("nan")), SearchOptions(), "image weight"),
    ],
)
def test_bad_queries_are_explained(casebook: Casebook, query: Query, options: SearchOptions, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        search_cases(casebook, query, options)


def test_threads_share_one_casebook(small_casebook: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    shared = Casebook.open(small_casebook)
    texts = ["effusion", "nodule", "mild cardiomegaly", "clear lung"] * 5
    alone = [
        search_cases(Casebook.open(small_casebook), Query(text=text)).as_dict()["neighbours"] for text in texts[:4]
    ]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: search_cases(shared, Query(text=text)).as_dict()["neighbours"], texts))
    assert together == alone * 5
