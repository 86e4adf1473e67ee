"""An untrained system small enough to evaluate many times, and what it says of a folder of films."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluation_samples import Some, quiet, tiny_config

from index_builder.datasets import open_dataset
from index_builder.datasets.phantom import PhantomDust
from index_builder.evaluation.run import EvaluateRequest, measure
from index_builder.systems.unified import Unified


@pytest.fixture(scope="session")
def tiny_system(tiny_text_encoder: Path) -> Unified:
    """Untrained, with the packaged image encoder, whose published weights the frozen baselines use."""
    torch.manual_seed(0)
    return Unified(tiny_config(tiny_text_encoder)).eval()


@pytest.fixture(scope="session")
def films(film_folder: Path) -> Some:
    """160 of the 300 cases of `film_folder`."""
    source = open_dataset("manifest", film_folder)
    return Some(source, list(source.cases())[:160])


@pytest.fixture(scope="session")
def result(tiny_system: Unified, films: Some) -> dict[str, Any]:
    """Evaluation of films and reports with baselines."""
    return measure(tiny_system, films, EvaluateRequest("tiny", "manifest", baselines=True), quiet)


@pytest.fixture(scope="session")
def workers() -> Some:
    """40 cases of the dust cohort: 24 to train, 8 to choose, 8 to score."""
    source = PhantomDust(seed=0, size=40)
    parts = ("train", "train", "train", "val", "test")
    return Some(source, [replace(case, split=parts[row % 5]) for row, case in enumerate(source.cases())])
