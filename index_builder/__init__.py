"""Offline half of CXR Explorer: datasets in, casebook out. Knows nothing of Streamlit.

from pathlib import Path

from index_builder import BuildRequest, build_casebook, checkpoint_for

request = BuildRequest("phantom-openi", None, Path("casebooks/mine"), checkpoint_for("phantom-openi"), limit=64)
build_casebook(request, lambda stage, done, total: None)

What plug-ins are made of (docs/how-to/plug-ins.md) is here too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# ONNX Runtime would tell its makers when it runs, under a name that it keeps in the user's home (its Privacy.md). It
# reads this when it is first imported, here or by another package; who wants it so can set the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from index_builder.build.build import BuildRequest
    from index_builder.build.build import build as build_casebook
    from index_builder.cases.case import Case
    from index_builder.datasets import open_dataset
    from index_builder.datasets.base import Dataset, DatasetCard
    from index_builder.datasets.reading.cases import FilmFolder
    from index_builder.datasets.reading.splits import split_of
    from index_builder.evaluation.run import EvaluateRequest, evaluate
    from index_builder.imaging import Film, read_film
    from index_builder.systems.base import Batch, RetrievalSystem
    from index_builder.systems.config import SystemConfig
    from index_builder.systems.registry import load_system
    from index_builder.systems.shipped import checkpoint_for
    from index_builder.training.run import TrainRequest, train

__all__ = [
    "Batch",
    "BuildRequest",
    "Case",
    "Dataset",
    "DatasetCard",
    "EvaluateRequest",
    "Film",
    "FilmFolder",
    "RetrievalSystem",
    "SystemConfig",
    "TrainRequest",
    "build_casebook",
    "checkpoint_for",
    "evaluate",
    "load_system",
    "open_dataset",
    "read_film",
    "split_of",
    "train",
]

#: The module below this package that each name is from, and its name there. `build` alone would be the package's.
_HOME = {
    "BuildRequest": ("build.build", "BuildRequest"),
    "build_casebook": ("build.build", "build"),
    "Case": ("cases.case", "Case"),
    "open_dataset": ("datasets", "open_dataset"),
    "Dataset": ("datasets.base", "Dataset"),
    "DatasetCard": ("datasets.base", "DatasetCard"),
    "FilmFolder": ("datasets.reading.cases", "FilmFolder"),
    "split_of": ("datasets.reading.splits", "split_of"),
    "EvaluateRequest": ("evaluation.run", "EvaluateRequest"),
    "evaluate": ("evaluation.run", "evaluate"),
    "Film": ("imaging", "Film"),
    "read_film": ("imaging", "read_film"),
    "Batch": ("systems.base", "Batch"),
    "RetrievalSystem": ("systems.base", "RetrievalSystem"),
    "SystemConfig": ("systems.config", "SystemConfig"),
    "load_system": ("systems.registry", "load_system"),
    "checkpoint_for": ("systems.shipped", "checkpoint_for"),
    "TrainRequest": ("training.run", "TrainRequest"),
    "train": ("training.run", "train"),
}


def __getattr__(name: str) -> Any:
    """Import on first use: what is not asked for is not waited for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOME[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)
