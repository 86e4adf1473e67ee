"""Online half of CXR Explorer: open a casebook, search it, look at its cases.

```python
from explorer import Casebook, Query, SearchOptions

casebook = Casebook.open("casebooks/phantom-openi")
query = Query(text="cardiomegaly with pleural effusion")
for neighbour in casebook.search(query, SearchOptions(k=5)).neighbours:
    print(neighbour.rank, neighbour.case_id, neighbour.labels)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.casebook import Casebook
    from explorer.search.facets import Facets, facets
    from explorer.search.filters import Filter, parse_filter
    from explorer.search.query import Query, SearchOptions
    from explorer.search.result import Neighbour, SearchResult

__all__ = [
    "Casebook",
    "Facets",
    "Filter",
    "Neighbour",
    "Query",
    "SearchOptions",
    "SearchResult",
    "facets",
    "parse_filter",
]

_HOME = {
    "Casebook": "casebook",
    "Facets": "search.facets",
    "facets": "search.facets",
    "Filter": "search.filters",
    "parse_filter": "search.filters",
    "Neighbour": "search.result",
    "Query": "search.query",
    "SearchOptions": "search.query",
    "SearchResult": "search.result",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `cxr-explorer --help` need not load pyarrow and FAISS."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
