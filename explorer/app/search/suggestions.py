"""Findings, sites and degrees of a casebook, offered while a text is typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from explorer.app.library import Shelved
from explorer.app.shared.markup import label_words
from index_builder.lexical.stated import FACT_FIELDS

_HERE = Path(__file__).parent
_LIST = st.components.v2.component(
    "cxr_suggestions",
    html='<div class="cxr-suggestions" hidden></div><span class="cxr-unseen" role="status"></span>',
    js=(_HERE / "suggestions.js").read_text("utf-8"),
    isolate_styles=False,
)


def suggestions(shelved: Shelved) -> None:
    """Offer words at the search box: arrow keys or a click take one, and whoever types on is not disturbed."""
    _LIST(data={"terms": _terms(shelved, str(shelved.folder), shelved.stamp)}, key="cxr-suggestions")


@st.cache_data(max_entries=16, show_spinner=False)
def _terms(_shelved: Shelved, folder: str, stamp: str) -> list[str]:
    """What reports state, the most frequent first; the labels where no report is indexed."""
    casebook = _shelved.casebook
    if casebook.reports is None:
        return [label_words(name).lower() for name in casebook.label_names]
    every = np.ones(len(casebook), bool)
    counts: dict[str, int] = {}
    for field in FACT_FIELDS:
        for name, count in casebook.reports.stated.counts(field, every).items():
            counts[name] = max(count, counts.get(name, 0))
    return sorted(counts, key=lambda name: (-counts[name], name))
