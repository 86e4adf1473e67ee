"""`cxr-explorer …`: every command a thin call of the Python API.

Bad input ends with exit code 2 and one line on standard error. Heavy imports happen inside the commands, so that
`--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from explorer.cli_evaluation import metrics, quality, report
from explorer.cli_explain import explain
from explorer.cli_maps import maps, subset
from explorer.cli_models import evaluate, train
from explorer.cli_options import (
    CasebookArgument,
    DatasetOption,
    ImageOption,
    JsonOption,
    ProfileOption,
    RootOption,
    TextOption,
    print_json,
)
from index_builder.errors import CxrError, QueryError

if TYPE_CHECKING:
    from explorer.counter_evidence import CounterEvidence
    from explorer.search import SearchResult
    from index_builder.build import BuildReport

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Explore chest X-ray cases by film, report or case. For education and research, not for diagnosis.",
)

#: Casebooks of `demo`: name, dataset, system and number of cases.
DEMO = (
    ("phantom-openi", "phantom-openi", "unified", 1000),
    ("phantom-dust-siclip", "phantom-dust", "siclip", 400),
    ("phantom-dust-mskpt", "phantom-dust", "mskpt", 400),
)

#: Predicted findings that are printed.
_PREDICTIONS = 5

PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Port on localhost.")]


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
def demo(
    serve: Annotated[bool, typer.Option(help="Open the app when the casebooks are built.")] = True,
    port: PortOption = 8501,
    out: Annotated[Path, typer.Option(help="Where the casebooks are kept between runs.")] = Path("casebooks"),
) -> None:
    """Build three casebooks of synthetic films, one per system, where they are not there yet, and open the app."""
    from explorer.progress import build_with_progress
    from index_builder.build import BuildRequest
    from index_builder.casebook import Layout, read_manifest
    from index_builder.resources import default_checkpoint

    folders = [out / name for name, *_ in DEMO]
    for folder, (_, dataset, system, cases) in zip(folders, DEMO, strict=True):
        if Layout(folder).manifest.is_file():
            read_manifest(folder)
            print(f"{folder}: already built")
            continue
        request = BuildRequest(dataset, None, folder, default_checkpoint(system), limit=cases)
        _print_built(build_with_progress(request))
    if serve:
        _serve(folders, port)


@app.command()
def check(
    dataset: DatasetOption,
    root: RootOption = None,
    decode: Annotated[bool, typer.Option(help="Decode every film too.")] = False,
    text: Annotated[bool, typer.Option("--burned-in", help="Look for text in every film too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Dry run: list every problem of a dataset at once. Exits 1 when one would stop a build."""
    from explorer.progress import bar
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
    limit: Annotated[int | None, typer.Option(help="At most this many cases, drawn by the seed.")] = None,
    seed: Annotated[int, typer.Option(help="For phantoms, --limit and the maps.")] = 0,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="unified, siclip or mskpt as shipped, or a checkpoint folder; default: mskpt for phantom-dust, else "
            "unified.",
            show_default=False,
        ),
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace a casebook that is there, once the new one is done.")] = False,
    store: Annotated[
        str,
        typer.Option(
            help="Where vectors are searched: faiss, milvus: or milvus:FILE.db (Milvus Lite in the casebook), or "
            "milvus:http://HOST:PORT (a server; MILVUS_URI and MILVUS_TOKEN for its account).",
        ),
    ] = "faiss",
    deidentify: Annotated[
        bool, typer.Option(help="Build from a copy that names nobody, written to OUT-source first.")
    ] = False,
    engine: Annotated[str, typer.Option(help="local: threads; ray: worker processes, here or on a cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="With --engine ray: a cluster's, e.g. auto on its nodes.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="With --engine ray; default: one per processor.")] = None,
) -> None:
    """Build a casebook. Run the same command again after an interruption: it goes on where it stopped."""
    from explorer.progress import build_with_progress
    from index_builder.build import BuildRequest
    from index_builder.resources import checkpoint_for

    if engine not in ("local", "ray"):
        raise QueryError(f"--engine {engine}: give local or ray.")
    if engine == "local" and (address is not None or workers is not None):
        raise QueryError("--address and --workers are for --engine ray.")
    ray = None
    if engine == "ray":
        from index_builder.embed_ray import RayCluster

        ray = RayCluster(address, workers)
    system = checkpoint_for(dataset, checkpoint)
    if deidentify:
        dataset, root, limit = "manifest", _deidentified(dataset, root, out, limit, seed, replace), None
    _print_built(build_with_progress(BuildRequest(dataset, root, out, system, limit, seed, replace, store, ray)))


@app.command()
def verify(casebook: CasebookArgument) -> None:
    """Compare a casebook with its manifest. Exits 1 and names what is damaged."""
    from index_builder.casebook import verify as damaged_files
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
    """Say what a casebook holds."""
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
def search(
    casebook: CasebookArgument,
    image: ImageOption = None,
    text: TextOption = None,
    profile: ProfileOption = None,
    case: Annotated[str | None, typer.Option(help="More like this case of the casebook.")] = None,
    k: Annotated[int, typer.Option("-k", help="Neighbours wanted.")] = 5,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", help="e.g. label=Cardiomegaly, label!=Normal, split=train, age=40..60. Repeatable."),
    ] = None,
    space: Annotated[str | None, typer.Option(help="image, text or joint; default: fits the query.")] = None,
    image_weight: Annotated[float, typer.Option(help="Share of the film beside a text or profile, 0 to 1.")] = 0.5,
    rerank: Annotated[
        float, typer.Option(help="Order by similarity alone, 0, to the system's mixture with findings, 1.")
    ] = 0.0,
    one_per_patient: Annotated[bool, typer.Option(help="Best case of each patient only.")] = False,
    hide_duplicates: Annotated[bool, typer.Option(help="Leave out copies of a film or report.")] = False,
    counter: Annotated[
        str | None,
        typer.Option("--counter-evidence", help="A finding: show the nearest cases with it and without it too."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the nearest cases to a film, a text or profile, a film with either, or a case."""
    from time import perf_counter

    from explorer.casebook import Casebook
    from explorer.counter_evidence import counter_evidence
    from explorer.filters import parse_filter
    from explorer.profiles import parse_profile
    from explorer.search import Query, SearchOptions
    from index_builder.casebook import SPACES
    from index_builder.imaging import read_film

    began = perf_counter()
    chosen = next((name for name in SPACES if name == space), None)
    if space is not None and chosen is None:
        raise QueryError(f"--space {space}: give one of {', '.join(SPACES)}.")
    options = SearchOptions(
        k=k,
        space=chosen,
        filters=tuple(parse_filter(expression) for expression in filters or ()),
        rerank=rerank,
        one_per_patient=one_per_patient,
        hide_duplicates=hide_duplicates,
    )
    opened = Casebook.open(casebook)
    opened_at = perf_counter()
    patient = None if profile is None else parse_profile(opened, profile)
    film = None if image is None else read_film(image)
    decoded_at = perf_counter()
    pixels, view = (None, None) if film is None else (film.pixels, film.view)
    query = Query(pixels, text, case, image_weight, patient, view)
    result = opened.search(query, options)
    against = None if counter is None else counter_evidence(opened, query, counter, options)
    before = {"open": 1e3 * (opened_at - began), "decode": 1e3 * (decoded_at - opened_at)}
    if as_json:
        beside = {} if against is None else {"counter_evidence": against.as_dict()}
        print_json(result.as_dict() | {"timings_ms": _rounded(before | dict(result.timings_ms))} | beside)
    else:
        _print_neighbours(result, against)


@app.command()
def serve(
    casebooks: Annotated[list[Path], typer.Argument(help="Casebook folders.")],
    port: PortOption = 8501,
) -> None:
    """Open the app on one or more casebooks."""
    from index_builder.casebook import read_manifest

    for folder in casebooks:
        read_manifest(folder)
    _serve(casebooks, port)


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="openi, the one public collection that can be fetched.")],
    out: Annotated[Path, typer.Option(help="Folder to download into.")] = Path("data/openi"),
    films: Annotated[str | None, typer.Option(help="png (1.4 GB) or dicom (81 GB); default: reports only.")] = None,
    sample: Annotated[int | None, typer.Option(help="Films of this many reports only.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Mirror of the collection.")] = None,
) -> None:
    """Download a public collection; run again to resume."""
    from explorer.progress import bar
    from index_builder.datasets.fetch import OPENI_COLLECTION, fetch_openi
    from index_builder.datasets.transfer import Progress
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


app.command()(train)
app.command()(evaluate)
app.command()(maps)
app.command()(subset)
app.command()(metrics)
app.command()(quality)
app.command()(report)
app.command()(explain)


def _serve(casebooks: list[Path], port: int) -> None:
    """Replace this process by the app's server, so that signals reach it."""
    import socket

    from index_builder.errors import CasebookError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise CasebookError(f"port {port} is in use. Choose another: --port {port + 1}") from None
    script = Path(__file__).with_name("app.py")
    folders = [str(folder.resolve()) for folder in casebooks]
    print(f"CXR Explorer: http://localhost:{port}  (Ctrl+C stops it)", flush=True)
    arguments = ["-m", "streamlit", "run", str(script), "--server.port", str(port), "--server.address", "localhost"]
    # A query on several threads waits longer for them than they save: docs/scale.md.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.execv(sys.executable, [sys.executable, *arguments, "--", *folders])


def _deidentified(dataset: str, root: Path | None, out: Path, limit: int | None, seed: int, replace: bool) -> Path:
    """Write the de-identified copy of a source beside the casebook; gives its folder."""
    from explorer.progress import bar
    from index_builder.build import select_cases
    from index_builder.datasets import open_dataset
    from index_builder.deidentify import Pseudonyms, write_deidentified
    from index_builder.workspace import check_target

    check_target(out.absolute(), replace)
    source = open_dataset(dataset, root, seed)
    copy = out.with_name(f"{out.name}-source")
    with bar() as advance:
        cases = select_cases(source.cases(), limit, seed)
        report = write_deidentified(source, cases, copy, Pseudonyms.from_environment(), advance, replace=replace)
    for line in report.lines():
        print(line)
    return copy


def _print_built(report: BuildReport) -> None:
    manifest = report.manifest
    print(f"{report.out}: {manifest.cases} cases, {manifest.films} films, {manifest.reports} reports")
    print("  " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report.seconds.items()))


def _print_neighbours(result: SearchResult, against: CounterEvidence | None) -> None:
    from explorer.prediction_words import assessment_lines

    for flag in () if result.film is None else result.film.flags:
        print(f"CAUTION: {flag.words}")
    for one in result.neighbours:
        mark = "  [synthetic]" if one.synthetic else ""
        print(f"{one.rank:3d}  {one.score:.3f}  {one.case_id}  {', '.join(one.labels) or 'no finding'}{mark}")
        if one.profile:
            print(f"     {one.profile}")
        if one.shared_phrases:
            print(f"     shared words: {'; '.join(one.shared_phrases)}")
    if not result.neighbours:
        print("no case meets the filters")
    if result.assessment is not None:
        print("predictions. " + "\n".join(assessment_lines(result.assessment, _PREDICTIONS)))
    for title, row in () if against is None else (("with", against.present), ("without", against.absent)):
        print(f"nearest {title} {against.label if against else ''}:")
        for one in row:
            print(f"  {one.score:.3f}  {one.case_id}  {', '.join(one.labels) or 'no finding'}")
    print("For education and research, not for diagnosis.")


def _rounded(timings: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in timings.items()}


def _fail(message: str) -> None:
    print("cxr-explorer: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
