"""`siclip` on real films: COVID-19 against other findings by the vote of neighbours, beside image-only baselines.

    python tests/benchmarks/covid_systems.py COVID_FOLDER [HANNOVER_FOLDER]

The system is trained by the project's own loop on frozen encoders that never saw these cases (EfficientNet-Lite0 of
ImageNet under a trained pyramid; MiniLM), in five folds by patient (copies kept together, see `covid_grouped_cv`),
three times: folds, weights and order by seed. A quarter of the training part chooses the number of voters and their
weights, then votes with the rest. The profile is age, sex, days since onset and symptoms found in the notes; no other
word of them is read. With Hannover's folder, an arm trains on its films too; all of them show COVID-19.

The image encoder of the shipped `unified` is no arm: it learnt from these films.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np
import torch
from covid_folds import RESAMPLES, SEEDS, SMALL, LookOnce, gained, gathered, parts, told, trained, write_manifest
from covid_grouped_cv import LABEL, TELLING, film_features, groups_of, held_out_scores, text_features
from numpy.typing import NDArray

from index_builder.calibration.bootstrap import resampled_weights
from index_builder.calibration.ranks import auroc_and_ap
from index_builder.calibration.voting import vote, vote_settings
from index_builder.cases.profile import profile_sentence
from index_builder.cases.space import Space
from index_builder.datasets import open_dataset
from index_builder.datasets.base import Case
from index_builder.imaging import model_input
from index_builder.systems.siclip import SiClipConfig
from index_builder.training.cases import TrainingCases
from index_builder.training.schedule import Schedule
from index_builder.training.validate import embed_cases, targets

SYMPTOMS = {
    "cough": r"cough\w*",
    "sputum": r"sputum|expectorat\w+|productive cough",
    "haemoptysis": r"ha?emoptysis",
    "dyspnoea": r"dyspn\w+|short(?:ness)? of breath|breathless\w*|difficulty (?:in )?breathing|tachypn\w+",
    "wheeze": r"wheez\w+",
    "chest_pain": r"chest (?:pain|tightness|discomfort)|thoracic pain",
    "fever": r"fever\w*|febrile|pyrexi\w+",
    "night_sweats": r"(?:night )?sweats|chills",
    "fatigue": r"fatigue\w*|astheni\w+|malaise|weakness|tired\w*",
    "weight_loss": r"weight loss|loss of weight",
    "myalgia": r"myalgi\w*|arthralgi\w*|muscle (?:pain|ache)\w*|body ache\w*",
    "headache": r"headache\w*|cephalea",
    "sore_throat": r"sore throat|pharyngitis|throat pain|odynophagia",
    "diarrhoea": r"diarrh?o?ea|vomit\w*|nausea",
    "loss_of_smell": r"anosmia|ageusia|loss of (?:smell|taste)",
}
_DENIED = re.compile(r"\b(?:no|not|without|denie[sd]|denying|absence of|nor)\b(?:\W+\w+){0,4}\W*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Arm:
    """A training: whether it reads profiles, the weight of the contrast between films, and Hannover's films too."""

    name: str
    profile: bool
    image_contrast: float
    hannover: bool = False


ARMS = (
    Arm("siclip, film alone", False, 1.0),
    Arm("siclip", True, 1.0),
    Arm("siclip, published loss (image_contrast 0)", True, 0.0),
)
WITH_HANNOVER = Arm("siclip, Hannover's films in training too", True, 1.0, hannover=True)


def symptoms(notes: str) -> dict[str, bool]:
    """Symptoms that notes mention: True, or False where every mention is denied."""
    text, found = TELLING.sub(" ", notes), {}
    for name, pattern in SYMPTOMS.items():
        for mention in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE):
            before = re.split(r"[.;:]", text[: mention.start()])[-1]
            found[name] = found.get(name, False) or not _DENIED.search(before)
    return found


def profile_of(case: Case) -> dict[str, object]:
    """What `siclip` is told of a patient."""
    known: dict[str, object] = {name: case.profile[name] for name in ("age", "sex") if name in case.profile}
    if "offset" in case.profile:
        known["days_since_onset"] = case.profile["offset"]
    return known | symptoms(case.report)


def manifest_rows(dataset: str, root: Path) -> tuple[list[Case], list[dict[str, object]]]:
    """Cases of a collection with a film, and their rows of the manifest that is trained on."""
    cases = [case for case in open_dataset(dataset, root).cases() if case.image is not None]
    names = ("age", "sex", "days_since_onset", *SYMPTOMS)
    rows = []
    for case in cases:
        profile = profile_of(case)
        own = {name: profile.get(name, "") for name in names}
        label = LABEL if LABEL in case.labels else "other"
        rows.append(
            {
                "id": f"{dataset} {case.case_id}",
                "image": root / str(case.image),
                "label": label,
                "split": "train",
                **own,
            }
        )
    return cases, rows


