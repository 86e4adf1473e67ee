"""Which checkpoint embeds what, and where it lies."""

from pathlib import Path

import pytest

from index_builder import resources
from index_builder.datasets import DATASETS
from index_builder.errors import InstallationError
from index_builder.resources import resource
from index_builder.systems import SYSTEMS
from index_builder.systems.shipped import checkpoint_for, default_checkpoint


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with a folder for every shipped checkpoint."""
    for system in SYSTEMS:
        (tmp_path / "assets" / "checkpoints" / f"{system}-compact").mkdir(parents=True)
    monkeypatch.setattr(resources, "_HERE", tmp_path)
    return tmp_path / "assets" / "checkpoints"


@pytest.mark.parametrize("dataset", DATASETS)
def test_dust_is_staged_and_everything_else_unified(assets: Path, dataset: str) -> None:
    system = "mskpt" if dataset == "phantom-dust" else "unified"
    assert checkpoint_for(dataset) == assets / f"{system}-compact"


def test_a_bare_name_is_a_shipped_system_and_anything_else_a_folder(assets: Path) -> None:
    for system in SYSTEMS:
        assert checkpoint_for("openi", system) == default_checkpoint(system) == assets / f"{system}-compact"
    assert checkpoint_for("phantom-dust", "my/system") == Path("my/system")
    assert checkpoint_for("phantom-dust", "./unified") == Path("./unified")


def test_what_is_missing_is_named(assets: Path) -> None:
    (assets / "siclip-compact").rmdir()
    with pytest.raises(InstallationError, match="siclip-compact is missing"):
        checkpoint_for("phantom-dust", "siclip")
    with pytest.raises(InstallationError, match=r"assets/nothing\.css"):
        resource("assets", "nothing.css")
