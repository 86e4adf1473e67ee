"""What other packages add under a name, by entry points: listed without importing anything, imported when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from index_builder.errors import CxrError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_OURS = "cxr-explorer"


@dataclass(frozen=True, slots=True)
class PlugIn:
    """One name that a package adds.

    Attributes:
        name: As users type it.
        package: Which package and version adds it, e.g. "acme-films 1.2".
        summary, licence: What the package says of itself; empty where it does not.
        entry: What is imported.
    """

    name: str
    package: str
    summary: str
    licence: str
    entry: EntryPoint


class PlugIns:
    """What other packages add to one registry.

    A name that two packages add, or that is one of ours, is refused when somebody asks for it: it would not be clear
    what is meant. All other names go on working.
    """

    def __init__(self, group: str, what: str, own: Sequence[str], error: type[CxrError]) -> None:
        """Remember what to look for; nothing is looked up yet.

        Args:
            group: Name of the entry points, e.g. "cxr_explorer.datasets".
            what: One of them in a message: "dataset".
            own: Names that are ours.
            error: Raised for all that is wrong with a plug-in.
        """
        self._group, self._what, self._own, self._error = group, what, tuple(own), error

    @property
    def names(self) -> tuple[str, ...]:
        """What is added to our own names, in order of the alphabet."""
        return tuple(sorted(set(self._offers) - set(self._own)))

    def known(self, name: str) -> PlugIn | None:
        """What adds a name; None where none does.

        Raises:
            CxrError: More than one package stands behind the name.
        """
        offers = self._offers.get(name, ())
        packages = [*([_OURS] if name in self._own else []), *(offer.package for offer in offers)]
        if len(packages) > 1:
            raise self._error(
                f"{self._what} {name!r} is offered by {' and by '.join(packages)}. Uninstall all but one of them."
            )
        return offers[0] if offers and name not in self._own else None

    def load(self, name: str) -> Any:
        """Import what a package adds; None where none adds the name.

        Raises:
            CxrError: The package cannot be imported, or more than one stands behind the name.
        """
        found = self.known(name)
        if found is None:
            return None
        try:
            return found.entry.load()
        except Exception as error:  # whatever a stranger's module raises on import
            raise self._error(
                f"{self._what} {name!r} of package {found.package} cannot be imported "
                f"({type(error).__name__}: {error}). Install what it needs, or uninstall it."
            ) from error

    @cached_property
    def _offers(self) -> dict[str, tuple[PlugIn, ...]]:
        from importlib.metadata import entry_points  # a twentieth of a second, for what most commands do not ask

        found: dict[str, tuple[PlugIn, ...]] = {}
        for entry in entry_points(group=self._group):
            assert entry.dist is not None, "entry points that are looked up have a distribution"
            about = entry.dist.metadata.json
            offer = PlugIn(
                entry.name,
                f"{about['name']} {about['version']}",
                str(about.get("summary", "")),
                str(about.get("license_expression") or about.get("license") or ""),
                entry,
            )
            found[entry.name] = (*found.get(entry.name, ()), offer)
        return found
