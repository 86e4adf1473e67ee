"""Systems by their names, and saved systems opened whichever they are."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from index_builder.errors import ModelError
from index_builder.systems import ADDED, FROZEN, system_names
from index_builder.systems.base import CONFIG_FILE, RetrievalSystem


def system_class(name: str) -> type[RetrievalSystem]:
    """The class of a system by its name.

    Raises:
        ModelError: No system of that name, several packages claim it, or the one that adds it is at fault.
    """
    added = ADDED.known(name)
    if added is not None:
        return _checked(name, ADDED.load(name), added.package)
    if name == "unified":
        from index_builder.systems.unified import Unified

        return Unified
    if name == "siclip":
        from index_builder.systems.siclip import SiClip

        return SiClip
    if name == "mskpt":
        from index_builder.systems.mskpt import MskPt

        return MskPt
    if name == "frozen":
        from index_builder.systems.frozen import Frozen

        return Frozen
    known = ", ".join((*system_names(), FROZEN))
    raise ModelError(f"unknown system {name!r}. Known: {known}; packages can add others (docs/how-to/plug-ins.md).")


def _checked(name: str, found: object, package: str) -> type[RetrievalSystem]:
    """A plug-in's class, if it is one: a saved system says its name, by which it is opened again."""
    if not (isinstance(found, type) and issubclass(found, RetrievalSystem)) or found.name != name:
        raise ModelError(
            f"system {name!r} of package {package} is no RetrievalSystem of that name. Install another version of it."
        )
    return found


def load_system(folder: Path, device: torch.device | str = "cpu") -> RetrievalSystem:
    """Open a saved system, of whichever kind it is, ready for inference.

    Raises:
        ModelError: No system there, an unknown kind, or weights that do not fit their configuration.
    """
    path = folder / CONFIG_FILE
    try:
        kind = json.loads(path.read_text("utf-8"))["system"]
    except FileNotFoundError:
        raise ModelError(f"{folder}: no system there ({CONFIG_FILE} is missing). Name a checkpoint folder.") from None
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not a system configuration ({error}). Restore the file or rebuild.") from None
    return system_class(str(kind)).load(folder).to(device).eval()
