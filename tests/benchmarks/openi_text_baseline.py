"""What the report text alone tells: TF-IDF with logistic regression, and TF-IDF retrieval, on the Open-i classes.

A text or joint model that does not beat these lines is not worth its weights. Run from the project's root:

    python tests/benchmarks/openi_text_baseline.py

Classification: TF-IDF of 1- to 3-grams (sublinear, seen in two training reports or more), one logistic regression
per class (C = 10, balanced), trained on the split "train", decision threshold per class chosen on "val" for F1, scored
on "test", macro averaged. Retrieval: historical protocol, each test report queries the training reports by TF-IDF
cosine; a hit shares at least one class. Reports without text or without a class are left out on both sides.
"""

from __future__ import annotations

import time

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier

from index_builder.datasets.base import SPLITS
from index_builder.datasets.openi import OpenI
from index_builder.labels import OPENI_LABELS


def main() -> None:
    """Print the table of classes, the macro figures and the retrieval figures."""
    start = time.perf_counter()
    cases = [case for case in OpenI().cases() if case.labels and case.report]
    truth = np.array([[label in case.labels for label in OPENI_LABELS] for case in cases])
    split = np.array([case.split for case in cases])
    vectorizer = TfidfVectorizer(ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    texts = [case.report.lower().replace("xxxx", " ") for case in cases]
    vectorizer.fit([text for text, part in zip(texts, split, strict=True) if part == "train"])
    features = vectorizer.transform(texts)
    train, val, test = (np.flatnonzero(split == part) for part in SPLITS)

    model = OneVsRestClassifier(LogisticRegression(C=10, class_weight="balanced", max_iter=500))
    model.fit(features[train], truth[train])
    thresholds = _best_thresholds(truth[val], model.predict_proba(features[val]))
    scores = model.predict_proba(features[test])
    predicted = scores >= thresholds
    table = Table("class", "reports", "test", "AUROC", "AP", "F1", title="Open-i, findings and impression, test split")
    rows = []
    for column, label in enumerate(OPENI_LABELS):
        known = truth[test, column]
        row = (
            roc_auc_score(known, scores[:, column]),
            average_precision_score(known, scores[:, column]),
            f1_score(known, predicted[:, column]),
        )
        rows.append(row)
        table.add_row(label, str(truth[:, column].sum()), str(known.sum()), *(f"{value:.3f}" for value in row))
    table.add_row("macro", str(len(cases)), str(len(test)), *(f"{value:.3f}" for value in np.mean(rows, axis=0)))
    console = Console(width=120)
    console.print(table)
    at_half = f1_score(truth[test], scores >= 0.5, average="macro")
    console.print(
        f"macro F1 at threshold 0.5: {at_half:.3f}; reports train/val/test {len(train)}/{len(val)}/{len(test)}"
    )

    similarity = (features[test] @ features[train].T).toarray()
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :5]
    relevant = (truth[test].astype(int) @ truth[train].T.astype(int)) > 0
    hits = np.take_along_axis(relevant, nearest, axis=1)
    abnormal = ~truth[test, OPENI_LABELS.index("Normal")]
    console.print(
        f"test->train retrieval, shares a class: P@5 {hits.mean():.3f} (chance {relevant.mean():.3f}); "
        f"abnormal queries only: P@5 {hits[abnormal].mean():.3f} (chance {relevant[abnormal].mean():.3f})"
    )
    console.print(f"{time.perf_counter() - start:.1f} s")


def _best_thresholds(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Threshold per class with the highest F1; [classes] float."""
    best = []
    for column in range(truth.shape[1]):
        precision, recall, thresholds = precision_recall_curve(truth[:, column], scores[:, column])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        best.append(thresholds[int(np.argmax(f1[:-1]))])
    return np.array(best)


if __name__ == "__main__":
    main()
