"""`cxr-explorer …`: every command a thin call of the Python API.

Bad input ends with exit code 2 and one line on standard error. Heavy imports happen inside the commands, so that
`--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from explorer.cli.anatomy import anatomy, train_anatomy
from explorer.cli.demo import demo, print_built, serve
from explorer.cli.evaluation import metrics, quality, report
from explorer.cli.explain import explain
from explorer.cli.learnt import learnt
from explorer.cli.maps import maps, subset
from explorer.cli.models import chosen_system, evaluate, systems, train
from explorer.cli.options import (
    SYSTEM_WORDS,
    AcceptLicenceOption,
    CasebookArgument,
    DatasetOption,
    EncoderOption,
    JsonOption,
    RootOption,
    SkipUnreadableOption,
    print_json,
)
from explorer.cli.search import facets, search
from index_builder.disclaimer import DISCLAIMER
from index_builder.errors import CxrError, QueryError

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=f"Explore chest X-ray cases by film, report or case. {DISCLAIMER}",
)


def main() -> None:
    """Run the command line."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except CxrError as error:
        _fail(str(error))
    except TyperException as error:
        _fail(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    sys.exit(code or 0)


@app.command()
def check(
    dataset: DatasetOption,
    root: RootOption = None,
    decode: Annotated[bool, typer.Option(help="Decode every film too.")] = False,
    text: Annotated[bool, typer.Option("--burned-in", help="Look for text in every film too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Dry run: list every problem of a dataset at once. Exits 1 if one would stop a build."""
    from explorer.cli.progress import bar
    from index_builder.datasets import open_dataset
    from index_builder.datasets.check import check_dataset

    with bar() as advance:
        report = check_dataset(
            open_dataset(dataset, root),
            decode=decode,
            text=text,
            progress=lambda done, of: advance("Decoding films", done, of),
        )
    if as_json:
        print_json(report.as_dict())
    else:
        for line in report.lines():
            print(line)
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def build(
    dataset: DatasetOption,
    out: Annotated[Path, typer.Option(help="Casebook folder to write.")],
    root: RootOption = None,
    limit: Annotated[int | None, typer.Option(help="At most this many cases, chosen at random by the seed.")] = None,
    seed: Annotated[int, typer.Option(help="For phantoms, --limit and the maps.")] = 0,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help=f"A shipped system, {SYSTEM_WORDS}, or a checkpoint folder; default: mskpt for phantom-dust, "
            "else unified.",
            show_default=False,
        ),
    ] = None,
    encoder: EncoderOption = None,
    accept_licence: AcceptLicenceOption = False,
    replace: Annotated[bool, typer.Option(help="Replace an existing casebook once the new one is complete.")] = False,
    store: Annotated[
        str,
        typer.Option(
            help="Where vectors are searched: faiss, milvus: or milvus:FILE.db (Milvus Lite in the casebook), or "
            "milvus:http://HOST:PORT (a server; MILVUS_URI and MILVUS_TOKEN for its account).",
        ),
    ] = "faiss",
    deidentify: Annotated[
        bool, typer.Option(help="Build from a de-identified copy, which is written to OUT-source first.")
    ] = False,
    engine: Annotated[str, typer.Option(help="local: threads; ray: worker processes, here or on a cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="With --engine ray: address of the cluster, e.g. auto on its nodes.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="With --engine ray; default: one per processor.")] = None,
    skip_unreadable: SkipUnreadableOption = False,
) -> None:
    """Build a casebook. Run the same command again after an interruption: it resumes."""
    from explorer.cli.progress import build_with_progress
    from index_builder.build.build import BuildRequest

    if engine not in ("local", "ray"):
        raise QueryError(f"--engine {engine}: give local or ray.")
    if engine == "local" and (address is not None or workers is not None):
        raise QueryError("--address and --workers are for --engine ray.")
    ray = None
    if engine == "ray":
        from index_builder.build.embed_ray import RayCluster

        ray = RayCluster(address, workers)
    system = chosen_system(dataset, checkpoint, encoder, accept_licence)
    if deidentify:
        root = _deidentified(dataset, root, out, limit, seed, replace, skip_unreadable)
        dataset, limit = "manifest", None
    request = BuildRequest(dataset, root, out, system, limit, seed, replace, store, ray, skip_unreadable)
    print_built(build_with_progress(request))


@app.command()
def verify(casebook: CasebookArgument) -> None:
    """Compare a casebook with its manifest. Exits 1 and names every damaged file."""
    from index_builder.casebook.manifest import verify as damaged_files
    from index_builder.errors import CasebookError

    if not casebook.is_dir():
        raise CasebookError(f"{casebook}: no such folder. Name a casebook.")
    try:
        problems = damaged_files(casebook)
    except CasebookError as error:
        problems = [str(error)]
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    print(f"{casebook}: all files as built")


@app.command()
def info(casebook: CasebookArgument, as_json: JsonOption = False) -> None:
    """Show what a casebook holds."""
    from explorer.casebook import Casebook

    summary = Casebook.open(casebook).summary()
    if as_json:
        print_json(summary)
        return
    for name, value in summary.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, entry in value.items():
                print(f"  {key:<34} {entry}")
        else:
            print(f"{name:<12} {value}")


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="openi: the only public collection that can be fetched.")],
    out: Annotated[Path, typer.Option(help="Folder to download into.")] = Path("data/openi"),
    films: Annotated[str | None, typer.Option(help="png (1.4 GB) or dicom (81 GB); default: reports only.")] = None,
    sample: Annotated[int | None, typer.Option(help="Only the films of this many reports.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Mirror of the collection.")] = None,
) -> None:
    """Download a public collection; run again to resume."""
    from explorer.cli.progress import bar
    from index_builder.datasets.fetching.fetch import OPENI_COLLECTION, fetch_openi
    from index_builder.datasets.fetching.transfer import Progress
    from index_builder.errors import DownloadError

    if dataset != "openi":
        raise DownloadError(f"cannot fetch {dataset!r}. Known: openi.")
    if films not in (None, "png", "dicom"):
        raise DownloadError(f"--films {films}: give png or dicom.")
    with bar(unit_bytes=True) as advance:

        def show(progress: Progress) -> None:
            advance(f"{progress.task} {progress.name}", progress.done, progress.total)

        result = fetch_openi(
            out,
            films,  # type: ignore[arg-type]  # narrowed above
            sample,
            base_url=base_url or OPENI_COLLECTION,
            progress=show,
        )
    print(f"{result.destination}: {result.reports} reports, {result.films} films")
    print(f"next: cxr-explorer build --dataset openi --root {result.destination} --out casebooks/openi")


