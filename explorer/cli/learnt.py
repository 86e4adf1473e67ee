"""`cxr-explorer learnt`: what a system has learnt of each finding."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import JsonOption, SkipUnreadableOption, print_json
from index_builder.errors import ModelError, QueryError

if TYPE_CHECKING:
    from index_builder.calibration.learnt import Evidence, Learnt


def learnt(
    system: Annotated[
        str,
        typer.Argument(help="A shipped system (unified, siclip or mskpt), a checkpoint folder or a casebook folder."),
    ],
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            help="All data that the checkpoint was trained on, as for `train`: count and measure again, and "
            "keep the result in the checkpoint. Repeatable.",
            show_default=False,
        ),
    ] = None,
    skip_unreadable: SkipUnreadableOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show on which data a system learnt each finding, from how many films, and how well it predicts it there."""
    from explorer.cli.progress import bar
    from index_builder.calibration.learnt import read_learnt
    from index_builder.casebook.layout import Layout
    from index_builder.systems.base import CONFIG_FILE
    from index_builder.systems.shipped import checkpoint_named

    folder = checkpoint_named(system)
    copy = Layout(folder).system
    if (copy / CONFIG_FILE).is_file():
        if dataset:
            raise QueryError(f"{folder} is a casebook, which stays as it was built. Name the checkpoint, then rebuild.")
        folder = copy
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(f"{folder}: no system there ({CONFIG_FILE} is missing). Name a checkpoint or a casebook.")
    if dataset:
        from index_builder.training.cases import Source
        from index_builder.training.learnt import record_learnt

        sources = [Source.parse(expression) for expression in dataset]
        with bar() as advance:
            found: Learnt | None = record_learnt(folder, sources, advance, skip_unreadable=skip_unreadable)
    else:
        found = read_learnt(folder)
    if found is None:
        raise ModelError(f"{folder}: what it has learnt was not recorded. Name its training data with --dataset.")
    if as_json:
        print_json(asdict(found))
        return
    _print(found)


def _print(found: Learnt) -> None:
    from index_builder.calibration.learnt import rule_words

    for label in found.labels:
        print(label)
        rows = found.evidence(label)
        for row in rows:
            print(f"  {_line(row)}")
        if not rows:
            print("  no example with it")
    print(f"AUROC on validation cases with 95 % interval. {rule_words()}")
    print("For education and research, not for diagnosis.")


def _line(row: Evidence) -> str:
    from index_builder.calibration.learnt import SPACE_WORDS

    counts = "not trained on" if row.taught is None else f"{row.positives:,} with it, {row.taught.negatives:,} without"
    figures = [f"{SPACE_WORDS[space]} {one.words} ({one.positives} with it)" for space, one in row.measured.items()]
    return f"{row.title}: {counts}; {', '.join(figures) or 'not measured'}"
