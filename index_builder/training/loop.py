"""The one training loop: mixed precision, resumable, stopped early on validation data."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from index_builder.casebook.manifest import UnreadableFilm
from index_builder.errors import InstallationError, ModelError
from index_builder.systems.base import Batch, RetrievalSystem
from index_builder.training.augment import strong_view, weak_view
from index_builder.training.cases import TrainingCases
from index_builder.training.economy.depthwise import quick_depthwise
from index_builder.training.economy.memory import FeatureMemory, TextMemory
from index_builder.training.schedule import Schedule
from index_builder.training.validate import validation_scores
from index_builder.writing import whole

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LAST = "last.ckpt"
LOG = "log.csv"

_STATE = ("phase", "epoch", "stale", "seconds", "epochs", "scores", "best", "entrance", "average")

#: (phase, epoch, of epochs, what is worth showing: losses and validation scores)
Report = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The result of training.

    Attributes:
        scores: Validation scores of the epoch that was kept, per dataset and space.
        epochs: Epochs run per phase.
        seconds: Seconds of training, over all runs that were resumed.
        unreadable: Films that could not be decoded, and that were gone on without.
    """

    scores: dict[str, float]
    epochs: dict[str, int]
    seconds: float
    unreadable: tuple[UnreadableFilm, ...] = ()


def fit(system: RetrievalSystem, cases: TrainingCases, schedule: Schedule, out: Path, report: Report) -> Fitted:
    """Train a system through its phases; each keeps the epoch with the best mean validation score.

    Mixed precision where the hardware computes it, and a GPU where there is one. After every epoch the state is
    written to `out/last.ckpt`; a run that died goes on from there and comes to the same weights on the same machine.

    Args:
        system: Trained in place.
        cases: Training and validation cases.
        schedule: Schedule of every phase.
        out: Where state and `log.csv` (phase, epoch, metric, value) are written.
        report: Called after every epoch.

    Raises:
        InstallationError: Lightning Fabric is not installed.
        ModelError: The state in `out` is of another run, or the loss is not a number.
    """
    fabric = _fabric()
    fabric.seed_everything(schedule.seed, verbose=False)
    system.to(fabric.device)
    with (
        kept_as_they_are(system, schedule.kept),
        _remembering_films(system, schedule, out),
        _remembering_texts(system, schedule),
        quick_depthwise(system.image_encoder),
    ):
        progress = _Progress.resume(out / LAST, system, cases, schedule, fabric)
        for number, phase in enumerate(system.phases):
            if number < progress.phase:
                continue
            _run_phase(fabric, system, cases, schedule, phase, progress, out, report)
            progress.next_phase()
    system.eval()
    return Fitted(progress.scores, dict(zip(system.phases, progress.epochs, strict=True)), progress.seconds)