def votes(
    arm: Arm, cases: TrainingCases, count: int, truth: NDArray, groups: NDArray, seed: int, once: LookOnce
) -> dict[Space, NDArray[np.float64]]:
    """Share of the vote for COVID-19 of each of the first `count` cases, [count], by what asks, each by its fold.

    Where a case has no profile, its film asks alone.
    """
    if not arm.profile:
        cases = replace(cases, examples=[replace(one, texts=()) for one in cases.examples])
    if not arm.hannover:
        cases = replace(cases, examples=cases.examples[:count])
    config = SiClipConfig(**SMALL, image_contrast=arm.image_contrast)
    schedule = Schedule(epochs=12, validate_every=12, views=2, seed=seed)
    column = cases.label_names.index(LABEL)
    found: dict[Space, NDArray[np.float64]] = {space: np.zeros(count) for space in ("image", "text", "joint")}
    for part in parts(truth, groups, seed, val=True):
        whole = np.append(part, np.full(len(cases.examples) - count, "train"))
        system, split = trained(config, cases, whole, schedule, once)
        vectors = {one: embed_cases(system, split, one) for one in ("train", "val", "test")}
        labels = {one: targets(split, one)[0] for one in ("train", "val")}
        known = {one: np.ones(labels[one].shape, bool) for one in labels}
        chosen = vote_settings(
            vectors["val"], vectors["train"], labels["val"], labels["train"], known["val"], known["train"]
        )
        for space, temperature in chosen["vote_temperatures"].items():
            base = np.concatenate([vectors[one][space] for one in ("train", "val")])
            voters = base.any(1)
            asks = vectors["test"][space].any(1)
            similarity = vectors["test"][space][asks] @ base[voters].T
            carried = np.concatenate([labels["train"], labels["val"]])[voters]
            shares = vote(similarity, carried, chosen["vote_neighbours"], temperature).probabilities[:, column]
            rows = np.flatnonzero(part == "test")
            if space != "image":
                found[space][rows] = found["image"][rows]
            found[space][rows[asks]] = shares
    return found


def main() -> None:
    """Print one line per arm."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    dataset = open_dataset("covid", root)
    cases, rows = manifest_rows("covid", root)
    films = [model_input(dataset.load_film(str(case.image)).pixels, 224) for case in cases]
    truth = np.array([LABEL in case.labels for case in cases])
    groups = groups_of(cases, films)
    for row, group in zip(rows, groups, strict=True):
        row["patient"] = f"covid {group}"
    arms = ARMS
    if len(sys.argv) == 3:
        more, more_rows = manifest_rows("hannover", Path(sys.argv[2]))
        rows += [{**row, "patient": f"hannover {case.patient_id}"} for case, row in zip(more, more_rows, strict=True)]
        arms = (*ARMS, WITH_HANNOVER)
    print(f"{len(cases)} films, {len(np.unique(groups))} groups of patients, {truth.sum()} with {LABEL}; seeds {SEEDS}")
    image = film_features(films)
    profiles = [profile_sentence(profile_of(case)) for case in cases]  # type: ignore[arg-type]
    print(
        f"{sum(map(bool, profiles))} with a profile, {sum(bool(symptoms(case.report)) for case in cases)} with symptoms"
    )
    weights = resampled_weights(len(cases), resamples=RESAMPLES, groups=groups)
    shown: dict[str, NDArray[np.float64]] = {}
    for name, scores in scored(image, profiles, rows, arms, truth, groups):
        seeds = np.stack([auroc_and_ap(one, truth, weights)[0] for one in scores])
        shown[name] = seeds.mean(0)
        gains = [f"over {base}: {gained(shown[name], shown[base])}" for base in BASES if base in shown and base != name]
        spread = " ".join(f"{value:.3f}" for value in seeds[:, 0])
        print(f"{name:58s} AUROC {told(shown[name])} (seeds {spread})  {'; '.join(gains)}  {process_time():.0f} s CPU")
        sys.stdout.flush()


BASES = ("logistic regression, film", "siclip, film alone: film")


def scored(
    image: NDArray,
    profiles: list[str],
    rows: list[dict[str, object]],
    arms: tuple[Arm, ...],
    truth: NDArray,
    groups: NDArray,
) -> Iterator[tuple[str, list[NDArray[np.float64]]]]:
    """Name of each arm and its scores [N] of COVID-19, one array a seed."""
    with_profile = np.concatenate([image, text_features(profiles)], 1)
    yield BASES[0], [held_out_scores(image, truth, groups, seed) for seed in SEEDS]
    yield "logistic regression, film + profile", [held_out_scores(with_profile, truth, groups, seed) for seed in SEEDS]
    yield "nearest neighbours of the same features, film", [neighbours(image, truth, groups, seed) for seed in SEEDS]
    columns = {
        "case_id": "id", "patient_id": "patient", "image": "image", "labels": "label", "split": "split",
        "profile": ["age", "sex", "days_since_onset", *SYMPTOMS],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as work:
        folder = write_manifest(Path(work) / "manifest", rows, columns)
        gathered_cases = gathered(folder, "siclip", Path(work))
        once = LookOnce(Path(work) / "seen")
        for arm in arms:
            found = [votes(arm, gathered_cases, len(truth), truth, groups, seed, once) for seed in SEEDS]
            yield f"{arm.name}: film", [one["image"] for one in found]
            if arm.profile:
                yield f"{arm.name}: film + profile", [one["joint"] for one in found]
                yield f"{arm.name}: profile", [one["text"] for one in found]


def neighbours(features: NDArray, truth: NDArray, groups: NDArray, seed: int) -> NDArray[np.float64]:
    """[N]: share of the vote of the nearest training films by frozen features, chosen as the system's vote is."""
    found, labels = np.zeros(len(truth)), truth[:, None].astype(np.float32)
    for part in parts(truth, groups, seed, val=True):
        train, val, test = (np.flatnonzero(part == one) for one in ("train", "val", "test"))
        mean, spread = features[train].mean(0), features[train].std(0) + 1e-6
        scaled = (features - mean) / spread
        scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
        nothing = np.zeros_like(scaled)
        held, base = ({"image": scaled[one], "text": nothing[one], "joint": nothing[one]} for one in (val, train))
        known = np.ones(labels.shape, bool)
        chosen = vote_settings(held, base, labels[val], labels[train], known[val], known[train])
        voters = np.append(train, val)
        shares = vote(
            scaled[test] @ scaled[voters].T, labels[voters], chosen["vote_neighbours"], chosen["vote_temperature"]
        )
        found[test] = shares.probabilities[:, 0]
    return found


if __name__ == "__main__":
    main()
