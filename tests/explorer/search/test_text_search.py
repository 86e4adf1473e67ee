"""What a typed text finds: by facts, words and vectors, in one order."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_samples import REPORTS

from explorer import Casebook, Query, SearchOptions, parse_filter
from explorer.search.fusion import WEIGHTS, Weights, fuse
from explorer.search.query import MODES
from explorer.search.result import Neighbour
from explorer.search.search import search_cases
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import digest_files, read_manifest, write_manifest
from index_builder.errors import CasebookError, QueryError


@pytest.fixture(scope="module")
def casebook(report_casebook: Path) -> Casebook:
    return Casebook.open(report_casebook)


def found(casebook: Casebook, text: str, k: int = 3, **options: object) -> tuple[Neighbour, ...]:
    return search_cases(casebook, Query(text=text), SearchOptions(k=k, **options)).neighbours  # type: ignore[arg-type]


def ids(neighbours: tuple[Neighbour, ...]) -> list[str]:
    return [one.case_id for one in neighbours]


@pytest.fixture(scope="module")
def old_casebook(tmp_path_factory: pytest.TempPathFactory, report_casebook: Path) -> Casebook:
    """The same casebook as the version before wrote it: without an index of reports."""
    folder = shutil.copytree(report_casebook, tmp_path_factory.mktemp("old") / "old")
    shutil.rmtree(Layout(folder).words.parent)
    old = read_manifest(folder).model_copy(update={"schema_version": 5, "lexical": None, "files": digest_files(folder)})
    write_manifest(folder, old)
    return Casebook.open(folder)


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("right upper lobe nodule", {"r-01", "f-01"}),
        ("left upper lobe nodule", {"r-02"}),
        ("left pleural effusion", {"r-03", "r-05", "r-09"}),
        ("right effusion", {"r-04", "r-05"}),
        ("large effusion", {"r-03"}),
        ("severe cardiomegaly with left effusion", {"r-09"}),
        ("pneumothorax", {"r-12"}),
        ("RLL PNA", {"r-11"}),
    ],
)
def test_a_text_finds_first_the_reports_that_say_it(casebook: Casebook, text: str, best: set[str]) -> None:
    neighbours = found(casebook, text, k=len(best))
    assert set(ids(neighbours)) == best
    for one in neighbours:
        assert one.found_by["facts"] <= len(best)
        assert one.matched_facts


def test_sides_find_different_reports(casebook: Casebook) -> None:
    assert not {*ids(found(casebook, "left upper lobe nodule", 1))} & {
        *ids(found(casebook, "right upper lobe nodule", 1))
    }
    assert found(casebook, "right upper lobe nodule", 1)[0].matched_facts == ("nodule · right · upper lobe · small",)


def test_a_denied_finding_finds_reports_that_deny_it_and_none_that_state_it(casebook: Casebook) -> None:
    neighbours = found(casebook, "no pleural effusion", k=12)
    stated = {name for name, (text, *_) in REPORTS.items() if "effusion" in text.lower() and "no " not in text.lower()}
    assert set(ids(neighbours[:5])) == {"r-01", "r-06", "r-07", "r-16", "f-01"}
    assert all(one.matched_facts == ("without pleural effusion",) for one in neighbours[:5])
    assert not stated & set(ids(neighbours))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("filters", [(), ("view=AP",), ("label=Effusion", "view=AP")])
def test_similarity_is_the_cosine_to_the_query_in_every_mode(
    casebook: Casebook, mode: str, filters: tuple[str, ...]
) -> None:
    parsed = tuple(map(parse_filter, filters))
    result = search_cases(casebook, Query(text="left effusion"), SearchOptions(k=6, filters=parsed, mode=mode))  # type: ignore[arg-type]
    assert result.mode == mode
    assert result.neighbours
    for one in result.neighbours:
        vector = casebook.vectors("text")[casebook.row(one.case_id)].astype(np.float32)
        assert one.score == pytest.approx(float(vector @ result.vector), abs=1e-3)
        assert one.similarity["text"] == pytest.approx(one.score, abs=1e-3)
        assert ("label=Effusion" not in filters) or "Effusion" in one.labels
        assert not filters or one.view == "AP"
    assert (result.neighbours[0].relevance is None) == (mode == "dense")


def test_as_many_cases_come_back_as_meet_the_filters(casebook: Casebook) -> None:
    # r-12 shares no fact with the text; every report of the view comes back all the same.
    neighbours = found(casebook, "nodule", k=20, filters=(parse_filter("view=AP"),))
    assert set(ids(neighbours)) == {name for name, (_, _, view) in REPORTS.items() if view == "AP"}


def test_words_alone_find_only_reports_that_have_them(casebook: Casebook) -> None:
    neighbours = found(casebook, "spine", k=10, mode="lexical")
    assert ids(neighbours) == ["r-16"]
    assert neighbours[0].found_by == {"lexical": 1}
    assert neighbours[0].relevance == 1
    assert found(casebook, "asdfgh", mode="lexical") == ()


def test_words_are_found_in_any_inflection(casebook: Casebook) -> None:
    assert found(casebook, "degenerating spines", 1, mode="lexical")[0].case_id == "r-16"


def test_one_per_patient_copies_and_rerank_keep_working(casebook: Casebook) -> None:
    both = ids(found(casebook, "right upper lobe nodule", 2))
    assert set(both) == {"r-01", "f-01"}
    mixed = found(casebook, "right upper lobe nodule", 18, rerank=1.0, one_per_patient=True, hide_duplicates=True)
    assert len(mixed) == len(set(ids(mixed)))
    assert sorted(one.rank for one in mixed) == list(range(1, len(mixed) + 1))


def test_a_misspelt_word_is_searched_for_as_what_it_is_taken_for(casebook: Casebook) -> None:
    result = search_cases(casebook, Query(text="plueral efusion left"), k=3)
    assert result.understood is not None
    assert result.understood.text == "pleural effusion left"
    assert any("“pleural” instead of “plueral”, “effusion” instead of “efusion”" in one for one in result.warnings)
    assert set(ids(result.neighbours)) == {"r-03", "r-05", "r-09"}
    exact = search_cases(casebook, Query(text="plueral efusion left", correct=False), k=3)
    assert exact.understood is not None
    assert exact.understood.text == "plueral efusion left"
    assert any("“plueral”" in one and "“efusion”" in one for one in exact.warnings)


def test_an_unknown_word_is_told_and_the_rest_searched_for(casebook: Casebook) -> None:
    result = search_cases(casebook, Query(text="large left effusion qqzzqq"), k=1)
    assert result.neighbours[0].case_id == "r-03"
    assert any("“qqzzqq”" in one for one in result.warnings)


def test_what_a_text_means_is_ready_for_json(casebook: Casebook) -> None:
    told = search_cases(casebook, Query(text="small nodule right upper lobe"), k=1).as_dict()
    fact = told["understood"]["facts"][0]
    assert (fact["words"], fact["finding"], fact["side"]) == ("nodule · right · upper lobe · small", "nodule", "right")
    assert told["mode"] == "hybrid"
    assert {"facts", "lexical", "dense"} == set(told["neighbours"][0]["found_by"])


def test_films_and_cases_are_compared_by_vectors_in_every_mode(casebook: Casebook) -> None:
    pixels = casebook.film(str(casebook.case("f-02").image)).pixels
    for query in (Query(pixels=pixels), Query(case_id="r-01")):
        results = [search_cases(casebook, query, SearchOptions(mode=mode)) for mode in MODES]
        assert {one.mode for one in results} == {"dense"}
        assert len({tuple(ids(one.neighbours)) for one in results}) == 1
        assert all(set(one.found_by) == {"dense"} for one in results[0].neighbours)
        assert results[0].understood is None


def test_beside_a_film_a_text_has_its_own_share(casebook: Casebook) -> None:
    pixels = casebook.film(str(casebook.case("f-02").image)).pixels

    def order(weight: float, mode: str) -> list[str]:
        query = Query(pixels=pixels, text="severe cardiomegaly", image_weight=weight)
        return ids(search_cases(casebook, query, SearchOptions(k=20, space="joint", mode=mode)).neighbours)  # type: ignore[arg-type]

    assert order(1.0, "hybrid") == order(1.0, "dense")
    assert order(0.0, "hybrid")[0] == "r-09"


def test_an_older_casebook_is_searched_by_vectors_and_says_so(casebook: Casebook, old_casebook: Casebook) -> None:
    result = search_cases(old_casebook, Query(text="left upper lobe nodule"), k=5)
    assert result.mode == "dense"
    assert any("built before reports were indexed" in one for one in result.warnings)
    assert ids(result.neighbours) == ids(found(casebook, "left upper lobe nodule", 5, mode="dense"))
    assert [one.matched_facts for one in result.neighbours] == [
        one.matched_facts for one in found(casebook, "left upper lobe nodule", 5, mode="dense")
    ]
    with pytest.raises(QueryError, match="no index of reports"):
        search_cases(old_casebook, Query(text="nodule"), SearchOptions(mode="lexical"))


def test_systems_that_read_profiles_are_searched_by_vectors(profile_casebook: Path) -> None:
    casebook = Casebook.open(profile_casebook)
    result = search_cases(casebook, Query(text="cough and dyspnea"), k=2)
    assert result.mode == "dense"
    assert result.understood is None
    assert not any("indexed" in one for one in result.warnings)


def test_labels_that_a_report_denies_are_told_with_its_sentence(casebook: Casebook) -> None:
    (denied,) = [one for one in found(casebook, "no acute abnormality", 18) if one.case_id == "r-07"]
    assert denied.denied_labels == {"Effusion": "No pleural effusion."}
    assert "Effusion" not in denied.shared_labels
    others = [one for one in found(casebook, "effusion", 20) if one.case_id not in ("r-07",)]
    assert not any(one.denied_labels for one in others)


def test_shared_phrases_respect_negation_and_side(casebook: Casebook) -> None:
    def phrases(text: str) -> dict[str, tuple[str, ...]]:
        return {one.case_id: one.shared_phrases for one in found(casebook, text, 20)}

    shared = phrases("pneumothorax")
    assert shared["r-12"] == ("pneumothorax",)
    assert all("pneumothorax" not in " ".join(shared[name]) for name in ("r-03", "r-06", "r-13"))
    shared = phrases("small left pleural effusion")
    assert "effusion" not in " ".join(shared["r-04"])
    assert any("left pleural effusion" in one for one in shared["r-09"])
    assert phrases("no pneumothorax")["r-13"] == ("no pneumothorax",)


def test_a_label_is_not_shared_where_the_query_denies_it_or_means_the_other_side(casebook: Casebook) -> None:
    from explorer.search.labels import may_be_shared
    from index_builder.facts.fact import Fact

    stated = [Fact("pleural effusion", side="right")]
    assert may_be_shared("Effusion", [], stated)
    assert may_be_shared("Effusion", [Fact("pleural effusion")], stated)
    assert may_be_shared("Effusion", [Fact("cardiomegaly", "absent")], stated)
    assert not may_be_shared("Effusion", [Fact("pleural effusion", side="left")], stated)
    assert not may_be_shared("Effusion", [Fact("pleural effusion", "absent")], stated)
    assert may_be_shared("Effusion", [Fact("pleural effusion", side="left")], [])


def test_labels_and_codes_are_not_read(casebook: Casebook, report_casebook: Path, tmp_path: Path) -> None:
    """A casebook of the same reports without labels gives the same cases in the same order."""
    import pyarrow as pa

    from index_builder.cases.table import read_cases, write_cases

    folder = shutil.copytree(report_casebook, tmp_path / "bare")
    table = read_cases(Layout(report_casebook).cases, len(casebook))
    bare = pa.array([[] for _ in range(len(table))], pa.list_(pa.string()))
    position = table.column_names.index("labels")
    plain = {name: table.column(name) for name in table.column_names} | {"labels": bare}
    plain = {
        name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for name, column in plain.items()
    }
    assert table.column_names[position] == "labels"
    write_cases(pa.table(plain), Layout(folder).cases, Layout(folder).case_keys)
    without = Casebook.open(folder)
    for text in ("left effusion", "no cardiomegaly", "nodule in the right upper lobe"):
        assert ids(found(without, text, 10)) == ids(found(casebook, text, 10))


def test_a_damaged_index_is_told(report_casebook: Path, tmp_path: Path) -> None:
    for number, damage in enumerate(("words/meta.json", "facts/kinds.json", "facts/facts.npy")):
        folder = shutil.copytree(report_casebook, tmp_path / str(number))
        (Layout(folder).words.parent / damage).write_bytes(b"{")
        with pytest.raises(CasebookError, match="Rebuild the casebook"):
            search_cases(Casebook.open(folder), Query(text="nodule"))


def test_weights_of_a_text_beside_a_film_add_up(casebook: Casebook) -> None:
    assert sum(dataclasses.astuple(WEIGHTS)) == pytest.approx(1)
    for share in (0.0, 0.3, 1.0):
        for facts in (False, True):
            weights = WEIGHTS.of_text(share, facts=facts)
            assert sum(dataclasses.astuple(weights)) == pytest.approx(1)
            assert weights.facts == (pytest.approx(WEIGHTS.facts * share) if facts else 0)
    none = np.zeros(2, np.float32)
    one = np.array([1, 0], np.float32)
    assert fuse(Weights(0.5, 0.3, 0.2), one, none, none).tolist() == [0.5, 0]
    assert fuse(Weights(0, 0.6, 0.4), None, one, one).tolist() == pytest.approx([1, 0])
