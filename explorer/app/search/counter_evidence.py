"""Counter-evidence: the nearest cases with a finding beside the nearest without it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from explorer.app.library import Shelved
from explorer.app.session import Outcome
from explorer.app.shared.case_links import film_link, name_link
from explorer.app.shared.draw import draw_html
from explorer.app.shared.markup import chips_html, closeness_html, label_html, label_words
from explorer.search.counter_evidence import CounterEvidence, counter_evidence
from explorer.search.result import Neighbour

_SENTENCE = 140


def counter_panel(shelved: Shelved, outcome: Outcome) -> None:
    """Draw both rows for a finding that is chosen; nothing is searched for before the panel is opened."""
    names = _in_question(shelved, outcome)
    if not names:
        return
    panel = st.expander(
        "Counter-evidence: cases with a finding beside cases without it",
        icon=":material/balance:",
        key="counter-evidence",
        on_change="rerun",
    )
    if not panel.open:
        return
    with panel:
        label = st.selectbox("Finding", names, format_func=label_words, key=f"counter-finding-{shelved.name}")
        with st.spinner("Searching both sides …"):
            found = _found(shelved, outcome, label)
        sides = st.columns(2, gap="medium")
        for column, side, row, labels, phrases in (
            (sides[0], "with", found.present, found.present_labels, found.present_phrases),
            (sides[1], "without", found.absent, found.absent_labels, found.absent_phrases),
        ):
            with column:
                draw_html(f'<h3 class="cxr-side">Nearest {side} {label_html(label)}</h3>', _apart_html(labels, phrases))
                _cases(shelved, side, row)
        if found.margin is not None:
            nearer = "with" if found.margin >= 0 else "without"
            st.caption(
                f"The nearest case {nearer} it is closer by {abs(found.margin):.2f} in cosine similarity. One case "
                "per patient; the search filters apply."
            )


def _in_question(shelved: Shelved, outcome: Outcome) -> list[str]:
    """Findings, those in doubt first: where classifier and neighbours disagree, then the likeliest."""
    found = outcome.result.assessment
    if found is not None and found.findings:
        return [one.label for one in sorted(found.findings, key=lambda one: not one.disagree)]
    if found is not None and found.readings:
        shares = found.readings[0].shown
        return sorted((name for name in shares if name in shelved.casebook.label_names), key=lambda name: -shares[name])
    own = list(outcome.result.findings)
    return [*own, *(name for name in shelved.casebook.label_names if name not in own)]


def _found(shelved: Shelved, outcome: Outcome, label: str) -> CounterEvidence:
    """Searched once for each query and finding."""
    key = (outcome.key, label)
    last = st.session_state.get("counter")
    if last is None or last[0] != key:
        found = counter_evidence(shelved.casebook, outcome.query, label, outcome.options)
        st.session_state["counter"] = last = (key, found)
    return last[1]


def _cases(shelved: Shelved, side: str, row: Sequence[Neighbour]) -> None:
    if not row:
        st.caption("No case meets this and the filters.")
    for one in row:
        with st.container(key=f"cxr-counter-{side}-{one.rank}", horizontal=True, wrap=False, gap="small"):
            with st.container(key=f"cxr-thumb-{side}-{one.rank}", width=96):
                film_link(shelved, one.case_id, f"{side}-{one.rank}")
            with st.container(gap="xsmall"):
                name_link(shelved, one.case_id, f"{side}-{one.rank}")
                text = one.report or one.profile
                short = text if len(text) <= _SENTENCE else text[:_SENTENCE].rsplit(" ", 1)[0] + " …"
                excerpt = f'<p class="cxr-excerpt cxr-small">{escape(short)}</p>' if short else ""
                draw_html(
                    f'<div class="cxr-card"><div class="cxr-score">{closeness_html(one)}</div>'
                    f"{chips_html((), one.labels, one.unknown_labels)}{excerpt}</div>"
                )


def _apart_html(labels: Sequence[str], phrases: Sequence[str]) -> str:
    """What this row has more of than the other."""
    parts = [
        *(["more often: " + ", ".join(label_html(name) for name in labels)] if labels else []),
        *(["only here: " + ", ".join(f"“{escape(one)}”" for one in phrases)] if phrases else []),
    ]
    said = "; ".join(parts) or "nothing in common that the other side lacks"
    return f'<p class="cxr-small cxr-muted">{said}</p>'
