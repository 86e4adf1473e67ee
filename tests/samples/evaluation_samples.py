"""What tests of evaluation share: chosen cases of a dataset, and the settings of a tiny system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from index_builder.cases.case import Case
from index_builder.datasets.base import DatasetCard
from index_builder.imaging import Film
from index_builder.systems.unified import UnifiedConfig

LABELS = ("Cardiomegaly", "Effusion", "Nodule", "Stage 0", "Stage 1", "Stage 2", "Stage 3", "Normal", "Granuloma")


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class Some:
    """Chosen cases of a dataset, perhaps altered, in a given order; counts which films are read."""

    def __init__(self, source: Any, cases: list[Case]) -> None:
        self.card: DatasetCard = source.card
        self.label_names: tuple[str, ...] = source.label_names
        self.read: list[str] = []
        self._source, self._cases = source, cases

    def cases(self) -> list[Case]:
        return self._cases

    def load_film(self, reference: str) -> Film:
        self.read.append(reference)
        return self._source.load_film(reference)


def tiny_config(text_encoder: Path, **changes: Any) -> UnifiedConfig:
    settings: dict[str, Any] = {
        "image_size": 64,
        "text_encoder": f"hub:{text_encoder}",
        "embedding_dim": 16,
        "token_dim": 16,
        "pool_queries": 2,
        "pool_width": 8,
        "fusion_heads": 2,
        "label_names": LABELS,
    }
    return UnifiedConfig(**(settings | changes))
