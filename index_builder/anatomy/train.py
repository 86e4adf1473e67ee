"""Train the segmenter: choices are made on JSRT's validation part, its test part is not read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from index_builder.anatomy.dice import dice
from index_builder.anatomy.network import AnatomyNet
from index_builder.anatomy.outlined import (
    OutlinedFilm,
    covid_films,
    jsrt_films,
    lateral_films,
    phantom_films,
)
from index_builder.anatomy.segmenter import AnatomyConfig, Segmenter
from index_builder.anatomy.structures import HEART, LEFT_LUNG, RIGHT_LUNG, STRUCTURES
from index_builder.anatomy.views import Views, view_of
from index_builder.errors import DatasetError, ModelError
from index_builder.systems.running.parts import Eager

#: (step, steps, mean Dice on the validation films)
Report = Callable[[int, int, float], None]

#: Share of the weights' running mean that each step leaves.
_MEMORY = 0.995
#: Pixels that keep Dice's loss steady where a structure is small or absent.
_SMOOTH = 40.0
#: Of a film's side: so near the other lung, a hull may cover the mediastinum.
_BESIDE = 0.2


@dataclass(frozen=True, slots=True)
class AnatomySchedule:
    """How long and how hard to train.

    Attributes:
        steps: Steps of the optimiser (AdamW, one cycle).
        batch: Films per step.
        learning_rate: At its peak.
        validate_every: Steps between two looks at the validation films.
        seed: Seed of the weights, the order of cases and the views.
    """

    steps: int = 1200
    batch: int = 16
    learning_rate: float = 3e-3
    validate_every: int = 200
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AnatomySources:
    """Where the films come from.

    Attributes:
        jsrt: Folder with `images/` and `masks/`.
        covid: Folder of the COVID-19 image data collection, whose lung outlines are packaged in torchxrayvision.
        openi: Folder of Open-i films, of which laterals are taken: nothing is to be outlined there.
        phantoms: Computer-drawn films.
    """

    jsrt: Path
    covid: Path | None = None
    openi: Path | None = None
    phantoms: int = 100


@dataclass(frozen=True, slots=True)
class TrainingFilms:
    """What is learned from, in groups with the share of each step that they get, and what is chosen on."""

    groups: dict[str, tuple[list[OutlinedFilm], float]]
    validation: list[OutlinedFilm]


@dataclass(frozen=True, slots=True)
class FittedAnatomy:
    """The network and its configuration, seconds it took, and Dice on the validation films at the chosen step."""

    network: AnatomyNet
    config: AnatomyConfig
    seconds: float
    step: int
    validation: dict[str, float] = field(default_factory=dict)


def read_films(sources: AnatomySources) -> TrainingFilms:
    """Read all films to learn from and to choose on; about 70 MB in memory.

    Raises:
        DatasetError: A folder is no such collection, or has no film with outlines.
    """
    groups = {"jsrt": (list(jsrt_films(sources.jsrt, "train")), 8.0)}
    if not groups["jsrt"][0]:
        raise DatasetError(f"{sources.jsrt}: no film of the training part has outlines. Put them into masks/.")
    if sources.covid is not None:
        groups["covid"] = (list(covid_films(sources.covid, "train")), 4.0)
    if sources.phantoms:
        groups["phantom-openi"] = (list(phantom_films(sources.phantoms, seed=0)), 1.0)
    if sources.openi is not None:
        groups["openi laterals"] = (list(lateral_films(sources.openi, 500)), 1.5)
    return TrainingFilms(groups, list(jsrt_films(sources.jsrt, "val")))


def train_anatomy(
    films: TrainingFilms,
    config: AnatomyConfig,
    schedule: AnatomySchedule,
    report: Report = lambda *_: None,
    start: tuple[AnatomyNet, AnatomyConfig] | None = None,
) -> FittedAnatomy:
    """Train on the films' groups; the weights are a running mean, taken where validation films agree best.

    Args:
        films: To learn from and to choose on.
        config: Configuration of the network.
        schedule: How long.
        report: Told of every look at the validation films.
        start: Network of the same configuration, as `storage.load_network` gives it, to start from instead of random
            weights.

    Raises:
        ModelError: `start` has another configuration.
    """
    if start is not None and start[1] != config:
        raise ModelError(f"the weights to begin with are of a network {start[1]}, not {config}.")
    started = time.monotonic()
    torch.manual_seed(schedule.seed)
    generator = torch.Generator().manual_seed(schedule.seed)
    network = AnatomyNet(len(STRUCTURES), config.widths) if start is None else deepcopy(start[0])
    _lay_out(network, torch.channels_last)
    mean = deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=0.02)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.learning_rate, total_steps=schedule.steps)
    best, kept, chosen = -1.0, deepcopy(mean), 0
    network.train()
    for step in range(1, schedule.steps + 1):
        views = _drawn(films.groups, schedule.batch, config.size, generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(views.films.contiguous(memory_format=torch.channels_last))
        loss = outline_loss(logits.float(), views)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        cycle.step()
        _follow(mean, network, min(_MEMORY, step / (step + 10)))
        if step % schedule.validate_every == 0 or step == schedule.steps:
            agreement = float(np.mean(list(_validated(mean, config, films.validation).values())))
            report(step, schedule.steps, agreement)
            if agreement > best:
                best, kept, chosen = agreement, deepcopy(mean), step
    _lay_out(kept, torch.contiguous_format)
    kept.eval()
    return FittedAnatomy(kept, config, time.monotonic() - started, chosen, _validated(kept, config, films.validation))


def outline_loss(logits: Tensor, views: Views) -> Tensor:
    """Cross-entropy and Dice's loss of what is outlined, and of films with hulls what can be said.

    Nothing lies outside its hull or bound; inside a lung's hull, away from the other one, there is lung or heart.

    Args:
        logits: [B, 5, S, S] float32.
        views: Views of the same films.
    """
    lungs = torch.tensor([RIGHT_LUNG, LEFT_LUNG])
    exact = views.known.clone()
    exact[:, lungs] &= ~views.hull[:, None]
    entropy = functional.binary_cross_entropy_with_logits(logits, views.masks, reduction="none").mean((2, 3))
    shares = torch.sigmoid(logits)
    shared, covered = (shares * views.masks).sum((2, 3)), shares.sum((2, 3)) + views.masks.sum((2, 3))
    overlap = 1 - (2 * shared + _SMOOTH) / (covered + _SMOOTH)
    loss = ((2 * entropy + 0.5 * overlap) * exact).sum() / exact.sum().clamp(min=1)
    if not views.hull.any():
        return loss
    masks, found, bounded = views.masks[views.hull], logits[views.hull], ~exact[views.hull]
    outside = (functional.softplus(found) * (1 - masks)).mean((2, 3)) * bounded
    hulls = masks[:, lungs]
    # The heart is taken as it is found: hulls must not teach that it lies wherever a lung is hard to see.
    heart = found[:, HEART : HEART + 1].detach()
    neither = functional.logsigmoid(-found[:, lungs]) + functional.logsigmoid(-heart)
    inside = -torch.log1p(-torch.exp(neither).clamp(max=1 - 1e-5)) * (hulls * (1 - _near(hulls.flip(1))))
    share = float(views.hull.float().mean())
    return loss + 2 * share * (outside.sum() / bounded.sum() + inside.mean())


def _near(masks: Tensor) -> Tensor:
    """Masks [B, C, S, S] widened by a share of their side."""
    size = masks.shape[-1]
    coarse = functional.max_pool2d(masks, 4)
    reach = math.ceil(_BESIDE * size / 4)
    wide = functional.max_pool2d(coarse, 2 * reach + 1, stride=1, padding=reach)
    return functional.interpolate(wide, size=(size, size), mode="nearest")


def _drawn(
    groups: dict[str, tuple[list[OutlinedFilm], float]], batch: int, size: int, generator: torch.Generator
) -> Views:
    kinds = [films for films, _ in groups.values() if films]
    shares = torch.tensor([share for films, share in groups.values() if films])
    chosen = []
    for kind in torch.multinomial(shares, batch, replacement=True, generator=generator).tolist():
        place = int(torch.randint(len(kinds[kind]), (1,), generator=generator))
        chosen.append(kinds[kind][place])
    films, masks, known = (
        torch.from_numpy(np.stack([getattr(one, name) for one in chosen])) for name in ("pixels", "masks", "known")
    )
    hull = torch.tensor([one.hull for one in chosen])
    return view_of(films, masks, known, hull, size, generator)


def _lay_out(network: AnatomyNet, order: torch.memory_format) -> None:
    """Store weights in an order of memory; the one with channels last is twice as fast to train on a processor."""
    network.to(memory_format=order)  # type: ignore[call-overload]  # torch's stubs lack it


@torch.no_grad()
def _follow(mean: AnatomyNet, network: AnatomyNet, memory: float) -> None:
    for kept, new in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - memory)
        else:
            kept.copy_(new)


def _validated(network: AnatomyNet, config: AnatomyConfig, films: Sequence[OutlinedFilm]) -> dict[str, float]:
    """Mean Dice of each structure on films whose outlines are known, on the grid they are kept at."""
    segmenter = Segmenter(Eager(deepcopy(network).eval()), config)
    scores = [
        [dice(ours, theirs) for ours, theirs in zip(segmenter.outline(one.pixels).on_film(), one.masks, strict=True)]
        for one in films
    ]
    return dict(zip(STRUCTURES, np.mean(scores, axis=0).tolist(), strict=True))
