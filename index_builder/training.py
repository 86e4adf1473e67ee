"""Train the heads of `unified` on frozen encoders, from reports, drawn films and real films together.

    python -m index_builder.training --out CHECKPOINT [--nih DIR] [--covid DIR] [--config FILE]

Open-i reports and the phantoms drawn from them teach the report side and tie film to report; real films, where given,
teach the film side what real exposures look like. A minute of training after some minutes of feature extraction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
import yaml
from torch import Tensor
from torch.nn import functional

from index_builder.datasets import open_dataset
from index_builder.datasets.covid import COVID_LABELS
from index_builder.errors import CxrError, ModelError
from index_builder.features import FeatureSet, extract
from index_builder.labels import DUST_STAGES, NIH_LABELS, OPENI_LABELS
from index_builder.systems.base import normalise
from index_builder.systems.unified import Unified, UnifiedConfig


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how hard to train."""

    epochs: int = 120
    batch: int = 384
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    temperature: float = 0.1
    contrast: float = 1.0
    seed: int = 0


def fit(system: Unified, sets: Sequence[FeatureSet], schedule: Schedule) -> dict[str, float]:
    """Train the heads; keeps the epoch whose validation retrieval is best.

    Args:
        system: Trained in place.
        sets: Parts named "train" are trained on, "val" choose the epoch; "test" is never touched.
        schedule: Optimiser settings.

    Returns:
        Validation precision at 5 (neighbours from the training part sharing a label) per set and modality.
    """
    torch.manual_seed(schedule.seed)
    parameters = [p for p in system.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, schedule.learning_rate, weight_decay=schedule.weight_decay)
    batches = _Batches(sets, schedule)
    plan = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, schedule.learning_rate, epochs=schedule.epochs, steps_per_epoch=len(batches)
    )
    best: dict[str, float] = {}
    kept: dict[str, Tensor] = {}
    for epoch in range(schedule.epochs):
        system.train()
        for batch in batches:
            optimiser.zero_grad()
            _loss(system, batch, schedule).backward()
            optimiser.step()
            plan.step()
        if (epoch + 1) % 5 == 0 or epoch + 1 == schedule.epochs:
            scores = validation_precision(system, sets)
            if not best or sum(scores.values()) > sum(best.values()):
                best = scores
                kept = {name: tensor.clone() for name, tensor in system.state_dict().items()}
            print(f"epoch {epoch + 1:3d}  " + "  ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    system.load_state_dict(kept)
    system.eval()
    return best


@torch.inference_mode()
def validation_precision(system: Unified, sets: Sequence[FeatureSet]) -> dict[str, float]:
    """P@5 of validation queries among training cases, a neighbour being relevant when it shares a label."""
    system.eval()
    scores = {}
    for features in sets:
        modalities = {"image": (features.image, system.image_head), "text": (features.texts[0], system.text_head)}
        for modality, (inputs, head) in modalities.items():
            held = inputs.any(axis=1)
            query, base = held & (features.split == "val"), held & (features.split == "train")
            if query.sum() < 10 or base.sum() < 10:
                continue
            vectors = normalise(head(torch.from_numpy(inputs))).numpy()
            nearest = np.argsort(-(vectors[query] @ vectors[base].T), axis=1)[:, :5]
            labels = features.labels[:, features.known]
            shared = (labels[base][nearest] * labels[query][:, None]).sum(-1) > 0
            answerable = labels[query].any(axis=1)
            scores[f"{features.name}/{modality}"] = float(shared[answerable].mean())
    return scores


@dataclass(frozen=True, slots=True)
class _Batch:
    image: Tensor
    text: Tensor
    labels: Tensor
    known: Tensor
    group: Tensor


class _Batches:
    """Shuffled training rows of all sets, a random wording of each text; the same number each epoch."""

    def __init__(self, sets: Sequence[FeatureSet], schedule: Schedule) -> None:
        self._sets = sets
        self._size = schedule.batch
        self._generator = np.random.default_rng(schedule.seed)
        self._rows = np.array(
            [(number, row) for number, one in enumerate(sets) for row in np.flatnonzero(one.split == "train")]
        )
        if not len(self._rows):
            raise ModelError("no training cases in the data given. Add a dataset with a train part.")

    def __len__(self) -> int:
        return -(-len(self._rows) // self._size)

    def __iter__(self) -> Iterator[_Batch]:
        rows = self._generator.permutation(self._rows)
        for start in range(0, len(rows), self._size):
            yield self._batch(rows[start : start + self._size])

    def _batch(self, rows: np.ndarray) -> _Batch:
        image, text, labels, known = [], [], [], []
        for number, row in rows:
            one = self._sets[number]
            wordings = [wording[row] for wording in one.texts if wording[row].any()] or [one.texts[0][row]]
            image.append(one.image[row])
            text.append(wordings[self._generator.integers(len(wordings))])
            labels.append(one.labels[row])
            known.append(one.known)
        columns = (image, text, labels, known, [rows[:, 0]])
        image_, text_, labels_, known_, group = (torch.from_numpy(np.stack(column)) for column in columns)
        return _Batch(image_, text_, labels_, known_, group[0])


def _loss(system: Unified, batch: _Batch, schedule: Schedule) -> Tensor:
    """Label classification from every modality, plus contrast towards label overlap across modalities."""
    has_image, has_text = batch.image.any(1), batch.text.any(1)
    image = normalise(system.image_head(batch.image))
    text = normalise(system.text_head(batch.text))
    joint = normalise(image * has_image[:, None] + text * has_text[:, None])
    total = image.new_zeros(())
    for vectors, held in ((image, has_image), (text, has_text), (joint, has_image & has_text)):
        if held.any():
            loss = functional.binary_cross_entropy_with_logits(
                system.label_logits(vectors[held]), batch.labels[held], reduction="none"
            )
            total = total + loss[batch.known[held]].mean()
    vectors = torch.cat([image[has_image], text[has_text]])
    case = torch.cat([torch.arange(len(image))[has_image], torch.arange(len(text))[has_text]])
    return total + schedule.contrast * label_contrast(
        vectors, batch.labels[case], batch.group[case], case, schedule.temperature
    )


def label_contrast(vectors: Tensor, labels: Tensor, group: Tensor, case: Tensor, temperature: float) -> Tensor:
    """Supervised contrast with graded positives (after Khosla et al. 2020, multi-label).

    Each vector's softmax over the others of its group is drawn towards their label overlap (Jaccard index); a case's
    own other modality counts fully. Two films of one finding are thus never pushed apart.

    Args:
        vectors: [M, D], L2-normalised.
        labels: [M, C] of 0 and 1.
        group: [M], dataset number; labels of different datasets are not compared.
        case: [M], equal for the modalities of one case.
        temperature: Of the softmax.
    """
    shared = labels @ labels.T
    counts = labels.sum(1)
    overlap = shared / (counts[:, None] + counts[None] - shared).clamp(min=1)
    overlap = torch.where(case[:, None] == case[None], 1.0, overlap**2)
    same = (group[:, None] == group[None]) & ~torch.eye(len(vectors), dtype=torch.bool)
    target = overlap * same
    weight = target.sum(1)
    logits = (vectors @ vectors.T / temperature).masked_fill(~same, -1e4)
    losses = -(target * functional.log_softmax(logits, dim=1)).sum(1)[weight > 0] / weight[weight > 0]
    return losses.mean() if len(losses) else vectors.new_zeros(())


def train(out: Path, config: UnifiedConfig, roots: dict[str, Path], phantoms: int, schedule: Schedule) -> None:
    """Extract features, fit the heads and write a checkpoint with its model card."""
    torch.manual_seed(schedule.seed)
    system = Unified(config).eval()
    sets = []
    for kind, limit in (("phantom-openi", phantoms), ("phantom-dust", phantoms), ("nih", None), ("covid", None)):
        if kind in ("nih", "covid") and kind not in roots:
            continue
        dataset = open_dataset(kind, roots.get(kind))
        cases = [case for case in dataset.cases() if case.split != "test"][:limit]
        sets.append(extract(dataset, cases, system, partial(_report, kind)))
        print()
    scores = fit(system, sets, schedule)
    system.save(out, portable=False)
    sizes = {one.name: {part: int((one.split == part).sum()) for part in ("train", "val")} for one in sets}
    _write_card(out, system, sizes, scores)


def _write_card(out: Path, system: Unified, sizes: dict[str, dict[str, int]], scores: dict[str, float]) -> None:
    lines = [
        "# unified, compact preset",
        "",
        "Heads trained by `python -m index_builder.training` on frozen encoders "
        f"(`{system.config.image_encoder}`, `{system.config.text_encoder}`).",
        "For education and research, not for diagnosis.",
        "",
        "| data | train | val | validation P@5, film | validation P@5, report |",
        "|---|---|---|---|---|",
    ]
    for name, parts in sizes.items():
        figures = [scores.get(f"{name}/{modality}") for modality in ("image", "text")]
        shown = " | ".join("" if figure is None else f"{figure:.3f}" for figure in figures)
        lines.append(f"| {name} | {parts['train']} | {parts['val']} | {shown} |")
    lines += [
        "",
        "P@5: share of the five nearest training cases that carry a label of the query. phantom-openi is synthetic.",
        "Test parts were not trained on; the epoch was chosen on validation parts.",
        "",
        f"Labels: {json.dumps(system.config.label_names)}",
    ]
    (out / "README.md").write_text("\n".join(lines) + "\n", "utf-8")


def _report(kind: str, done: int, of: int) -> None:
    print(f"\r{kind}: {done}/{of} cases", end="", flush=True)


def _vocabulary() -> tuple[str, ...]:
    return tuple(dict.fromkeys((*OPENI_LABELS, *NIH_LABELS, *COVID_LABELS, *DUST_STAGES)))


def main(
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")],
    nih: Annotated[Path | None, typer.Option(help="ChestX-ray14 folder to learn real films from.")] = None,
    covid: Annotated[Path | None, typer.Option(help="COVID-19 image collection to learn real films from.")] = None,
    phantoms: Annotated[int, typer.Option(help="Drawn films at most.")] = 4000,
    config: Annotated[Path | None, typer.Option(help="YAML with fields of UnifiedConfig, e.g. encoders.")] = None,
    seed: int = 0,
) -> None:
    """Train the heads of the compact `unified` system."""
    try:
        fields = yaml.safe_load(config.read_text("utf-8")) if config else {}
        settings = UnifiedConfig(label_names=_vocabulary(), **fields)
        roots = {kind: root for kind, root in (("nih", nih), ("covid", covid)) if root is not None}
        train(out, settings, roots, phantoms, Schedule(seed=seed))
    except CxrError as error:
        print(error)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
