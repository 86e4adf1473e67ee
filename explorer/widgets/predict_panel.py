"""What the query is likely to show: classifier and neighbours side by side, with what can be promised of each."""

from __future__ import annotations

from dataclasses import replace
from html import escape

import streamlit as st

from explorer.assess import RISK, Assessment, Finding, Opinion, Reading, assess
from explorer.prediction_words import (
    SOURCE_WORDS,
    VERDICT_WORDS,
    basis,
    figures_words,
    percent,
    reliability_words,
    threshold_words,
    verdict_of,
    verdict_words,
)
from explorer.widgets.library import Shelved
from explorer.widgets.markup import chips_html, label_html, label_words, plain_markdown
from explorer.widgets.session import Outcome
from explorer.widgets.shell import EXPLAIN_ICON, link_parameters, page_of
from index_builder.evaluation.conformal import COVERAGE

#: Findings that are shown before the rest is asked for.
_SHOWN = 6
#: Of these, how many link to their explanation.
_EXPLAINED = 3
_COVERAGES = (0.8, 0.9, 0.95)
_RISKS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3)


def at_chosen_levels(shelved: Shelved, outcome: Outcome) -> Outcome:
    """The outcome with its predictions at the coverage and risk that the session asks for."""
    result = outcome.result
    if result.scores is None:
        return outcome
    coverage = float(st.session_state.get("coverage", COVERAGE))
    risk = float(st.session_state.get("risk", RISK))
    assessed = assess(shelved.casebook, result.scores, coverage=coverage, risk=risk)
    return replace(outcome, result=replace(result, assessment=assessed))


def predict_panel(shelved: Shelved, outcome: Outcome) -> None:
    """Draw the predictions of an outcome; the labels themselves where a case was searched with."""
    found = outcome.result.assessment
    if found is None:
        st.html('<span class="cxr-muted">Findings of this case</span>' + chips_html((), outcome.result.findings))
        return
    if found.readings:
        st.html(_readings_html(found))
    elif found.findings:
        st.html(_findings_html(found, found.findings[:_SHOWN]))
        if len(found.findings) > _SHOWN:
            with st.expander(f"{len(found.findings) - _SHOWN} more findings", key="more-findings"):
                st.html(_findings_html(found, found.findings[_SHOWN:]))
    else:
        st.caption("No case of this casebook carries a finding.")
    st.caption(f"{basis(found)} Predictions of a program, not a diagnosis.")
    _explain_links(shelved, found)
    if found.cases:
        _levels(found)
    with st.expander("What these figures mean", icon=":material/help:", key="figures"):
        st.markdown("\n".join(f"- {line}" for line in figures_words(found)))


def _explain_links(shelved: Shelved, found: Assessment) -> None:
    """Ways to the reasons of the likeliest findings, or stages."""
    if found.readings:
        shares = found.readings[0].probabilities
        names = sorted(shares, key=lambda name: -shares[name])[:1]
    else:
        names = [one.label for one in found.findings[:_EXPLAINED]]
    with st.container(key="cxr-explain-links", horizontal=True, vertical_alignment="center", gap="small"):
        for name in names:
            st.page_link(
                page_of("explain"),
                label=f"Why {plain_markdown(label_words(name))}?",
                icon=EXPLAIN_ICON,
                query_params=link_parameters(shelved, finding=name),
            )


