"""The index of reports: words, facts, the same bytes each time, and none where there is no report."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_samples import REPORTS

from index_builder.build.subset import write_subset
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import SCHEMA_VERSION, digest_files, read_manifest, verify
from index_builder.cases.table import read_cases
from index_builder.errors import CasebookError
from index_builder.facts.fact import Fact
from index_builder.facts.match import fact_terms, wanted_terms
from index_builder.facts.parse import read_facts
from index_builder.lexical import word_index
from index_builder.lexical.stored_facts import StoredFacts, write_facts
from index_builder.lexical.word_index import WordIndex, write_word_index

TEXTS = [text for text, *_ in REPORTS.values()]


def documents() -> Iterator[tuple[int, str, list[str]]]:
    for row, text in enumerate(TEXTS):
        yield 2 * row, text, [term for fact in read_facts(text) for term in fact_terms(fact)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> WordIndex:
    folder = tmp_path_factory.mktemp("index") / "words"
    assert write_word_index(folder, documents()) == len(TEXTS)
    return WordIndex.read(folder, len(TEXTS))


def test_files_have_the_same_names_and_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_word_index(tmp_path / name, documents())
    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "two")
    assert not list((tmp_path / "one").glob("*lock*"))


def test_scores_do_not_depend_on_where_a_segment_ends(
    index: WordIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_index, "_SEGMENT_REPORTS", 7)
    for name in ("one", "two"):
        write_word_index(tmp_path / name, documents())
    assert len(list((tmp_path / "one").glob("*.idx"))) == 3
    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "two")
    several = WordIndex.read(tmp_path / "one", len(TEXTS))
    for text in ("left effusion", "no pneumothorax", TEXTS[4]):
        whole, parts = index.by_text(text, 50), several.by_text(text, 50)
        assert parts.rows.tolist() == whole.rows.tolist()
        np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-6)


def test_reading_writes_nothing_beside_the_index(tmp_path: Path) -> None:
    folder = tmp_path / "words"
    write_word_index(folder, documents())
    before = sorted(folder.iterdir())
    WordIndex.read(folder, len(TEXTS)).by_text("effusion", 3)
    assert sorted(folder.iterdir()) == before


def test_words_are_found_by_their_stems_best_first(index: WordIndex) -> None:
    found = index.by_text("Flattening of the diaphragm", 5)
    assert found.rows[0] == 2 * list(REPORTS).index("r-14")
    assert (np.diff(found.scores) <= 0).all()
    assert not len(index.by_text("", 5).rows)
    assert not len(index.by_text('(zzz AND row:1) "', 5).rows)  # no language of queries: words alone


def test_only_allowed_rows_are_found_however_few_or_many(index: WordIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    every = index.by_text("no effusion", 100)
    for few in (2_000, 0):
        monkeypatch.setattr(word_index, "_FEW_ROWS", few)
        for start in (0, 10, 30):
            allowed = np.zeros(2 * len(TEXTS), bool)
            allowed[start:] = True
            expected = every.rows[every.rows >= start]
            assert index.by_text("no effusion", 4, allowed).rows.tolist() == expected[:4].tolist()
        assert not len(index.by_text("no effusion", 4, np.zeros(2 * len(TEXTS), bool)).rows)


def test_facts_are_found_from_the_most_specific_term(index: WordIndex) -> None:
    terms = wanted_terms(Fact("nodule", side="left", sites=("upper lobe", "lung")))
    weighed = {term: 1 - place / len(terms) for place, term in enumerate(terms)}
    found = index.by_facts([weighed], "left upper lobe nodule", 5)
    assert found.rows[0] == 2 * list(REPORTS).index("r-02")
    assert not len(index.by_facts([{}], "nodule", 5).rows)


def test_an_index_that_is_not_as_it_was_built_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "words"
    write_word_index(folder, documents())
    with pytest.raises(CasebookError, match=r"reports for 3\. Rebuild"):
        WordIndex.read(folder, 3)
    next(folder.glob("*.idx")).unlink()
    with pytest.raises(CasebookError, match="unreadable"):
        WordIndex.read(folder, len(TEXTS))
    with pytest.raises(CasebookError, match="unreadable"):
        WordIndex.read(tmp_path / "nowhere", 1)


def test_facts_come_back_as_they_were_read(tmp_path: Path) -> None:
    facts = [read_facts(text) for text in TEXTS]
    facts.insert(3, ())
    count = write_facts(tmp_path / "facts", facts)
    stored = StoredFacts.read(tmp_path / "facts", len(facts), count)
    assert [stored.of(row) for row in range(len(facts))] == facts
    assert len(stored.kinds) == len({replace(one, start=0, end=0) for several in facts for one in several})
    for wrong in ((len(facts), count + 1), (len(facts) + 1, count)):
        with pytest.raises(CasebookError, match="not the facts"):
            StoredFacts.read(tmp_path / "facts", *wrong)


def test_a_build_indexes_every_report_and_lists_the_files(report_casebook: Path) -> None:
    manifest = read_manifest(report_casebook)
    assert manifest.lexical is not None
    assert manifest.lexical.reports == manifest.reports == len(REPORTS) + 1
    assert {"index/lexical/words/meta.json", "index/lexical/facts/kinds.json"} <= manifest.files.keys()
    assert verify(report_casebook) == []
    stored = StoredFacts.read(Layout(report_casebook).facts, manifest.cases, manifest.lexical.facts)
    for row, case in enumerate(read_cases(Layout(report_casebook).cases, manifest.cases).to_pylist()):
        text = REPORTS.get(case["case_id"], ("",))[0] or (REPORTS["r-01"][0] if case["case_id"] == "f-01" else "")
        assert stored.of(row) == (read_facts(text) if text else ())


def test_a_part_of_a_casebook_has_its_own_index(report_casebook: Path, tmp_path: Path) -> None:
    chosen = ["r-02", "r-09", "f-02"]
    part = write_subset(report_casebook, chosen, tmp_path / "part", lambda *_: None)
    assert part.lexical is not None
    assert part.lexical.reports == 2
    assert verify(tmp_path / "part") == []
    index = WordIndex.read(Layout(tmp_path / "part").words, 2)
    rows = read_cases(Layout(tmp_path / "part").cases, 3).column("case_id").to_pylist()
    assert [rows[row] for row in index.by_text("cardiomegaly", 5).rows] == ["r-09"]
    none = write_subset(report_casebook, ["f-02"], tmp_path / "films", lambda *_: None)
    assert none.lexical is None
    assert not Layout(tmp_path / "films").words.exists()
    assert verify(tmp_path / "films") == []


def test_a_part_of_an_older_casebook_is_indexed(report_casebook: Path, tmp_path: Path) -> None:
    from index_builder.casebook.manifest import write_manifest

    folder = shutil.copytree(report_casebook, tmp_path / "old")
    shutil.rmtree(Layout(folder).words.parent)
    old = {"schema_version": 5, "lexical": None, "files": digest_files(folder)}
    write_manifest(folder, read_manifest(folder).model_copy(update=old))
    part = write_subset(folder, ["r-02", "r-03"], tmp_path / "part", lambda *_: None)
    assert part.schema_version == SCHEMA_VERSION
    assert part.lexical is not None
