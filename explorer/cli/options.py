"""Options that several commands share, and how commands print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from index_builder.datasets import dataset_names
from index_builder.systems import ADDED, SYSTEMS

DatasetOption = Annotated[str, typer.Option(help=f"{', '.join(dataset_names())}.", show_default=False)]
#: Systems by name, as an option's help says it.
SYSTEM_WORDS = ", ".join([*SYSTEMS, *(f"{name} (a plug-in)" for name in ADDED.names)])
RootOption = Annotated[Path | None, typer.Option(help="Folder of the data; the phantoms need none.")]
SkipUnreadableOption = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable",
        help="Continue without films that cannot be read, and list them. A case with a report stays, "
        "others are left out.",
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        help="A published encoder as it is, instead of a checkpoint, e.g. hub:microsoft/rad-dino; see systems.",
    ),
]
AcceptLicenceOption = Annotated[
    bool,
    typer.Option("--accept-licence", help="With --encoder: I have read its licence, which is not free or not known."),
]
CasebookArgument = Annotated[Path, typer.Argument(help="Casebook folder.")]
ImageOption = Annotated[Path | None, typer.Option(help="Film: DICOM, PNG or JPEG.")]
FilmsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--image",
        "--film",
        help="Film: DICOM, PNG or JPEG. Give it twice for the frontal and lateral films of one study.",
    ),
]
TextOption = Annotated[str | None, typer.Option(help="Report or words to search for.")]
ProfileOption = Annotated[
    str | None,
    typer.Option(help="Patient profile, if the system reads profiles, e.g. age=60,occupation=coal miner,cough=yes."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(content, ensure_ascii=False))
