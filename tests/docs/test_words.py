"""Pages, messages and docstrings are in plain English: phrases that were once replaced do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from docs_pages import DOCS, ROOT, pages

#: What was written once, and what to write instead.
_INSTEAD = {
    r"(?<!-)\banew\b": "again",
    r"\ball the same\b": "still, anyway",
    r"asked of\b": "requested from",
    r"goes on where it stopped": "resumes",
    r"sign-in has run out": "session has expired",
    r"drawn by a program, not exposed": "computer-drawn, not X-rays",
    r"\ban own (?!vector|thread)\w+": "your own",
    r"least unlike": "nearest available",
    r"of them uneven\b": "unevenly spread",
    r"\b(?:is|are) (?:told|warned) (?:of|before)\b": "you are warned first, is reported",
    r"\bnow mended\b": "fixed",
    r"Compare with: nobody": "no case",
    r"speaks? of the labels": "cover",
    r"\bout of reach\b": "cannot be reached",
    r"\bthe figures flatter": "are too good",
    r"\bthe surest\b": "the most confident",
}
_PLAIN = re.compile("|".join(_INSTEAD))
#: Openings of docstrings that name no thing and no deed.
_FRAGMENT = re.compile(r"(?:Of|That|Those|The same) |As `|For \w+\.$")
_ARGUMENT = re.compile(r"^\s+\w+: (?:Of|That) ", re.MULTILINE)
#: Dated figures stay as they were measured, and the list of changes as it was written.
_RECORDS = (DOCS / "measurements", ROOT / "CHANGELOG.md", ROOT / "assets")
#: Not gone through yet.
_NOT_YET = (
    DOCS / "decisions" / "onnx-runtime.md",
    ROOT / "index_builder" / "systems",
    ROOT / "explorer" / "casebook.py",
)


def _among(path: Path, places: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(place) for place in places)


def _documented(tree: ast.Module) -> Iterator[tuple[ast.Constant, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            opening = node.body[0]
            assert isinstance(opening, ast.Expr)
            assert isinstance(opening.value, ast.Constant)
            yield opening.value, ast.get_docstring(node) or ""


def _sources() -> Iterator[tuple[Path, ast.Module]]:
    for folder in ("explorer", "index_builder", "pages"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not _among(path, _NOT_YET):
                yield path.relative_to(ROOT), ast.parse(path.read_text("utf-8"))


def test_pages_use_plain_words() -> None:
    read = [page for page in pages() if not _among(page, _RECORDS + _NOT_YET)]
    found = {
        (str(page.relative_to(ROOT)), match[0])
        for page in read
        for match in _PLAIN.finditer(" ".join(page.read_text("utf-8").split()))
    }
    assert not found, _INSTEAD


def test_messages_and_docstrings_use_plain_words() -> None:
    found = set()
    for path, tree in _sources():
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        found |= {(str(path), match[0]) for text in texts for match in _PLAIN.finditer(" ".join(text.split()))}
    assert not found, _INSTEAD


def test_docstrings_open_with_a_thing_or_a_deed() -> None:
    found = []
    for path, tree in _sources():
        for place, text in _documented(tree):
            opening = text.split("\n", 1)[0]
            if _FRAGMENT.match(opening) or _ARGUMENT.search(text):
                found.append(f"{path}:{place.lineno}: {opening}")
    assert not found
