"""How often the nearest cases share a finding, beside chance and TF-IDF, on casebooks built beforehand.

    python tests/benchmarks/neighbour_quality.py CASEBOOK…

Queries are the test part, neighbours come from the train part ("test to train"). A neighbour is relevant when it
carries at least one label of the query; queries without a label are left out. Intervals: 95 % bootstrap over queries.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from explorer.casebook import Casebook
from index_builder.datasets import open_dataset
from index_builder.features import extract
from index_builder.systems.unified import Unified

K = 5


def nearest(scores: np.ndarray) -> np.ndarray:
    """Columns of the K highest scores of each row."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def report(name: str, labels: np.ndarray, query: np.ndarray, base: np.ndarray, scores: np.ndarray) -> None:
    """Print label agreement of the K nearest of one way to search, [Q, B] scores, and of a random neighbour."""
    shared = labels[query] @ labels[base].T
    union = labels[query].sum(1)[:, None] + labels[base].sum(1)[None] - shared
    jaccard = shared / np.maximum(union, 1)
    found = nearest(scores)
    relevant = np.take_along_axis(shared > 0, found, axis=1)
    precision = relevant.mean(axis=1)
    random = np.random.default_rng(0)
    draws = [precision[random.integers(len(precision), size=len(precision))].mean() for _ in range(1000)]
    low, high = np.percentile(draws, [2.5, 97.5])
    reciprocal = np.where(relevant.any(1), 1 / (1 + relevant.argmax(1)), 0).mean()
    print(
        f"  {name:<28} {len(query):4d} queries  P@5 {precision.mean():.3f} [{low:.3f}, {high:.3f}] "
        f"chance {(shared > 0).mean():.3f}  MRR@5 {reciprocal:.3f}  "
        f"Jaccard@5 {np.take_along_axis(jaccard, found, axis=1).mean():.3f} chance {jaccard.mean():.3f}"
    )


def frozen_features(casebook: Casebook) -> np.ndarray:
    """Pooled features of the frozen image encoder, centred on the train part and normalised: search without heads."""
    record = casebook.manifest.dataset
    dataset = open_dataset(record.kind, None if record.root is None else Path(record.root), record.seed)
    system = casebook.system
    assert isinstance(system, Unified)
    cases = [replace(casebook.case(case_id), sections={}, codes=()) for case_id in casebook.case_ids]
    features = extract(dataset, cases, system, lambda done, of: None).image
    held = features.any(axis=1)
    features[held] -= features[held & (casebook.column("split") == "train")].mean(axis=0)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)


def evaluate(casebook: Casebook) -> None:
    """One line per space, and per baseline: frozen features for films, TF-IDF for reports."""
    print(f"{casebook.name}: {len(casebook)} cases{', synthetic films' if casebook.manifest.dataset.synthetic else ''}")
    labels = casebook.label_matrix.astype(np.float32)
    split = casebook.column("split")
    for space in casebook.spaces:
        held = casebook.has_vector(space)
        query = np.flatnonzero(held & (split == "test") & labels.any(axis=1))
        base = np.flatnonzero(held & (split == "train"))
        vectors = np.asarray(casebook.vectors(space), np.float32)
        report(space, labels, query, base, vectors[query] @ vectors[base].T)
        if space == "image":
            frozen = frozen_features(casebook)
            report("  frozen encoder, no head", labels, query, base, frozen[query] @ frozen[base].T)
        if space == "text":
            reports = casebook.column("report")
            tfidf = TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True, min_df=2).fit(reports[base])
            scores = (tfidf.transform(reports[query]) @ tfidf.transform(reports[base]).T).toarray()
            report("  TF-IDF cosine", labels, query, base, scores)
    if {"image", "text"} <= set(casebook.spaces):
        cross(casebook, split)


def cross(casebook: Casebook, split: np.ndarray) -> None:
    """Film to its own report among the test part's."""
    both = np.flatnonzero(casebook.has_vector("image") & casebook.has_vector("text") & (split == "test"))
    image, text = (np.asarray(casebook.vectors(space), np.float32)[both] for space in ("image", "text"))
    scores = image @ text.T
    rank = (scores > np.diag(scores)[:, None]).sum(axis=1)
    print(f"  film to own report: recall@10 of {len(both)} {np.mean(rank < 10):.3f}  chance {10 / len(both):.3f}")


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        evaluate(Casebook.open(folder))
