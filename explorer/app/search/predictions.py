"""What the query is likely to show: classifier and neighbours side by side, with what can be promised of each."""

from __future__ import annotations

from dataclasses import replace
from html import escape

import streamlit as st

from explorer.app.glossary import term_link
from explorer.app.library import Shelved
from explorer.app.links import EXPLAIN_ICON, link
from explorer.app.query_address import COVERAGES, RISKS
from explorer.app.session import Outcome
from explorer.app.shared.markup import chips_html, label_html, label_words, plain_markdown
from explorer.cases.chest_findings import without_label
from explorer.prediction.assessment import RISK, Assessment, Finding, Opinion, Reading, Verdict, assess
from explorer.prediction.learnt import other_data_words
from explorer.prediction.words import (
    SOURCE_WORDS,
    basis,
    compared_words,
    figures_words,
    percent,
    reliability_words,
    shown_words,
    threshold_words,
    verdict_words,
)
from index_builder.calibration.conformal import COVERAGE

#: Findings that are shown before the rest is asked for.
_SHOWN = 6
#: Findings without a label that are named.
_SILENT = 3
#: Of those shown, how many link to their explanation.
_EXPLAINED = 3
#: How the chips of verdicts look; the others are drawn as uncertain.
_CHIPS: dict[Verdict, str] = {"suggested": "suggested", "not suggested": "not-suggested"}


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
    """Draw the predictions of an outcome; the labels themselves where a case was searched with.

    They are folded away where only a text was given, which is no patient, and where nothing may be stated.
    """
    found = outcome.result.assessment
    if outcome.query.case_id is not None:
        case = outcome.shelved.casebook.case(outcome.query.case_id)
        chips = chips_html((), case.labels, case.unknown)
        st.html('<span class="cxr-muted">Findings of this case</span>' + chips)
    if found is None:
        return
    if outcome.query.pixels is None:
        with st.expander("What cases like these carry", icon=":material/labs:", key="text-predictions"):
            _panel(shelved, found)
    elif found.withheld:
        with st.expander("Scores, not probabilities", icon=":material/labs:", key="scores"):
            _panel(shelved, found)
    else:
        _panel(shelved, found)


def _panel(shelved: Shelved, found: Assessment) -> None:
    if found.readings:
        st.html(_readings_html(found))
    elif found.findings:
        st.html(_findings_html(shelved, found, found.findings[:_SHOWN]))
        if len(found.findings) > _SHOWN:
            with st.expander(f"{len(found.findings) - _SHOWN} more findings", key="more-findings"):
                st.html(_findings_html(shelved, found, found.findings[_SHOWN:]))
    else:
        st.caption("No case of this casebook carries a finding.")
    silent = ", ".join(one.name for one in without_label(shelved.casebook)[:_SILENT])
    unsaid = f" They do not cover findings without a label here, such as {silent}." if silent else ""
    st.caption(f"{basis(found)} A program's predictions, not a diagnosis.{unsaid}")
    _explain_links(shelved, found)
    if found.cases:
        _levels(found)
    with st.expander("What these figures mean", icon=":material/help:", key="figures"):
        st.markdown("\n".join(f"- {line}" for line in figures_words(found)))


def _explain_links(shelved: Shelved, found: Assessment) -> None:
    """Ways to the reasons of the likeliest findings, or stages."""
    if found.readings:
        shares = found.readings[0].shown
        names = sorted(shares, key=lambda name: -shares[name])[:1]
    else:
        names = [one.label for one in found.findings[:_EXPLAINED]]
    with st.container(key="cxr-explain-links", horizontal=True, vertical_alignment="center", gap="small"):
        for name in names:
            link(shelved, "explain", f"Why {plain_markdown(label_words(name))}?", icon=EXPLAIN_ICON, finding=name)


