"""Where files lie that come installed: the project's own, and what other packages bring."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from index_builder.errors import InstallationError

_HERE = Path(__file__).resolve().parent.parent


def resource(*parts: str) -> Path:
    """Path of a file or folder under `assets/`, `pages/` or `docs/`, e.g. `resource("assets", "style.css")`.

    They are beside the packages in a checkout, and inside `explorer` when installed.

    Raises:
        InstallationError: It is in neither place: the installation is broken.
    """
    for base in (_HERE, _HERE / "explorer"):
        path = base.joinpath(*parts)
        if path.exists():
            return path
    raise InstallationError(f"{'/'.join(parts)} is missing from this installation of cxr-explorer. Reinstall it.")


def packaged(package: str, *parts: str) -> Path:
    """Path of a file or folder inside another package, found without importing it.

    Raises:
        InstallationError: The package is not installed, or lacks it.
    """
    spec = find_spec(package)
    for folder in [] if spec is None else list(spec.submodule_search_locations or ()):
        path = Path(folder).joinpath(*parts)
        if path.exists():
            return path
    name = package.replace("_", "-")
    raise InstallationError(f"{'/'.join(parts)} comes with the package {name}, which is missing. pip install {name}")
