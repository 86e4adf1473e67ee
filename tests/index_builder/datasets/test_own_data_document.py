"""The examples of docs/how-to/your-own-data.md are read as they stand there."""

import re
from pathlib import Path

import pytest
from places import ROOT
from table_samples import write_film

from index_builder.datasets.own.manifest import Manifest
from index_builder.datasets.published.covid import Covid
from index_builder.datasets.published.nih import NIH

DOCUMENT = ROOT / "docs" / "how-to" / "your-own-data.md"


def _examples() -> list[tuple[str, dict[str, str]]]:
    """Each example of the document: its kind, and its files by name."""
    examples = []
    for part in re.split(r"<!-- example: ", DOCUMENT.read_text(encoding="utf-8"))[1:]:
        kind, body = part.split(" -->", 1)
        body = re.split(r"^## ", body, flags=re.MULTILINE)[0]
        files = dict(re.findall(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```", body, flags=re.MULTILINE | re.DOTALL))
        examples.append((kind, files))
    return examples


@pytest.mark.parametrize(("kind", "files"), _examples())
def test_examples_of_the_document(tmp_path: Path, kind: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        for film in re.findall(r"[\w/-]+\.png", text):
            write_film(tmp_path / film if kind == "manifest" else tmp_path / "images" / film, len(film))
    readers = {"manifest": Manifest, "nih": NIH, "covid": Covid}
    dataset = readers[kind](tmp_path)
    cases = dataset.cases()
    assert dataset.problems() == ()
    assert len(cases) == next(iter(files.values())).strip().count("\n") + (0 if "manifest.jsonl" not in files else 1)
    assert all(dataset.load_film(case.image).pixels.size for case in cases if case.image)


def test_the_document_has_an_example_of_each_layout() -> None:
    assert [kind for kind, _ in _examples()] == ["manifest"] * 4 + ["nih", "covid"]
