"""Commands about systems: `train`, `evaluate` and `systems`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import SYSTEM_WORDS, DatasetOption, JsonOption, RootOption, SkipUnreadableOption, print_json
from index_builder.disclaimer import DISCLAIMER
from index_builder.errors import ModelError, QueryError
from index_builder.systems import system_names

if TYPE_CHECKING:
    from index_builder.build.build import PublishedEncoder


def evaluate(
    system: Annotated[str, typer.Argument(help=f"A shipped system, {SYSTEM_WORDS}, or a checkpoint folder.")],
    dataset: DatasetOption,
    root: RootOption = None,
    modality: Annotated[
        str | None,
        typer.Option(help="image, text or joint; default: joint where cases have both, with --explain image."),
    ] = None,
    split: Annotated[str, typer.Option(help="Part to score: train, val, test or all.")] = "test",
    baselines: Annotated[bool, typer.Option("--baselines", help="Measure baselines on the same cases too.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Measure explanations instead: pointing, deletion, sanity and more.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="With --explain: cases to explain; default: all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the phantoms and all random choices.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON object to this file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a system: classification, calibration, retrieval and more, with 95 % intervals."""
    from explorer.cli.progress import bar
    from index_builder.cases.space import SPACES
    from index_builder.evaluation.explanation_report import explanation_lines
    from index_builder.evaluation.report import report_lines
    from index_builder.evaluation.run import EvaluateRequest
    from index_builder.evaluation.run import evaluate as measured
    from index_builder.evaluation.task import PARTS

    space = next((one for one in SPACES if one == modality), None)
    if modality is not None and space is None:
        raise QueryError(f"--modality {modality}: give one of {', '.join(SPACES)}.")
    part = next((one for one in PARTS if one == split), None)
    if part is None:
        raise QueryError(f"--split {split}: give one of {', '.join(PARTS)}.")
    if limit is not None and not explain:
        raise QueryError("--limit is for --explain; without it all cases of the part are scored.")
    if baselines and explain:
        raise QueryError("--explain measures its own baselines: leave out --baselines.")
    if out is not None and not out.absolute().parent.is_dir():
        raise ModelError(f"--out {out}: its folder does not exist. Create it, or choose another file.")
    with bar() as advance:
        result = measured(EvaluateRequest(system, dataset, root, space, part, baselines, seed, explain, limit), advance)
    if out is not None:
        try:
            out.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", "utf-8")
        except OSError as error:
            raise ModelError(f"--out {out}: cannot be written ({error.strerror}). Choose another file.") from None
    if as_json:
        print_json(result)
    else:
        print("\n".join(explanation_lines(result) if explain else report_lines(result)))


def train(
    system: Annotated[str, typer.Argument(help=f"{', '.join(system_names())}.")],
    dataset: Annotated[
        list[str],
        typer.Option(
            "--dataset",
            help="openi, phantom-dust, nih=DIR … Repeatable; phantom-openi=1 is drawn from seed 1.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write; an unfinished run there is continued.")],
    root: RootOption = None,
    preset: Annotated[str, typer.Option(help="compact or reference; of plug-ins compact.")] = "compact",
    fraction: Annotated[float, typer.Option(help="Share of the training cases to use.", min=0.01, max=1.0)] = 1.0,
    config: Annotated[Path | None, typer.Option(help="YAML with settings that replace the preset's.")] = None,
    skip_unreadable: SkipUnreadableOption = False,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Checkpoint of the same settings to start from, instead of the encoders as they come."
        ),
    ] = None,
    blend: Annotated[
        float,
        typer.Option(
            help="With --from: share of the trained weights; the rest are the starting weights.", min=0, max=1
        ),
    ] = 1.0,
) -> None:
    """Train a system; choices are made on validation parts, test parts are not read."""
    from dataclasses import replace

    from explorer.cli.progress import bar
    from index_builder.datasets.unreadable import unreadable_lines
    from index_builder.training.cases import Source
    from index_builder.training.presets import preset as preset_config
    from index_builder.training.presets import preset_schedule, read_overrides
    from index_builder.training.run import TrainRequest
    from index_builder.training.run import train as run

    sources = [Source.parse(expression) for expression in dataset]
    if root is not None:
        if len(sources) > 1:
            raise QueryError(f"--root {root}: with several datasets name each folder, e.g. --dataset nih={root}.")
        sources = [replace(sources[0], root=root)]
    overrides = read_overrides(config)
    request = TrainRequest(
        preset_config(system, preset, overrides),
        preset_schedule(system, preset, overrides),
        sources,
        out,
        fraction,
        skip_unreadable,
        start,
        blend,
    )

    def report(phase: str, epoch: int, epochs: int, values: dict[str, float]) -> None:
        shown = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
        print(f"{phase} {epoch}/{epochs}  {shown}", flush=True)

    with bar() as advance:
        fitted = run(request, advance, report)
    for line in unreadable_lines(fitted.unreadable):
        print(line)
    print(f"{out}: trained in {fitted.seconds / 60:.1f} minutes; figures in {out / 'README.md'}")
    print(DISCLAIMER)


def systems(as_json: JsonOption = False) -> None:
    """List what a casebook can be built with: shipped systems, and named published encoders; any other works too."""
    from dataclasses import asdict

    from index_builder.systems.shipped import listed_systems

    listed = listed_systems()
    if as_json:
        print_json({"systems": [asdict(one) for one in listed]})
        return
    for title, kind in (
        ("Trained and shipped: build --checkpoint NAME", "shipped"),
        ("Added by other packages: train NAME; build --checkpoint NAME where the package brings weights", "added"),
        ("Published encoders as they are: build --encoder NAME; weights are fetched at the first use", "frozen"),
    ):
        of_kind = [one for one in listed if one.kind == kind]
        if of_kind:
            print(title)
        for one in of_kind:
            print(f"  {one.name}")
            consent = "; needs --accept-licence" if one.consent else ""
            print(f"      reads {one.reads}; {one.size}; licence: {one.licence}{consent}")
            print(f"      {one.note}" if one.note else "", end="\n" if one.note else "")
    print(DISCLAIMER)


def chosen_system(
    dataset: str, checkpoint: str | None, encoder: str | None, accept_licence: bool
) -> Path | PublishedEncoder:
    """What embeds: a checkpoint, or a published encoder whose licence is agreed to where that is needed.

    Raises:
        QueryError: Both are named, or a licence is accepted of nothing.
        ModelError: The licence must be agreed to first.
    """
    from index_builder.build.build import PublishedEncoder
    from index_builder.systems.shipped import checkpoint_for

    if encoder is None:
        if accept_licence:
            raise QueryError("--accept-licence is for --encoder: shipped systems are free.")
        return checkpoint_for(dataset, checkpoint)
    if checkpoint is not None:
        raise QueryError("--checkpoint and --encoder both name what embeds. Give one.")
    from index_builder.systems.backbones.catalogue import require_consent

    return PublishedEncoder(encoder, require_consent(encoder, accept_licence).name)
