"""The model card, written from the run itself."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from index_builder.calibration.learnt import Learnt, rule_words, table_lines
from index_builder.calibration.uncertainty import STATED_RISK
from index_builder.systems.base import RetrievalSystem
from index_builder.training.cases import Source, TrainingCases
from index_builder.training.loop import Fitted
from index_builder.training.schedule import Schedule

CARD = "README.md"

_LEARNT = "## What it has learnt"

_TABLE = ("| dataset | training films and texts | validation cases | synthetic | licence |", "|---|---|---|---|---|")


def write_card(
    out: Path,
    system: RetrievalSystem,
    sources: Sequence[Source],
    cases: TrainingCases,
    schedule: Schedule,
    fitted: Fitted,
    fraction: float,
    commit: str,
    begun: Sequence[str] = (),
    blend: float = 1.0,
) -> None:
    """Write `README.md` beside a checkpoint: data with licences, settings, validation figures, commit.

    `begun` is the card of the checkpoint that training began with; its data are named too. `blend` is the share of the
    trained weights beside those.
    """
    config = system.config
    lines = [
        f"# {config.system}, {config.preset} preset",
        "",
        "For education and research, not for diagnosis.",
        "",
        f"Image encoder `{config.image_encoder}` (last {config.trained_image_stages} stages trained; -1: all), text "
        f"encoder `{config.text_encoder}` (last {config.trained_text_layers} layers trained), {config.image_size} px. "
        f"Trained by cxr-explorer {version('cxr-explorer')}, commit {commit}, in {fitted.seconds / 60:.0f} minutes; "
        + ", ".join(f"phase {phase}: {epochs} epochs" for phase, epochs in fitted.epochs.items())
        + ".",
        "",
        "## Data",
        "",
        *_TABLE,
    ]
    for number, name in enumerate(cases.groups):
        card = next(source.open().card for source in sources if source.open().card.name == name)
        sizes = [sum(one.group == number for one in cases.of(part)) for part in ("train", "val")]
        lines.append(f"| {name} | {sizes[0]} | {sizes[1]} | {'yes' if card.synthetic else 'no'} | {card.licence} |")
    if begun:
        earlier = [line for line in begun if line.startswith("| ") and line.count("|") == 6 and "dataset" not in line]
        # Each step of a training names what those before it read; once is enough.
        told = dict.fromkeys(earlier)
        lines += ["", "Begun with the weights of a checkpoint that was trained on:", "", *_TABLE, *told]
        lines += [] if blend == 1 else ["", f"Its weights are {1 - blend:.0%} of these, what was trained {blend:.0%}."]
    if fraction < 1:
        lines += ["", f"{fraction:.0%} of the training cases, chosen at random by seed {schedule.seed}."]
    if cases.unreadable:
        left_out = sum(not film.kept for film in cases.unreadable)
        lines += [
            "",
            f"{len(cases.unreadable):,} films could not be read; {left_out:,} cases were left out because of this.",
        ]
    if cases.copies:
        lines += ["", f"{cases.copies:,} films were not trained on: another collection holds a copy outside training."]
    lines += [
        "",
        "Test parts were not read. Epoch, vote and thresholds were chosen on the validation parts.",
        *([] if system.theta is None else ["", _threshold(system.theta)]),
        "",
        "## Validation",
        "",
        "| dataset/space | macro average precision |",
        "|---|---|",
        *(f"| {name} | {score:.3f} |" for name, score in fitted.scores.items()),
        "",
        *([] if system.learnt is None else [*_learnt_lines(system.learnt, config.label_names), ""]),
        "## Settings",
        "",
        "```json",
        schedule.model_dump_json(),
        config.model_dump_json(exclude={"label_names"}),
        "```",
        "",
        f"Labels: {', '.join(config.label_names)}",
    ]
    (out / CARD).write_text("\n".join(lines) + "\n", "utf-8")


def _threshold(theta: float) -> str:
    """What θ means; 1, which nothing is more uncertain than, where none kept the stated error."""
    if theta < 1:
        return (
            f"Predictions more uncertain than θ = {theta:.3f} are shown as not reliable; the others err on at most "
            f"{STATED_RISK:.0%} of the validation cases."
        )
    return (
        f"No threshold of uncertainty was found that keeps the error on validation cases to {STATED_RISK:.0%}: θ is 1, "
        "and no prediction is marked as not reliable."
    )


def replace_learnt(folder: Path, learnt: Learnt, labels: Sequence[str]) -> None:
    """Put what a checkpoint has learnt into its model card, instead of what stood there; nothing without a card.

    Raises:
        OSError: The card cannot be read or written.
    """
    path = folder / CARD
    if not path.is_file():
        return
    lines = path.read_text("utf-8").splitlines()
    headings = [number for number, line in enumerate(lines) if line.startswith("## ")]
    start = next((number for number in headings if lines[number] == _LEARNT), None)
    if start is None:
        start = stop = next((number for number in headings if lines[number] == "## Settings"), len(lines))
    else:
        stop = next((number for number in headings if number > start), len(lines))
    kept = [*lines[:start], *_learnt_lines(learnt, labels), "", *lines[stop:]]
    path.write_text("\n".join(kept).rstrip("\n") + "\n", "utf-8")


def _learnt_lines(learnt: Learnt, labels: Sequence[str]) -> list[str]:
    return [
        _LEARNT,
        "",
        "Counted are training films, each with its report, and texts without a film, as far as their dataset decides "
        "the label; a label of one collection may teach that of another which it also means. AUROC is of validation "
        "cases, with 95 % intervals by resampling patients; epochs and thresholds were chosen on the same cases, which "
        f"flatters a little. {rule_words()}",
        "",
        *table_lines(learnt, labels),
    ]


def commit_of_code() -> str:
    """Commit of the checkout that trains; "unknown" for an installed package."""
    here = Path(__file__).parent
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"
