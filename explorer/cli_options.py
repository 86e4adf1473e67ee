"""Options that several commands share, and how commands print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

DatasetOption = Annotated[
    str, typer.Option(help="openi, nih, covid, manifest, phantom-openi or phantom-dust.", show_default=False)
]
RootOption = Annotated[Path | None, typer.Option(help="Folder of the data, for all but the phantoms.")]
CasebookArgument = Annotated[Path, typer.Argument(help="Casebook folder.")]
ImageOption = Annotated[Path | None, typer.Option(help="Film: DICOM, PNG or JPEG.")]
TextOption = Annotated[str | None, typer.Option(help="Report or words.")]
ProfileOption = Annotated[
    str | None,
    typer.Option(help="Patient, where the system reads profiles, e.g. age=60,occupation=coal miner,cough=yes."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(content, ensure_ascii=False))
