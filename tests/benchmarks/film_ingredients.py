"""What each ingredient adds to reading real films: `unified`'s image side trained small, whole and without a part.

    python tests/benchmarks/film_ingredients.py REAL [--seeds 3] [--only full "- laterals"] [--out runs.jsonl]

REAL holds the folders of the real collections (docs/reference/systems.md). The image encoder begins with ImageNet's
weights and the towers anew; what reads texts, and the classifier, are the shipped ones and the same for all variants.
Films have 128 px, a sixth of the shipped encoder's pixels per film and a fraction of its epochs, so compare the rows
and not their height. Scored is the running average of the weights after the last epoch, on Open-i's test part, film
alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from index_builder.cases.case import Case
from index_builder.datasets import open_dataset
from index_builder.evaluation.prediction import classifier_logits
from index_builder.imaging import model_input
from index_builder.systems.registry import load_system
from index_builder.systems.shipped import checkpoint_for
from index_builder.systems.unified import Unified, UnifiedConfig
from index_builder.training.cases import Source, TrainingCases, gather
from index_builder.training.loop import fit
from index_builder.training.schedule import Schedule

SIZE = 128
KEPT = ("text_encoder", "text_tower", "classifier")
FOLDERS = (
    ("openi", "openi_films"), ("nih", "nih_sample"), ("nih", "nih_64px"), ("covid", "covid_sample"),
    ("radiography", "radiography_db"), ("hannover", "hannover_covid"), ("jsrt", "jsrt"),
    ("folder", "paediatric_pneumonia"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Variant:
    """What one run learns from."""

    fraction: float = 1.0
    laterals: bool = True
    phantoms: bool = True
    others: bool = True
    contrast: float = 0.3
    whole: bool = True
    augmentation: str = "strong"
    average: float = 0.998


VARIANTS = {
    "full": Variant(),
    "25 % of Open-i's films": Variant(fraction=0.25),
    "50 % of Open-i's films": Variant(fraction=0.5),
    "- laterals": Variant(laterals=False),
    "- phantoms": Variant(phantoms=False),
    "- other real collections": Variant(others=False),
    "- contrast with reports": Variant(contrast=0.0),
    "- training of the encoder": Variant(whole=False),
    "- strong views": Variant(augmentation="weak"),
    "- running average": Variant(average=0.0),
}


def chosen(cases: TrainingCases, variant: Variant, primary: set[int], seed: int) -> TrainingCases:
    """The training cases of a variant; validation is not looked at."""
    luck = np.random.default_rng(seed).random(len(cases.examples))
    examples = []
    for number, example in enumerate(cases.examples):
        name = cases.groups[example.group]
        ours = name == "openi"
        if (
            example.split != "train"
            or (ours and (luck[number] >= variant.fraction or (not variant.laterals and example.film not in primary)))
            or (name.startswith("phantom") and not variant.phantoms)
            or (not ours and not name.startswith("phantom") and not variant.others)
        ):
            continue
        examples.append(example)
    return replace(cases, examples=examples)


def trained(cases: TrainingCases, variant: Variant, epochs: int, seed: int, shipped: Unified) -> Unified:
    """A system whose text side is the shipped one."""
    config = UnifiedConfig.model_validate(
        shipped.config.model_dump()
        | {"image_size": SIZE, "trained_image_stages": 6 if variant.whole else 0, "joint": 0.0}
        | {"contrast": variant.contrast, "label_names": cases.label_names, "withheld": {}}
    )
    torch.manual_seed(seed)
    system = Unified(config)
    for part in KEPT:
        getattr(system, part).load_state_dict(getattr(shipped, part).state_dict())
    schedule = Schedule(
        epochs=epochs, batch=32, learning_rate=1e-3, encoder_learning_rate=5e-4, weight_decay=0.1, views=0, seed=seed,
        augmentation=variant.augmentation, average=variant.average, kept=KEPT,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        fit(system, cases, schedule, Path(folder), lambda *_: None)
    return system.eval()


@torch.inference_mode()
def scored(system: Unified, films: np.ndarray, truth: np.ndarray, columns: list[int]) -> dict[str, float]:
    """Macro AUROC and AP of test films [N, S, S]."""
    vectors = [
        system.encode_images(torch.from_numpy(films[start : start + 64])).vector for start in range(0, len(films), 64)
    ]
    logits = classifier_logits(system, torch.cat(vectors).numpy())
    assert logits is not None
    usable = [one for one in range(len(columns)) if truth[:, one].any() and not truth[:, one].all()]
    return {
        "AUROC": float(np.mean([roc_auc_score(truth[:, one], logits[:, columns[one]]) for one in usable])),
        "AP": float(np.mean([average_precision_score(truth[:, one], logits[:, columns[one]]) for one in usable])),
    }


def main() -> None:
    """Train and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("real", type=Path)
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument("--only", nargs="*", default=list(VARIANTS))
    arguments.add_argument("--out", type=Path, help="JSON lines, one per run; runs that are there are not repeated")
    given = arguments.parse_args()
    shipped = load_system(checkpoint_for("unified"))
    assert isinstance(shipped, Unified)
    sources = [Source(kind, given.real / folder) for kind, folder in FOLDERS] + [Source("phantom-openi")]
    openi = open_dataset("openi", given.real / "openi_films")
    tested = [case for case in openi.cases() if case.split == "test" and case.image is not None and case.labels]
    films = np.stack([model_input(openi.load_film(str(case.image)).pixels, SIZE) for case in tested])
    truth = np.array([[name in case.labels for name in openi.label_names] for case in tested])
    columns = [shipped.config.label_names.index(name) for name in openi.label_names]
    print(f"{len(tested)} test films of Open-i", flush=True)
    done = []
    if given.out and given.out.is_file():
        done = [json.loads(line) for line in given.out.read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        cases = gather(
            sources, Unified, SIZE, Path(folder) / "films.npy", lambda *_: None,
            with_regions=True, label_names=shipped.config.label_names,
        )  # fmt: skip
        primary = _primary_films(cases, openi.cases())
        for seed in range(given.seeds):
            for name in given.only:
                if any((row["variant"], row["seed"]) == (name, seed) for row in done):
                    continue
                began, own = time.perf_counter(), chosen(cases, VARIANTS[name], primary, seed)
                row = scored(trained(own, VARIANTS[name], given.epochs, seed, shipped), films, truth, columns)
                minutes = (time.perf_counter() - began) / 60
                print(
                    f"{name:28s} seed {seed}  {len(own.examples):6d} examples  {minutes:5.1f} min  "
                    + "  ".join(f"{key} {value:.3f}" for key, value in row.items()),
                    flush=True,
                )
                if given.out:
                    with given.out.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps({"variant": name, "seed": seed, "films": len(own.examples), **row}))
                        stream.write("\n")


def _primary_films(cases: TrainingCases, studies: Sequence[Case]) -> set[int]:
    """Rows of the primary films of Open-i, whose training examples are its films study by study, primary ones first."""
    rows = iter([one.film for one in cases.of("train") if cases.groups[one.group] == "openi" and one.film is not None])
    found = set()
    for case in studies:
        if case.split == "train" and case.image is not None:
            found.add(next(rows))
            for _ in case.other_images:
                next(rows)
    assert next(rows, None) is None
    return found


if __name__ == "__main__":
    main()
