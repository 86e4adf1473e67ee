"""Encoders and cases so small that a training takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from training_samples import save_resnet, write_workers

from index_builder.systems.config import SystemConfig
from index_builder.systems.registry import system_class
from index_builder.training.cases import Source


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors this small threads wait longer for one another than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, Any]) -> dict[str, Any]:
    """What the three systems have in common; unlike `tiny_settings` with weights that lie on this machine."""
    folder = tmp_path_factory.mktemp("resnet")
    save_resnet(folder)
    return tiny_settings | {"image_encoder": f"timm:local-dir:{folder}", "image_size": 32}


@pytest.fixture(scope="session")
def configs(settings: dict[str, Any]) -> dict[str, SystemConfig]:
    """A tiny configuration of every system, by name."""
    own: dict[str, dict[str, Any]] = {
        "unified": {"fusion_heads": 2, "fusion_layers": 1, "trained_text_layers": 1},
        "siclip": {},
        "mskpt": {"trained_image_stages": 1},
    }
    return {name: system_class(name).config_class(**settings, **changes) for name, changes in own.items()}


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """96 cases of four stages with films, reports and profiles, some without either."""
    folder = tmp_path_factory.mktemp("workers")
    write_workers(folder)
    return Source("manifest", folder)
