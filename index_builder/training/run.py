"""Train a system from datasets to checkpoint: presets, cases, loop, choices on validation data, model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from index_builder.errors import ModelError
from index_builder.systems.base import WEIGHTS_FILE, RetrievalSystem
from index_builder.systems.config import SystemConfig
from index_builder.systems.registry import load_system, system_class
from index_builder.training.card import CARD, commit_of_code, write_card
from index_builder.training.cases import Source, gather
from index_builder.training.choices import choose_after_training
from index_builder.training.copies import copies_beside
from index_builder.training.films import Progress, stored_beside
from index_builder.training.learnt import learnt_record
from index_builder.training.loop import LAST, Fitted, Report, fit
from index_builder.training.schedule import Schedule
from index_builder.training.validate import validation_scores

_FILMS = "films.npy"


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A request to train.

    Attributes:
        config: The system's configuration, without labels.
        schedule: Length and rates.
        sources: Datasets, trained on together.
        out: Checkpoint folder; holds the state of an unfinished run.
        fraction: Share of the training cases to use.
        skip_unreadable: Go on without films that cannot be decoded.
        start: Checkpoint whose weights training begins with, of the same configuration; None: as the encoders come.
        blend: Share of the trained weights in what comes out, the rest being those begun with, 0..1. Between both lies
            what has learnt the new and not forgotten the old (Wortsman et al., "Robust fine-tuning of zero-shot
            models", CVPR 2022).
    """

    config: SystemConfig
    schedule: Schedule
    sources: Sequence[Source]
    out: Path
    fraction: float = 1.0
    skip_unreadable: bool = False
    start: Path | None = None
    blend: float = 1.0


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
    begun, begun_card = None, list[str]()
    if request.start is None and request.blend != 1:
        raise ModelError(f"blend {request.blend}: there are no weights to mix with. Name a checkpoint to start from.")
    if request.start is not None:
        begun = load_system(request.start)
        begun_card = _card_of(request.start)
    cases = gather(
        request.sources,
        kind,
        request.config.image_size,
        out / _FILMS,
        progress,
        fraction=request.fraction,
        seed=request.schedule.seed,
        with_regions=request.config.learns_regions,
        with_queries=request.config.learns_queries,
        skip_unreadable=request.skip_unreadable,
        label_names=() if begun is None else begun.config.label_names,
    )
    torch.manual_seed(request.schedule.seed)
    system = kind(request.config.model_copy(update={"label_names": cases.label_names}))
    if begun is not None:
        begin_with(system, begun)
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()} if request.blend != 1 else {}
    fitted = fit(system, cases, request.schedule, out, report)
    if before:
        blend(system, before, request.blend)
        fitted = replace(fitted, scores=validation_scores(system, cases))
    choose_after_training(system, cases, request.sources)
    learnt = learnt_record(system, cases, request.sources)
    system.learnt = learnt.after(None if begun is None else begun.learnt, same_weights=False)
    system.save(out, portable=False)
    write_card(
        out,
        system,
        request.sources,
        cases,
        request.schedule,
        fitted,
        request.fraction,
        commit,
        begun_card,
        request.blend,
    )
    for path in (out / LAST, out / _FILMS, *stored_beside(out / _FILMS), copies_beside(out / _FILMS)):
        path.unlink(missing_ok=True)
    return replace(fitted, unreadable=cases.unreadable)


def begin_with(system: RetrievalSystem, begun: RetrievalSystem) -> None:
    """Take over the weights of a trained system; labels that it does not know start again, behind those it does.

    Raises:
        ModelError: It is of another kind or configuration.
    """
    known = begun.config.label_names
    if begun.name != system.name or system.config.label_names[: len(known)] != known:
        raise ModelError(f"a checkpoint of {begun.name} cannot begin a training of {system.name} with these labels.")
    weights = system.state_dict()
    for name, tensor in begun.state_dict().items():
        held = weights.get(name)
        if held is not None and name.startswith("classifier.") and held.shape[1:] == tensor.shape[1:]:
            tensor = torch.cat([tensor, held[len(tensor) :]])
        if held is None or held.shape != tensor.shape:
            raise ModelError(
                f"{name}: the weights to start from have another configuration. Give its settings in --config."
            )
        weights[name] = tensor
    system.load_state_dict(weights)


def blend(system: RetrievalSystem, before: Mapping[str, torch.Tensor], share: float) -> None:
    """Mix the weights of a system with what they were before: `share` of its own, the rest of those.

    What did not change stays as it is to the last bit (mixing would make 0 of −0, and another digest).
    """
    mixed = {
        name: tensor
        if not tensor.is_floating_point() or torch.equal(before[name], tensor)
        else torch.lerp(before[name], tensor, share)
        for name, tensor in system.state_dict().items()
    }
    system.load_state_dict(mixed)


def _card_of(folder: Path) -> list[str]:
    """Lines of a checkpoint's model card.

    Raises:
        ModelError: It has none, so that nobody could say what it was trained on.
    """
    try:
        return (folder / CARD).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{folder / CARD}: cannot be read ({error}). A checkpoint to start from needs its card."
        ) from None
