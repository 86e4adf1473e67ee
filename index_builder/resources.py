"""Where the project's own files lie: beside the packages in a checkout, inside `explorer` when installed."""

from __future__ import annotations

from pathlib import Path

from index_builder.errors import InstallationError

_HERE = Path(__file__).resolve().parent.parent


def resource(*parts: str) -> Path:
    """Path of a file or folder under `assets/`, `pages/` or `docs/`, e.g. `resource("assets", "style.css")`.

    Raises:
        InstallationError: It is in neither place: the installation is broken.
    """
    for base in (_HERE, _HERE / "explorer"):
        path = base.joinpath(*parts)
        if path.exists():
            return path
    raise InstallationError(f"{'/'.join(parts)} is missing from this installation of cxr-explorer. Reinstall it.")