def _levels(found: Assessment) -> None:
    """What may be stated: coverage of the sets, and for stages the risk that θ follows from."""
    with st.container(key="cxr-levels", horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control(
            "Coverage of the sets",
            _COVERAGES,
            default=COVERAGE,
            required=True,
            format_func=percent,
            key="coverage",
            persist_state="session",
            width="content",
            help="How often the sets are to hold the truth. Higher: fewer findings are supported or ruled out.",
        )
        if found.readings:
            st.select_slider(
                "Stated risk",
                _RISKS,
                value=RISK,
                format_func=lambda risk: f"{100 * risk:g} %",
                key="risk",
                persist_state="session",
                help="Share of the answered films that may be wrong. θ follows from it on the validation cases.",
            )


def _findings_html(found: Assessment, shown: tuple[Finding, ...]) -> str:
    """A table of findings; columns that nothing fills are left out."""
    classifier = any(one.classifier for one in found.findings)
    calibrated = bool(found.cases)
    heads = [
        "Finding",
        *(["Classifier"] if classifier else []),
        "Neighbours",
        *([f"At {percent(found.coverage)} coverage"] if calibrated else []),
    ]
    rows = []
    for one in shown:
        cells = [f'<th scope="row">{label_html(one.label)}</th>']
        if classifier:
            cells.append(_bar_cell("Classifier", one.classifier, ""))
        cells.append(_bar_cell("Neighbours", one.vote, f"{one.votes} of {found.voters}"))
        if calibrated:
            cells.append(f"<td>{_verdict_html(one, found.coverage)}</td>")
        rows.append(f"<tr{' class=cxr-disagree' if one.disagree else ''}>{''.join(cells)}</tr>")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        '<table class="cxr-predict"><caption>Predicted findings</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _bar_cell(name: str, opinion: Opinion | None, note: str) -> str:
    if opinion is None:
        return '<td><span class="cxr-muted">not known to it</span></td>'
    beside = f'<span class="cxr-muted">{escape(note)}</span>' if note else ""
    return (
        f'<td class="cxr-share"><span class="cxr-narrow">{name} </span>{_track(opinion.probability)}'
        f'<span class="cxr-figure">{percent(opinion.probability)}</span> {beside}</td>'
    )


def _track(share: float) -> str:
    return f'<span class="cxr-track"><span style="width:{max(round(100 * share), 1)}%"></span></span>'


def _verdict_html(one: Finding, coverage: float) -> str:
    verdict, chip = verdict_of(one), ""
    if verdict is not None:
        why = escape(verdict_words(one, coverage), quote=True)
        chip = f'<span class="cxr-verdict cxr-{verdict}" title="{why}">{VERDICT_WORDS[verdict]}</span>'
    return chip + (' <span class="cxr-warn">they disagree</span>' if one.disagree else "")


def _readings_html(found: Assessment) -> str:
    clash = '<p class="cxr-warn">Classifier and neighbours take different stages for the likeliest.</p>'
    return (
        f'<div class="cxr-readings">{"".join(_reading_html(one, found) for one in found.readings)}</div>'
        f"{clash if found.disagree else ''}"
    )


def _reading_html(reading: Reading, found: Assessment) -> str:
    likeliest = max(reading.probabilities, key=reading.probabilities.__getitem__)
    rows = []
    for name, share in reading.probabilities.items():
        marked = " class=cxr-likeliest" if name == likeliest else ""
        cell = f'<td class="cxr-share">{_track(share)}<span class="cxr-figure">{percent(share)}</span></td>'
        rows.append(f'<tr{marked}><th scope="row">{label_html(name)}</th>{cell}</tr>')
    possible = ""
    if reading.possible is not None:
        names = escape(", ".join(reading.possible))
        possible = f"<p>Possible at {percent(found.coverage)} coverage: <strong>{names}</strong></p>"
    return (
        f'<section><table class="cxr-predict"><caption>{SOURCE_WORDS[reading.source]}</caption>'
        f"<tbody>{''.join(rows)}</tbody></table>{_reliability_html(reading)}{possible}"
        f'<p class="cxr-muted">{escape(threshold_words(reading, found))}</p></section>'
    )


def _reliability_html(reading: Reading) -> str:
    """Whether to read again, and a meter of the uncertainty with a mark at θ."""
    again = reading.read_again
    state = "cxr-unknown" if again is None else "cxr-again" if again else "cxr-sure"
    word = "Reliability unknown" if again is None else "Read again" if again else "Reliable"
    compared, mark = f"u = {reading.uncertainty:.2f}", ""
    if reading.theta is not None:
        compared += f" {'>' if again else '≤'} θ = {reading.theta:.2f}"
        mark = f'<i style="left:{_on_meter(reading.theta)}%"></i>'
    return (
        f'<p class="cxr-reliability {state}"><strong>{word}</strong> <span>{escape(compared)}</span></p>'
        f'<div class="cxr-meter" role="img" aria-label="{escape(compared, quote=True)}: {reliability_words(reading)}">'
        f'<span style="width:{_on_meter(reading.uncertainty)}%"></span>{mark}</div>'
    )


def _on_meter(uncertainty: float) -> int:
    """Place on the meter in percent; its end is the uncertainty of four stages equally likely."""
    return round(min(100 * uncertainty / 0.75, 100))
