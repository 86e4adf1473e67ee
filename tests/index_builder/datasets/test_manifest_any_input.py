"""Whatever a manifest file holds, the reader gives sound cases or a `DatasetError`, and nothing else."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from index_builder.cases.case import SPLITS, Case
from index_builder.datasets.own.manifest import Manifest
from index_builder.errors import DatasetError

#: Texts that a parser of tables meets at its corners.
words = ["id", "image", "text", "labels", "age", "split", "a.png", "../a.png", "NaN", "-1", "=1+1"]
marks = ["\n", "\r", "\r\n", ",", ";", "\t", '"', '""', "|", "/", " ", "\x00", "\ufeff", "\ud800", "\u2028"]
corners = st.sampled_from([*words, *marks])
tables = st.one_of(st.text(max_size=200), st.lists(st.one_of(corners, st.text(max_size=5)), max_size=60).map("".join))


@settings(max_examples=300, deadline=None)
@given(tables, st.booleans())
def test_any_text_gives_cases_or_a_dataset_error(text: str, with_header: bool) -> None:
    if with_header:
        text = "id,image,text,labels,age,split\n" + text
    _open_and_check(text.encode(errors="surrogatepass"), "manifest.csv")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["manifest.csv", "manifest.jsonl", "manifest.parquet", "manifest.tsv"]))
def test_any_bytes_give_cases_or_a_dataset_error(data: bytes, name: str) -> None:
    _open_and_check(data, name)
    _open_and_check(b"PAR1" + data + b"PAR1", "manifest.parquet")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(["id", "image", "text", "labels", "age", "sex", "split", "view", "codes", "patient_id", "x"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(fields, json_values, max_size=8), max_size=5))
def test_any_json_objects_give_cases_or_a_dataset_error(records: list[dict[str, Any]]) -> None:
    _open_and_check("\n".join(map(json.dumps, records)).encode(), "manifest.jsonl")


def _open_and_check(data: bytes, name: str) -> None:
    """Only `DatasetError` may escape; what is read keeps the contract of `Case`."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        path.write_bytes(data)
        cases: Sequence[Case] | None = None
        try:
            cases = Manifest(path).cases()
        except DatasetError as error:
            message = str(error)
    if cases is None:
        assert name in message
        return
    assert cases
    assert len({case.case_id for case in cases}) == len(cases)
    for case in cases:
        assert case.split in SPLITS
        assert case.image or case.sections
        assert all(text == text.strip() and text for text in case.sections.values())
        assert case.labels == tuple(sorted(set(case.labels)))
        repr(case).encode()
