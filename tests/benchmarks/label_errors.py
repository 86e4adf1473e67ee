"""Are planted label errors found? `label_errors.py CASEBOOK [--share 0.05] [--seeds 3] [--unseen]`.

Of each label, a share of the cases that carry it lose it and as many others get it; where each case has one stage, a
share of the cases is moved to a neighbouring stage. Precision and recall are of single labels, at the cut confident
learning makes; AP is over all labels by suspicion, beside chance (the share of labels that are wrong).

The stored vectors come from a system that saw the true labels of the training part, so they make the task easier than
it is. `--unseen` reads features that never saw a label: the frozen image encoder and TF-IDF of the reports.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from explorer.casebook import Casebook
from explorer.quality.label_errors import suspects


def planted(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Labels [N, C] with errors put in."""
    random = np.random.default_rng(seed)
    wrong = labels.copy()
    if (labels.sum(axis=1) == 1).all():
        stages = labels.argmax(axis=1)
        for row in random.choice(len(stages), round(share * len(stages)), replace=False):
            near = [stage for stage in (stages[row] - 1, stages[row] + 1) if 0 <= stage < labels.shape[1]]
            wrong[row] = np.arange(labels.shape[1]) == random.choice(near)
        return wrong
    for column in range(labels.shape[1]):
        carrying, others = np.flatnonzero(labels[:, column]), np.flatnonzero(~labels[:, column])
        count = max(1, round(share * len(carrying)))
        wrong[random.choice(carrying, count, replace=False), column] = False
        wrong[random.choice(others, count, replace=False), column] = True
    return wrong


def unseen_features(casebook: Casebook) -> dict[str, np.ndarray]:
    """Features of cases that no label had a part in, L2-normalised."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    from index_builder.cases.table import CaseRows
    from index_builder.evaluation.baselines import frozen_encoder
    from index_builder.evaluation.embedding import frozen_features
    from index_builder.evaluation.stored import StoredCases

    cases = CaseRows(casebook.table)
    dataset = StoredCases(casebook.manifest.dataset, cases)
    films = frozen_features(frozen_encoder(casebook.system), dataset, cases, casebook.system.prepare, lambda *_: None)
    films = (films - films.mean(0)) / films.std(0).clip(1e-6)
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform([c.report for c in cases])
    reports = TruncatedSVD(128, random_state=0).fit_transform(words)
    found = {"films, frozen encoder": unit(films), "reports, TF-IDF": unit(reports)}
    return found | {"both, unseen": unit(np.hstack(list(found.values())))}


def unit(features: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return (features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-9)).astype(np.float32)


def main() -> None:
    """Plant, look, count."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("casebook", type=Path)
    arguments.add_argument("--share", type=float, default=0.05)
    arguments.add_argument("--seeds", type=int, default=3, help="seeds 1 and on; seed 0 chose the regularisation")
    arguments.add_argument("--unseen", action="store_true")
    args = arguments.parse_args()
    casebook = Casebook.open(args.casebook)
    features = {
        f"{space} vectors": casebook.vectors(space).astype(np.float32)
        for space in casebook.spaces
        if casebook.has_vector(space).all()
    }
    if args.unseen:
        features |= unseen_features(casebook)
    truth, names, patients = casebook.label_matrix, casebook.label_names, casebook.column("patient_id")
    print(f"{casebook.name}: {len(casebook)} cases, {len(names)} labels, {args.share:.0%} planted, {args.seeds} seeds")
    for title, vectors in features.items():
        rows = []
        for seed in range(1, args.seeds + 1):
            given = planted(truth, args.share, seed)
            wrong = given != truth
            if (truth.sum(axis=1) == 1).all():
                wrong &= given  # of a moved stage, the one that is given is the error
            found = np.zeros(truth.shape)
            for one in suspects(vectors, given, names, patients, lambda *_: None)[0]:
                found[one.row, names.index(one.label)] = 1 + abs(one.probability - one.given)
            hit = (found > 0) & wrong
            rows.append(
                (wrong.sum(), (found > 0).sum(), hit.sum() / max(1, (found > 0).sum()), hit.sum() / wrong.sum(),
                 average_precision_score(wrong.ravel(), found.ravel()), wrong.mean())
            )  # fmt: skip
        planted_count, told, precision, recall, ranked, chance = np.mean(rows, axis=0)
        low, high = np.min(rows, axis=0), np.max(rows, axis=0)
        print(
            f"{title:24s} {planted_count:5.0f} planted {told:5.0f} suspected  "
            f"precision {precision:.2f} [{low[2]:.2f}, {high[2]:.2f}]  "
            f"recall {recall:.2f} [{low[3]:.2f}, {high[3]:.2f}]  AP {ranked:.2f} (chance {chance:.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
