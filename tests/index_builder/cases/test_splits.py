"""The split of a group depends on the group alone, and the shares come out."""

import random
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index_builder.cases.case import SPLITS
from index_builder.datasets.reading.cases import carve_val
from index_builder.datasets.reading.splits import TEST_SHARE, VAL_SHARE, split_of

groups = st.text(max_size=40)


@given(groups, groups)
def test_a_group_has_one_split_whatever_else_is_read(group: str, salt: str) -> None:
    assert split_of(group, salt=salt) == split_of(group, salt=salt)
    assert split_of(group, salt=salt) in SPLITS


@given(st.lists(groups, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_splits_are_independent_of_order_and_number_of_rows(rows: list[str], rng: random.Random) -> None:
    whole = {group: split_of(group, salt="s") for group in rows}
    shuffled = rng.sample(rows, len(rows))[: rng.randint(1, len(rows))]
    assert all(split_of(group, salt="s") == whole[group] for group in shuffled)


@pytest.mark.parametrize("salt", ["nih", "covid", "manifest"])
def test_shares_over_10_000_groups(salt: str) -> None:
    counts = Counter(split_of(str(group), salt=salt) for group in range(10_000))
    # Standard deviation of a share is at most 0.005; five of them.
    assert counts["test"] / 10_000 == pytest.approx(TEST_SHARE, abs=0.02)
    assert counts["val"] / 10_000 == pytest.approx(VAL_SHARE, abs=0.015)


def test_salts_are_independent() -> None:
    agree = sum(split_of(str(group), salt="nih") == split_of(str(group), salt="covid") for group in range(10_000))
    # Independent draws agree with probability 0.7² + 0.1² + 0.2² = 0.54.
    assert agree / 10_000 == pytest.approx(0.54, abs=0.025)


def test_salt_and_group_do_not_run_together() -> None:
    pairs = [(group, salt) for salt in string.ascii_lowercase for group in string.ascii_lowercase]
    assert any(split_of(group, salt=salt + "x") != split_of("x" + group, salt=salt) for group, salt in pairs)


def test_carved_validation_is_a_tenth_of_training_patients_and_independent_of_split_of() -> None:
    patients = [str(patient) for patient in range(10_000)]
    carved = [patient for patient in patients if carve_val(patient, "nih") == "val"]
    assert len(carved) / 10_000 == pytest.approx(0.1, abs=0.015)
    tested = sum(split_of(patient, salt="nih") == "test" for patient in carved)
    assert tested / len(carved) == pytest.approx(TEST_SHARE, abs=0.07)


def test_splits_do_not_change_between_releases() -> None:
    """A casebook built last year and one built today must agree on what was held out."""
    expected = ["train"] * 3 + ["val"] + ["train"] * 2 + ["test"] + ["train"] * 5
    assert [split_of(str(patient), salt="nih") for patient in range(1, 13)] == expected
