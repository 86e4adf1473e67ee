"""The retrieval systems. Their names are here so that they can be had without loading torch."""

from index_builder.errors import ModelError
from index_builder.plugins import PlugIns

#: Those that are trained, and shipped.
SYSTEMS = ("unified", "siclip", "mskpt")
#: Published encoders as they are, see `systems.frozen`.
FROZEN = "frozen"
#: Those of other packages: subclasses of `RetrievalSystem`.
ADDED = PlugIns("cxr_explorer.systems", "system", (*SYSTEMS, FROZEN), ModelError)


def system_names() -> tuple[str, ...]:
    """All that can be trained: our own, then those that other packages add."""
    return (*SYSTEMS, *ADDED.names)
