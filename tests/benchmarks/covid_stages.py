"""`mskpt` on real films: how far opacities reach in COVID-19, in ordered stages, beside image-only baselines.

    python tests/benchmarks/covid_stages.py COVID_FOLDER

The 78 scored films of the COVID-19 image data collection become a manifest with `label_kind: stages`. The mean score of
extent of three raters (`geographic_mean`, 0 to 8) is cut at 2 and 4; a fourth stage above 6 would have nine films. Five
folds by patient (copies kept together), three times: folds, weights and order by seed. Notes are the reports of the
first phase; the stage of a test film is read from the film alone. Encoders as in `covid_systems`. The last epoch is
kept and nothing is chosen: a validation part of a dozen films would choose by luck.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from covid_folds import RESAMPLES, SEEDS, SMALL, LookOnce, gained, gathered, parts, told, trained, write_manifest
from covid_grouped_cv import film_features, groups_of
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from index_builder.calibration.bootstrap import resampled_weights
from index_builder.calibration.ranks import auroc_and_ap
from index_builder.datasets import open_dataset
from index_builder.imaging import model_input
from index_builder.systems.mskpt import MskPtConfig
from index_builder.training.cases import TrainingCases
from index_builder.training.choices import probabilities_of
from index_builder.training.schedule import Schedule
from index_builder.training.validate import embed_cases

STAGES = ("0 to 2", "over 2 to 4", "over 4 to 8")
CUTS = (2.0, 4.0)
#: Share of the films that are answered where the least certain are not.
SURE = 0.8

#: Settings of `mskpt` by arm, and the phases that are trained; None: all.
ARMS: dict[str, tuple[dict[str, Any], tuple[str, ...] | None]] = {
    "mskpt without pretraining (films and stages alone)": ({"distillation": 0.0}, ("distil",)),
    "mskpt": ({}, None),
}
BASE = "logistic regression of frozen features"


def solver() -> GridSearchCV:
    """Logistic regression, its C chosen inside the training part, as in `covid_grouped_cv`."""
    return GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000, class_weight="balanced")),
        {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1]},
        scoring="neg_log_loss",
        cv=GroupKFold(3),
    )


def softmax_regression(features: NDArray, stage: NDArray, groups: NDArray, test: NDArray) -> NDArray[np.float64]:
    """[n, C] of test films: one regression of all stages."""
    return solver().fit(features[~test], stage[~test], groups=groups[~test]).predict_proba(features[test])


def ordinal_regression(features: NDArray, stage: NDArray, groups: NDArray, test: NDArray) -> NDArray[np.float64]:
    """The same, a regression for each threshold: "beyond stage k?" (Frank and Hall, ECML 2001)."""
    beyond = [np.ones(test.sum())]
    for step in range(len(CUTS)):
        fitted = solver().fit(features[~test], stage[~test] > step, groups=groups[~test])
        beyond.append(np.minimum(fitted.predict_proba(features[test])[:, 1], beyond[-1]))
    return -np.diff(np.stack([*beyond, np.zeros(test.sum())], 1), axis=1)


def staged(
    name: str, cases: TrainingCases, stage: NDArray, groups: NDArray, seed: int, once: LookOnce
) -> NDArray[np.float64]:
    """[N, C]: stage probabilities of each film alone, by the fold that did not train on it."""
    settings, phases = ARMS[name]
    found = np.zeros((len(stage), len(STAGES)))
    schedule = Schedule(epochs=20, batch=16, validate_every=20, views=2, seed=seed)
    for part in parts(stage, groups, seed, val=False):
        system, split = trained(MskPtConfig(**SMALL, **settings), cases, part, schedule, once, phases)
        assert split.label_names == STAGES, "the manifest's order is that of the classifier"
        found[part == "test"] = probabilities_of(system, embed_cases(system, split, "test")["image"])
    return found


def figures(probabilities: NDArray, stage: NDArray, weights: NDArray) -> dict[str, NDArray[np.float64]]:
    """Figures of one run, each [1 + B], the first of all films."""
    count, called = len(STAGES), probabilities.argmax(1)
    pairs = np.eye(count * count)[stage * count + called]
    confusion = (weights @ pairs).reshape(-1, count, count)
    confusion /= confusion.sum((1, 2), keepdims=True)
    apart = np.abs(np.arange(count)[:, None] - np.arange(count))
    chance = confusion.sum(2)[:, :, None] * confusion.sum(1)[:, None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = 1 - (confusion * apart**2).sum((1, 2)) / (chance * apart**2).sum((1, 2))
    surest = np.argsort(-probabilities.max(1), kind="stable")[: round(SURE * len(stage))]
    answered = weights[:, surest]
    return {
        "accuracy": np.trace(confusion, axis1=1, axis2=2),
        "macro AUROC": np.mean([auroc_and_ap(probabilities[:, k], stage == k, weights)[0] for k in range(count)], 0),
        "quadratic kappa": kappa,
        "MAE": (confusion * apart).sum((1, 2)),
        f"error of surest {SURE:.0%}": (answered @ (called != stage)[surest]) / answered.sum(1),
    }


def scored(
    rows: list[dict[str, object]], image: NDArray, stage: NDArray, groups: NDArray
) -> Iterator[tuple[str, list[NDArray[np.float64]]]]:
    """Name of each arm and its probabilities [N, C], one array a seed."""
    baselines: dict[str, Callable[..., NDArray[np.float64]]] = {
        BASE: softmax_regression,
        "the same, a threshold at a time (ordinal)": ordinal_regression,
    }
    for name, regression in baselines.items():
        found = np.zeros((len(SEEDS), len(stage), len(STAGES)))
        for number, seed in enumerate(SEEDS):
            for part in parts(stage, groups, seed, val=False):
                test = part == "test"
                found[number, test] = regression(image, stage, groups, test)
        yield name, list(found)
    columns = {
        "case_id": "id", "patient_id": "patient", "image": "image", "sections": {"notes": "notes"}, "labels": "stage",
        "split": "split", "label_kind": "stages", "stages": list(STAGES),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as work:
        folder = write_manifest(Path(work) / "manifest", rows, columns)
        cases, once = gathered(folder, "mskpt", Path(work)), LookOnce(Path(work) / "seen")
        for name in ARMS:
            yield name, [staged(name, cases, stage, groups, seed, once) for seed in SEEDS]


def main() -> None:
    """Print one line per arm."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    dataset = open_dataset("covid", root)
    cases = [case for case in dataset.cases() if case.image is not None and "geographic_mean" in case.profile]
    films = [model_input(dataset.load_film(str(case.image)).pixels, 224) for case in cases]
    groups = groups_of(cases, films)
    stage = np.searchsorted(CUTS, [float(case.profile["geographic_mean"]) for case in cases])
    rows: list[dict[str, object]] = [
        {
            "id": case.case_id,
            "patient": f"patient {group}",
            "image": root / str(case.image),
            "notes": case.report,
            "stage": STAGES[own],
            "split": "train",
        }
        for case, group, own in zip(cases, groups, stage.tolist(), strict=True)
    ]
    counts = ", ".join(f"{name}: {(stage == number).sum()}" for number, name in enumerate(STAGES))
    print(f"{len(cases)} films, {len(np.unique(groups))} groups of patients; {counts}; seeds {SEEDS}")
    weights = resampled_weights(len(cases), resamples=RESAMPLES, groups=groups)
    base: dict[str, NDArray[np.float64]] = {}
    for name, runs in scored(rows, film_features(films), stage, groups):
        each = [figures(one, stage, weights) for one in runs]
        mean = {figure: np.nanmean([one[figure] for one in each], 0) for figure in each[0]}
        base = base or mean
        print(f"{name} ({process_time():.0f} s CPU)")
        for figure, values in mean.items():
            gain = "" if mean is base else f"  against {BASE}: {gained(values, base[figure])}"
            spread = " ".join(f"{one[figure][0]:.3f}" for one in each)
            print(f"    {figure:22s} {told(values)} (seeds {spread}){gain}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
