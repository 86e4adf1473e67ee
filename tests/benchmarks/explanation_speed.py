"""Milliseconds per explanation: `python tests/benchmarks/explanation_speed.py [SYSTEM or CHECKPOINT] [RUNS]`.

Wall time is what a user waits; processor time is what the machine worked, which other programs change less. Both are
medians over films of the phantom cohort after one warm-up, which also makes the system's private copy.
"""

import sys
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch

from index_builder.datasets import open_dataset
from index_builder.explanation import FindingTarget, Inputs, Method, SimilarityTarget, Target, Voters, explain
from index_builder.imaging import model_input
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.registry import load_system
from index_builder.systems.shipped import checkpoint_for

#: Method, what is read, milliseconds that are the goal.
TASKS: tuple[tuple[Method, str, int | None], ...] = (
    ("attention", "film", 150),
    ("attention", "text", 150),
    ("attention", "film and text", 150),
    ("grad-cam", "film", 300),
    ("grad-cam", "film and text", 300),
    ("integrated-gradients", "film", 4000),
    ("integrated-gradients", "text", 4000),
    ("integrated-gradients", "film and text", 4000),
    ("similarity", "film", None),
    ("similarity", "film and text", None),
)


def given(system: RetrievalSystem, what: str, count: int) -> list[Inputs]:
    """Films, texts or both of the first cases of a phantom cohort that the system reads."""
    dataset = open_dataset("phantom-openi" if system.name == "unified" else "phantom-dust", None, 0)
    found = []
    for case in dataset.cases()[:count]:
        pixels = dataset.load_film(str(case.image)).pixels if "film" in what else None
        film = None if pixels is None else model_input(pixels, system.config.image_size)
        found.append(Inputs(film, system.text_of(case) if "text" in what else ""))
    return found


def target(system: RetrievalSystem, method: Method) -> Target:
    """Any label, or any case; who votes makes no difference to the time."""
    vectors = np.random.default_rng(0).normal(size=(50, system.config.embedding_dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if method == "similarity":
        return SimilarityTarget(vectors[0])
    return FindingTarget(system.config.label_names[-1], Voters(vectors, np.arange(50) % 2 == 0, 0.05))


def times(system: RetrievalSystem, method: Method, inputs: list[Inputs]) -> tuple[float, float]:
    """Median milliseconds of wall and processor."""
    wall, worked = [], []
    for one in inputs:
        began, busy = perf_counter(), process_time()
        explain(system, one, target(system, method), method)
        wall.append(perf_counter() - began)
        worked.append(process_time() - busy)
    return 1e3 * median(wall[1:]), 1e3 * median(worked[1:])


if __name__ == "__main__":
    name, runs = (sys.argv[1] if len(sys.argv) > 1 else "unified"), int(sys.argv[2]) if len(sys.argv) > 2 else 10
    folder: Path = checkpoint_for("phantom-openi", name)
    system = load_system(folder)
    print(f"{folder.name}, {torch.get_num_threads()} threads, {runs} cases, 32 steps of integrated gradients")
    print(f"{'method':<24}{'reads':<16}{'wall ms':>10}{'worked ms':>12}{'goal ms':>10}")
    for method, what, goal in TASKS:
        wall, worked = times(system, method, given(system, what, runs + 1))
        print(f"{method:<24}{what:<16}{wall:>10.0f}{worked:>12.0f}{goal if goal else '–':>10}", flush=True)
