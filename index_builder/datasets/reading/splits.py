"""Deterministic train/val/test parts by group, independent of row order and of how many rows are read."""

from __future__ import annotations

import hashlib

from index_builder.cases.case import Split

#: Shares of validation and test groups; the rest trains.
VAL_SHARE = 0.1
TEST_SHARE = 0.2


def split_of(group: str, *, salt: str) -> Split:
    """Part of the data that a group (a patient, or an identical report text) belongs to.

    A hash decides, so a group keeps its part when the dataset grows, shrinks or is reordered.

    Args:
        group: What must not be torn apart, e.g. a patient id or a normalised report text.
        salt: The dataset's name, so that equal patient numbers of two datasets are independent.
    """
    digest = hashlib.sha256(f"{salt}\0{group}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < TEST_SHARE:
        return "test"
    if position < TEST_SHARE + VAL_SHARE:
        return "val"
    return "train"
