"""A search result as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json

from explorer.prediction_words import PREDICTION_COLUMNS, prediction_rows
from explorer.widgets.session import Outcome, query_in_words

_DISCLAIMER = "For education and research, not for diagnosis."
_COLUMNS = (
    "rank",
    "case_id",
    "similarity",
    "closeness",
    "space",
    "labels",
    "shared_labels",
    "split",
    "view",
    "synthetic",
    "casebook",
    "report",
)
_PREDICTION_COLUMNS = (*PREDICTION_COLUMNS, "casebook", "note")
#: A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def result_csv(outcome: Outcome) -> bytes:
    """One line per neighbour, UTF-8 with a mark that spreadsheets understand; no cell is taken for a formula."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for neighbour in outcome.result.neighbours:
        row = [
            str(neighbour.rank),
            neighbour.case_id,
            f"{neighbour.score:.4f}",
            f"{neighbour.closeness:.4f}",
            outcome.result.space,
            "; ".join(neighbour.labels),
            "; ".join(neighbour.shared_labels),
            neighbour.split,
            neighbour.view or "",
            "yes" if neighbour.synthetic else "no",
            outcome.shelved.name,
            neighbour.report,
        ]
        writer.writerow([safe_cell(cell) for cell in row])
    return buffer.getvalue().encode("utf-8-sig")


def predictions_csv(outcome: Outcome) -> bytes:
    """One line per finding, or per source and stage; what they rest on stands in the last columns."""
    found = outcome.result.assessment
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(_PREDICTION_COLUMNS)
    for cells in [] if found is None else prediction_rows(found):
        writer.writerow([safe_cell(cell) for cell in [*cells, outcome.shelved.name, _DISCLAIMER]])
    return buffer.getvalue().encode("utf-8-sig")


def safe_cell(text: str) -> str:
    """A cell that a spreadsheet shows as text; numbers stay numbers."""
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def result_json(outcome: Outcome) -> bytes:
    """The result with query, filters and disclaimer; the film itself is not part of it."""
    content = {
        "disclaimer": _DISCLAIMER,
        "casebook": outcome.shelved.name,
        "query": query_in_words(outcome.query),
        "text": outcome.query.text,
        "profile": None if outcome.query.profile is None else dict(outcome.query.profile),
        "rerank": outcome.options.rerank,
        "filters": [str(condition) for condition in outcome.options.filters],
        **outcome.result.as_dict(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8")
