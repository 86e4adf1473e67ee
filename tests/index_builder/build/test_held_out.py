"""Answers on validation cases: who may vote, what is kept, and what a checkpoint lends a casebook."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from index_builder.build.subset import write_subset
from index_builder.calibration.held_out import (
    FEWEST,
    Answers,
    HeldOut,
    are_stages,
    carried_answers,
    classifier_answers,
    held_out_answers,
    read_answers,
    write_answers,
)
from index_builder.calibration.temperature import TEMPERATURES, fit_stage_temperature
from index_builder.calibration.voting import vote, vote_logits
from index_builder.casebook.files import read_embeddings
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import read_manifest, verify
from index_builder.cases.case import Case
from index_builder.cases.labels import DUST_STAGES
from index_builder.cases.space import SPACES
from index_builder.cases.table import CaseRows, cases_table, read_cases
from index_builder.errors import CasebookError
from index_builder.evaluation.prediction import classifier_logits
from index_builder.film_check.check import FilmCheck
from index_builder.stores.faiss import FaissStore
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.registry import load_system


class Opened:
    """A built casebook's parts."""

    def __init__(self, folder: Path) -> None:
        manifest, layout = read_manifest(folder), Layout(folder)
        self.record = manifest.system
        self.cases = list(CaseRows(read_cases(layout.cases, manifest.cases)))
        self.dataset = manifest.dataset
        self.system: RetrievalSystem = load_system(layout.system)
        self.vectors = {space: np.asarray(read_embeddings(folder, space, len(self.cases))) for space in SPACES}
        self.stores = {
            space: FaissStore.read(layout.index(space), layout.index_keys(space), record.index)
            for space, record in manifest.spaces.items()
        }

    def answers(self, cases: list[Case] | None = None) -> Answers:
        return held_out_answers(
            self.record,
            CaseRows(cases_table(cases or self.cases)),
            self.dataset,
            self.vectors,
            self.stores,
            partial(classifier_logits, self.system),
        )


@pytest.fixture(scope="module")
def opened(small_casebook: Path) -> Opened:
    return Opened(small_casebook)


def test_all_cases_vote_but_those_of_the_own_patient(opened: Opened) -> None:
    cases, vectors = opened.cases, opened.vectors["text"].astype(np.float32)
    found = opened.answers()["text", "vote"]
    rows = [row for row, case in enumerate(cases) if case.split == "val" and vectors[row].any()]
    assert len(found.truth) == len(rows) >= FEWEST
    assert found.names == ("Cardiomegaly", "Effusion", "Nodule")
    labels = np.array([[name in case.labels for name in found.names] for case in cases])
    np.testing.assert_array_equal(found.truth, labels[rows])
    patients = np.array([case.patient_id for case in cases])
    for number, row in enumerate(rows):
        similarity = np.where(vectors.any(1) & (patients != patients[row]), vectors @ vectors[row], -np.inf)
        shares = vote(similarity[None], labels, 7, opened.record.temperature_of("text")).probabilities
        expected = vote_logits(shares, int(vectors.any(1).sum()), stages=False)[0]
        np.testing.assert_allclose(found.logits[number], expected, atol=1e-3)


def test_the_classifier_answers_for_the_labels_it_knows(opened: Opened) -> None:
    found = opened.answers()["text", "classifier"]
    vectors = opened.vectors["text"].astype(np.float32)
    rows = [row for row, case in enumerate(opened.cases) if case.split == "val" and vectors[row].any()]
    assert found.names == ("Cardiomegaly",)
    with torch.inference_mode():
        logits = opened.system.label_logits(torch.from_numpy(vectors[rows]))
    assert logits is not None
    np.testing.assert_allclose(found.logits[:, 0], logits[:, 0].numpy(), atol=1e-5)
    assert TEMPERATURES[0] <= found.temperature <= TEMPERATURES[1]


def test_joint_answers_are_on_cases_with_film_and_text(opened: Opened) -> None:
    both = [
        case
        for row, case in enumerate(opened.cases)
        if case.split == "val" and opened.vectors["image"][row].any() and opened.vectors["text"][row].any()
    ]
    joint = opened.answers().get(("joint", "vote"))
    assert (joint is None) == (len(both) < FEWEST)
    if joint is not None:
        assert len(joint.truth) == len(both)


def test_too_few_or_uncoded_validation_cases_answer_nothing(opened: Opened) -> None:
    few = [replace(case, split="train" if number >= 60 else case.split) for number, case in enumerate(opened.cases)]
    assert sum(case.split == "val" for case in few) < FEWEST
    assert opened.answers(few) == {}
    uncoded = [replace(case, codes=("No Indexing",)) for case in opened.cases]
    assert opened.answers(uncoded) == {}
    unlabelled = [replace(case, labels=()) for case in opened.cases]
    assert opened.answers(unlabelled) == {}


def test_what_is_written_is_read_however_arrays_lie_in_memory(tmp_path: Path) -> None:
    logits = np.asfortranarray(np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32))
    held = HeldOut.of(("a", "b", "c", "d"), False, logits[:, [2, 0, 1, 3]], (logits > 0)[:, ::-1])
    path = tmp_path / "held.safetensors"
    write_answers({("image", "vote"): held}, path)
    found = read_answers(path)["image", "vote"]
    np.testing.assert_array_equal(found.logits, logits[:, [2, 0, 1, 3]])
    np.testing.assert_array_equal(found.truth, (logits > 0)[:, ::-1])
    assert (found.names, found.stages, found.temperature) == (held.names, False, held.temperature)


