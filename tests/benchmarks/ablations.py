"""What each part of a system adds: train it whole and with a part left out, on the same cases, and print a table.

    python tests/benchmarks/ablations.py mskpt --fraction 0.25 --seeds 2
    python tests/benchmarks/ablations.py mskpt --curve
    python tests/benchmarks/ablations.py unified --fraction 0.25

Synthetic films (phantom-dust, phantom-openi) are drawn once and kept in memory. The test part is scored once per run,
by the epoch that validation chose.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch

from index_builder.cases.case import Case
from index_builder.datasets.base import Dataset
from index_builder.datasets.phantom import PhantomDust, PhantomOpenI
from index_builder.evaluation.run import EvaluateRequest, measure
from index_builder.evaluation.runs import FULL, Run
from index_builder.imaging import Film
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.registry import system_class
from index_builder.training.cases import Source, TrainingCases, gather
from index_builder.training.choices import choose_after_training
from index_builder.training.loop import fit
from index_builder.training.presets import preset, preset_schedule

VARIANTS = {
    "mskpt": {
        FULL: {},
        "- GRA": {"gra": 0.0},
        "- TA": {"ta": 0.0},
        "- PA": {"pa": 0.0},
        "- distillation": {"distillation": 0.0},
        "- GRA, TA, PA, distillation": {"gra": 0.0, "ta": 0.0, "pa": 0.0, "distillation": 0.0},
    },
    "unified": {
        FULL: {},
        "- fusion": {"fusion_layers": 0},
        "- contrast": {"contrast": 0.0},
        "- regions": {"regions": 0.0},
    },
}
DATASET = {"mskpt": "phantom-dust", "unified": "phantom-openi"}
FRACTIONS = (0.25, 0.5, 0.75, 1.0)


class _Kept:
    """Mixed into a dataset: its films are drawn once and kept as bytes a pixel; at most `limit` cases of each part."""

    limit: int | None = None

    def cases(self) -> list[Case]:
        """All cases."""
        return self._some

    @cached_property
    def _some(self) -> list[Case]:
        return _limited(super().cases(), self.limit)

    def load_film(self, reference: str) -> Film:
        """A film, from memory the second time."""
        pixels, film = self._drawn(reference)
        return replace(film, pixels=pixels.astype(np.float32) / 255)

    @cache  # noqa: B019  as long as the process
    def _drawn(self, reference: str) -> tuple[np.ndarray, Film]:
        film = super().load_film(reference)
        return (film.pixels * 255).round().astype(np.uint8), replace(film, pixels=np.zeros((1, 1), np.float32))


class KeptOpenI(_Kept, PhantomOpenI):
    """phantom-openi in memory."""


class KeptDust(_Kept, PhantomDust):
    """phantom-dust in memory."""


@dataclass(frozen=True, slots=True)
class KeptSource(Source):
    """A source that opens the dataset kept in memory."""

    limit: int | None = None

    def open(self) -> Dataset:
        """The one dataset of this process."""
        return kept(self.kind, self.limit)


@cache
def kept(kind: str, limit: int | None) -> Dataset:
    """The dataset of a kind."""
    dataset = KeptOpenI() if kind == PhantomOpenI.card.name else KeptDust()
    dataset.limit = limit
    return dataset


def trained(
    name: str, changes: dict[str, float], cases: TrainingCases, source: Source, args: argparse.Namespace, seed: int
) -> RetrievalSystem:
    """A variant trained like all others."""
    config = preset(name, "compact", changes, cases.label_names)
    schedule = preset_schedule(name, "compact", {"schedule": {"epochs": args.epochs, "seed": seed}})
    torch.manual_seed(seed)
    system = system_class(name)(config)
    with tempfile.TemporaryDirectory() as folder:
        fit(system, cases, schedule, Path(folder), lambda *_: None)
    choose_after_training(system, cases, [source])
    return system.eval()


def main() -> None:
    """Train and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("system", choices=VARIANTS)
    arguments.add_argument("--fraction", type=float, default=0.25)
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("--first-seed", type=int, default=0)
    arguments.add_argument("--epochs", type=int, default=6, help="per phase")
    arguments.add_argument("--limit", type=int, help="cases of each part at most")
    arguments.add_argument("--curve", action="store_true", help="the full system on 25, 50, 75 and 100 % of the data")
    arguments.add_argument("--modality", choices=("image", "text", "joint"), help="default: image, of unified joint")
    arguments.add_argument("--only", nargs="*", help="variants by name")
    arguments.add_argument("--out", type=Path, help="JSON lines, one per run")
    args = arguments.parse_args()
    source = KeptSource(DATASET[args.system], limit=args.limit)
    runs = [(FULL, {}, share) for share in FRACTIONS]
    if not args.curve:
        chosen = {k: v for k, v in VARIANTS[args.system].items() if not args.only or k in args.only}
        runs = [(label, changes, args.fraction) for label, changes in chosen.items()]
    modality = args.modality or ("image" if args.system == "mskpt" else "joint")
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for label, changes, share in runs:
            with tempfile.TemporaryDirectory() as folder:
                cases = gather(
                    [source], system_class(args.system), 224, Path(folder) / "films.npy", lambda *_: None,
                    fraction=share, seed=seed, with_regions=args.system == "unified",
                )  # fmt: skip
                system = trained(args.system, changes, cases, source, args, seed)
            request = EvaluateRequest(args.system, DATASET[args.system], None, modality, "test", False, 0)
            row = figures(measure(system, source.open(), request, lambda *_: None))
            shown = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
            print(f"{label:32s} {share:4.0%} seed {seed}  {shown}", flush=True)
            if args.out:
                with args.out.open("a", encoding="utf-8") as stream:
                    run = Run(
                        system=args.system, dataset=DATASET[args.system], variant=label, fraction=share,
                        training_cases=len(cases.of("train")), seed=seed, figures=row,
                    )  # fmt: skip
                    stream.write(run.model_dump_json() + "\n")


def figures(result: dict) -> dict[str, float]:
    """What is worth comparing."""
    macro, nearest = result["classification"]["macro"], result["retrieval"]["test_to_train"]
    row = {"AUROC": macro["auroc"], "AP": macro["ap"], "F1": macro["f1"], "P@5": nearest["p@5"], "mAP": nearest["map"]}
    if "stages" in result:
        row = {"accuracy": result["stages"]["accuracy"], "error@80%": result["uncertainty"]["error@0.8"], **row}
    if "retrieval_cosine" in result:
        plain = result["retrieval_cosine"]["test_to_train"]
        row |= {"P@5 without graph": plain["p@5"], "mAP without graph": plain["map"]}
    return row


def _limited(cases, limit: int | None) -> list[Case]:
    if limit is None:
        return list(cases)
    parts = {part: [case for case in cases if case.split == part][:limit] for part in ("train", "val", "test")}
    return [case for part in parts.values() for case in part]


if __name__ == "__main__":
    main()
