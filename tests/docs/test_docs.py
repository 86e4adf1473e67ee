"""Links of README and docs lead somewhere, and every page can be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, anchors, links, pages

_KINDS = ("tutorial", "how-to", "reference", "explanation", "measurements", "decisions")


def _target(page: Path, link: str) -> tuple[Path, str]:
    path, _, fragment = link.partition("#")
    return ((page.parent / path).resolve() if path else page), fragment


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in links(page):
        target, fragment = _target(page, link)
        if not target.exists() or (target.is_relative_to(DOCS) and target.is_dir()):
            wrong.append(f"{link}: no such file")
        elif fragment and fragment not in anchors(target):
            wrong.append(f"{link}: {target.name} has no such heading")
    assert not wrong


def test_code_names_pages_that_are_there() -> None:
    """Comments, docstrings, messages and settings name pages by their path from the root."""
    places = [path for folder in ("explorer", "index_builder", "pages", "tests", "assets") for path in _texts(folder)]
    named = {
        (path.relative_to(ROOT), page)
        for path in [*places, ROOT / "Makefile", ROOT / "pyproject.toml"]
        for page in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text("utf-8"))
    }
    assert named
    assert not [(str(path), page) for path, page in sorted(named) if not (ROOT / page).is_file()]


def _texts(folder: str) -> list[Path]:
    return [path for kind in ("*.py", "*.yaml", "*.json", "*.md", "*.js") for path in (ROOT / folder).rglob(kind)]


def test_every_page_is_in_the_index_of_its_kind() -> None:
    lost = []
    for kind in _KINDS:
        index = DOCS / kind / "index.md"
        listed = {_target(index, link)[0] for link in links(index)}
        lost += [page for page in (DOCS / kind).rglob("*.md") if page != index and page not in listed]
        assert index in {_target(DOCS / "index.md", link)[0] for link in links(DOCS / "index.md")}
    assert not [str(page.relative_to(ROOT)) for page in lost]
    assert sorted(folder.name for folder in DOCS.iterdir() if folder.is_dir()) == sorted(
        (*_KINDS, "examples", "screenshots")
    )


def test_anchors_are_those_of_the_site() -> None:
    assert "a-folder-for-each-class-folder" in anchors(DOCS / "how-to" / "your-own-data.md")
    assert "10⁸-cases" in anchors(DOCS / "explanation" / "scale.md")
