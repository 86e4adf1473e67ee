"""What a casebook can be built with: checkpoints that come with the project or a plug-in, and the list of all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from index_builder.errors import ModelError
from index_builder.resources import resource
from index_builder.systems import ADDED, SYSTEMS, system_names
from index_builder.systems.backbones.catalogue import ENCODERS

#: Datasets that another system than `unified` suits better.
_SYSTEM_FOR = {"phantom-dust": "mskpt"}
_SHIPPED_READS = {"siclip": "film and profile"}


@dataclass(frozen=True, slots=True)
class ListedSystem:
    """A line of `cxr-explorer systems`.

    Attributes:
        name: What `build --checkpoint` or `--encoder` takes.
        kind: Whether it is trained and shipped, added by another package, or a published encoder as it is.
        reads: What it has vectors of.
        size: Of its weights, in words.
        licence: Of them.
        consent: Whether `--accept-licence` is needed.
        note: What else to know.
    """

    name: str
    kind: Literal["shipped", "added", "frozen"]
    reads: str
    size: str
    licence: str
    consent: bool
    note: str


def default_checkpoint(name: str = "unified") -> Path:
    """The checkpoint that comes with a system: our compact one, or the one in the package of a plug-in.

    Raises:
        InstallationError: As `resource` does.
        ModelError: A plug-in that cannot be had, or that brings no weights.
    """
    if name in SYSTEMS:
        return resource("assets", "checkpoints", f"{name}-compact")
    from index_builder.systems.registry import system_class

    folder = system_class(name).checkpoint
    if folder is None or not folder.is_dir():
        raise ModelError(
            f"system {name!r} comes without trained weights. Train it: cxr-explorer train {name} --dataset NAME "
            "--out DIR, and name that folder."
        )
    return folder


def checkpoint_named(chosen: str) -> Path:
    """A checkpoint as users name it: a system's bare name, whose own is meant, or a folder. Raises as above."""
    return default_checkpoint(chosen) if chosen in system_names() else Path(chosen)


def checkpoint_for(dataset: str, chosen: str | None = None) -> Path:
    """The checkpoint that embeds a dataset.

    Args:
        dataset: A name of `index_builder.datasets.dataset_names`.
        chosen: As `checkpoint_named` takes it; None: what suits the dataset.

    Raises:
        CxrError: As `default_checkpoint` does.
    """
    return checkpoint_named(_SYSTEM_FOR.get(dataset, "unified") if chosen is None else chosen)


def listed_systems() -> list[ListedSystem]:
    """All systems: those shipped, those of plug-ins by what their packages say, and published encoders by name."""
    shipped = []
    for name in SYSTEMS:
        folder = default_checkpoint(name)
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        reads = _SHIPPED_READS.get(name, "film and text")
        note = "beside it, its encoders inside Python packages"
        shipped.append(ListedSystem(name, "shipped", reads, f"{size / 1e6:.1f} MB", "as this software", False, note))
    added = [
        ListedSystem(
            one.name, "added", "as it says", f"from {one.package}", one.licence or "not stated", False, one.summary
        )
        for one in filter(None, map(ADDED.known, ADDED.names))
    ]
    return [
        *shipped,
        *added,
        *(
            ListedSystem(
                one.source,
                "frozen",
                one.reads,
                f"about {one.parameters} million weights" + (f", {one.pixels} px" if one.pixels else ""),
                one.licence.name,
                one.licence.use != "free",
                one.note,
            )
            for one in ENCODERS
        ),
    ]
