"""One measured system: where its figures come from and what it said of each case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from index_builder.cases.space import Space
from index_builder.errors import QueryError
from index_builder.evaluation.runs import Run

_READ = {"image": "film", "text": "{}", "joint": "film and {}"}


def reading_words(space: Space, reads: str) -> str:
    """What is read of a case as a reader knows it, e.g. "film and report", where the system `reads` reports."""
    return _READ[space].format(reads)


@dataclass(frozen=True)
class Measured:
    """A system on the scored cases of a dataset, reading one modality of them.

    Attributes:
        name: What figures call it; tells it from those it is compared with.
        system: Name of the system.
        result: What `evaluation.run.measure` gave.
        reads: What the system takes for a case's text: "report" or "profile".
        casebook: Where its cases can be looked at; None for figures from a file.
    """

    name: str
    system: str
    result: dict[str, Any]
    reads: str = "report"
    casebook: Casebook | None = None

    @property
    def modality(self) -> Space:
        """What was read of each case."""
        return self.result["modality"]

    @property
    def read_words(self) -> str:
        """The modality as a reader knows it, e.g. "film and report"."""
        return reading_words(self.modality, self.reads)

    @property
    def scope(self) -> str:
        """What was scored, in words that belong under every figure."""
        made_up = ", synthetic films" if self.result["synthetic"] else ""
        return f"{self.result['cases']:,} {self.result['split']} cases of {self.result['dataset']}{made_up}"

    @property
    def stages(self) -> bool:
        """Whether each case has exactly one label."""
        return "stages" in self.result

    @property
    def has_curves(self) -> bool:
        """Whether any label has cases with and without it: only then is there a curve or an area below one."""
        return bool(self.result["classification"]["curves"])

    @property
    def names(self) -> list[str]:
        """C labels that were predicted."""
        return list(self.result["labels"])

    @property
    def case_ids(self) -> list[str]:
        """Ids of the n scored cases."""
        return list(self.result["per_case"]["case_id"])

    @cached_property
    def truth(self) -> NDArray[np.bool_]:
        """Which case carries which label, [n, C]."""
        carried = [set(labels) for labels in self.result["per_case"]["labels"]]
        return np.array([[name in labels for name in self.names] for labels in carried], bool)

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Whether each label of each case was decided, [n, C]; the others are neither right nor wrong."""
        unknown = self.result["per_case"].get("unknown")
        if unknown is None:
            return np.ones(self.truth.shape, bool)
        return np.array([[name not in labels for name in self.names] for labels in map(set, unknown)], bool)

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """Which calls are wrong, [n, C]; none where the label is unknown."""
        return (self.called != self.truth) & self.known

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities as the system gave them, [n, C]."""
        return self._columns("probabilities")

    @cached_property
    def calibrated(self) -> NDArray[np.float64]:
        """After temperature scaling, [n, C]."""
        return self._columns("calibrated")

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """Probability from which each label is called, [C]; chosen on validation cases."""
        rows = self.result["classification"]["per_class"]
        return np.array([rows[name]["threshold"] for name in self.names])

    @cached_property
    def called(self) -> NDArray[np.bool_]:
        """Which labels the system calls, [n, C]: the most probable stage, or all that reach their thresholds."""
        if self.stages:
            return self.probabilities.argmax(axis=1)[:, None] == np.arange(len(self.names))
        return self.probabilities >= self.thresholds

    def column(self, label: str) -> int:
        """Column of a label. Raises `QueryError` for one that was not predicted."""
        try:
            return self.names.index(label)
        except ValueError:
            raise QueryError(f"no figures for {label!r}. Predicted: {', '.join(self.names)}.") from None

    def _columns(self, key: str) -> NDArray[np.float64]:
        found = self.result["per_case"][key]
        return np.array([found[name] for name in self.names], np.float64).T


def of_casebook(casebook: Casebook) -> list[Measured]:
    """What was measured of a casebook, one entry per modality; empty where nothing was. Raises `CasebookError`."""
    metrics = casebook.metrics
    if metrics is None:
        return []
    reads = casebook.manifest.system.reads
    return [
        Measured(metrics["system"], metrics["system"], result, reads, casebook)
        for result in metrics["modalities"].values()
    ]


def runs_of(casebook: Casebook) -> list[Run]:
    """Trainings that are kept beside a casebook's figures, for learning curve and ablations."""
    return [Run.model_validate(run) for run in (casebook.metrics or {}).get("runs", [])]


def of_file(path: Path) -> list[Measured]:
    """Figures of a file that `evaluate --out` wrote, or of a casebook's metrics.json.

    Raises:
        QueryError: The file holds no such figures.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        results = list(content["modalities"].values()) if "modalities" in content else [content]
        measured = [Measured(content["system"], content["system"], result) for result in results]
        for one in measured:
            _ = one.truth, one.probabilities, one.scope
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QueryError(
            f"{path}: holds no figures ({error}). Name a file that `cxr-explorer evaluate --out` wrote."
        ) from None
    return measured


def comparable(measured: Measured, others: Sequence[Measured]) -> list[Measured]:
    """A system first, then those that scored the same part of the same dataset, under names that differ."""
    alike = [
        one
        for one in others
        if one.result is not measured.result
        and all(one.result[key] == measured.result[key] for key in ("dataset", "split", "synthetic"))
    ]
    named: list[Measured] = []
    for one in [measured, *alike]:
        name = f"{one.system}, {one.read_words}"
        if any(name == other.name for other in named):
            name += f" ({one.casebook.name})" if one.casebook is not None else " (file)"
        while any(name == other.name for other in named):
            name += "'"
        named.append(replace(one, name=name))
    return named
