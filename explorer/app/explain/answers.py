"""Studies and answers of the Explain page: kept, computed with progress, cancelled.

Those of cases are shared by all users. Those of a query are its session's alone and go with it.
"""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock

import streamlit as st
from cachetools import LRUCache, cached

from explorer.app.library import Shelved
from explorer.explanation.explain import Answer, Question, explain
from explorer.explanation.study import Study, open_study
from explorer.explanation.words import METHOD_WORDS
from explorer.search.query import Query
from index_builder.explanation import Method

_CASES, _ANSWERS = 24, 96
_OWN_ANSWERS = 24

#: Answers are read and kept by one thread at a time.
_lock = Lock()


def _study_key(shelved: Shelved, case_id: str, film: int = 0) -> Hashable:
    return str(shelved.folder), shelved.stamp, case_id, film


@cached(LRUCache(_CASES), key=_study_key, lock=Lock())
def case_study(shelved: Shelved, case_id: str, film: int = 0) -> Study:
    """A case of the casebook, prepared with one of its films. Raises `CxrError`."""
    return open_study(shelved.casebook, Query(case_id=case_id), film)


def study_of(shelved: Shelved, query: Query, film: int = 0) -> Study:
    """A query, prepared with one of its films; the session keeps its own until it changes. Raises `CxrError`."""
    if query.case_id is not None:
        return case_study(shelved, query.case_id, film)
    last: tuple[Shelved, Query, Study] | None = st.session_state.get("explain-study")
    # The session keeps one array per film, so that identity tells films apart without reading their pixels.
    if last is not None and last[0] == shelved and last[2].number == film:
        before = last[1]
        same_films = before.pixels is query.pixels and before.second is query.second
        if same_films and (before.text, before.profile) == (query.text, query.profile):
            return last[2]
    study = open_study(shelved.casebook, query, film)
    st.session_state["explain-study"] = (shelved, query, study)
    return study


def answer_for(shelved: Shelved, study: Study, question: Question, method: Method, layer: str | None) -> Answer | None:
    """The answer, computed with a progress bar where it is not known yet; None where the user cancelled it.

    Whatever else the user does on the page stops the computation, too: Streamlit leaves the run at the next step.
    """
    digest = shelved.casebook.manifest.system.digest
    other = None if question.other is None else question.other.key
    key = (shelved.name, shelved.stamp, digest, study.key, other, question.finding, question.part, method, layer)
    answers = _answers(study, question)
    with _lock:
        known = answers.get(key)
    if known is not None:
        return known
    if st.session_state.get("explain-cancelled") == key:
        st.info(f"{METHOD_WORDS[method].title} was cancelled.", icon=":material/cancel:")
        st.button("Compute it", key=f"explain-again-{method}", on_click=_forget_cancel)
        return None
    place = st.empty()
    with place.container(horizontal=True, vertical_alignment="center", gap="small"):
        bar = st.progress(0.0, f"{METHOD_WORDS[method].title} …")
        if METHOD_WORDS[method].slow:
            st.button("Cancel", key=f"explain-cancel-{method}", on_click=_cancel, args=(key,))

    def progress(done: int, total: int) -> None:
        bar.progress(done / total, f"{METHOD_WORDS[method].title}: step {done} of {total}")

    answer = explain(shelved.casebook, study, question, method, layer=layer, progress=progress)
    place.empty()
    with _lock:
        answers[key] = answer
    return answer


def _answers(study: Study, question: Question) -> LRUCache[Hashable, Answer]:
    asked = (study, question.other)
    if all(one is None or one.case_id is not None for one in asked):
        return _shared_answers()
    own: LRUCache[Hashable, Answer] = st.session_state.setdefault("explain-answers", LRUCache(_OWN_ANSWERS))
    return own


def _cancel(key: Hashable) -> None:
    st.session_state["explain-cancelled"] = key


def _forget_cancel() -> None:
    st.session_state["explain-cancelled"] = None


@st.cache_resource(show_spinner=False)
def _shared_answers() -> LRUCache[Hashable, Answer]:
    return LRUCache(_ANSWERS)
