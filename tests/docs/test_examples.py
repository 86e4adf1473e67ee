"""Python in README and docs can be read and names what exists; blocks that are marked run."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from docs_pages import ROOT, Block, blocks, pages

_PYTHON = [block for page in pages() for block in blocks(page) if block.language == "python"]


def _name(block: Block) -> str:
    return f"{block.page.relative_to(ROOT)}:{block.line}"


@pytest.mark.parametrize("block", _PYTHON, ids=_name)
def test_python_of_the_docs_parses_and_imports_what_exists(block: Block) -> None:
    for statement in ast.walk(ast.parse(block.code)):
        if isinstance(statement, ast.ImportFrom):
            module = importlib.import_module(statement.module or "")
            missing = [alias.name for alias in statement.names if not hasattr(module, alias.name)]
            assert not missing, f"{statement.module} has no {missing}"
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                importlib.import_module(alias.name)


@pytest.mark.parametrize("block", [block for block in _PYTHON if block.runs and not block.casebook], ids=_name)
def test_python_that_needs_no_file_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block.code, _name(block), "exec"), {})


@pytest.mark.parametrize("block", [block for block in _PYTHON if block.casebook], ids=_name)
def test_python_that_needs_the_demo_casebook_runs(
    block: Block, phantom_casebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "casebooks").mkdir()
    (tmp_path / "casebooks" / "phantom-openi").symlink_to(phantom_casebook)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.code, _name(block), "exec"), {})
