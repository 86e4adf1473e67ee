"""What the Explain page asks: finding or similarity, by which method, compared with which case."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from explorer.app.explain.answers import case_study
from explorer.app.glossary import term_link
from explorer.app.library import Shelved, neighbours_of
from explorer.app.links import current_address
from explorer.app.session import Outcome
from explorer.app.shared.markup import case_words, label_words, plain_markdown
from explorer.explanation.explain import Finding, Question, findings_of, layers_of, methods_for, withheld_methods
from explorer.explanation.study import Study
from explorer.explanation.words import METHOD_WORDS, part_words, withheld_words
from explorer.prediction.words import shown_words
from index_builder.cases.space import Space
from index_builder.errors import CxrError
from index_builder.explanation import Method

_NEIGHBOURS = 6
_NO_CASE = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The choices made in the controls.

    Attributes:
        question: About the study.
        method: Chosen for the large picture.
        methods: All that are offered.
        layer: For Grad-CAM.
    """

    question: Question
    method: Method
    methods: tuple[Method, ...]
    layer: str | None


def explain_controls(shelved: Shelved, study: Study, outcome: Outcome | None) -> Asked:
    """Draw the controls; `outcome` is what the session's query found, to compare the query with."""
    casebook = shelved.casebook
    # Another study begins anew; of one study the controls stay as the user left them.
    place = f"{shelved.name}-{study.key}"
    neighbours = _neighbours(shelved, study, outcome)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="cxr-explain-question"):
        what = _kind(neighbours, place)
        part = _part(shelved, study, place)
        finding = None if what == "similarity" else _finding(findings_of(casebook, study, part), place, part)
        chosen = _other(neighbours, place, required=what == "similarity")
    other = None if chosen == _NO_CASE else case_study(shelved, chosen, _matched_film(shelved, chosen, outcome))
    question = Question(finding, other, part)
    methods = methods_for(casebook, study, question)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="cxr-explain-method"):
        key = f"explain-method-{place}-{'-'.join(methods)}"
        first: Method = "similarity" if "similarity" in methods else methods[0]
        method = current_address().choice("method", key, methods, first)
        st.segmented_control(
            "Method",
            methods,
            required=True,
            format_func=lambda name: METHOD_WORDS[name].title,
            key=key,
            persist_state="session",
        )
        layer = _layer(shelved, place) if method == "grad-cam" else None
    if withheld := withheld_methods(casebook, study, question):
        st.caption(withheld_words(withheld))
    return Asked(question, method, methods, layer)


def _matched_film(shelved: Shelved, case_id: str, outcome: Outcome | None) -> int:
    """Number of the film by which the session's query found a case; the first where it went by no single one."""
    hits = [] if outcome is None else outcome.result.neighbours
    matched = next((hit.film for hit in hits if hit.case_id == case_id), None)
    films = [film.reference for film in shelved.casebook.case(case_id).films]
    return films.index(matched) if matched in films else 0


def _kind(neighbours: dict[str, str], place: str) -> str:
    """Whether a finding or the similarity with another case is explained."""
    if not neighbours:
        return "finding"
    key = f"explain-what-{place}"
    kind = current_address().choice("what", key, ("finding", "similarity"), "finding")
    st.segmented_control(
        "Explain",
        ["finding", "similarity"],
        required=True,
        format_func=lambda name: {"finding": "A finding", "similarity": "Similarity"}[name],
        key=key,
        persist_state="session",
    )
    return kind


def _neighbours(shelved: Shelved, study: Study, outcome: Outcome | None) -> dict[str, str]:
    """Cases to compare with, by id, in words."""
    found = []
    if study.case_id is not None:
        try:
            found = list(neighbours_of(shelved, study.case_id, _NEIGHBOURS).neighbours)
        except CxrError as error:
            st.caption(plain_markdown(str(error)))
    elif outcome is not None:
        found = list(outcome.result.neighbours)
    words = {one.case_id: f"{one.rank}. {_case_words(shelved, one.case_id)}" for one in found}
    # A link may compare with any case, a neighbour or not; it stays in the list.
    address, key = current_address(), f"explain-others-{shelved.name}-{study.key}"
    for asked in address.asked.get("with", []) if address.arrives(key) else []:
        if asked in shelved.casebook and asked != study.case_id:
            st.session_state[key] = asked
    further = st.session_state.get(key)
    if further is not None and further not in words:
        words[further] = _case_words(shelved, further)
    return words


def _case_words(shelved: Shelved, case_id: str) -> str:
    case = shelved.casebook.case(case_id)
    return f"{case_id} · {case_words(case.labels, case.unknown)}"


def _part(shelved: Shelved, study: Study, place: str) -> Space:
    if len(study.parts) == 1:
        return study.parts[0]
    reads = shelved.casebook.manifest.system.reads
    key = f"explain-part-{place}"
    part = current_address().choice("read", key, study.parts, study.parts[0])
    st.segmented_control(
        "Read",
        study.parts,
        required=True,
        format_func=lambda name: part_words(name, reads).capitalize(),
        key=key,
        persist_state="session",
        help="What the explained score is computed from. Where both are read, a report that names a finding leaves "
        "little for the film to add.",
    )
    return part


def _finding(findings: tuple[Finding, ...], place: str, part: Space) -> str:
    names = [one.label for one in findings]
    said = {one.label: shown_words(one.opinion) for one in findings}
    # What is read decides the figures, and a list that stays the same widget would go on showing the old one. It is
    # another widget therefore, which begins where the user left the last.
    key, carried = f"explain-finding-{place}-{part}", st.session_state.get(f"explain-finding-{place}")
    finding = current_address().choice("finding", key, names, names[0], carried=carried)
    st.selectbox(
        "Finding",
        names,
        format_func=lambda name: f"{label_words(name)} ({said[name]})",
        key=key,
        persist_state="session",
        width=280,
        help=f"Each with its score by the system's {term_link('Classifier', 'classifier')}, or by the "
        f"{term_link('Vote of neighbours', 'vote of the nearest cases')} where there is none, as on the search page. "
        f"The likeliest comes first. A score is not a {term_link('Probability', 'probability')}.",
    )
    st.session_state[f"explain-finding-{place}"] = finding
    return finding


def _other(neighbours: dict[str, str], place: str, *, required: bool) -> str:
    """The case to compare with, or `_NO_CASE`."""
    if not neighbours:
        return _NO_CASE
    options = list(neighbours) if required else [_NO_CASE, *neighbours]
    key = f"explain-with-{place}-{required}"
    chosen = current_address().choice("with", key, options, options[0])
    st.selectbox(
        "Compare with",
        options,
        format_func=lambda case_id: neighbours.get(case_id, "no case"),
        key=key,
        persist_state="session",
        width=280,
    )
    return chosen


def _layer(shelved: Shelved, place: str) -> str | None:
    layers = layers_of(shelved.casebook)
    key = f"explain-layer-{place}"
    chosen = current_address().choice("stage", key, layers, layers[-1])
    st.selectbox(
        "Stage",
        layers,
        key=key,
        persist_state="session",
        width=180,
        help=f"Stages of the image {term_link('Encoder', 'encoder')}, "
        "first to last: early ones see edges, late ones shapes.",
    )
    return chosen
