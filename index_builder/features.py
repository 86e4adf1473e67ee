"""Pooled encoder features of many cases: what heads are trained on, computed once because encoders are frozen."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.datasets.base import Case, Dataset
from index_builder.imaging import model_input
from index_builder.systems.unified import Unified

_BATCH = 32

#: Open-i classes that other datasets' labels also mean. Used in training alone, to tie real films to reports; each
#: dataset is shown and scored with its own labels.
OPENI_MEANING: dict[str, str] = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Consolidation": "Airspace Disease",
    "Edema": "Pulmonary Edema or Congestion",
    "Effusion": "Pleural Effusion",
    "Emphysema": "Hyperinflation or Emphysema",
    "Fibrosis": "Scarring",
    "Hernia": "Hiatal Hernia",
    "Infiltration": "Airspace Disease",
    "Mass": "Nodule or Mass",
    "Nodule": "Nodule or Mass",
    "Pneumonia": "Airspace Disease",
}


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Cases of one dataset as features.

    Attributes:
        name: The dataset's.
        image: [N, d_image] float32, zero where a case has no film.
        texts: Wordings of each case, each [N, d_text] float32, zero where absent: its report, its codes.
        labels: [N, C] float32, 1 where the case carries the label.
        known: [C] bool, labels this dataset decides; the others are unknown, not absent.
        split: [N] of "train", "val", "test".
    """

    name: str
    image: NDArray[np.float32]
    texts: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.float32]
    known: NDArray[np.bool_]
    split: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.split)


def extract(
    dataset: Dataset, cases: Sequence[Case], system: Unified, progress: Callable[[int, int], None]
) -> FeatureSet:
    """Features and targets of `cases`, in order.

    Args:
        dataset: Where films are read from.
        cases: Which cases.
        system: Gives the encoders and the label vocabulary.
        progress: Called with cases done and in all.
    """
    size, names = system.config.image_size, system.config.label_names
    image = np.zeros((len(cases), system.image_encoder.dim), np.float32)
    texts = [np.zeros((len(cases), 2 * system.text_encoder.dim), np.float32) for _ in range(2)]
    wordings = [(case.report, codes_sentence(case.codes)) for case in cases]

    def load(row: int) -> NDArray[np.float32]:
        return model_input(dataset.load_film(str(cases[row].image)).pixels, size)

    with ThreadPoolExecutor(os.cpu_count()) as readers, torch.inference_mode():
        order = sorted(range(len(cases)), key=lambda row: len(wordings[row][0]))  # less padding
        for start in range(0, len(cases), _BATCH):
            rows = order[start : start + _BATCH]
            if filmed := [row for row in rows if cases[row].image is not None]:
                pixels = torch.from_numpy(np.stack(list(readers.map(load, filmed))))
                image[filmed] = system.pooled_images(pixels)[1].numpy()
            for number, features in enumerate(texts):
                if worded := [row for row in rows if wordings[row][number]]:
                    features[worded] = system.pooled_texts([wordings[row][number] for row in worded])[2].numpy()
            progress(start + len(rows), len(cases))

    column = {name: number for number, name in enumerate(names)}
    labels = np.zeros((len(cases), len(names)), np.float32)
    for row, case in enumerate(cases):
        labels[row, [column[label] for label in with_openi_meaning(case.labels) if label in column]] = 1
    known = np.isin(names, list(with_openi_meaning(dataset.label_names)))
    return FeatureSet(dataset.card.name, image, tuple(texts), labels, known, np.array([case.split for case in cases]))


def with_openi_meaning(labels: Sequence[str]) -> set[str]:
    """Labels together with the Open-i classes they mean."""
    return {*labels, *(OPENI_MEANING[label] for label in labels if label in OPENI_MEANING)}


def codes_sentence(codes: Sequence[str]) -> str:
    """Coded findings as a short text, "Opacity, lung, base, left; Cardiomegaly": how people type a query."""
    return "; ".join(code.replace("/", ", ") for code in codes)
