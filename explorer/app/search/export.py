"""A search result as CSV and JSON; every row says what must be known of the query, and which films are drawn."""

from __future__ import annotations

import json

from explorer.app.session import Outcome, query_in_words
from explorer.charts.tables import csv_bytes
from explorer.prediction.words import PREDICTION_COLUMNS, prediction_rows
from explorer.search.closeness import closeness_words
from index_builder.disclaimer import DISCLAIMER

_COLUMNS = (
    "rank",
    "case_id",
    "similarity",
    "match",
    "closeness",
    "space",
    "relevance",
    "found_by",
    "matched_facts",
    "labels",
    "shared_labels",
    "unknown_labels",
    "labels_denied_by_report",
    "split",
    "view",
    "synthetic",
    "warning",
    "casebook",
    "report",
)
_PREDICTION_COLUMNS = (*PREDICTION_COLUMNS, "warning", "synthetic", "casebook", "note")


def result_csv(outcome: Outcome) -> bytes:
    """One line per neighbour."""
    rows = [
        [
            str(neighbour.rank),
            neighbour.case_id,
            f"{neighbour.score:.4f}",
            closeness_words(neighbour.closeness),
            f"{neighbour.closeness:.4f}",
            outcome.result.space,
            "" if neighbour.relevance is None else f"{neighbour.relevance:.4f}",
            "; ".join(f"{way} {rank}" for way, rank in neighbour.found_by.items()),
            "; ".join(neighbour.matched_facts),
            "; ".join(neighbour.labels),
            "; ".join(neighbour.shared_labels),
            "; ".join(neighbour.unknown_labels),
            "; ".join(neighbour.denied_labels),
            neighbour.split,
            neighbour.view or "",
            "yes" if neighbour.synthetic else "no",
            " ".join(outcome.result.warnings),
            outcome.shelved.name,
            neighbour.report,
        ]
        for neighbour in outcome.result.neighbours
    ]
    return csv_bytes(_COLUMNS, rows)


def predictions_csv(outcome: Outcome) -> bytes:
    """One line per finding and source, or per stage and source; what they rest on stands in the last columns."""
    found = outcome.result.assessment
    rows = [] if found is None else prediction_rows(found)
    warning, synthetic = " ".join(outcome.result.warnings), "yes" if outcome.result.synthetic else "no"
    told = [warning, synthetic, outcome.shelved.name, DISCLAIMER]
    return csv_bytes(_PREDICTION_COLUMNS, [[*row, *told] for row in rows])


def result_json(outcome: Outcome) -> bytes:
    """The result with query, filters and disclaimer; the film itself is not part of it."""
    content = {
        "disclaimer": DISCLAIMER,
        "casebook": outcome.shelved.name,
        "query": query_in_words(outcome.query),
        "text": outcome.query.text,
        "profile": None if outcome.query.profile is None else dict(outcome.query.profile),
        "rerank": outcome.options.rerank,
        "filters": [str(condition) for condition in outcome.options.filters],
        **outcome.result.as_dict(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8")
