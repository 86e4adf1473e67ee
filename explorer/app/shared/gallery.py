"""Cases in rows: film, what the system said, what the case carries, and a way to it."""

from __future__ import annotations

from html import escape

import streamlit as st

from explorer.app.library import Shelved
from explorer.app.shared.case_links import film_link, name_link
from explorer.app.shared.draw import draw_html
from explorer.app.shared.markup import chips_html, plain_markdown
from explorer.charts.cases_behind import CaseList

#: Cases shown at a time.
_SHOWN = 12
_WIDTH = 172


def case_gallery(shelved: Shelved, found: CaseList, place: str) -> None:
    """Draw cases in the order they are given, a dozen at first.

    Args:
        shelved: The casebook they are of.
        found: The cases.
        place: Tells galleries of one page apart.
    """
    casebook = shelved.casebook
    cases = [case for case in found.cases if case.case_id in casebook]
    key = f"gallery-{place}"
    wrong = sum(case.wrong for case in cases)
    count = f"{len(cases):,} cases, {wrong:,} of them wrong" if 0 < wrong < len(cases) else f"{len(cases):,} cases"
    with st.container(border=True, key=f"cxr-{key}"):
        st.markdown(f"**{plain_markdown(found.title)}** · {count}")
        if not cases:
            st.caption("No case here." if not found.cases else "These cases are not in this casebook.")
            return
        # Another list begins at its first cases again.
        if st.session_state.get(f"{key}-title") != found.title:
            st.session_state[f"{key}-title"], st.session_state[f"{key}-shown"] = found.title, _SHOWN
        shown = int(st.session_state[f"{key}-shown"])
        with st.container(horizontal=True, gap="small"):
            for number, judged in enumerate(cases[:shown]):
                case = casebook.case(judged.case_id)
                with st.container(width=_WIDTH, gap="xxsmall", key=f"cxr-judged-{place}-{number}"):
                    film_link(shelved, case.case_id, f"{place}-{number}")
                    name_link(shelved, case.case_id, f"{place}-{number}")
                    draw_html(
                        f'<article class="cxr-judged" aria-label="Case {escape(case.case_id)}">'
                        f'<span class="cxr-said{" cxr-weak" if judged.wrong else ""}">{escape(judged.said)}</span>'
                        f"{chips_html((), case.labels, case.unknown)}</article>"
                    )
        if len(cases) > shown:
            st.button(
                f"Show more ({len(cases) - shown:,} left)",
                key=f"{key}-more",
                on_click=_more,
                args=(f"{key}-shown",),
            )


def _more(key: str) -> None:
    st.session_state[key] += 2 * _SHOWN