@contextmanager
def kept_as_they_are(system: RetrievalSystem, parts: Sequence[str]) -> Iterator[None]:
    """Leave parts of a system out of training.

    Raises:
        ModelError: The system has no such part.
    """
    known = dict(system.named_children())
    for part in parts:
        if part not in known:
            raise ModelError(f"kept: {part!r} is not a part of {system.name}. Known: {', '.join(known)}.")
    trained = [p for part in parts for p in known[part].parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def _remembering_films(system: RetrievalSystem, schedule: Schedule, out: Path) -> Iterator[None]:
    """Let a frozen image encoder look at each view only once, where views come again."""
    if any(p.requires_grad for p in system.image_encoder.backbone.parameters()) or not schedule.views:
        yield
        return
    with FeatureMemory(out / "features") as memory:
        system.image_encoder.memory = memory
        try:
            yield
        finally:
            system.image_encoder.memory = None


@contextmanager
def _remembering_texts(system: RetrievalSystem, schedule: Schedule) -> Iterator[None]:
    """Let a text side that stays as it is read each text only once."""
    if not {"text_encoder", "text_tower"} <= set(schedule.kept):
        yield
        return
    memory: Any = TextMemory(system.encode_texts)
    system.encode_texts = memory  # type: ignore[method-assign]
    try:
        yield
    finally:
        del system.encode_texts  # what the class has is seen again


def _run_phase(
    fabric: Fabric,
    system: RetrievalSystem,
    cases: TrainingCases,
    schedule: Schedule,
    phase: str,
    progress: _Progress,
    out: Path,
    report: Report,
) -> None:
    strong = phase in system.strong_phases
    view = strong_view if schedule.augmentation == "strong" else weak_view
    progress.enter(system)
    with fabric.autocast():
        system.begin_phase(phase, _Plain(cases, schedule.batch, fabric.device))
    progress.leave_entrance(system)
    optimiser = torch.optim.AdamW(_parameter_groups(system, schedule), weight_decay=schedule.weight_decay)
    steps = -(-len(cases.of("train")) // schedule.batch)
    plan = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        [group["lr"] for group in optimiser.param_groups],
        total_steps=schedule.epochs * steps,
        pct_start=0.15,
    )
    progress.restore(optimiser, plan)
    fabric_optimiser: Any = fabric.setup_optimizers(optimiser)
    while progress.epoch < schedule.epochs and progress.stale < schedule.patience:
        began = time.perf_counter()
        # The epoch's number decides its order and views, so that a resumed run meets the same ones.
        torch.manual_seed(schedule.seed * 1_000_003 + progress.phase * 1_009 + progress.epoch)
        generator = torch.Generator().manual_seed(torch.initial_seed())
        system.train()
        for part in schedule.kept:
            getattr(system, part).eval()
        sums: dict[str, float] = {}
        for batch in _ahead(
            cases.batches("train", schedule.batch, generator, strong=strong, views=schedule.views, view=view)
        ):
            with fabric.autocast():
                terms = system.losses(to_device(batch, fabric.device), phase)
            loss = torch.stack(list(terms.values())).sum()
            if not torch.isfinite(loss):
                raise ModelError(f"{phase}: the loss is {loss.item()}. Lower learning_rate in --config.")
            fabric_optimiser.zero_grad()
            fabric.backward(loss)
            torch.nn.utils.clip_grad_norm_(system.parameters(), 1.0)
            fabric_optimiser.step()
            plan.step()
            progress.step(system, schedule.average)
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + float(term.detach()) / steps
        progress.epoch += 1
        if progress.epoch % schedule.validate_every == 0 or progress.epoch == schedule.epochs:
            with progress.averaged(system), fabric.autocast():
                scores = validation_scores(system, cases)
                progress.judge(system, scores, cases)
            sums |= scores
        progress.seconds += time.perf_counter() - began
        _log(out / LOG, phase, progress.epoch, sums)
        progress.save(out / LAST, system, optimiser, plan)
        report(phase, progress.epoch, schedule.epochs, sums)
    if progress.best is not None:
        load_trained(system, progress.best)


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Give the same batches, making the next one in a thread while one is trained on."""
    with ThreadPoolExecutor(1) as maker:
        pending = maker.submit(next, batches, None)
        while (batch := pending.result()) is not None:
            pending = maker.submit(next, batches, None)
            yield batch


class _Plain:
    """Training batches without augmentation, as often as they are asked for."""

    def __init__(self, cases: TrainingCases, size: int, device: torch.device) -> None:
        self._cases, self._size, self._device = cases, size, device

    def __iter__(self) -> Iterator[Batch]:
        return (to_device(batch, self._device) for batch in self._cases.batches("train", self._size))


class _Progress:
    """Where a run stands; written after every epoch."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.phase = self.epoch = self.stale = 0
        self.seconds = 0.0
        self.epochs: list[int] = []
        self.scores: dict[str, float] = {}
        self.best: dict[str, Tensor] | None = None
        self.entrance: dict[str, Tensor] | None = None
        self.average: dict[str, Tensor] | None = None
        self._pending: dict[str, Any] | None = None

    @classmethod
    def resume(
        cls, path: Path, system: RetrievalSystem, cases: TrainingCases, schedule: Schedule, fabric: Fabric
    ) -> _Progress:
        """The state in `path` put into the system, or a new one."""
        progress = cls(json.dumps([system.config.model_dump_json(), schedule.model_dump_json(), cases.origin]))
        if not path.is_file():
            return progress
        try:
            state = torch.load(path, map_location=fabric.device, weights_only=True)
            if state["fingerprint"] != progress.fingerprint:
                raise ModelError(f"{path}: of a run with other data or settings. Choose another --out, or delete it.")
            load_trained(system, state["weights"])
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
            # What torch says of it is a page long and advises to load files unsafely.
            raise ModelError(f"{path}: damaged. Delete it to start training again.") from error
        for name in _STATE:
            setattr(progress, name, state[name])
        progress._pending = state
        return progress

    def enter(self, system: RetrievalSystem) -> None:
        """Put the system where the phase began: what a phase sets up from it (a teacher) must not depend on a pause."""
        if self.entrance is None:
            self.entrance = trained_weights(system)
        elif self._pending is not None:
            load_trained(system, self.entrance)

    def leave_entrance(self, system: RetrievalSystem) -> None:
        """Go on from where the run was interrupted."""
        if self._pending is not None:
            load_trained(system, self._pending["weights"])

    def restore(self, optimiser: torch.optim.Optimizer, plan: torch.optim.lr_scheduler.LRScheduler) -> None:
        """Put the saved optimiser back when a phase is taken up in its middle."""
        if self._pending is not None and self.epoch:
            optimiser.load_state_dict(self._pending["optimiser"])
            plan.load_state_dict(self._pending["plan"])
        self._pending = None

    def step(self, system: RetrievalSystem, share: float) -> None:
        """Take the weights after a step into the running average, of which `share` stays; 0: there is none."""
        if not share:
            return
        if self.average is None:
            self.average = trained_weights(system)
        state = system.state_dict()
        for name, mean in self.average.items():
            if mean.is_floating_point():
                mean.lerp_(state[name], 1 - share)
            else:
                mean.copy_(state[name])

    @contextmanager
    def averaged(self, system: RetrievalSystem) -> Iterator[None]:
        """Put the running average into the system for a while, where there is one."""
        if self.average is None:
            yield
            return
        latest = trained_weights(system)
        load_trained(system, self.average)
        try:
            yield
        finally:
            load_trained(system, latest)

    def judge(self, system: RetrievalSystem, scores: dict[str, float], cases: TrainingCases) -> None:
        """Keep the weights if they are the best yet; where nothing can be scored, the latest.

        Scores count as their dataset has validation cases, so that forty films do not outweigh four hundred. Those of
        joint vectors are left out where these are not trained: they only follow the film's, and anyhow.
        """
        judged = {name for name in scores if system.config.learns_joint or not name.endswith("/joint")}
        now, before = ({name: found[name] for name in judged if name in found} for found in (scores, self.scores))
        if self.best is None or not judged or weighted_mean(now, cases) > weighted_mean(before, cases):
            self.best, self.scores, self.stale = trained_weights(system), scores, 0
        else:
            self.stale += 1

    def next_phase(self) -> None:
        """Begin the next phase from the kept weights."""
        self.epochs.append(self.epoch)
        self.phase, self.epoch, self.stale = self.phase + 1, 0, 0
        self.best = self.entrance = self.average = None

    def save(self, path: Path, system: RetrievalSystem, optimiser: torch.optim.Optimizer, plan: Any) -> None:
        """Write everything that going on needs; a death while writing leaves the state before."""
        state = {name: getattr(self, name) for name in _STATE}
        state |= {"fingerprint": self.fingerprint, "weights": trained_weights(system)}
        state |= {"optimiser": optimiser.state_dict(), "plan": plan.state_dict()}
        with whole(path) as part:
            torch.save(state, part)


def weighted_mean(scores: dict[str, float], cases: TrainingCases) -> float:
    """Mean of scores by "dataset/space", each dataset weighing as its validation cases are many."""
    held = Counter(cases.groups[example.group] for example in cases.of("val"))
    weights = [held[name.rpartition("/")[0]] for name in scores]
    return sum(w * score for w, score in zip(weights, scores.values(), strict=True)) / sum(weights)


def trained_weights(system: RetrievalSystem) -> dict[str, Tensor]:
    """A copy of all that training changes."""
    names = system.stored_names(portable=False)
    return {name: tensor.detach().clone() for name, tensor in system.state_dict().items() if name in names}


def load_trained(system: RetrievalSystem, weights: dict[str, Tensor]) -> None:
    """Put back what `trained_weights` gave."""
    system.load_state_dict(weights, strict=False)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """This batch with its tensors on a device."""
    return Batch(
        films=batch.films.to(device),
        strong=None if batch.strong is None else batch.strong.to(device),
        has_film=batch.has_film.to(device),
        texts=batch.texts,
        labels=batch.labels.to(device),
        known=batch.known.to(device),
        group=batch.group.to(device),
        regions=None if batch.regions is None else batch.regions.to(device),
        queries=None if batch.queries is None else batch.queries.to(device),
    )


def _fabric() -> Fabric:
    try:
        from lightning_fabric import (
            Fabric,
            seed_everything,  # noqa: F401  its absence means a broken installation
        )
    except ImportError:
        raise InstallationError(
            "training needs Lightning Fabric. Install it: pip install 'cxr-explorer[train]'"
        ) from None
    precision: Any = "32-true"
    if torch.cuda.is_available():
        precision = "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    elif cpu_computes_bf16():
        precision = "bf16-mixed"
    return Fabric(accelerator="auto", devices=1, precision=precision)


def cpu_computes_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16, as far as torch says."""
    # It has none but a private function for it, which another version may lack.
    told = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return told is not None and bool(told())


def _parameter_groups(system: RetrievalSystem, schedule: Schedule) -> list[dict[str, Any]]:
    assert system.text_encoder is not None, "systems that are trained read texts"
    pretrained = (system.image_encoder.backbone, system.text_encoder)
    encoders = {id(p) for part in pretrained for p in part.parameters()}
    trained = [parameter for parameter in system.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) in encoders], "lr": schedule.encoder_learning_rate},
        {"params": [p for p in trained if id(p) not in encoders], "lr": schedule.learning_rate},
    ]
    return [group for group in groups if group["params"]]


def _log(path: Path, phase: str, epoch: int, values: dict[str, float]) -> None:
    fresh = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        if fresh:
            rows.writerow(["phase", "epoch", "metric", "value"])
        rows.writerows([phase, epoch, name, f"{value:.6g}"] for name, value in values.items())
