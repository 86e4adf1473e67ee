"""Checkpoints that come with the project."""

from __future__ import annotations

from pathlib import Path

from index_builder.resources import resource
from index_builder.systems import SYSTEMS

#: Datasets that another system than `unified` suits better.
_SYSTEM_FOR = {"phantom-dust": "mskpt"}


def default_checkpoint(name: str = "unified") -> Path:
    """The shipped compact checkpoint of a system. Raises `InstallationError` as `resource` does."""
    return resource("assets", "checkpoints", f"{name}-compact")


def checkpoint_for(dataset: str, chosen: str | None = None) -> Path:
    """The checkpoint that embeds a dataset.

    Args:
        dataset: A name of `index_builder.datasets.DATASETS`.
        chosen: A system's bare name, whose shipped checkpoint is meant, or a folder; None: what suits the dataset.

    Raises:
        InstallationError: The shipped checkpoint is missing.
    """
    if chosen is None:
        return default_checkpoint(_SYSTEM_FOR.get(dataset, "unified"))
    return default_checkpoint(chosen) if chosen in SYSTEMS else Path(chosen)
