"""What the Explain page asks: finding or similarity, by which method, compared with whom."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from explorer.explain import Finding, Question, findings_of, layers_of, methods_for, withheld_methods
from explorer.explain_words import METHOD_WORDS, part_words, withheld_words
from explorer.study import Study
from explorer.widgets.explain_answers import case_study
from explorer.widgets.library import Shelved, neighbours_of
from explorer.widgets.markup import label_words, plain_markdown
from explorer.widgets.session import last_outcome
from index_builder.casebook import Space
from index_builder.errors import CxrError
from index_builder.explanation import Method

_NEIGHBOURS = 6
_NOBODY = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the controls say.

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


def explain_controls(shelved: Shelved, study: Study) -> Asked:
    """Draw the controls."""
    casebook = shelved.casebook
    # Following another link sets the controls anew; within one address they stay as the user left them.
    address = "-".join(str(st.query_params.get(name)) for name in ("case", "with", "finding"))
    place = f"{shelved.name}-{study.key}-{address}"
    neighbours = _neighbours(shelved, study)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="cxr-explain-question"):
        what = _kind(neighbours, place)
        part = _part(shelved, study, place)
        finding = None if what == "similarity" else _finding(findings_of(casebook, study, part), place, part)
        chosen = _other(neighbours, place, required=what == "similarity")
    question = Question(finding, None if chosen == _NOBODY else case_study(shelved, chosen), part)
    methods = methods_for(casebook, study, question)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="cxr-explain-method"):
        method = st.segmented_control(
            "Method",
            methods,
            default="similarity" if "similarity" in methods else methods[0],
            required=True,
            format_func=lambda name: METHOD_WORDS[name].title,
            key=f"explain-method-{place}-{'-'.join(methods)}",
        )
        layer = _layer(shelved, place) if method == "grad-cam" else None
    if withheld := withheld_methods(casebook, study, question):
        st.caption(withheld_words(withheld))
    return Asked(question, method or methods[0], methods, layer)


def _kind(neighbours: dict[str, str], place: str) -> str:
    """Whether a finding or the similarity with another case is explained."""
    if not neighbours:
        return "finding"
    default = "similarity" if st.query_params.get("with") in neighbours else "finding"
    kind: str | None = st.segmented_control(
        "Explain",
        ["finding", "similarity"],
        default=default,
        required=True,
        format_func=lambda name: {"finding": "A finding", "similarity": "Similarity"}[name],
        key=f"explain-what-{place}",
    )
    return kind or default


def _neighbours(shelved: Shelved, study: Study) -> dict[str, str]:
    """Cases to compare with, by id, in words."""
    found = []
    outcome = last_outcome(shelved)
    if study.case_id is not None:
        try:
            found = list(neighbours_of(shelved, study.case_id, _NEIGHBOURS).neighbours)
        except CxrError as error:
            st.caption(plain_markdown(str(error)))
    elif outcome is not None:
        found = list(outcome.result.neighbours)
    words = {one.case_id: f"{one.rank}. {_case_words(shelved, one.case_id)}" for one in found}
    asked = st.query_params.get("with")
    if asked is not None and asked in shelved.casebook and asked not in words and asked != study.case_id:
        words[asked] = _case_words(shelved, asked)
    return words


def _case_words(shelved: Shelved, case_id: str) -> str:
    labels = [label_words(label) for label in shelved.casebook.labels[shelved.casebook.row(case_id)]]
    return f"{case_id} · {', '.join(labels) or 'no finding'}"


def _part(shelved: Shelved, study: Study, place: str) -> Space:
    if len(study.parts) == 1:
        return study.parts[0]
    reads = shelved.casebook.manifest.system.reads
    part: Space | None = st.segmented_control(
        "Read",
        study.parts,
        default=study.parts[0],
        required=True,
        format_func=lambda name: part_words(name, reads).capitalize(),
        key=f"explain-part-{place}",
        help="What the explained score is computed from. Where both are read, a report that names a finding leaves "
        "little for the film to say.",
    )
    return part or study.parts[0]


def _finding(findings: tuple[Finding, ...], place: str, part: Space) -> str:
    names = [one.label for one in findings]
    strength = {one.label: one.strength for one in findings}
    last_place, last = st.session_state.get("explain-finding", ("", ""))
    asked = last if last_place == place else st.query_params.get("finding")
    # What is read decides the figures, and a list that stays the same widget would go on showing the old one. It is
    # another widget therefore, which begins where the user left the last.
    finding = st.selectbox(
        "Finding",
        names,
        index=names.index(asked) if asked in strength else 0,
        format_func=lambda name: f"{label_words(name)} ({strength[name]:.2f})",
        key=f"explain-finding-{place}-{part}",
        width=280,
        help="With what the system expects, 0 to 1; the strongest comes first.",
    )
    st.session_state["explain-finding"] = (place, finding)
    return finding


def _other(neighbours: dict[str, str], place: str, *, required: bool) -> str:
    """The case to compare with, or `_NOBODY`."""
    if not neighbours:
        return _NOBODY
    options = list(neighbours) if required else [_NOBODY, *neighbours]
    asked = st.query_params.get("with")
    return st.selectbox(
        "Compare with",
        options,
        index=options.index(asked) if required and asked in options else 0,
        format_func=lambda case_id: neighbours.get(case_id, "nobody"),
        key=f"explain-with-{place}-{required}",
        width=280,
    )


def _layer(shelved: Shelved, place: str) -> str | None:
    layers = layers_of(shelved.casebook)
    return st.selectbox(
        "Stage",
        layers,
        index=len(layers) - 1,
        key=f"explain-layer-{place}",
        width=180,
        help="Of the image encoder, first to last: early stages see edges, late ones shapes.",
    )
