"""What the benchmarks of `siclip` and `mskpt` on COVID-19 films share: a manifest, folds, one look at each film."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from covid_grouped_cv import FOLDS
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from index_builder.calibration.bootstrap import interval
from index_builder.cases.case import Split
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.config import SystemConfig
from index_builder.systems.registry import system_class
from index_builder.training.cases import Source, TrainingCases, gather
from index_builder.training.economy.memory import FeatureMemory
from index_builder.training.loop import fit
from index_builder.training.schedule import Schedule

SEEDS = (0, 1, 2)
RESAMPLES = 1_000
#: The compact preset, narrower: what a few hundred films can fill.
SMALL: dict[str, Any] = {
    "pyramid_width": 32,
    "pyramid_levels": 2,
    "pyramid_blocks": 1,
    "token_dim": 64,
    "embedding_dim": 128,
}


def write_manifest(folder: Path, rows: Sequence[Mapping[str, object]], columns: Mapping[str, object]) -> Path:
    """Write a manifest of rows whose `image` is the path of a film anywhere; films are copied beside it."""
    folder.mkdir()
    for number, row in enumerate(rows):
        film = Path(str(row["image"]))
        shutil.copyfile(film, folder / f"{number:04d}{film.suffix}")
    (folder / "columns.yaml").write_text(yaml.safe_dump(dict(columns)), "utf-8")
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        for number, row in enumerate(rows):
            writer.writerow({**row, "image": f"{number:04d}{Path(str(row['image'])).suffix}"})
    return folder


def gathered(folder: Path, system: str, work: Path) -> TrainingCases:
    """The cases of a manifest as training reads them, one example a row, in the order of its rows."""
    return gather([Source("manifest", folder)], system_class(system), 224, work / f"{system}.npy", lambda *_: None)


def parts(truth: NDArray, groups: NDArray, seed: int, *, val: bool) -> Iterator[NDArray[np.str_]]:
    """Part of each case [N], fold by fold: "test" once, else "train" or, a quarter of the rest, "val"."""
    outer = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for rest, test in outer.split(truth, truth, groups):
        part = np.full(len(truth), "train", "<U5")
        part[test] = "test"
        if val:
            inner = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
            _, held = next(inner.split(truth[rest], truth[rest], groups[rest]))
            part[rest[held]] = "val"
        yield part


class LookOnce:
    """Systems that are trained one after the other, and whose frozen encoders look at each film and text once."""

    def __init__(self, folder: Path) -> None:
        self._films = FeatureMemory(folder)
        self._texts: dict[str, NDArray[np.float32]] = {}
        self._begun: tuple[SystemConfig, int, RetrievalSystem, dict[str, Tensor]] | None = None

    def system(self, config: SystemConfig, seed: int) -> RetrievalSystem:
        """An untrained system, until another is asked for."""
        if self._begun is None or self._begun[:2] != (config, seed):
            torch.manual_seed(seed)
            system = system_class(config.system)(config)
            self._attach(system)
            self._begun = config, seed, system, {name: one.clone() for name, one in system.state_dict().items()}
        _, _, system, weights = self._begun
        system.load_state_dict(weights)
        return system

    def _attach(self, system: RetrievalSystem) -> None:
        image, text = system.image_encoder, system.text_encoder
        assert text is not None, "both systems read texts"
        image.features = partial(self._look, image.features)  # type: ignore[method-assign]
        text.forward = partial(self._read, text.forward)  # type: ignore[method-assign]

    def __deepcopy__(self, memo: dict[int, object]) -> LookOnce:
        """A teacher is a copied encoder; what it sees is the same."""
        return self

    def _look(self, look: Callable[[Tensor], list[Tensor]], films: Tensor) -> list[Tensor]:
        return self._films(films, look)

    def _read(self, read: Callable[[list[str]], tuple[Tensor, Tensor]], texts: list[str]) -> tuple[Tensor, Tensor]:
        for one in dict.fromkeys(texts):
            if one not in self._texts:
                with torch.no_grad():
                    tokens, mask = read([one])
                # As an array: tensors made while predicting cannot be trained on.
                self._texts[one] = tokens[mask].float().numpy()
        found = [torch.from_numpy(self._texts[one]) for one in texts]
        lengths = torch.tensor([len(one) for one in found])
        return pad_sequence(found, batch_first=True), torch.arange(int(lengths.max())) < lengths[:, None]


def trained(
    config: SystemConfig,
    cases: TrainingCases,
    part: NDArray[np.str_],
    schedule: Schedule,
    once: LookOnce,
    phases: tuple[str, ...] | None = None,
) -> tuple[RetrievalSystem, TrainingCases]:
    """A system trained on a fold's training part; its last epoch is kept, so that nothing is chosen by its test part.

    Args:
        config: Without labels.
        cases: All.
        part: [N], of each.
        schedule: How long.
        once: Looks at films and texts.
        phases: Instead of all the system has.

    Returns:
        It, and the cases in their parts.
    """
    names: dict[str, Split] = {"train": "train", "val": "val", "test": "test"}
    split = [replace(one, split=names[str(own)]) for one, own in zip(cases.examples, part, strict=True)]
    cases = replace(cases, examples=split)
    system = once.system(config.model_copy(update={"label_names": cases.label_names}), schedule.seed)
    if phases is not None:
        system.phases = phases  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as out:
        fit(
            system, replace(cases, examples=[one for one in split if one.split == "train"]), schedule, Path(out), _quiet
        )
    return system.eval(), cases


def told(values: NDArray[np.float64]) -> str:
    """A figure with its 95 % interval from [1 + B] values, the first of all cases."""
    low, high = interval(values)
    return f"{values[0]:.3f} [{low:.3f}, {high:.3f}]"


def gained(values: NDArray[np.float64], base: NDArray[np.float64]) -> str:
    """A difference with its interval, both measured on the same resamples."""
    low, high = interval(values - base)
    return f"{values[0] - base[0]:+.3f} [{low:+.3f}, {high:+.3f}]"


def _quiet(*_: object) -> None:
    """A report that nobody reads."""
