"""Search by film, text, both, or a case."""

import streamlit as st

from explorer.app.search.query import query_panel
from explorer.app.search.results import results_panel
from explorer.app.shared.draw import draw_html
from explorer.app.shared.markup import title_html
from explorer.app.shell import active_casebook

casebook = active_casebook()
draw_html(title_html("Search", shown=False))
with st.container(key="cxr-sides-search"):
    query_side, answer_side = st.columns([0.36, 0.64], gap="medium")
with query_side:
    options = query_panel(casebook)
with answer_side:
    results_panel(casebook, options)
