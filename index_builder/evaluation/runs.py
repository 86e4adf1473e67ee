"""Trainings of a system on part of the data or with a part left out, as tests/benchmarks/ablations.py writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from index_builder.errors import QueryError

#: Runs that a checkpoint carries.
RUNS_FILE = "runs.jsonl"
#: The variant that nothing is left out of; on several shares of the data it makes a learning curve.
FULL = "full"


class Run(BaseModel):
    """One training and what its test part scored; a line of JSON.

    Attributes:
        system: Name of the system.
        dataset: What it was trained and scored on.
        variant: `FULL`, or what was left out.
        fraction: Share of the training part, above 0 to 1.
        training_cases: How many cases that was.
        seed: Seed of the training.
        figures: Test figures by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    dataset: str
    variant: str
    fraction: float = Field(gt=0, le=1)
    training_cases: int
    seed: int
    figures: dict[str, float]


def read_runs(path: Path) -> list[Run]:
    """Runs of a file of JSON lines.

    Raises:
        QueryError: The file is unreadable, empty, or a line is no run.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{path}: unreadable ({error}). Name a file that ablations.py --out wrote.") from None
    runs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            runs.append(Run.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            raise QueryError(
                f"{path}, line {number}: {place}: {first['msg']}. Each line is a run as ablations.py --out writes it."
            ) from None
    if not runs:
        raise QueryError(f"{path}: holds no run. Name a file that ablations.py --out wrote.")
    return runs


def runs_beside(checkpoint: Path, dataset: str) -> list[Run]:
    """Runs on a dataset that a checkpoint folder carries in `RUNS_FILE`; none without the file.

    Raises:
        QueryError: As `read_runs`.
    """
    path = checkpoint / RUNS_FILE
    return [run for run in read_runs(path) if run.dataset == dataset] if path.is_file() else []


def learning_curve(runs: Sequence[Run]) -> list[Run]:
    """Runs of the whole system, if they cover more than one share of the data; smallest share first."""
    whole = sorted((run for run in runs if run.variant == FULL), key=lambda run: (run.fraction, run.seed))
    return whole if len({run.fraction for run in whole}) > 1 else []


def ablations(runs: Sequence[Run]) -> list[Run]:
    """Runs at the share of the data where most variants were trained, if more than one was."""
    variants = {share: {run.variant for run in runs if run.fraction == share} for share in {r.fraction for r in runs}}
    share = max(variants, key=lambda one: (len(variants[one]), one), default=None)
    if share is None or len(variants[share]) < 2:
        return []
    return [run for run in runs if run.fraction == share]
