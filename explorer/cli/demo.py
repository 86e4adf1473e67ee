"""Commands that open the app: `demo`, with synthetic or real films, and `serve`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from index_builder.errors import QueryError

if TYPE_CHECKING:
    from index_builder.build.build import BuildReport

#: Casebooks of `demo`: name, dataset, system and number of cases.
DEMO = (
    ("phantom-openi", "phantom-openi", "unified", 1000),
    ("phantom-dust-siclip", "phantom-dust", "siclip", 400),
    ("phantom-dust-mskpt", "phantom-dust", "mskpt", 400),
)

#: Of `demo --real`: its folders, below the one for casebooks, and the share of the film archive that a report needs.
_REAL, _REAL_DATA = "openi", "openi-data"
_ARCHIVE_BYTES, _ARCHIVE_REPORTS = 1.4e9, 3955

PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Port on localhost.")]


def demo(
    serve: Annotated[bool, typer.Option(help="Open the app when the casebooks are built.")] = True,
    port: PortOption = 8501,
    out: Annotated[Path, typer.Option(help="Where the casebooks are kept between runs.")] = Path("casebooks"),
    real: Annotated[
        bool, typer.Option("--real", help="Fetch a sample of real films (Open-i) and open a casebook of it instead.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, help="With --real: films of this many reports.", show_default="150")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="With --real: mirror of the collection.")] = None,
) -> None:
    """Build three casebooks of synthetic films, one per system, unless they exist, and open the app."""
    if real:
        folders = [_real_casebook(out, sample or 150, base_url)]
    elif sample is not None or base_url is not None:
        raise QueryError("--sample and --base-url are for demo --real.")
    else:
        folders = _synthetic_casebooks(out)
    if serve:
        serve_casebooks(folders, port)


def serve(
    casebooks: Annotated[list[Path], typer.Argument(help="Casebook folders.")],
    port: PortOption = 8501,
) -> None:
    """Open the app on one or more casebooks."""
    from index_builder.casebook.manifest import read_manifest

    for folder in casebooks:
        read_manifest(folder)
    serve_casebooks(casebooks, port)


def print_built(report: BuildReport) -> None:
    """Report what a build made, how long its stages took and which films it left out."""
    from index_builder.datasets.unreadable import unreadable_lines

    manifest = report.manifest
    print(f"{report.out}: {manifest.cases} cases, {manifest.films} films, {manifest.reports} reports")
    print("  " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report.seconds.items()))
    for line in unreadable_lines(manifest.unreadable):
        print(line)


def _synthetic_casebooks(out: Path) -> list[Path]:
    from explorer.cli.progress import build_with_progress
    from index_builder.build.build import BuildRequest
    from index_builder.systems.shipped import default_checkpoint

    folders = [out / name for name, *_ in DEMO]
    for folder, (_, dataset, system, cases) in zip(folders, DEMO, strict=True):
        if not _is_built(folder):
            request = BuildRequest(dataset, None, folder, default_checkpoint(system), limit=cases)
            print_built(build_with_progress(request))
    return folders


def _real_casebook(out: Path, sample: int, base_url: str | None) -> Path:
    """Fetch films of some Open-i reports and build a casebook of them beside all reports; gives its folder.

    Raises:
        DownloadError: No connection; what came so far is kept for the next run.
    """
    from explorer.cli.progress import bar, build_with_progress
    from index_builder.build.build import BuildRequest
    from index_builder.datasets.fetching.fetch import OPENI_COLLECTION, fetch_openi
    from index_builder.datasets.fetching.transfer import Progress
    from index_builder.errors import DownloadError
    from index_builder.systems.shipped import default_checkpoint

    folder, data = out / _REAL, out / _REAL_DATA
    if _is_built(folder):
        return folder
    size = min(1.0, sample / _ARCHIVE_REPORTS) * _ARCHIVE_BYTES
    print(
        f"fetching real films of {sample} Open-i reports: about {size / 1e6:.0f} MB into {data}. If you stop it, the "
        "same command resumes.",
        flush=True,
    )
    with bar(unit_bytes=True) as advance:

        def show(progress: Progress) -> None:
            advance(f"{progress.task} {progress.name}", progress.done, progress.total)

        try:
            fetched = fetch_openi(data, "png", sample, base_url=base_url or OPENI_COLLECTION, progress=show)
        except DownloadError as error:
            raise DownloadError(
                f"real films could not be fetched: {error} Synthetic films need no connection: cxr-explorer demo"
            ) from error
    print(f"{data}: {fetched.films} films of {fetched.complete_reports} reports")
    print_built(build_with_progress(BuildRequest("openi", data, folder, default_checkpoint("unified"))))
    return folder


def _is_built(folder: Path) -> bool:
    from index_builder.casebook.layout import Layout
    from index_builder.casebook.manifest import read_manifest

    if not Layout(folder).manifest.is_file():
        return False
    read_manifest(folder)
    print(f"{folder}: already built")
    return True


def serve_casebooks(casebooks: list[Path], port: int) -> None:
    """Replace this process by the app's server, so that signals reach it."""
    import socket

    from index_builder.errors import CasebookError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise CasebookError(f"port {port} is in use. Choose another: --port {port + 1}") from None
    script = Path(__file__).parents[1] / "app" / "main.py"
    folders = [str(folder.resolve()) for folder in casebooks]
    print(f"CXR Explorer: http://localhost:{port}  (Ctrl+C stops it)", flush=True)
    arguments = ["-m", "streamlit", "run", str(script), "--server.port", str(port), "--server.address", "localhost"]
    # A query on several threads waits longer for them than they save: docs/explanation/scale.md.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.execv(sys.executable, [sys.executable, *arguments, "--", *folders])
