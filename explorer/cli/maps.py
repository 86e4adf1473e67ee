"""Commands about the maps of a casebook: `maps` and `subset`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.cli.options import CasebookArgument, JsonOption, print_json
from index_builder.errors import CasebookError


def maps(casebook: CasebookArgument, as_json: JsonOption = False) -> None:
    """Show how far each map of a casebook can be trusted, and what its clusters are."""
    from index_builder.casebook.manifest import read_manifest, read_maps

    read_manifest(casebook)
    spaces = read_maps(casebook).spaces
    if as_json:
        print_json({"spaces": {name: space.model_dump(mode="json") for name, space in spaces.items()}})
        return
    print(f"{'':14}trust  contin.  shared findings of 10 (map, full, chance)  placing error (distance, share nearer)")
    for name, space in spaces.items():
        for layout, record in space.maps.items():
            purities = (record.purity, record.purity_full, record.purity_chance)
            shared = " ".join(_number(None if one is None else 10 * one, 1) for one in purities)
            print(
                f"{name:<6}{layout:<8}{_number(record.trustworthiness)}{_number(record.continuity):>8}  {shared:<43}"
                f"{_number(record.placement_distance)} {_number(record.placement_rank)}"
            )
        for number, cluster in enumerate(space.clusters, start=1):
            print(f"      cluster {number}: {cluster.cases} cases: {', '.join(cluster.words)}")


def subset(
    casebook: CasebookArgument,
    out: Annotated[Path, typer.Option(help="Casebook folder to write.")],
    cases: Annotated[
        Path | None,
        typer.Option(help="Case ids, one per line, or a CSV with a column case_id, as the map page saves it."),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", help="Filter as in search, applied to the named cases or to all. Repeatable."),
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace an existing casebook once the new one is complete.")] = False,
) -> None:
    """Write some cases of a casebook as a new casebook."""
    from explorer.cli.progress import bar

    if cases is None and not filters:
        raise CasebookError("no case named. Give --cases FILE, --filter CONDITION or both.")
    chosen = _read_ids(cases) if cases is not None else None
    if filters:
        met = _meeting(casebook, filters)
        kept = set(met)
        chosen = met if chosen is None else [case_id for case_id in chosen if case_id in kept]
    from index_builder.build.subset import write_subset

    with bar() as advance:
        manifest = write_subset(casebook, chosen or [], out, advance, replace=replace)
    print(f"{out}: {manifest.cases} cases, {manifest.films} films, {manifest.reports} reports of {casebook}")


def _read_ids(path: Path) -> list[str]:
    import csv

    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CasebookError(f"{path}: unreadable ({error}). Give a text file of case ids.") from None
    lines = text.splitlines()
    header = next(csv.reader(lines), [])
    if "case_id" in header:
        # What a spreadsheet must not take for a formula is saved behind an apostrophe.
        ids = [row["case_id"] for row in csv.DictReader(text.splitlines(keepends=True))]
        return [one.removeprefix("'") for one in ids if one]
    return [line.strip() for line in lines if line.strip()]


def _meeting(folder: Path, filters: list[str]) -> list[str]:
    import numpy as np

    from explorer.casebook import Casebook
    from explorer.search.filters.expression import matching_rows, parse_filter

    casebook = Casebook.open(folder)
    mask = matching_rows(casebook, [parse_filter(expression) for expression in filters])
    return [casebook.case_ids[row] for row in np.flatnonzero(mask)]


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
