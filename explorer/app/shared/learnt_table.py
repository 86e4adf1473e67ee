"""A table of what the system has learnt of findings: on which data, from how many films, and how well."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from explorer.app.shared.markup import label_html
from explorer.prediction.learnt import film_words, taught_words
from index_builder.calibration.learnt import Evidence, Learnt

_HEADS = ("Finding", "Learnt on", "Training films or texts", "AUROC on validation films")


def learnt_html(learnt: Learnt, labels: Sequence[str], known: Sequence[str], title: str) -> str:
    """Rows of each finding, one per dataset, real data before drawn.

    Args:
        learnt: What the system has learnt.
        labels: Findings to show.
        known: Labels that the system was trained on.
        title: Caption of the table.
    """
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADS)
    bodies = "".join(_body(label, learnt.evidence(label), label in known) for label in labels)
    return (
        f'<table class="cxr-predict cxr-learnt"><caption>{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead>{bodies}</table>"
    )


def _body(label: str, rows: Sequence[Evidence], known: bool) -> str:
    name = f'<th scope="rowgroup" rowspan="{max(len(rows), 1)}">{label_html(label)}</th>'
    if not rows:
        why = "no example had it" if known else "not learnt: predicted by neighbours alone"
        return f'<tbody><tr>{name}<td colspan="3"><span class="cxr-muted">{why}</span></td></tr></tbody>'
    lines = [
        f"<tr>{name if number == 0 else ''}<td>{escape(row.title)}</td>"
        f'<td><span class="cxr-narrow">Training </span>{taught_words(row)}</td>'
        f'<td><span class="cxr-narrow">AUROC </span>{film_words(row)}</td></tr>'
        for number, row in enumerate(rows)
    ]
    return f"<tbody>{''.join(lines)}</tbody>"