app.command()(search)
app.command()(facets)
app.command()(demo)
app.command()(serve)
app.command()(train)
app.command()(evaluate)
app.command()(systems)
app.command()(learnt)
app.command()(maps)
app.command()(subset)
app.command()(metrics)
app.command()(quality)
app.command()(report)
app.command()(explain)
app.command()(anatomy)
app.command()(train_anatomy)


def _deidentified(
    dataset: str, root: Path | None, out: Path, limit: int | None, seed: int, replace: bool, skip_unreadable: bool
) -> Path:
    """Write the de-identified copy of a source beside the casebook; gives its folder."""
    from explorer.cli.progress import bar
    from index_builder.build.build import select_cases
    from index_builder.casebook.workspace import check_target
    from index_builder.datasets import open_dataset
    from index_builder.deidentify import Pseudonyms, write_deidentified

    check_target(out.absolute(), replace)
    source = open_dataset(dataset, root, seed)
    copy = out.with_name(f"{out.name}-source")
    with bar() as advance:
        cases = select_cases(source.cases(), limit, seed)
        pseudonyms = Pseudonyms.from_environment()
        report = write_deidentified(
            source, cases, copy, pseudonyms, advance, replace=replace, skip_unreadable=skip_unreadable
        )
    for line in report.lines():
        print(line)
    return copy


def _fail(message: str) -> None:
    print("cxr-explorer: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
