"""Cases to train on: which are taken, how they are batched, and what they teach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_samples import Opened, Renamed, quiet

from index_builder.cases.case import Case
from index_builder.cases.labels import DUST_STAGES
from index_builder.datasets.phantom import PhantomOpenI
from index_builder.errors import DatasetError
from index_builder.imaging import model_input
from index_builder.systems.mskpt import MskPt
from index_builder.systems.siclip import SiClip
from index_builder.systems.unified import Unified
from index_builder.training.cases import Source, TrainingCases, batch_rows, gather
from index_builder.training.meaning import decided, meaning, undecided


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, workers: Source) -> TrainingCases:
    return gather([workers], Unified, 32, tmp_path_factory.mktemp("films") / "films.npy", quiet)


@pytest.mark.parametrize(
    ("expression", "source"),
    [
        ("openi", Source("openi")),
        ("nih=/data/nih", Source("nih", Path("/data/nih"))),
        ("manifest=a=b", Source("manifest", Path("a=b"))),
        ("phantom-openi=1", Source("phantom-openi", seed=1)),
        ("phantom-dust", Source("phantom-dust")),
    ],
)
def test_a_source_is_read_from_text(expression: str, source: Source) -> None:
    assert Source.parse(expression) == source


@pytest.mark.parametrize("expression", ["phantom-openi=one", "phantom-dust=-1", "phantom-dust=/data"])
def test_a_phantom_is_drawn_from_a_number(expression: str) -> None:
    with pytest.raises(DatasetError, match="Give a number"):
        Source.parse(expression)


@given(st.lists(st.integers(0, 400), max_size=200), st.integers(2, 40), st.none() | st.integers(0, 9))
def test_batches_cover_every_row_once(lengths: list[int], size: int, seed: int | None) -> None:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    batches = batch_rows(lengths, size, generator)
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert len(batches) <= -(-len(lengths) // size)
    if seed is None:
        assert rows == sorted(rows)
    else:
        assert batches == batch_rows(lengths, size, torch.Generator().manual_seed(seed))


def test_shuffled_batches_hold_texts_of_like_length() -> None:
    lengths = list(np.random.default_rng(0).integers(10, 1000, 400))
    together = [np.ptp([lengths[row] for row in batch]) for batch in batch_rows(lengths, 16, torch.Generator())]
    assert np.mean(together) < 0.35 * np.ptp(lengths)


def test_training_and_validation_cases_are_read_and_test_cases_are_not(cases: TrainingCases, workers: Source) -> None:
    read = workers.open().cases()
    expected = [case for case in read if case.split != "test"]
    assert {example.split for example in cases.examples} == {"train", "val"}
    assert len(cases.examples) == len(expected)
    assert cases.films.shape == (sum(case.image is not None for case in expected), 32, 32)
    assert cases.label_names == DUST_STAGES
    for example, case in zip(cases.examples, expected, strict=True):
        assert (example.film is None) == (case.image is None)
        assert example.texts == ((case.report,) if case.report else ())
        assert [name for name, held in zip(DUST_STAGES, example.labels, strict=True) if held] == list(case.labels)
        assert example.known.all()
        if example.film is not None:
            pixels = model_input(workers.open().load_film(str(case.image)).pixels, 32)
            np.testing.assert_allclose(cases.films[example.film] / 255, pixels, atol=0.5 / 255 + 1e-6)


def test_every_film_of_a_study_is_trained_on_and_the_primary_one_validated(tmp_path: Path, workers: Source) -> None:
    read = workers.open()
    filmed = [case for case in read.cases() if case.image]
    train = [case for case in filmed if case.split == "train"][:3]
    held = [case for case in filmed if case.split == "val"][:2]
    further = str(filmed[-1].image)
    studies = [replace(case, other_images=(further,)) for case in (*train, *held)]
    source = Opened("manifest", dataset=Renamed(read, "studies", studies, read.label_names))
    cases = gather([source], Unified, 32, tmp_path / "films.npy", quiet)
    assert len(cases.of("train")) == 6
    assert len(cases.of("val")) == 2
    for primary, lateral in zip(cases.of("train")[::2], cases.of("train")[1::2], strict=True):
        assert lateral.texts == primary.texts
        np.testing.assert_array_equal(lateral.labels, primary.labels)
    expected = model_input(read.load_film(further).pixels, 32)
    place = cases.of("train")[1].film
    assert place is not None
    np.testing.assert_allclose(cases.films[place] / 255, expected, atol=0.5 / 255 + 1e-6)


def test_each_system_is_given_the_texts_it_reads(tmp_path: Path, workers: Source) -> None:
    profiles = gather([workers], SiClip, 32, tmp_path / "films.npy", quiet)
    assert profiles.examples[0].texts == ("30-year-old patient, welder.",)
    coded = workers.open()
    some = [replace(case, codes=("Opacity/lung/left", "Cardiomegaly")) for case in coded.cases()[:8]]
    source = Opened("manifest", dataset=Renamed(coded, "coded", some, coded.label_names))
    first = gather([source], Unified, 32, tmp_path / "films.npy", quiet).examples[0]
    assert first.texts == ("the lung is clear", "Opacity, lung, left; Cardiomegaly")
    assert gather([source], MskPt, 32, tmp_path / "films.npy", quiet).examples[0].texts == ("the lung is clear",)


def test_a_fraction_takes_fewer_training_cases_and_all_of_validation(
    tmp_path: Path, cases: TrainingCases, workers: Source
) -> None:
    quarter = gather([workers], Unified, 32, tmp_path / "q.npy", quiet, fraction=0.25, seed=3)
    assert len(quarter.of("train")) == round(0.25 * len(cases.of("train")))
    assert len(quarter.of("val")) == len(cases.of("val"))
    again = gather([workers], Unified, 32, tmp_path / "r.npy", quiet, fraction=0.25, seed=3)
    other = gather([workers], Unified, 32, tmp_path / "s.npy", quiet, fraction=0.25, seed=4)
    np.testing.assert_array_equal(again.films, quarter.films)
    assert not np.array_equal(other.films[: len(quarter.films)], quarter.films[: len(other.films)])


def test_films_are_decoded_once_and_anew_when_others_are_wanted(tmp_path: Path, workers: Source) -> None:
    steps: list[int] = []

    def count(stage: str, done: int, total: int) -> None:
        steps.append(done)

    file = tmp_path / "films.npy"
    first = np.array(gather([workers], Unified, 32, file, count).films)
    decoded = len(steps)
    assert decoded == len(first)
    np.testing.assert_array_equal(gather([workers], SiClip, 32, file, count).films, first)
    assert len(steps) == decoded
    assert gather([workers], Unified, 48, file, count).films.shape[1:] == (48, 48)
    assert len(steps) == 2 * decoded


def test_cases_know_where_they_come_from(tmp_path: Path, workers: Source) -> None:
    base = workers.open()
    some = Renamed(base, "some", base.cases()[:12], DUST_STAGES)
    fewer = Renamed(base, "some", base.cases()[1:13], DUST_STAGES)

    def origin(dataset: Renamed, **place: Any) -> str:
        return gather([Opened("manifest", dataset=dataset, **place)], Unified, 32, tmp_path / "films.npy", quiet).origin

    plain = origin(some, root=tmp_path)
    assert origin(some, root=tmp_path / "." / "x" / "..") == plain
    others = [origin(some), origin(some, root=tmp_path, seed=1), origin(fewer, root=tmp_path)]
    assert len({plain, *others}) == 4


def test_labels_of_several_datasets_stand_side_by_side(tmp_path: Path, workers: Source) -> None:
    base = workers.open()
    own = [case for case in base.cases() if case.split != "test"][:10]
    real = [replace(case, labels=("Effusion", "Pleural_Thickening")) for case in own]
    sources = [
        Opened("manifest", dataset=Renamed(base, "openi", own[:4], ("Pleural Effusion", "Normal"))),
        Opened("manifest", dataset=Renamed(base, "nih", real, ("Effusion", "Pleural_Thickening"))),
    ]
    both = gather(sources, Unified, 32, tmp_path / "films.npy", quiet)
    assert both.label_names == ("Pleural Effusion", "Normal", "Effusion", "Pleural_Thickening")
    assert both.groups == ("openi", "nih")
    last = both.examples[-1]
    assert last.labels.tolist() == [1, 0, 1, 1]
    # Of Open-i's classes its labels tell of the one that means the same, and of no other.
    assert last.known.tolist() == [True, False, True, True]
    assert both.examples[0].known.tolist() == [True, True, False, False]


def test_drawn_findings_also_teach_the_labels_of_real_films() -> None:
    dataset = PhantomOpenI()
    assert {"Mass", "Pneumothorax"} <= decided(dataset)
    assert "Pneumonia" not in decided(dataset)  # a cause, which a drawing does not show
    cases = [case for case in dataset.cases() if {"Mass/lung/upper lobe/right", "Nodule"} & set(case.codes)]
    assert cases
    for case in cases:
        expected = {"Mass"} if "Mass/lung/upper lobe/right" in case.codes else {"Nodule"}
        assert expected <= meaning(dataset, case)
        assert set(case.labels) <= meaning(dataset, case)


def test_a_second_draw_lends_its_training_films_alone(tmp_path: Path, workers: Source) -> None:
    base = workers.open()
    drawn = [
        Opened("manifest", seed=seed, dataset=Renamed(base, "same", list(base.cases()), DUST_STAGES)) for seed in (0, 1)
    ]
    both = gather(drawn, Unified, 32, tmp_path / "films.npy", quiet)
    once = gather(drawn[:1], Unified, 32, tmp_path / "once.npy", quiet)
    assert len(both.of("val")) == len(once.of("val"))
    assert len(both.of("train")) == 2 * len(once.of("train"))
    assert both.groups == ("same",)
    added = both.examples[len(once.examples) :]
    assert {example.texts for example in added} == {()}


class Few(PhantomOpenI):
    """Some cases of the cohort."""

    def __init__(self, kept: Callable[[PhantomOpenI, Case], bool], count: int) -> None:
        super().__init__()
        self._kept = [case for case in super().cases() if case.split == "train" and kept(self, case)][:count]

    def cases(self) -> list[Case]:
        return self._kept


def test_drawn_films_tell_where_their_findings_lie(tmp_path: Path, workers: Source) -> None:
    phantom = Few(lambda all_, case: "Cardiomegaly" in case.labels and all_.visible_labels(case) == case.labels, 2)
    part = Few(lambda all_, case: bool(set(case.labels) - set(all_.visible_labels(case)) - {"Normal"}), 1)
    phantom._kept += part._kept
    sources = [Opened("phantom-openi", dataset=phantom), workers]
    file = tmp_path / "films.npy"
    assert all(one.regions is None for one in gather(sources, Unified, 64, file, quiet).examples)
    found = gather(sources, Unified, 64, file, quiet, with_regions=True)  # from films that were decoded without
    for example, case in zip(found.examples, phantom.cases(), strict=False):
        assert example.regions is not None
        carried = {name for name in case.labels if name in phantom.visible_labels(case)}
        told = {found.label_names[column] for column, cells in example.regions.items() if cells.any()}
        assert told == carried
        unknown = {found.label_names[column] for column in range(22)} - {
            found.label_names[column] for column in example.regions
        }
        assert unknown == set(case.labels) - carried
    assert all(example.regions is None for example in found.examples[3:])  # nobody says where
    batch = found.batch(found.examples[:5])
    assert batch.regions is not None
    assert batch.regions.shape == (5, len(found.label_names), 28, 28)
    assert batch.regions[3:].isnan().all()
    heart = found.label_names.index("Cardiomegaly")
    drawn = found.batch(found.examples[:2], torch.Generator().manual_seed(0), views=2)
    assert drawn.regions is not None
    assert not torch.equal(drawn.regions[0, heart], batch.regions[0, heart])
    assert drawn.regions[0, heart].sum() == pytest.approx(float(batch.regions[0, heart].sum()), rel=0.2)
    again = gather(sources, Unified, 64, file, quiet, with_regions=True)
    for one, other in zip(found.examples[:3], again.examples[:3], strict=True):
        assert one.regions is not None
        assert other.regions is not None
        assert one.regions.keys() == other.regions.keys()
        assert all((one.regions[column] == other.regions[column]).all() for column in one.regions)
    corner = np.zeros((28, 28), np.uint8)
    corner[0, 0] = 255
    lost = [replace(found.examples[0], regions={heart: corner})]
    views = [found.batch(lost, torch.Generator().manual_seed(seed)).regions for seed in range(20)]
    assert any(view[0, heart].isnan().all() for view in views)  # moved off the film: not absent
    assert any(view[0, heart].sum() > 0 for view in views)


def test_nothing_to_train_on_is_refused(tmp_path: Path, workers: Source) -> None:
    base = workers.open()
    held = [case for case in base.cases() if case.split != "train"]
    source = Opened("manifest", dataset=Renamed(base, "held", held, DUST_STAGES))
    with pytest.raises(DatasetError, match="no training cases"):
        gather([source], Unified, 32, tmp_path / "films.npy", quiet)


def test_a_batch_is_plain_without_a_generator_and_drawn_with_one(cases: TrainingCases) -> None:
    examples = cases.of("train")[:14]
    plain = cases.batch(examples)
    assert plain.strong is None
    assert plain.has_film.tolist() == [example.film is not None for example in examples]
    assert not plain.has_film.all()
    assert not plain.films[~plain.has_film].any()
    assert plain.has_text.tolist() == [bool(example.texts) for example in examples]
    row = plain.has_film.nonzero()[0, 0]
    np.testing.assert_allclose(plain.films[row], cases.films[examples[row].film] / 255, atol=1e-6)
    drawn = [cases.batch(examples, torch.Generator().manual_seed(5), strong=True) for _ in range(2)]
    torch.testing.assert_close(drawn[0].films, drawn[1].films, atol=0, rtol=0)
    assert drawn[0].strong is not None
    assert drawn[1].strong is not None
    torch.testing.assert_close(drawn[0].strong, drawn[1].strong, atol=0, rtol=0)
    assert not torch.equal(drawn[0].films, plain.films)
    assert cases.batch(examples, torch.Generator()).strong is None


def test_batches_of_a_part_cover_it_once(cases: TrainingCases) -> None:
    for generator in (None, torch.Generator().manual_seed(0)):
        batches = list(cases.batches("train", 9, generator))
        assert sum(len(batch.texts) for batch in batches) == len(cases.of("train"))
        total = sum(batch.labels.sum(0) for batch in batches)
        assert total.tolist() == sum(example.labels for example in cases.of("train")).tolist()


def test_what_is_unknown_of_a_case_is_no_target(tmp_path: Path, workers: Source) -> None:
    dataset = workers.open()
    hedged = [
        replace(case, labels=(), unknown=case.labels) if number % 2 else case
        for number, case in enumerate(dataset.cases())
    ]
    source = Opened("manifest", dataset=Renamed(dataset, "hedged", hedged, dataset.label_names))
    found = gather([source], Unified, 32, tmp_path / "films.npy", quiet)
    kept = [case for case in hedged if case.split != "test"]
    for case, example in zip(kept, found.examples, strict=True):
        told = {name for name, known in zip(found.label_names, example.known, strict=True) if known}
        assert told == set(dataset.label_names) - set(case.unknown)
    batch = found.batch(found.examples[:4])
    assert not batch.known.all()


def test_what_an_unknown_label_also_means_is_unknown_too() -> None:
    case = Case("1", "p", "train", ("Consolidation",), unknown=("Effusion", "Pneumonia"))
    # Consolidation means Airspace Disease, so that is told although Pneumonia, which means it too, is unknown.
    assert undecided(case) == {"Effusion", "Pneumonia", "Pleural Effusion"}
