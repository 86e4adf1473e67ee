"""Commands about anatomy: `anatomy` of a film, and `train-anatomy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.cli.options import JsonOption, print_json
from index_builder.disclaimer import DISCLAIMER


def anatomy(
    film: Annotated[Path, typer.Argument(help="DICOM, PNG or JPEG of a frontal chest film.")],
    as_json: JsonOption = False,
) -> None:
    """Outline lungs, heart and clavicles, and report the cardiothoracic ratio, its error and how the film hangs."""
    from explorer.cases.anatomy import film_anatomy
    from index_builder.imaging import read_film

    read = read_film(film)
    found = film_anatomy(read.pixels, read.view)
    if as_json:
        print_json({"disclaimer": DISCLAIMER, "film": str(film), **found.as_dict()})
        return
    print(f"found: {', '.join(found.lines) or 'nothing'}")
    print(found.ratio_words)
    for words in found.hints:
        print(f"CAUTION: {words}")
    print(DISCLAIMER)


def train_anatomy(
    jsrt: Annotated[Path, typer.Option(help="JSRT: the films, and masks/ with their outlines.")],
    out: Annotated[Path, typer.Option(help="Folder for the weights and the model card.")],
    covid: Annotated[
        Path | None, typer.Option(help="COVID-19 image data collection; its lung outlines come with torchxrayvision.")
    ] = None,
    openi: Annotated[Path | None, typer.Option(help="Open-i films; laterals of the training part are used.")] = None,
    phantoms: Annotated[int, typer.Option(min=0, help="Computer-drawn films to learn from too.")] = 100,
    steps: Annotated[int, typer.Option(min=10, help="Training steps of 16 films.")] = 1200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights, the order of cases and the views.")] = 0,
    start: Annotated[Path | None, typer.Option("--from", help="Weights of an earlier run to start from.")] = None,
) -> None:
    """Train the segmenter of lungs, heart and clavicles; JSRT's test part is not read."""
    from index_builder.anatomy.card import write_anatomy_card
    from index_builder.anatomy.segmenter import AnatomyConfig
    from index_builder.anatomy.storage import load_network, save_network
    from index_builder.anatomy.train import AnatomySchedule, AnatomySources, read_films
    from index_builder.anatomy.train import train_anatomy as train
    from index_builder.training.card import commit_of_code

    commit = commit_of_code()  # now: the checkout may move on while this runs
    films = read_films(AnatomySources(jsrt, covid, openi, phantoms))
    schedule = AnatomySchedule(steps=steps, seed=seed)

    def report(step: int, of: int, agreement: float) -> None:
        print(f"step {step}/{of}  mean Dice on the validation films {agreement:.3f}", flush=True)

    begun = None if start is None else load_network(start)
    fitted = train(films, AnatomyConfig(), schedule, report, begun)
    save_network(fitted.network, fitted.config, out)
    write_anatomy_card(out, films, fitted, schedule, commit, begun=begun is not None)
    print(f"{out}: trained in {fitted.seconds / 60:.1f} minutes; figures in {out / 'README.md'}")
    print(DISCLAIMER)
