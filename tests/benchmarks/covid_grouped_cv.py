"""COVID-19 against other findings: what notes and profile add to the film, by patient-grouped cross-validation.

    python tests/benchmarks/covid_grouped_cv.py COVID_FOLDER

Features of encoders that never saw these cases (EfficientNet-Lite0 of ImageNet, pooled over its last two resolutions;
MiniLM) and the profile's fields; one logistic regression per fold, its C chosen by an inner grouped cross-validation.
Folds keep patients together, and films that are copies of each other under different patient numbers. Notes that name
the disease or its test would give the answer away, so every arm is also scored with those words taken out.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from index_builder.cases.case import Case
from index_builder.cases.profile import profile_sentence
from index_builder.datasets import open_dataset
from index_builder.imaging import model_input
from index_builder.systems.backbones.encoders import ImageEncoder, TextEncoder
from index_builder.systems.backbones.pyramid import feature_maps

LABEL = "COVID-19"
FOLDS = 5
RESAMPLES = 2_000
TELLING = re.compile(
    r"\b(covid\w*|sars\w*|cov-?2|n?cov\w*|corona\w*|pcr|rt-pcr|wuhan|hubei|pandemic|swab\w*|mers\w*|pneumocystis\w*|"
    r"positive|negative|test\w*|pneumonia\w*)\b[-\d]*",
    re.IGNORECASE,
)


@torch.inference_mode()
def film_features(films: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """[N, d] float32: mean and maximum of each feature map."""
    encoder = ImageEncoder("package:efficientnet-lite0", 224, pretrained=True).eval()
    rows = []
    for start in range(0, len(films), 32):
        pixels = torch.from_numpy(np.stack(films[start : start + 32]))
        pixels = (pixels[:, None].expand(-1, 3, -1, -1) - encoder.mean) / encoder.std
        maps = feature_maps(encoder.backbone, pixels, 2)
        rows.append(torch.cat([part for one in maps for part in (one.mean((2, 3)), one.amax((2, 3)))], 1))
    return torch.cat(rows).numpy()


@torch.inference_mode()
def text_features(texts: list[str]) -> NDArray[np.float32]:
    """[N, d] float32: mean of the word pieces; zero for an empty text."""
    encoder = TextEncoder("package:minilm", pretrained=True).eval()
    out = np.zeros((len(texts), encoder.dim), np.float32)
    for row, text in enumerate(texts):
        if text.strip():
            tokens, mask = encoder([text])
            out[row] = tokens[0][mask[0]].mean(0).numpy()
    return out


def groups_of(cases: list[Case], films: list[NDArray[np.float32]]) -> NDArray[np.int64]:
    """Number of each case's group: one patient, or patients who share a film."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for case, film in zip(cases, films, strict=True):
        parent[root("film " + hashlib.sha256(film.tobytes()).hexdigest())] = root("patient " + case.patient_id)
    names = sorted({root("patient " + case.patient_id) for case in cases})
    return np.array([names.index(root("patient " + case.patient_id)) for case in cases])


def held_out_scores(features: NDArray, truth: NDArray, groups: NDArray) -> NDArray[np.float64]:
    """[N]: probability of each case by the fold that did not train on it."""
    scores = np.zeros(len(truth))
    for fold, (train, test) in enumerate(
        StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(features, truth, groups)
    ):
        inner = StratifiedGroupKFold(3, shuffle=True, random_state=fold)
        model = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000, class_weight="balanced")),
            {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1]},
            scoring="roc_auc",
            cv=list(inner.split(features[train], truth[train], groups[train])),
        )
        scores[test] = model.fit(features[train], truth[train]).predict_proba(features[test])[:, 1]
    return scores


def resamples(groups: NDArray) -> list[NDArray[np.int64]]:
    """Rows of each bootstrap sample of groups."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    return [
        np.concatenate([members[one] for one in rng.integers(0, len(members), len(members))]) for _ in range(RESAMPLES)
    ]


def main() -> None:
    """Print one line per arm."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    dataset = open_dataset("covid", Path(sys.argv[1]))
    cases = [case for case in dataset.cases() if case.image is not None]
    films = [model_input(dataset.load_film(str(case.image)).pixels, 224) for case in cases]
    truth = np.array([LABEL in case.labels for case in cases])
    groups = groups_of(cases, films)
    image = film_features(films)
    notes = [case.report for case in cases]
    profiles = [profile_sentence({k: v for k, v in case.profile.items() if k in ("age", "sex")}) for case in cases]
    masked = [TELLING.sub(" ", text) for text in notes]
    arms = {
        "film": [image],
        "film + profile": [image, text_features(profiles)],
        "film + notes + profile": [image, text_features(notes), text_features(profiles)],
        "film + notes without telling words + profile": [image, text_features(masked), text_features(profiles)],
        "notes without telling words": [text_features(masked)],
    }
    print(f"{len(cases)} films, {len(np.unique(groups))} groups of patients, {truth.sum()} with {LABEL}; {FOLDS} folds")
    samples = resamples(groups)
    base = None
    for name, parts in arms.items():
        scores = held_out_scores(np.concatenate(parts, 1), truth, groups)
        found = np.array([roc_auc_score(truth[rows], scores[rows]) for rows in samples])
        base = found if base is None else base
        low, high = np.percentile(found, [2.5, 97.5])
        gain = np.percentile(found - base, [2.5, 97.5])
        print(
            f"{name:46s} AUROC {roc_auc_score(truth, scores):.3f} [{low:.3f}, {high:.3f}]  "
            f"gain over film {np.mean(found - base):+.3f} [{gain[0]:+.3f}, {gain[1]:+.3f}]"
        )


if __name__ == "__main__":
    main()
