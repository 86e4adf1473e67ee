"""The Explain page: why the system says what it says of the query or a case: ?casebook=NAME&case=ID&finding=LABEL."""

import streamlit as st

from explorer.app.shell import active_casebook

with st.spinner("Loading what explains films and texts (once) …"):  # torch, which no other page waits for
    from explorer.app.explain.page import explain_page

explain_page(active_casebook())
