"""Reads the project's Markdown as far as its tests need: pages, headings, links and blocks of code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_RUNS = re.compile(r"<!-- runs( on casebooks/phantom-openi)? -->\s*$")
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(\s*([^)\s]+)[^)]*\)|(?:src|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes:
        page: The page it stands in.
        line: Line of its first line of code, counted from 1.
        language: As named behind the fence, "" where nothing is.
        code: What stands between the fences.
        runs: Whether the page marks it by `<!-- runs -->` or `<!-- runs on casebooks/phantom-openi -->`: tests execute
            it, in an empty folder or beside such a casebook.
        casebook: Whether it needs that casebook.
    """

    page: Path
    line: int
    language: str
    code: str
    runs: bool
    casebook: bool


def pages() -> list[Path]:
    """Every Markdown page of the project."""
    folders = (DOCS.rglob("*.md"), (ROOT / ".github").rglob("*.md"), (ROOT / "assets").rglob("*.md"))
    return sorted([*ROOT.glob("*.md"), *(page for folder in folders for page in folder)])


def blocks(page: Path) -> list[Block]:
    """Blocks of code of a page, in order."""
    text, found = page.read_text("utf-8"), []
    for fence in _FENCE.finditer(text):
        marked = _RUNS.search(text[: fence.start()])
        line = text[: fence.start()].count("\n") + 2
        found.append(Block(page, line, fence[1], dedent(fence[2]), marked is not None, bool(marked and marked[1])))
    return found


def links(page: Path) -> list[str]:
    """Targets of a page's links and pictures that lie within the project; code is passed over."""
    text = _INLINE_CODE.sub("``", _FENCE.sub("", page.read_text("utf-8")))
    targets = [one or other for one, other in _LINK.findall(text)]
    return [target for target in targets if not _ELSEWHERE.match(target)]


def anchors(page: Path) -> set[str]:
    """What may stand behind `#` in a link to a page, as GitHub and the site make it of each heading."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", _unlinked(heading).lower()).replace(" ", "-") for heading in headings}


def _unlinked(heading: str) -> str:
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
