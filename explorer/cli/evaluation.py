"""Commands about a casebook's own figures: `metrics`, `quality` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.cli.options import CasebookArgument, JsonOption, print_json
from index_builder.disclaimer import DISCLAIMER
from index_builder.errors import QueryError


def metrics(
    casebook: CasebookArgument,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Measure baselines too; baselines of films read every film once.")
    ] = False,
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="JSON lines of tests/benchmarks/ablations.py --out, for learning curve and ablations."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the system on a casebook's test part from its stored vectors, and keep the figures in it."""
    from explorer.cli.progress import bar
    from index_builder.evaluation.report import report_lines
    from index_builder.evaluation.runs import read_runs
    from index_builder.evaluation.stored import measure_casebook

    trained = [run for path in runs or () for run in read_runs(path)]
    with bar() as advance:
        measured = measure_casebook(casebook, advance, baselines=baselines, runs=trained)
    if as_json:
        print_json(measured)
        return
    for result in measured["modalities"].values():
        print("\n".join(report_lines({"system": measured["system"], **result})) + "\n")
    for modality, reason in measured["not_measured"].items():
        print(f"{modality}: not measured: {reason}")


def quality(casebook: CasebookArgument, as_json: JsonOption = False) -> None:
    """Check a casebook's data: doubtful labels, copies across parts, class balance, gaps, drift."""
    from explorer.casebook import Casebook
    from explorer.cli.progress import bar
    from explorer.quality.check import check_quality

    opened = Casebook.open(casebook)
    with bar() as advance:
        found = check_quality(opened, advance)
    if as_json:
        print_json(found.as_dict())
        return
    for finding in found.findings:
        print(f"{finding.level:<8} {finding.title}")
        print(f"         {finding.text}")
        for case in finding.cases.cases[:10]:
            print(f"           {case.case_id}  {case.said}")
        if len(finding.cases.cases) > 10:
            print(f"           … {len(finding.cases.cases) - 10} more: --json")
    print(DISCLAIMER)


def report(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Casebook folders; files of evaluate --out (.json) and ablations.py --out (.jsonl) beside them."
        ),
    ],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    pdf: Annotated[
        bool | None, typer.Option("--pdf/--no-pdf", help="Write a PDF beside it; default: if Chromium is found.")
    ] = None,
) -> None:
    """Write one self-contained HTML file with all figures and tables, and a PDF copy."""
    from explorer.cli.progress import bar
    from explorer.report.html import read_sources, write_report
    from explorer.report.pdf import find_chromium, print_pdf

    browser = find_chromium() if pdf is not False else None
    if pdf and browser is None:
        raise QueryError(
            "--pdf: no Chromium or Chrome was found. Install one (on Debian: apt-get install chromium), name it in "
            "CXR_CHROMIUM, or leave out --pdf and print the HTML file from any browser."
        )
    found = read_sources(sources)
    with bar() as advance:
        write_report(found, out, advance)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, opens without a server or a network")
    if browser is not None:
        print_pdf(browser, out, out.with_suffix(".pdf"))
        print(f"{out.with_suffix('.pdf')}: printed by {browser.name}")
    elif pdf is None:
        print("no PDF: no Chromium or Chrome was found; print the HTML file from any browser")
    print(DISCLAIMER)
