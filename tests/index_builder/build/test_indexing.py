"""Indexes of a casebook under way."""

from pathlib import Path

import numpy as np
import pytest

from index_builder.casebook.indexes import FAISS, IndexesInTurn, index_space
from index_builder.casebook.manifest import SpaceRecord
from index_builder.cases.case import Case
from index_builder.cases.space import SPACES, Space
from index_builder.cases.table import CaseRows, cases_table
from index_builder.stores.base import VectorStore, case_keys

CASES = CaseRows(cases_table([Case(f"case-{number}", f"patient-{number}", "train", ()) for number in range(9)]))


@pytest.fixture
def vectors() -> dict[Space, np.ndarray]:
    """Of nine cases; the last has no film, none has a text."""
    drawn = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
    joint = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)
    image = joint.copy()
    image[-1] = 0
    return {"image": image, "text": np.zeros_like(joint), "joint": joint}


def test_memory_holds_one_index_at_a_time(tmp_path: Path, vectors: dict[Space, np.ndarray]) -> None:
    records = {space: index_space(tmp_path, space, CASES, vectors[space]) for space in SPACES}
    assert records["text"] is None
    spaces: dict[Space, SpaceRecord] = {space: record for space, record in records.items() if record is not None}
    indexes = IndexesInTurn(tmp_path, FAISS, spaces)
    assert [(space, len(indexes[space])) for space in indexes] == [("image", 8), ("joint", 9)]

    before: VectorStore | None = None
    for space, index in indexes.items():
        found = index.search_many(vectors[space][:3].astype(np.float32), 1)
        np.testing.assert_array_equal(found.keys[:, 0], case_keys(["case-0", "case-1", "case-2"]))
        if before is not None:
            with pytest.raises(AttributeError):
                before.search_many(vectors[space][:1].astype(np.float32), 1)
        before = index
    indexes.close()
    indexes.close()
    assert len(indexes["image"]) == 8  # opened again
