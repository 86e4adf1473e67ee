"""What tests of training share."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from index_builder import vision_compat  # noqa: F401  must precede timm
from index_builder.cases.case import Case
from index_builder.cases.labels import DUST_STAGES
from index_builder.datasets.base import Dataset
from index_builder.imaging import Film
from index_builder.training.cases import Source

WORDS = ("the lung is clear", "mild small nodule", "left and right nodule with opacity", "calcified opacity")
PARTS = ("train", "train", "train", "train", "val", "test")


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def silent(phase: str, epoch: int, epochs: int, values: dict[str, float]) -> None:
    """A report that nobody reads."""


class Interrupt:
    """Stops a training right after an epoch, as a killed process would."""

    def __init__(self, phase: str, epoch: int) -> None:
        self.at, self.seen = (phase, epoch), list[tuple[str, int]]()

    def __call__(self, phase: str, epoch: int, epochs: int, values: dict[str, float]) -> None:
        self.seen.append((phase, epoch))
        if (phase, epoch) == self.at:
            raise KeyboardInterrupt


def save_resnet(folder: Path) -> None:
    """The test ResNet of timm with random weights, as timm publishes models."""
    import timm

    torch.manual_seed(0)
    model: Any = timm.create_model("test_resnet", num_classes=3)
    model.train()(torch.rand(4, 3, 64, 64))  # batch statistics that are not those of an untrained one
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)


def write_workers(folder: Path) -> None:
    """A manifest whose films show the stage by which quarter is bright and whose reports name it."""
    random = np.random.default_rng(0)
    fields = ("case_id", "patient_id", "image", "report", "labels", "split")
    (folder / "columns.yaml").write_text(
        "".join(f"{name}: {name}\n" for name in fields)
        + "profile: [age, occupation]\n"
        + f"label_kind: stages\nstages: [{', '.join(DUST_STAGES)}]\n"
    )
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow([*fields, "age", "occupation"])
        for number in range(96):
            stage = number % 4
            pixels = random.integers(0, 80, (32, 32), dtype=np.uint8)
            top, left = 16 * (stage // 2), 16 * (stage % 2)
            pixels[top : top + 16, left : left + 16] += 150
            name = f"{number:02d}.png"
            Image.fromarray(pixels).save(folder / name)
            film = "" if number % 13 == 12 else name
            report = "" if number % 11 == 10 else WORDS[stage]
            part = PARTS[number // 4 % 6]
            trade = "" if number % 17 == 16 else ("welder", "miner")[stage // 2]
            rows.writerow(
                [f"w{number:02d}", f"p{number:02d}", film, report, DUST_STAGES[stage], part, 30 + number % 40, trade]
            )


@dataclass(frozen=True, slots=True)
class Opened(Source):
    """A source that is open already."""

    dataset: Dataset | None = field(default=None, compare=False)

    def open(self) -> Dataset:
        assert self.dataset is not None
        return self.dataset


class Renamed:
    """Some cases of a dataset under a name and labels of its own."""

    def __init__(self, dataset: Dataset, name: str, cases: list[Case], labels: tuple[str, ...]) -> None:
        self.card, self.label_names = replace(dataset.card, name=name), labels
        self._dataset, self._cases = dataset, cases

    def cases(self) -> list[Case]:
        return self._cases

    def load_film(self, reference: str) -> Film:
        return self._dataset.load_film(reference)
