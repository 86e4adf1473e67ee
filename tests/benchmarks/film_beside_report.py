"""What a film adds to its report, and a report to its film, on the same cases of Open-i.

    python tests/benchmarks/film_beside_report.py OPENI_FOLDER [CHECKPOINT] [--part val] [--drawn]

Cases with film and report. For films, reports and both together: macro AUROC and AP of the 22 classes from the
classifier, P@5 and MRR of the nearest training cases of the same modality, with 95 % intervals over cases; then the
paired differences of both together from reports alone. --part val is to choose by. --drawn takes phantom-openi's films
instead: synthetic.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from index_builder.cases.case import Case
from index_builder.cases.space import SPACES, Space
from index_builder.datasets import open_dataset
from index_builder.datasets.base import Dataset
from index_builder.evaluation.prediction import classifier_logits
from index_builder.systems.graphs.cases import encode_cases
from index_builder.systems.graphs.encoder import Encoder
from index_builder.systems.registry import load_system
from index_builder.systems.running.parts import torch_encoder
from index_builder.systems.shipped import checkpoint_for

BATCH = 32
RESAMPLES = 500
MEASURES = ("AUROC", "AP", "P@5", "MRR")


def embed(encoder: Encoder, dataset: Dataset, cases: list[Case]) -> dict[Space, NDArray[np.float32]]:
    """Vectors [N, D] per space."""
    found: dict[Space, list[NDArray[np.float32]]] = {space: [] for space in SPACES}
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        films = np.stack([encoder.prepare(dataset.load_film(str(case.image)).pixels) for case in batch])
        encoded = encode_cases(encoder, films, np.ones(len(batch), np.int64), [encoder.read(case) for case in batch])
        for space in SPACES:
            found[space].append(encoded.spaces[space])
    return {space: np.concatenate(parts) for space, parts in found.items()}


def truth_of(cases: list[Case], names: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.array([[name in case.labels for name in names] for case in cases])


def per_query(queries: NDArray, candidates: NDArray, relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """P@5 and reciprocal rank of each query, [2, Q]; NaN where nothing is relevant."""
    order = np.argsort(-(queries @ candidates.T), axis=1, kind="stable")
    hits = np.take_along_axis(relevant, order, 1)
    first = 1 / (1 + hits.argmax(1))
    found = np.stack([hits[:, :5].mean(1), first])
    found[:, ~relevant.any(1)] = np.nan
    return found


def macro(scores: NDArray, truth: NDArray[np.bool_]) -> tuple[float, float]:
    """AUROC and AP, mean over the classes that some case has and some has not."""
    usable = np.flatnonzero(truth.any(0) & ~truth.all(0))
    return (
        float(np.mean([roc_auc_score(truth[:, one], scores[:, one]) for one in usable])),
        float(np.mean([average_precision_score(truth[:, one], scores[:, one]) for one in usable])),
    )


def shown(values: NDArray[np.float64]) -> str:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f"{values[0]:+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=checkpoint_for("unified"))
    parser.add_argument("--part", choices=("val", "test"), default="test")
    parser.add_argument("--drawn", action="store_true")
    given = parser.parse_args()
    system = load_system(given.checkpoint)
    encoder = torch_encoder(system)
    dataset = open_dataset("phantom-openi") if given.drawn else open_dataset("openi", given.folder)
    paired = [case for case in dataset.cases() if case.image is not None and system.text_of(case) and case.labels]
    test, train = ([case for case in paired if case.split == part] for part in (given.part, "train"))
    queries, base = embed(encoder, dataset, test), embed(encoder, dataset, train)
    names = dataset.label_names
    columns = [system.config.label_names.index(name) for name in names]
    truth, relevant = truth_of(test, names), truth_of(test, names).astype(int) @ truth_of(train, names).T > 0
    print(f"{len(test)} {given.part} cases with film and report, {len(train)} training cases; {given.checkpoint}")
    rows = np.random.default_rng(0).integers(0, len(test), (RESAMPLES, len(test)))
    draws = [np.arange(len(test)), *rows]
    found: dict[Space, NDArray[np.float64]] = {}
    for space in SPACES:
        logits = classifier_logits(system, queries[space])
        assert logits is not None
        ranked = per_query(queries[space], base[space], relevant)
        found[space] = np.array(
            [[*macro(logits[draw][:, columns], truth[draw]), *np.nanmean(ranked[:, draw], 1)] for draw in draws]
        ).T
        print(
            f"{space:6s}", "  ".join(f"{m} {shown(v)}" for m, v in zip(MEASURES, found[space], strict=True)), flush=True
        )
    gain = found["joint"] - found["text"]
    print("joint - text ", "  ".join(f"{m} {shown(v)}" for m, v in zip(MEASURES, gain, strict=True)))


if __name__ == "__main__":
    main()
