"""The floor plan: sizes of folders and modules, and who knows the file names of a casebook. Imports: `lint-imports`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from index_builder.casebook.layout import Layout

_ROOT = Path(__file__).resolve().parents[1]
_MODULES = sorted(path for package in ("explorer", "index_builder") for path in (_ROOT / package).rglob("*.py"))

#: A reader's eye takes in so much.
_MOST_ENTRIES, _MOST_MODULES, _MOST_LINES = 12, 15, 450


def test_the_top_of_explorer_is_read_at_a_glance() -> None:
    """Few entries, so that a newcomer sees what there is."""
    entries = [path for path in (_ROOT / "explorer").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= _MOST_ENTRIES


def test_no_folder_is_crowded() -> None:
    """Modules of a folder, its `__init__` aside."""
    folders = {path.parent for path in _MODULES}
    counts = {
        folder: sum(path.parent == folder and path.name != "__init__.py" for path in _MODULES) for folder in folders
    }
    assert {folder: count for folder, count in counts.items() if count > _MOST_MODULES} == {}


def test_no_module_is_long() -> None:
    """One job a module."""
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in _MODULES}
    assert {path: count for path, count in lines.items() if count > _MOST_LINES} == {}


def test_only_the_layout_knows_the_file_names_of_a_casebook() -> None:
    """Everybody else asks `Layout`."""
    layout = Layout(Path())
    # A training has files of its own by two of the names.
    names = {path.name for path in vars(layout).values() if path.suffix} - {"metrics.json", "films.npy"}
    assert {"manifest.json", "cases.arrow"} <= names
    for path in _MODULES:
        if path.parent.name == "casebook":
            continue
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        assert not texts & names, path


@pytest.mark.parametrize("package", ["explorer", "index_builder"])
def test_every_public_name_can_be_had(package: str) -> None:
    """The public API is lazy: a moved module would show when a name is first used."""
    module = __import__(package)
    for name in module.__all__:
        assert getattr(module, name).__name__ == {"build_casebook": "build"}.get(name, name)
    with pytest.raises(AttributeError, match="nothing"):
        _ = module.nothing
