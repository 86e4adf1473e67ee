"""Measures of explanations, against answers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from index_builder.cases.case import Case
from index_builder.datasets.phantom import PhantomDust, PhantomOpenI
from index_builder.datasets.published.nih import NIH, nih_boxes
from index_builder.evaluation.faithfulness.agreement import pearson, rank_correlation, top_overlap
from index_builder.evaluation.faithfulness.localisation import overlap, points_at, regions
from index_builder.evaluation.faithfulness.perturbation import (
    BLOCKS,
    altered_films,
    altered_texts,
    areas,
    block_means,
)
from index_builder.evaluation.faithfulness.randomisation import PARTS, randomised
from index_builder.evaluation.faithfulness.tally import Tally
from index_builder.explanation import WordWeight
from index_builder.imaging import model_input
from index_builder.systems.unified import Unified


def spot(row: int, column: int, size: int = 224) -> np.ndarray:
    heat = np.zeros((size, size))
    heat[row, column] = 1
    return heat


def test_pointing_allows_fifteen_of_224_pixels() -> None:
    mask = np.zeros((224, 224), bool)
    mask[100:110, 50:60] = True
    for row, column, hit, exact in ((105, 55, True, True), (105, 74, True, False), (105, 75, False, False)):
        assert points_at(spot(row, column), mask) is hit
        assert points_at(spot(row, column), mask, tolerance=0) is exact
    half = mask[::2, ::2]
    assert points_at(spot(52, 36, 112), half)
    assert not points_at(spot(52, 38, 112), half), "the tolerance shrinks with the input"


def test_overlap_takes_as_many_pixels_as_the_mask_has() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:10] = True
    heat = np.tile(np.arange(20.0)[::-1, None], (1, 20))
    assert overlap(heat, mask) == 1
    assert overlap(-heat, mask) == 0
    assert overlap(heat.T, mask) == pytest.approx(100 / 300)


def test_blocks_are_means_and_cover_films_of_any_size() -> None:
    heat = np.random.default_rng(0).random((224, 224))
    np.testing.assert_allclose(block_means(heat), heat.reshape(16, 14, 16, 14).mean((1, 3)))
    assert block_means(np.ones((50, 50))).tolist() == np.ones((16, 16)).tolist()


def test_films_are_altered_from_the_highest_block_on() -> None:
    film = np.random.default_rng(0).random((224, 224)).astype(np.float32)
    heat = np.arange(224 * 224).reshape(224, 224)
    deletion, insertion = altered_films(film, heat)
    assert deletion.shape == insertion.shape == (11, 224, 224)
    np.testing.assert_array_equal(deletion[0], film)
    np.testing.assert_array_equal(insertion[-1], film)
    np.testing.assert_array_equal(deletion[-1], insertion[0])
    assert insertion[0].std() < film.std() / 5, "blurred"
    for part in range(11):
        np.testing.assert_array_equal(np.where(deletion[part] == film, insertion[0], film), insertion[part])
    changed = (deletion[5] != film).reshape(BLOCKS, 14, BLOCKS, 14).all((1, 3))
    assert changed[BLOCKS // 2 :].all()
    assert not changed[: BLOCKS // 2].any()


def test_words_go_and_come_by_weight() -> None:
    text = "No effusion; heart large."
    words = [
        WordWeight(part, text.index(part), text.index(part) + len(part), 0.0)
        for part in ("No", "effusion", ";", "heart", "large", ".")
    ]
    without, only = altered_texts(text, words, [1, 6, 2, 3, 5, 4])
    assert without[0] == only[-1] == "No effusion ; heart large ."
    assert without[-1] == only[0] == "."
    assert only[2] == "effusion"
    assert without[2] == "No ; heart large ."
    assert only[5] == "effusion large ."


def test_area_is_the_mean_height_of_a_curve() -> None:
    assert areas(np.ones((2, 11))).tolist() == pytest.approx([1, 1])
    assert float(areas(np.linspace(1, 0, 11))) == pytest.approx(0.5)


def test_agreement_of_maps() -> None:
    one = np.random.default_rng(0).random((16, 16))
    assert pearson(one, 3 * one + 1) == pytest.approx(1)
    assert rank_correlation(one, one**3) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    assert np.isnan(pearson(one, np.zeros((16, 16))))
    assert top_overlap(one, one**2) == 1
    assert top_overlap(one, -one) == 0
    assert top_overlap(np.array([1.0, 2, 3]), np.array([0.0, 0, 9])) == 1


def test_shuffling_goes_from_the_output_to_the_input(tiny_system: Unified) -> None:
    start = {name: tensor.clone() for name, tensor in tiny_system.state_dict().items()}
    changed: set[str] = set()
    for part, (name, system) in zip(PARTS, randomised(tiny_system, 0), strict=True):
        assert name == part
        found = dict(system.named_parameters())
        now = {one for one, tensor in found.items() if not torch.equal(tensor, start[one])}
        assert now > changed
        firsts = {one.split(".")[0] for one in now}
        assert firsts <= {"classifier", "fusion", "joint_pool"} | (
            {"image_tower", "text_tower"} if part != "head" else set()
        ) | ({"image_encoder", "text_encoder"} if part == "encoders" else set())
        for one in now:
            assert torch.equal(found[one].flatten().sort().values, start[one].flatten().sort().values)
        changed = now
    assert all(torch.equal(start[name], tensor) for name, tensor in tiny_system.state_dict().items())


def test_tally_gives_means_of_what_there_is() -> None:
    tally = Tally(["a", "a", "b", "c"], seed=0)
    for row, value in enumerate((1.0, 0.0, 1.0)):
        tally.note(row, "films", "attention", "pointing", value=value)
    found = tally.mean(tally.column("films", "attention", "pointing"))
    assert found is not None
    assert (found["mean"], found["count"]) == (pytest.approx(2 / 3), 3)
    assert found["interval"][0] == pytest.approx(0.5), "the lowest draw is of patient a alone"
    assert found["interval"][1] == pytest.approx(1)
    assert tally.mean(tally.column("films", "nothing")) is None
    assert tally.under("films") == ["attention"]


def test_phantoms_tell_where_the_findings_of_a_label_lie() -> None:
    dataset = PhantomOpenI()
    case = next(case for case in dataset.cases() if any(one.startswith("Pleural Effusion/left") for one in case.codes))
    pixels = dataset.load_film(str(case.image)).pixels
    found = {one.label: one for one in regions(dataset, case, pixels, 224)}
    effusion = found["Pleural Effusion"]
    drawn = dataset.masks(str(case.image))["effusion"]
    assert effusion.focal
    rows, columns = np.nonzero(effusion.mask)
    drawn_rows, drawn_columns = np.nonzero(drawn)
    assert abs(rows.mean() / 224 - drawn_rows.mean() / 512) < 0.03
    assert abs(columns.mean() / 224 - drawn_columns.mean() / 512) < 0.03
    assert set(found) <= set(case.labels)


def test_stages_lie_where_opacities_are() -> None:
    dataset = PhantomDust(size=20)
    for case in dataset.cases():
        found = regions(dataset, case, dataset.load_film(str(case.image)).pixels, 64)
        assert [one.label for one in found] == [label for label in case.labels if label != "Stage 0"]
        assert not any(one.focal for one in found)


def test_boxes_lie_on_the_film_whatever_its_size_and_borders(tmp_path: Path) -> None:
    boxes = nih_boxes()
    assert len(boxes) == 880
    assert sum(map(len, boxes.values())) == 984
    case_id, [(label, (left, top, width, height))] = next((k, v) for k, v in boxes.items() if len(v) == 1)
    (tmp_path / "images").mkdir()
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    (tmp_path / "Data_Entry.csv").write_text(f"{header}\n{case_id}.png,{label},0,1,50,F,PA\n", "utf-8")
    film = np.random.default_rng(0).integers(0, 256, (512, 512)).astype(np.uint8)
    film[:, :40] = 0  # a border that preprocessing trims
    box = (slice(round(top / 2), round((top + height) / 2)), slice(round(left / 2), round((left + width) / 2)))
    film[box] = 255
    Image.fromarray(film).save(tmp_path / "images" / f"{case_id}.png")
    dataset = NIH(tmp_path)
    case: Case = dataset.cases()[0]
    pixels = dataset.load_film(str(case.image)).pixels
    [found] = regions(dataset, case, pixels, 128)
    assert found.label == label
    seen = model_input(pixels, 128)
    assert seen[ndimage.binary_erosion(found.mask)].mean() > 0.95
    assert seen[~found.mask].mean() < 0.6
    assert regions(dataset, replace(case, case_id="unknown"), pixels, 128) == []
