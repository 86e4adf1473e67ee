"""Lungs, heart and clavicles: outlines and what is told from them, on drawn shapes, phantoms and real films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from places import ROOT
from skimage.draw import ellipse, polygon2mask

from index_builder.anatomy import STRUCTURES, Anatomy
from index_builder.anatomy.anatomy import cleaned
from index_builder.anatomy.card import write_anatomy_card
from index_builder.anatomy.contours import contours
from index_builder.anatomy.dice import dice
from index_builder.anatomy.measure import (
    cardiothoracic_ratio,
    cut_off,
    heart_offset,
    implausible,
    ragged,
    ratio_of_masks,
)
from index_builder.anatomy.orientation import orientation_of
from index_builder.anatomy.outlined import OutlinedFilm, jsrt_films, jsrt_masks, outlined, phantom_films
from index_builder.anatomy.segmenter import GRAPH_FILE, AnatomyConfig, Segmenter, shipped_segmenter
from index_builder.anatomy.storage import WEIGHTS_FILE, load_network, save_network
from index_builder.anatomy.structures import HEART, LEFT_LUNG, MIRRORED, RIGHT_LUNG
from index_builder.anatomy.train import AnatomySchedule, TrainingFilms, train_anatomy
from index_builder.anatomy.views import view_of
from index_builder.anatomy.zones import LUNG_ZONES, ZONES, shares_in_words, zone_map, zone_of, zone_shares
from index_builder.datasets.phantom import ChestSpec, render
from index_builder.errors import DatasetError, ModelError
from index_builder.film_check.check import turned
from index_builder.imaging import input_geometry
from index_builder.resources import resource
from index_builder.systems.running.parts import Eager

_SHARED = ROOT.parent / "shared" / "data" / "jsrt"
_SIZE = 96


def drawn_masks(rows: int = 200, columns: int = 200, heart: float = 0.58) -> NDArray[np.bool_]:
    """Two lungs from 10 to 90 % of the width, a heart and clavicles, [5, rows, columns]."""
    masks = np.zeros((5, rows, columns), bool)
    for number, (y, x, tall, wide) in enumerate(
        [(0.5, 0.25, 0.35, 0.15), (0.5, 0.75, 0.35, 0.15), (0.65, heart, 0.14, 0.15), (0.2, 0.3, 0.02, 0.12)]
    ):
        masks[number][ellipse(y * rows, x * columns, tall * rows, wide * columns, (rows, columns))] = True
    masks[4] = masks[3][:, ::-1]
    masks[:2] &= ~masks[HEART]
    return masks


def drawn_film(masks: NDArray[np.bool_], seed: int = 0) -> NDArray[np.float32]:
    """A film on which lungs are dark, and heart and clavicles bright."""
    noise = np.random.default_rng(seed).normal(0, 0.03, masks.shape[1:])
    film = 0.55 - 0.4 * masks[:2].any(axis=0) + 0.3 * masks[HEART] + 0.15 * masks[3:].any(axis=0) + noise
    return np.asarray(film.clip(0, 1), np.float32)


def anatomy_of(masks: NDArray[np.bool_], size: int = _SIZE) -> Anatomy:
    """As if a network had found just these masks."""
    from index_builder.anatomy.outlined import laid_out

    geometry = input_geometry(drawn_film(masks), size)
    laid = np.stack([laid_out(mask, geometry, size) for mask in masks]).astype(np.float32)
    return Anatomy(cleaned(laid), geometry, (masks.shape[1], masks.shape[2]))


@pytest.mark.parametrize("shape", [(200, 200), (240, 160), (150, 260)])
def test_masks_and_outlines_lie_where_their_film_lies(shape: tuple[int, int]) -> None:
    masks = drawn_masks(*shape)
    anatomy = anatomy_of(masks, 192)
    for found, true in zip(anatomy.on_film()[:3], masks[:3], strict=True):
        assert dice(found, true) > 0.97
    half = anatomy.on_film(shape[0] // 2, shape[1] // 2)
    assert half.shape == (5, shape[0] // 2, shape[1] // 2)
    assert dice(half[HEART], masks[HEART][1::2, 1::2]) > 0.96
    lines = contours(anatomy)
    assert list(lines) == list(STRUCTURES)
    for name, true in zip(STRUCTURES[:3], masks[:3], strict=True):
        line = lines[name]
        assert np.array_equal(line[0], line[-1])
        inside = polygon2mask(shape, line[:, ::-1] * shape - 0.5)
        assert dice(inside, true) > 0.96


def test_a_structure_is_its_largest_part_without_holes() -> None:
    probabilities = np.zeros((5, 64, 64), np.float32)
    probabilities[0, 10:40, 10:30] = 0.9
    probabilities[0, 20:23, 15:18] = 0.1
    probabilities[0, 50:53, 50:53] = 0.95
    kept = cleaned(probabilities)[0] > 0.5
    assert kept[10:40, 10:30].all()
    assert kept.sum() == 600
    assert not cleaned(probabilities)[1:].any()


def test_the_ratio_is_that_of_widths() -> None:
    masks = np.zeros((5, 100, 300), bool)
    masks[RIGHT_LUNG, 10:80, 30:120] = masks[LEFT_LUNG, 20:90, 180:270] = True
    masks[RIGHT_LUNG, 40, 20:120] = True  # widest here
    masks[HEART, 50:85, 110:210] = True
    found = ratio_of_masks(masks, scale=2)
    assert found is not None
    assert found.ratio == pytest.approx(100 / 250)
    assert found.heart == (220, 420)
    assert found.chest == (40, 540)
    assert found.chest_row == 80
    masks[HEART] = False
    assert ratio_of_masks(masks) is None
    measured = cardiothoracic_ratio(anatomy_of(drawn_masks(400, 300), 192))
    assert measured is not None
    assert measured.ratio == pytest.approx(0.30 / 0.80, abs=0.01)


def test_what_can_be_no_chest_is_told() -> None:
    masks = drawn_masks()
    assert implausible(anatomy_of(masks)) == ""
    assert not cut_off(anatomy_of(masks))
    without = masks.copy()
    without[LEFT_LUNG] = False
    assert implausible(anatomy_of(without)) == "the left lung was not found"
    assert implausible(anatomy_of(masks[:, ::-1])) == "the heart does not lie between the lungs"
    assert implausible(anatomy_of(masks[[1, 0, 2, 3, 4]])) == "the lungs lie in the wrong order"
    assert cut_off(anatomy_of(masks[:, :, 22:]))
    torn = masks.copy()
    torn[HEART, 130, 60:140] = torn[HEART, 120:160, 108:116] = False
    assert ragged(anatomy_of(torn, 192))
    assert not ragged(anatomy_of(masks, 192))
    unsure = anatomy_of(masks)
    assert "clear" in implausible(Anatomy(unsure.probabilities * np.float32(0.7), unsure.geometry, unsure.shape))


def test_the_heart_lies_on_its_side() -> None:
    masks = drawn_masks(heart=0.58)
    assert heart_offset(anatomy_of(masks)) == pytest.approx(0.08 / 0.8, abs=0.01)
    assert heart_offset(anatomy_of(masks[list(MIRRORED), :, ::-1])) == pytest.approx(-0.08 / 0.8, abs=0.01)


def test_zones_are_thirds_of_each_lung() -> None:
    zones = zone_map(anatomy_of(drawn_masks(200, 200)))
    assert [zone_of(zones, row, 40) for row in (40, 100, 160)] == list(LUNG_ZONES[:3])
    assert [zone_of(zones, row, 160) for row in (40, 100, 160)] == list(LUNG_ZONES[3:])
    assert zone_of(zones, 130, 110) == "heart"
    assert zone_of(zones, 5, 5) == "outside lungs and heart"
    assert zone_of(zones, -900, 5) == "outside lungs and heart"


def test_where_a_map_points_is_put_into_words() -> None:
    zones = zone_map(anatomy_of(drawn_masks(200, 200)))
    weights = np.full((100, 100), np.nan)
    weights[70:80, 15:25] = 1
    shares = zone_shares(zones, weights)
    assert shares["right lower zone"] == pytest.approx(1)
    assert shares_in_words(shares) == "mostly right lower zone (100 %)"
    weights[60:70, 50:60] = 0.9
    assert shares_in_words(zone_shares(zones, weights)) == "mostly right lower zone (53 %)"
    weights[60:70, 50:60] = 1.0
    weights[0:5, 0:4] = 2
    both = zone_shares(zones, weights)
    assert sum(both.values()) == pytest.approx(1)
    assert shares_in_words(both) == "right lower zone (42 %) and heart (42 %)"
    assert shares_in_words(zone_shares(zones, -np.ones((50, 50)))) == ""
    spread = dict.fromkeys(ZONES, 0.0) | dict.fromkeys(LUNG_ZONES[:3], 0.25) | {"heart": 0.25}
    assert shares_in_words(spread) == "mostly right lung (75 %), no zone above the others"
    assert shares_in_words(dict.fromkeys(ZONES, 1 / 8)) == "both lungs (75 %), no zone above the others"
    outside = dict.fromkeys(ZONES, 0.1) | {"heart": 0.2, "outside lungs and heart": 0.3, "left lower zone": 0.0}
    assert shares_in_words(outside) == "no one place"


def small_films(count: int, seed: int) -> list[OutlinedFilm]:
    random = np.random.default_rng(seed)
    films = []
    for number in range(count):
        masks = drawn_masks(128, 128, heart=random.uniform(0.45, 0.6))
        films.append(outlined(str(number), drawn_film(masks, number), masks, hull=number % 4 == 3))
    return films


def test_views_keep_sides_and_leave_nothing_on_turned_films() -> None:
    films = small_films(4, 0) * 16
    stacked = [
        torch.from_numpy(np.stack([getattr(one, name) for one in films])) for name in ("pixels", "masks", "known")
    ]
    hull = torch.tensor([one.hull for one in films])
    views = view_of(*stacked, hull, 64, torch.Generator().manual_seed(3))
    assert views.films.shape == (64, 1, 64, 64)
    assert 0 <= float(views.films.min()) <= float(views.films.max()) <= 1
    empty = views.masks.flatten(1).sum(1) == 0
    assert 0 < int(empty.sum()) < 16
    assert not views.hull[empty].any()
    axis = torch.arange(64.0)
    for masks in views.masks[~empty]:
        right, left = (float((mask.sum(0) * axis).sum() / mask.sum()) for mask in masks[:2])
        assert right < left


def test_a_small_network_learns_drawn_shapes(tmp_path: Path) -> None:
    films = TrainingFilms({"jsrt": (small_films(24, 1), 1.0)}, small_films(4, 2))
    told = []
    config, schedule = (
        AnatomyConfig(size=32, widths=(12, 16, 24)),
        AnatomySchedule(steps=150, batch=8, learning_rate=1e-2, validate_every=75),
    )
    fitted = train_anatomy(films, config, schedule, lambda step, of, score: told.append((step, of, score)))
    assert [one[:2] for one in told] == [(75, 150), (150, 150)]
    assert min(fitted.validation[name] for name in STRUCTURES[:3]) > 0.85
    save_network(fitted.network, fitted.config, tmp_path)
    begun = load_network(tmp_path)
    loaded, eager = Segmenter.load(tmp_path), Segmenter(Eager(begun[0]), config)
    film = films.validation[0].pixels[None, ::8, ::8].copy()
    assert np.abs(loaded.probabilities(film) - eager.probabilities(film)).max() < 1e-4
    masks = drawn_masks(300, 240)
    found = loaded.outline(drawn_film(masks)).on_film()
    assert found.shape == masks.shape
    assert dice(found[RIGHT_LUNG], masks[RIGHT_LUNG]) > 0.85
    with pytest.raises(ModelError, match="size=32"):
        train_anatomy(films, AnatomyConfig(size=64, widths=(8, 12, 16)), schedule, start=begun)
    write_anatomy_card(tmp_path, films, fitted, schedule, "abc", begun=True)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "commit abc" in card
    assert "earlier run" in card
    assert "not for diagnosis" in card


def test_weights_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights of a segmenter"):
        load_network(tmp_path)
    with pytest.raises(ModelError, match="no segmenter there"):
        Segmenter.load(tmp_path)
    shipped = resource("assets", "checkpoints", "anatomy")
    (tmp_path / "config.json").write_bytes((shipped / "config.json").read_bytes())
    (tmp_path / WEIGHTS_FILE).write_bytes((shipped / WEIGHTS_FILE).read_bytes()[:5000])
    with pytest.raises(ModelError, match="no weights of a segmenter"):
        load_network(tmp_path)
    with pytest.raises(ModelError, match="unreadable"):
        Segmenter.load(tmp_path)
    (tmp_path / GRAPH_FILE).write_bytes((shipped / GRAPH_FILE).read_bytes())
    with pytest.raises(ModelError, match="unreadable"):  # the graph is whole, its weights are cut short
        Segmenter.load(tmp_path)


def test_the_shipped_graph_is_that_of_the_shipped_weights() -> None:
    shipped = resource("assets", "checkpoints", "anatomy")
    network, config = load_network(shipped)
    films = np.random.default_rng(0).random((2, config.size, config.size), dtype=np.float32)
    ours, theirs = Segmenter.load(shipped), Segmenter(Eager(network), config)
    np.testing.assert_allclose(ours.probabilities(films), theirs.probabilities(films), atol=1e-5)


def test_outlined_films_are_read_by_their_parts(tmp_path: Path) -> None:
    masks = drawn_masks(128, 128)
    bits = sum((mask.astype(np.uint8) << number for number, mask in enumerate(masks)), np.zeros((128, 128), np.uint8))
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(1, 13):
        name = f"JPCNN{number:03}.png"
        Image.fromarray((drawn_film(masks, number) * 255).astype(np.uint8)).save(tmp_path / "images" / name)
        Image.fromarray(bits).save(tmp_path / "masks" / name)
    assert np.array_equal(jsrt_masks(tmp_path, "JPCNN001"), masks)
    parts = [{one.name for one in jsrt_films(tmp_path, part)} for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 12
    film = next(jsrt_films(tmp_path, "train"))
    assert film.known.all()
    assert dice(film.masks[HEART][::2, ::2], masks[HEART]) > 0.97
    (tmp_path / "masks" / "JPCNN001.png").unlink()
    with pytest.raises(DatasetError, match="JPCNN001"):
        jsrt_masks(tmp_path, "JPCNN001")


def test_phantoms_bring_heart_and_hulls_of_lungs() -> None:
    (film,) = phantom_films(1, seed=0)
    assert film.known.tolist() == [True, True, True, False, False]
    assert film.hull
    assert film.masks[RIGHT_LUNG].mean() > 0.05


def test_the_shipped_weights_outline_a_phantom() -> None:
    folder = resource("assets", "checkpoints", "anatomy")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6
    phantom = render(ChestSpec(), seed=7)
    found = shipped_segmenter().outline(phantom.pixels)
    assert implausible(found) == ""
    assert dice(found.on_film()[HEART], phantom.anatomy["heart"]) > 0.85
    ratio = cardiothoracic_ratio(found)
    assert ratio is not None
    assert ratio.ratio == pytest.approx(phantom.ratio, abs=0.06)


def test_a_turned_and_a_mirrored_phantom_are_told() -> None:
    pixels = render(ChestSpec(), seed=7).pixels
    upright = orientation_of(shipped_segmenter(), pixels)
    assert (upright.turn, upright.mirrored) == (None, False)
    for turn in ("turned left", "upside down", "turned right"):
        assert orientation_of(shipped_segmenter(), turned(pixels, turn)).turn == turn  # type: ignore[arg-type]
    mirrored = orientation_of(shipped_segmenter(), np.ascontiguousarray(pixels[:, ::-1]))
    assert (mirrored.turn, mirrored.mirrored) == (None, True)
    flat = orientation_of(shipped_segmenter(), np.full((200, 200), 0.5, np.float32))
    assert (flat.turn, flat.mirrored) == (None, False)


@pytest.mark.skipif(not _SHARED.is_dir(), reason="needs the JSRT films and outlines in ../shared/data/jsrt")
def test_the_shipped_weights_outline_real_films_that_nothing_was_learned_from() -> None:
    from index_builder.datasets.published.jsrt import JSRT

    dataset = JSRT(_SHARED)
    scores = []
    for case in [case for case in dataset.cases() if case.split == "test"][:8]:
        found = shipped_segmenter().outline(dataset.load_film(str(case.image)).pixels).on_film()
        scores.append([dice(one, other) for one, other in zip(found, jsrt_masks(_SHARED, case.case_id), strict=True)])
    means = np.mean(scores, axis=0)
    assert min(means[[RIGHT_LUNG, LEFT_LUNG]]) > 0.95
    assert means[HEART] > 0.90
