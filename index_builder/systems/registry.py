"""Systems by their names, and saved systems opened whichever they are."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from index_builder.errors import ModelError
from index_builder.systems import FROZEN, SYSTEMS
from index_builder.systems.base import CONFIG_FILE, RetrievalSystem


def system_class(name: str) -> type[RetrievalSystem]:
    """The class of a system by its name.

    Raises:
        ModelError: No system of that name.
    """
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
    raise ModelError(f"unknown system {name!r}. Known: {', '.join((*SYSTEMS, FROZEN))}.")


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
