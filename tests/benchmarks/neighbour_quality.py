"""How often the nearest cases share a finding, beside chance and TF-IDF, on casebooks built beforehand.

    python tests/benchmarks/neighbour_quality.py CASEBOOK…

Queries are the test part, neighbours come from the train part ("test to train"). A neighbour is relevant when it
carries at least one label of the query; queries without a label are left out. Intervals: 95 % bootstrap over queries.
"""

import sys

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from explorer.casebook import Casebook

K = 5


def nearest(scores: np.ndarray) -> np.ndarray:
    """Columns of the K highest scores of each row."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def report(name: str, relevant: np.ndarray, chance: float) -> None:
    """Print P@5 with its interval, MRR and chance of one way to search."""
    random = np.random.default_rng(0)
    precision = relevant.mean(axis=1)
    draws = [precision[random.integers(len(precision), size=len(precision))].mean() for _ in range(1000)]
    low, high = np.percentile(draws, [2.5, 97.5])
    reciprocal = np.where(relevant.any(1), 1 / (1 + relevant.argmax(1)), 0).mean()
    print(
        f"  {name:<28} {len(precision):5d} queries  P@5 {precision.mean():.3f} [{low:.3f}, {high:.3f}]  "
        f"MRR@5 {reciprocal:.3f}  chance {chance:.3f}"
    )


def evaluate(casebook: Casebook) -> None:
    """One line per space, and TF-IDF where there are reports."""
    print(f"{casebook.name}: {len(casebook)} cases{', synthetic films' if casebook.manifest.dataset.synthetic else ''}")
    labels = casebook.label_matrix.astype(np.float32)
    split = casebook.column("split")
    for space in casebook.spaces:
        held = casebook.has_vector(space)
        query = np.flatnonzero(held & (split == "test") & labels.any(axis=1))
        base = np.flatnonzero(held & (split == "train"))
        shared = labels[query] @ labels[base].T > 0
        vectors = np.asarray(casebook.vectors(space), np.float32)
        found = nearest(vectors[query] @ vectors[base].T)
        report(space, np.take_along_axis(shared, found, axis=1), float(shared.mean()))
        if space == "text":
            reports = casebook.column("report")
            tfidf = TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True, min_df=2).fit(reports[base])
            scores = (tfidf.transform(reports[query]) @ tfidf.transform(reports[base]).T).toarray()
            relevant = np.take_along_axis(shared, nearest(scores), axis=1)
            report("TF-IDF cosine, same reports", relevant, float(shared.mean()))
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
