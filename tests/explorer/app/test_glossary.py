"""Every term of the glossary has its anchor on the About page, and every tooltip that links to one finds it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from places import ROOT
from streamlit.testing.v1 import AppTest

from explorer.app.glossary import glossary

_ROOT = ROOT
_APP = str(_ROOT / "explorer" / "app" / "main.py")
_LINKED = re.compile(r"term_link\(\s*'([^']+)'")


def test_terms_are_those_of_the_documentation() -> None:
    page = (_ROOT / "docs" / "reference" / "glossary.md").read_text("utf-8")
    assert [term.title for term in glossary()] == re.findall(r"^### (.+)$", page, re.MULTILINE)
    for term in glossary():
        assert term.group
        assert term.text
        assert "](" not in term.text, f"{term.title}: a link that leads elsewhere in the app"


def test_anchors_are_unique_and_need_no_escape_in_an_address() -> None:
    anchors = [term.anchor for term in glossary()]
    assert len(set(anchors)) == len(anchors)
    assert all(re.fullmatch(r"[a-z0-9-]+", anchor) for anchor in anchors)


def test_every_linked_term_exists() -> None:
    files = [path for path in (_ROOT / "explorer" / "app").rglob("*.py") if path.name != "glossary.py"]
    linked = {(path.name, title) for path in files for title in _LINKED.findall(path.read_text("utf-8"))}
    assert {"query.py", "predictions.py", "controls.py"} <= {name for name, _ in linked}
    assert {title for _, title in linked} <= {term.title for term in glossary()}


def test_the_about_page_has_every_anchor_and_tooltips_lead_to_it(
    monkeypatch: pytest.MonkeyPatch, small_casebook: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(small_casebook)])
    app = AppTest.from_file(_APP, default_timeout=120).run()
    rerank = app.slider(key="rerank").help
    assert f"(about?casebook={small_casebook.name}#rerank-reorder-by-shared-findings)" in rerank
    app.switch_page("../../pages/about.py").run()
    assert {term.anchor for term in glossary()} <= {one.anchor for one in app.subheader}
