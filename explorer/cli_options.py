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
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(content, ensure_ascii=False))