def test_no_file_no_answers_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "held.safetensors"
    write_answers({}, path)
    assert not path.exists()
    assert read_answers(path) == {}
    path.write_bytes(b"not tensors")
    with pytest.raises(CasebookError, match=r"held\.safetensors.*Rebuild"):
        read_answers(path)


def test_a_source_right_on_all_of_few_cases_is_not_called_certain() -> None:
    truth = np.arange(40)[:, None] % 4 == np.arange(4)
    logits = np.where(truth, 3.0, 0.0).astype(np.float32)
    assert fit_stage_temperature(logits, truth.argmax(1)) < 2 * TEMPERATURES[0]
    held = HeldOut.of(DUST_STAGES, True, logits, truth)
    assert 0.5 < held.temperature < 1.5
    one = HeldOut.of(("a",), False, np.where(truth[:, :1], 4.0, -4.0), truth[:, :1])
    assert 0.5 < one.temperature < 1.5


def test_whether_labels_are_stages_is_what_the_dataset_says() -> None:
    assert are_stages("stages", [("low",), ()], ("low", "high"))
    assert not are_stages("findings", [("Stage 0",), ("Stage 3",)], DUST_STAGES)


def test_of_a_casebook_that_does_not_say_stages_are_those_of_phantom_dust() -> None:
    assert are_stages(None, [("Stage 0",), ("Stage 3",)], DUST_STAGES)
    assert not are_stages(None, [("Stage 0",), ()], DUST_STAGES)
    assert not are_stages(None, [("Nodule",)], ("Nodule", "Mass"))


def test_a_checkpoint_lends_its_answers_where_the_casebook_has_fewer(stage_casebook: Path) -> None:
    opened = Opened(stage_casebook)
    assert sum(case.split == "val" for case in opened.cases) < FEWEST
    assert opened.answers() == {}
    random = np.random.default_rng(1)
    vectors = random.normal(size=(50, 16)).astype(np.float32)
    truth = random.integers(0, 4, 50)[:, None] == np.arange(4)
    spaces = {"image": vectors, "text": np.zeros_like(vectors), "joint": vectors}
    classify = partial(classifier_logits, opened.system)
    carried = classifier_answers(classify, DUST_STAGES, DUST_STAGES, spaces, truth, stages=True)  # type: ignore[arg-type]
    assert set(carried) == {("image", "classifier")}, "no text, so nothing of the joint space either"
    assert carried["image", "classifier"].stages
    assert carried_answers(carried, {}, "phantom-dust", DUST_STAGES) == carried
    assert carried_answers(carried, {}, "manifest", DUST_STAGES) == {}, "one manifest is not another"
    assert carried_answers(carried, {}, "phantom-dust", DUST_STAGES[:3]) == {}
    assert carried_answers(carried, carried, "phantom-dust", DUST_STAGES) == {}, "the casebook's own are as many"


def test_answers_travel_with_a_checkpoint(tmp_path: Path, stage_casebook: Path) -> None:
    system = Opened(stage_casebook).system
    logits = np.random.default_rng(2).normal(size=(30, 4)).astype(np.float32)
    answers = HeldOut.of(DUST_STAGES, True, logits, np.eye(4, dtype=bool)[[0] * 30])
    system.held_out = {"phantom-dust": {("image", "classifier"): answers}, "jsrt": {("image", "vote"): answers}}
    system.save(tmp_path / "system", portable=True)
    found = load_system(tmp_path / "system").held_out
    assert {name: set(one) for name, one in found.items()} == {
        "phantom-dust": {("image", "classifier")},
        "jsrt": {("image", "vote")},
    }
    np.testing.assert_array_equal(found["phantom-dust"]["image", "classifier"].logits, logits)


def test_a_subset_votes_anew_and_keeps_the_classifier_and_the_check_of_films(
    tmp_path: Path, small_casebook: Path
) -> None:
    cases = Opened(small_casebook).cases
    ids = [case.case_id for number, case in enumerate(cases) if case.split == "val" or number % 3]
    write_subset(small_casebook, ids, tmp_path / "some", lambda *_: None)
    assert verify(tmp_path / "some") == []
    whole, some = read_answers(Layout(small_casebook).held_out), read_answers(Layout(tmp_path / "some").held_out)
    np.testing.assert_array_equal(some["text", "classifier"].logits, whole["text", "classifier"].logits)
    np.testing.assert_array_equal(some["text", "vote"].truth, whole["text", "vote"].truth)
    assert (some["text", "vote"].logits != whole["text", "vote"].logits).any()
    again = Opened(tmp_path / "some").answers()["text", "vote"]
    np.testing.assert_array_equal(some["text", "vote"].logits, again.logits)
    check, before = (
        FilmCheck.read(Layout(tmp_path / "some").film_check),
        FilmCheck.read(Layout(small_casebook).film_check),
    )
    assert check is not None
    assert before is not None
    kept = {case.case_id: row for row, case in enumerate(cases)}
    rows = [kept[Opened(tmp_path / "some").cases[row].case_id] for row in check.rows[:5]]
    np.testing.assert_array_equal(check.references[:5], before.references[np.searchsorted(before.rows, rows)])

    write_subset(small_casebook, ids[:2], tmp_path / "few", lambda *_: None)
    assert FilmCheck.read(Layout(tmp_path / "few").film_check) is None
