"""Online half of CXR Explorer: open a casebook, search it, look at its cases.

```python
from explorer import Casebook, Query, search_cases

casebook = Casebook.open("casebooks/phantom-openi")
for neighbour in search_cases(casebook, Query(text="cardiomegaly with pleural effusion"), k=5).neighbours:
    print(neighbour.rank, neighbour.case_id, neighbour.labels)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.casebook import Casebook
    from explorer.explanation.explain import explain
    from explorer.explanation.study import open_study
    from explorer.prediction.assessment import assess
    from explorer.search.counter_evidence import counter_evidence
    from explorer.search.filters.expression import Filter, parse_filter
    from explorer.search.filters.facets import Facets, facets
    from explorer.search.query import Query, SearchOptions
    from explorer.search.result import Neighbour, SearchResult
    from explorer.search.search import search_cases

__all__ = [
    "Casebook",
    "Facets",
    "Filter",
    "Neighbour",
    "Query",
    "SearchOptions",
    "SearchResult",
    "assess",
    "counter_evidence",
    "explain",
    "facets",
    "open_study",
    "parse_filter",
    "search_cases",
]

#: The module below this package that each name is from.
_HOME = {
    "Casebook": "casebook",
    "explain": "explanation.explain",
    "open_study": "explanation.study",
    "assess": "prediction.assessment",
    "counter_evidence": "search.counter_evidence",
    "Filter": "search.filters.expression",
    "parse_filter": "search.filters.expression",
    "Facets": "search.filters.facets",
    "facets": "search.filters.facets",
    "Query": "search.query",
    "SearchOptions": "search.query",
    "Neighbour": "search.result",
    "SearchResult": "search.result",
    "search_cases": "search.search",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `cxr-explorer --help` need not load pyarrow and FAISS."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