def _levels(found: Assessment) -> None:
    """What may be stated: coverage of the sets, and for stages the risk that θ follows from."""
    with st.container(key="cxr-levels", horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control(
            "Coverage of the sets",
            COVERAGES,
            required=True,
            format_func=percent,
            key="coverage",
            persist_state="session",
            width="content",
            help=f"How often the sets should {term_link('Coverage', 'hold the truth')}. "
            "At a higher coverage, fewer findings are "
            f"{term_link('Suggested, not suggested, uncertain', 'suggested or not suggested')}.",
        )
        if found.readings:
            st.select_slider(
                "Stated risk",
                RISKS,
                format_func=lambda risk: f"{100 * risk:g} %",
                key="risk",
                persist_state="session",
                help="Share of the answered films that may be wrong. "
                f"{term_link('Uncertainty, theta, read again', 'θ')} follows from it on the validation cases.",
            )


def _findings_html(shelved: Shelved, found: Assessment, shown: tuple[Finding, ...]) -> str:
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
        cells = [f'<th scope="row">{_name_html(shelved, one)}</th>']
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


def _name_html(shelved: Shelved, one: Finding) -> str:
    """A finding; where the classifier learnt it on other data than the casebook's, the tooltip says on which."""
    told = "" if one.classifier is None else other_data_words(shelved.casebook, one.label)
    if not told:
        return label_html(one.label)
    return f'<span class="cxr-elsewhere" title="{escape(told, quote=True)}">{label_html(one.label)}</span>'


def _bar_cell(name: str, opinion: Opinion | None, note: str) -> str:
    if opinion is None:
        return '<td><span class="cxr-muted">not known to it</span></td>'
    beside = f'<span class="cxr-muted">{escape(note)}</span>' if note else ""
    return (
        f'<td class="cxr-share"><span class="cxr-narrow">{name} </span>{_track(opinion.shown)}'
        f'<span class="cxr-figure">{shown_words(opinion)}</span> {beside}</td>'
    )


def _track(share: float) -> str:
    return f'<span class="cxr-track"><span style="width:{max(round(100 * share), 1)}%"></span></span>'


def _verdict_html(one: Finding, coverage: float) -> str:
    verdict, chip = one.own.verdict, ""
    if verdict is not None:
        why = escape(verdict_words(one, coverage), quote=True)
        chip = f'<span class="cxr-verdict cxr-{_CHIPS.get(verdict, "uncertain")}" title="{why}">{verdict}</span>'
    return chip + (' <span class="cxr-warn">they disagree</span>' if one.disagree else "")


def _readings_html(found: Assessment) -> str:
    readings = "".join(_reading_html(one, found) for one in found.readings)
    return f'{_reliability_html(found)}<div class="cxr-readings">{readings}</div>'


def _reading_html(reading: Reading, found: Assessment) -> str:
    stated = not found.withheld
    likeliest = max(reading.shown, key=reading.shown.__getitem__) if stated else None
    rows = []
    for name, share in reading.shown.items():
        marked = " class=cxr-likeliest" if name == likeliest else ""
        said = shown_words(Opinion(reading.scores[name], (reading.probabilities or {}).get(name)))
        cell = f'<td class="cxr-share">{_track(share)}<span class="cxr-figure">{said}</span></td>'
        rows.append(f'<tr{marked}><th scope="row">{label_html(name)}</th>{cell}</tr>')
    possible = ""
    if reading.possible is not None:
        names = escape(", ".join(reading.possible))
        possible = f"<p>Possible at {percent(found.coverage)} coverage: <strong>{names}</strong></p>"
    threshold = f'<p class="cxr-muted">{escape(threshold_words(reading, found))}</p>' if stated else ""
    return (
        f'<section><table class="cxr-predict"><caption>{SOURCE_WORDS[reading.source]}</caption>'
        f"<tbody>{''.join(rows)}</tbody></table>{_meter_html(reading)}{possible}{threshold}</section>"
    )


def _reliability_html(found: Assessment) -> str:
    """Whether to read again: one answer for both sources."""
    if found.withheld:
        return ""
    again, (word, why) = found.read_again, reliability_words(found)
    state = "cxr-unknown" if again is None else "cxr-again" if again else "cxr-sure"
    return f'<p class="cxr-reliability {state}"><strong>{word}</strong> <span>{escape(why)}</span></p>'


def _meter_html(reading: Reading) -> str:
    """A meter of the uncertainty with a mark at θ; empty where nothing is stated."""
    if reading.uncertainty is None:
        return ""
    said = escape(compared_words(reading), quote=True)
    stages = len(reading.scores)
    mark = "" if reading.theta is None else f'<i style="left:{_on_meter(reading.theta, stages)}%"></i>'
    return (
        f'<p>{said}</p><div class="cxr-meter" role="img" aria-label="{said}">'
        f'<span style="width:{_on_meter(reading.uncertainty, stages)}%"></span>{mark}</div>'
    )


def _on_meter(uncertainty: float, stages: int) -> int:
    """Place on the meter in percent; its end is the uncertainty of so many stages equally likely."""
    return round(min(100 * uncertainty / (1 - 1 / stages), 100))
