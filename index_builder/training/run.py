"""Train a system from datasets to checkpoint: presets, cases, loop, choices on validation data, model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from index_builder.errors import ModelError
from index_builder.systems.base import WEIGHTS_FILE, SystemConfig, system_class
from index_builder.training.card import commit_of_code, write_card
from index_builder.training.cases import Source, gather
from index_builder.training.choices import choose_after_training
from index_builder.training.films import Progress, stored_beside
from index_builder.training.loop import LAST, Fitted, Report, fit
from index_builder.training.schedule import Schedule

_FILMS = "films.npy"


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What to train.

    Attributes:
        config: The system's configuration, without labels.
        schedule: Length and rates.
        sources: Datasets, trained on together.
        out: Checkpoint folder; holds the state of an unfinished run.
        fraction: Share of the training cases to use.
    """

    config: SystemConfig
    schedule: Schedule
    sources: Sequence[Source]
    out: Path
    fraction: float = 1.0


def train(request: TrainRequest, progress: Progress, report: Report) -> Fitted:
    """Train and write a checkpoint with its model card; a run that died is taken up where it stopped.

    Raises:
        CxrError: Bad data or settings, or a finished checkpoint stands at `request.out`.
    """
    out = request.out
    if (out / WEIGHTS_FILE).exists():
        raise ModelError(f"{out}: a checkpoint is there already. Choose another --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"{out}: cannot write there ({error.strerror}). Choose another --out.") from None
    commit = commit_of_code()  # now: the checkout may move on while this runs
    kind = system_class(request.config.system)
    cases = gather(
        request.sources,
        kind,
        request.config.image_size,
        out / _FILMS,
        progress,
        fraction=request.fraction,
        seed=request.schedule.seed,
        with_regions=request.config.learns_regions,
    )
    torch.manual_seed(request.schedule.seed)
    system = kind(request.config.model_copy(update={"label_names": cases.label_names}))
    fitted = fit(system, cases, request.schedule, out, report)
    choose_after_training(system, cases, request.sources)
    system.save(out, portable=False)
    write_card(out, system, request.sources, cases, request.schedule, fitted, request.fraction, commit)
    for path in (out / LAST, out / _FILMS, *stored_beside(out / _FILMS)):
        path.unlink(missing_ok=True)
    return fitted
