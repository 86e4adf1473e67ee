"""A search result as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json

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
    result = outcome.result
    content = {
        "disclaimer": _DISCLAIMER,
        "casebook": outcome.shelved.name,
        "query": query_in_words(outcome.query),
        "text": outcome.query.text,
        "filters": [str(condition) for condition in outcome.options.filters],
        "space": result.space,
        "searched": result.searched,
        "findings": {label: round(share, 4) for label, share in result.findings.items()},
        "findings_from": result.findings_from,
        "neighbours": [
            {
                "rank": neighbour.rank,
                "case_id": neighbour.case_id,
                "score": round(neighbour.score, 4),
                "closeness": round(neighbour.closeness, 4),
                "similarity": {name: round(value, 4) for name, value in neighbour.similarity.items()},
                "labels": neighbour.labels,
                "shared_labels": neighbour.shared_labels,
                "shared_phrases": neighbour.shared_phrases,
                "split": neighbour.split,
                "view": neighbour.view,
                "synthetic": neighbour.synthetic,
                "report": neighbour.report,
            }
            for neighbour in result.neighbours
        ],
        "timings_ms": {step: round(value, 2) for step, value in result.timings_ms.items()},
    }
    return json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8")
