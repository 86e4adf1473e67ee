"""What a system has learnt, as it is told and as it travels."""

from __future__ import annotations

from pathlib import Path

import pytest

from index_builder.calibration.learnt import (
    FILE,
    Learnt,
    LearntLabel,
    Measured,
    Taught,
    dataset_title,
    read_learnt,
    table_lines,
)
from index_builder.errors import ModelError

CHEST = Taught("NIH ChestX-ray14", 60, 1_300)
DRAWN = Taught("Phantom films", 400, 2_000)
GOOD = Measured("NIH ChestX-ray14", "image", 12, 78, 0.86, (0.74, 0.95), 0.5)
LEARNT = Learnt({"Pneumothorax": LearntLabel((DRAWN, CHEST), (GOOD,)), "SARS": LearntLabel()}, ("Phantom films",))


@pytest.mark.parametrize(
    ("positives", "negatives", "between", "said"),
    [
        (10, 10, (0.7, 1.0), "0.86 [0.70, 1.00]"),
        (9, 300, (0.8, 0.9), "too few to say"),
        (300, 9, (0.8, 0.9), "too few to say"),
        (10, 300, (0.6, 0.91), "too few to say"),
        (0, 300, None, "too few to say"),
    ],
)
def test_a_figure_of_few_cases_or_a_wide_interval_says_nothing(
    positives: int, negatives: int, between: tuple[float, float] | None, said: str
) -> None:
    one = Measured("any", "image", positives, negatives, None if between is None else 0.86, between, 0.5)
    assert one.words == said


def test_real_data_come_before_drawn_and_data_without_the_label_are_left_out() -> None:
    only_absent = Taught("Hannover", 0, 110)
    learnt = Learnt({"Pneumothorax": LearntLabel((DRAWN, only_absent, CHEST), (GOOD,))}, ("Phantom films",))
    rows = learnt.evidence("Pneumothorax")
    assert [row.title for row in rows] == ["NIH ChestX-ray14", "Phantom films (synthetic)"]
    assert (rows[0].positives, rows[0].measured) == (60, {"image": GOOD})
    assert learnt.evidence("SARS") == ()


def test_a_record_comes_back_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert read_learnt(tmp_path) is None
    LEARNT.save(tmp_path)
    assert read_learnt(tmp_path) == LEARNT
    for content in ("{", '{"labels": {"Normal": 3}}'):
        (tmp_path / FILE).write_text(content)
        with pytest.raises(ModelError, match=r"learnt\.json: damaged"):
            read_learnt(tmp_path)


def test_what_an_earlier_checkpoint_was_taught_stays_named() -> None:
    again = Learnt({"Pneumothorax": LearntLabel((Taught("Phantom films", 100, 500), Taught("Open-i", 9, 5_000)))})
    merged = again.after(LEARNT, same_weights=False)
    assert set(merged.labels["Pneumothorax"].taught) == {DRAWN, CHEST, Taught("Open-i", 9, 5_000)}
    # The weights have moved on, so nobody knows what they do on films that were not looked at again.
    assert merged.labels["Pneumothorax"].measured == ()
    assert merged.synthetic == ("Phantom films",)
    assert again.after(None, same_weights=False) is again


def test_figures_of_the_same_weights_stay_where_data_were_not_measured_again() -> None:
    other = Measured("Open-i", "image", 20, 400, 0.7, (0.6, 0.8), 0.2)
    merged = Learnt({"Pneumothorax": LearntLabel((), (other,))}).after(LEARNT, same_weights=True)
    assert merged.labels["Pneumothorax"].measured == (GOOD, other)
    worse = Measured("NIH ChestX-ray14", "image", 12, 78, 0.6, (0.5, 0.7), 0.2)
    merged = Learnt({"Pneumothorax": LearntLabel((), (worse,))}).after(LEARNT, same_weights=True)
    assert merged.labels["Pneumothorax"].measured == (worse,)


def test_the_card_has_a_row_per_label_and_dataset() -> None:
    assert table_lines(LEARNT, ("Pneumothorax", "SARS"))[2:] == [
        "| Pneumothorax | NIH ChestX-ray14 | 60 | 1,300 | 12 | 0.86 [0.74, 0.95] |  |  |",
        "| Pneumothorax | Phantom films (synthetic) | 400 | 2,000 | not measured |  |  |  |",
        "| SARS | no example with it |  |  |  |  |  |  |",
    ]


def test_a_folder_of_films_has_its_own_name() -> None:
    assert dataset_title("Films in folders", "folder", Path("/data/children")) == "children, films in folders"
    assert dataset_title("NIH ChestX-ray14", "nih", Path("/data/nih")) == "NIH ChestX-ray14"
